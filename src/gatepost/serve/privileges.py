"""Giving up root: from the supervisor's account to the workers'.

SECURITY: the order is groups, group, user; giving up the user first would leave the groups of root. Afterwards the
process checks that root cannot be had back, sets no_new_privs where it can, and asks the kernel to be told when the
supervisor dies (setting ids clears that wish, so it comes last).
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import signal
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, final

from gatepost.errors import ConfigError

# prctl(2)
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38


@final
@dataclass(frozen=True, slots=True)
class Account:
    """Whom workers run as. ``uid`` None: as whoever started us."""

    name: str
    uid: int | None = None
    gid: int | None = None
    groups: tuple[int, ...] = ()
    warning: str = ""


def choose_account(user: str, *, configured: bool) -> Account:
    """Decide whom the workers run as.

    :param user: the key ``user``.
    :param configured: whether the operator wrote it; the default may be missing, a written one may not.
    :raises ConfigError: when a configured account does not exist, or we are not root and it is not our own.
    """
    me = os.geteuid()
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        if configured and me == 0:
            raise ConfigError(
                f"user: there is no account {user!r}",
                hint=f"make it: useradd --system --home-dir /nonexistent --shell /usr/sbin/nologin {user}",
            ) from None
        if me == 0:
            text = f"there is no account {user!r}: the workers run as root; see docs/operating.md, Processes"
            return Account("root", warning=text)
        return Account(_own_name(me))
    if me != 0:
        if configured and entry.pw_uid != me:
            raise ConfigError(
                f"user: only root can start workers as {user!r}", hint="start as root, or leave the key out"
            )
        return Account(_own_name(me))
    if entry.pw_uid == 0:
        return Account("root", warning=f"user: {user!r} is root: the workers run as root")
    groups = {group.gr_gid for group in grp.getgrall() if user in group.gr_mem} | {entry.pw_gid}
    return Account(user, entry.pw_uid, entry.pw_gid, tuple(sorted(groups)))


def _own_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def drop(account: Account) -> None:
    """Become the account, for good.

    :raises PermissionError: when the kernel refuses, or root could be had back.
    """
    if account.uid is None or account.gid is None:
        return
    os.setgroups(list(account.groups))
    os.setresgid(account.gid, account.gid, account.gid)
    os.setresuid(account.uid, account.uid, account.uid)
    if account.uid != 0:
        try:
            os.setuid(0)
        except PermissionError:
            return
        raise PermissionError("root could be had back after it was given up")


def refuse_unreadable(account: Account, run: Callable[[Callable[[], int]], int]) -> None:
    """Refuse an account that cannot read the program it is to run, before it fails in the middle of something.

    :param run: runs a function in a child process and returns its exit code.
    :raises ConfigError: naming the file.
    """
    if account.uid is None:
        return
    files = (__file__, os.__file__)

    def look() -> int:
        drop(account)
        return sum(1 << number for number, file in enumerate(files) if not os.access(file, os.R_OK))

    unreadable = run(look)
    for number, file in enumerate(files):
        if unreadable >> number & 1:
            raise ConfigError(
                f"user: {account.name!r} cannot read {file}",
                hint="install Python and gatepost where every account may read them, not in a home directory",
            )


def give(path: Path, account: Account) -> None:
    """Make a file or directory belong to the account, when it is another one than ours."""
    if account.uid is not None and account.gid is not None:
        os.chown(path, account.uid, account.gid, follow_symlinks=False)


@cache
def _prctl() -> Any:
    """The C library's prctl, or None. ctypes needs memory that is writable and executable on some builds."""
    try:
        import ctypes

        return ctypes.CDLL(None, use_errno=True).prctl
    except (ImportError, MemoryError, OSError, AttributeError):
        return None


def preload() -> None:
    """Look prctl up before the fork, once for all workers."""
    _prctl()


def confine(supervisor: int) -> None:
    """No new privileges through set-id programs, and SIGTERM when the supervisor is gone: both where there is prctl.

    :param supervisor: the process id that must be our parent; when it is not, it died during our birth and we end.
    """
    prctl = _prctl()
    if prctl is not None:
        prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != supervisor:
        raise SystemExit(0)


def name_process(name: str) -> None:
    """Show the role in ``ps`` and ``top``; the kernel keeps 15 characters."""
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(name[:15])
