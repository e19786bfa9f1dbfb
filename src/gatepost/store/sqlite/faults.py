"""What SQLite and the file system say when they fail, as one ``StoreError`` with a reason and a hint."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from gatepost.errors import StoreError

# The primary result code (the low octet of the extended one) and what it means to us:
# https://www.sqlite.org/rescode.html
_REASONS: Final[dict[int, tuple[str, str, str]]] = {
    sqlite3.SQLITE_FULL: ("full", "the disk is full", "make room on the file system of the data directory"),
    sqlite3.SQLITE_BUSY: ("busy", "another process kept the write lock too long", "see `gatepost status`"),
    sqlite3.SQLITE_LOCKED: ("busy", "another statement holds the table", ""),
    sqlite3.SQLITE_IOERR: ("io", "the disk failed", "see the kernel's log; restore from a backup if the disk is bad"),
    sqlite3.SQLITE_CORRUPT: ("corrupt", "the file is damaged", "stop gatepost and follow docs/queue.md, repairing"),
    sqlite3.SQLITE_NOTADB: ("corrupt", "the file is no database", "stop gatepost and follow docs/queue.md, repairing"),
    sqlite3.SQLITE_READONLY: ("denied", "the file cannot be written", "give the data directory to gatepost's user"),
    sqlite3.SQLITE_CANTOPEN: ("denied", "the file cannot be opened", "give the data directory to gatepost's user"),
    sqlite3.SQLITE_PERM: ("denied", "access is denied", "give the data directory to gatepost's user"),
    sqlite3.SQLITE_AUTH: ("denied", "access is denied", "give the data directory to gatepost's user"),
    sqlite3.SQLITE_CONSTRAINT: ("constraint", "a constraint was broken", ""),
    sqlite3.SQLITE_TOOBIG: ("too-big", "a value is too big", ""),
    sqlite3.SQLITE_NOMEM: ("memory", "memory ran out", ""),
}
_ERRNO: Final[dict[int, tuple[str, str]]] = {
    errno.ENOSPC: ("full", "make room on the file system of the data directory"),
    errno.EDQUOT: ("full", "raise the disk quota of gatepost's user"),
    errno.EFBIG: ("full", "raise the file size limit of gatepost's process"),
    errno.EACCES: ("denied", "give the data directory to gatepost's user"),
    errno.EPERM: ("denied", "give the data directory to gatepost's user"),
    errno.EROFS: ("denied", "the file system is mounted read-only"),
    errno.EMFILE: ("files", "raise the limit on open files"),
    errno.ENFILE: ("files", "raise the limit on open files"),
    errno.ENOENT: ("missing", "follow docs/queue.md, repairing"),
    errno.EIO: ("io", "see the kernel's log; restore from a backup if the disk is bad"),
}


class StoreFault(StoreError):
    """A store failed for a reason that can be named.

    Temporary, whatever the reason: mail that cannot be stored is refused with a 4xx reply and comes again, and a
    full or damaged disk is the operator's to mend in the meantime.

    :param reason: a stable word: ``full``, ``busy``, ``io``, ``corrupt``, ``denied``, ``constraint``, ``too-big``,
        ``memory``, ``files``, ``missing``, ``damaged``, ``version``, ``fork``, ``other``.
    """

    def __init__(self, message: str, *, reason: str, hint: str = "", temporary: bool | None = None) -> None:
        super().__init__(message, hint=hint, temporary=temporary)
        self.reason = reason


def from_sqlite(error: sqlite3.Error, what: str) -> StoreFault:
    """Translate an error of the ``sqlite3`` module.

    :param what: what was being done, for the message: ``queue.db: committing``.
    """
    code = getattr(error, "sqlite_errorcode", None)
    name = getattr(error, "sqlite_errorname", None) or type(error).__name__
    reason, text, hint = _REASONS.get(code & 0xFF if isinstance(code, int) else -1, ("other", "it failed", ""))
    return StoreFault(f"{what}: {text} ({name}: {error})", reason=reason, hint=hint)


def from_os(error: OSError, what: str) -> StoreFault:
    """Translate an error of the operating system."""
    reason, hint = _ERRNO.get(error.errno or 0, ("io", ""))
    return StoreFault(f"{what}: {error.strerror or error}", reason=reason, hint=hint)


@contextmanager
def translating(what: str) -> Iterator[None]:
    """Turn every ``sqlite3.Error`` and ``OSError`` of the block into a ``StoreFault``."""
    try:
        yield
    except sqlite3.Error as error:
        raise from_sqlite(error, what) from error
    except OSError as error:
        raise from_os(error, what) from error
