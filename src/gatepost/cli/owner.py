"""Working on the data directory as the account that it belongs to.

What a command of root's makes there must be readable to the workers, which are not root. So the commands that open the
stores take on the directory's owner for as long as they do, and are root again afterwards (the control socket is
root's).
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from gatepost.cli import exits
from gatepost.cli.exits import CommandError

if TYPE_CHECKING:
    from gatepost.config.schema import Config


@contextmanager
def as_owner(config: Config, *, create: bool = False) -> Iterator[None]:
    """Be the owner of the data directory for a while; does nothing when we are not root.

    :param create: make the directory when it is missing, for the account that the workers will run as.
    :raises CommandError: when the directory is missing (69), or not ours (77).
    """
    if create:
        _create(config)
    _check(config.data)
    before = os.umask(0o077)
    try:
        with _identity(config.data):
            yield
    finally:
        os.umask(before)


@contextmanager
def _identity(data: Path) -> Iterator[None]:
    found = data.stat()
    if os.geteuid() != 0 or found.st_uid == 0:
        yield
        return
    groups, group = os.getgroups(), os.getegid()
    name = _name(found.st_uid)
    os.setgroups(os.getgrouplist(name, found.st_gid) if name else [found.st_gid])
    os.setegid(found.st_gid)
    os.seteuid(found.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)


def _create(config: Config) -> None:
    from gatepost.serve.preparation import account_of
    from gatepost.serve.privileges import give

    if config.data.exists():
        return
    account = account_of(config)
    config.data.mkdir(mode=0o700, parents=True)
    give(config.data, account)


def _check(data: Path) -> None:
    try:
        found = data.stat()
    except FileNotFoundError:
        raise CommandError(
            f"there is no data directory {data}", exits.UNAVAILABLE, hint="name another one with --config or --data"
        ) from None
    except PermissionError:
        found = None
    if found is None or not os.access(data, os.R_OK | os.W_OK | os.X_OK):
        who = "root" if found is None else _name(found.st_uid) or str(found.st_uid)
        raise CommandError(
            f"{data} may not be used by this user", exits.NO_PERMISSION, hint=f"run this as {who} or as root"
        )


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""
