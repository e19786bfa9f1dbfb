"""The lock of a maildrop: one POP3 session at a time (RFC 1939 §4), and never a stale one.

The lock is the kernel's (``flock``) on the file ``gatepost.lock`` beside ``cur/`` and ``new/``, where no other program
looks. Its content means nothing and it is never removed: the lock ends when the descriptor is closed, which the kernel
does when the process dies, however it dies. Dovecot and mutt do not know of it and are not disturbed; what they change
during a session is met message by message (``mailbox.maildrop``).

Over NFS, Linux turns ``flock`` into a lock at the server (since 2.6.12), so that sessions on several machines exclude
each other. There it ends with the lease of a machine that is gone, some 90 seconds later. A mount with ``nolock`` or
``local_lock=flock`` locks within one machine only.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path
from typing import Final, final

from gatepost.errors import StoreError

FILE_NAME: Final = "gatepost.lock"

# Open for writing: over NFS the lock of a file that is open for reading only is shared.
_OPEN: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_ATTEMPTS: Final = 5


@final
class MaildropInUse(StoreError):
    """Another session has the maildrop."""

    def __init__(self, root: Path) -> None:
        super().__init__(f"mailbox {root} is in use by another session", temporary=True)


@final
class MaildropLock:
    """A lock that is held. Made by ``acquire``; it ends with ``release``, or with the process."""

    __slots__ = ("_descriptor",)

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def release(self) -> None:
        """Let others in. Twice is once."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def acquire(root: Path) -> MaildropLock:
    """Lock a mailbox; does not wait.

    :param root: the mailbox's directory; it is there.
    :raises MaildropInUse: when another session has it.
    :raises OSError: when the lock file cannot be made or locked.
    """
    path = f"{root}/{FILE_NAME}"
    for _ in range(_ATTEMPTS):
        descriptor = os.open(path, _OPEN, 0o600)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(errno.EINVAL, "the lock is not a regular file", path)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _stands_at(descriptor, path):
                return MaildropLock(descriptor)
        except OSError as error:
            os.close(descriptor)
            if error.errno == errno.EWOULDBLOCK:
                raise MaildropInUse(root) from None
            raise
        os.close(descriptor)  # somebody removed the file meanwhile: what we locked is not what others will find
    raise OSError(errno.EAGAIN, "the lock file keeps changing", path)


def _stands_at(descriptor: int, path: str) -> bool:
    try:
        there = os.stat(path, follow_symlinks=False)  # noqa: PTH116 - beside calls on descriptors
    except FileNotFoundError:
        return False
    return os.path.samestat(there, os.fstat(descriptor))
