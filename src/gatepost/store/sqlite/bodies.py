"""Bodies too long for a row: one file each.

Theory
------
A body file is in one of three conditions, and at any moment any process can tell which:

1. *Being written, or waiting for its commit.* The writer holds an exclusive ``flock`` on it from its creation until
   the transaction that names it has committed. The kernel drops the lock when the process dies, however it dies.
2. *Named* by a row of the queue. It is never changed again, and is removed only after the transaction that removed
   the row.
3. *An orphan*: neither locked nor named. ``sweep`` removes it.

``sweep`` takes the lock first and asks the database second. Having the lock proves that no writer lives, so a row that
does not exist now will never exist. The one gap, between creating a file and locking it, is closed by the writer: after
locking it looks whether its file still has a name, and begins again if it was swept.

So a sweep is safe at any time, in any process; no age, process number or boot time has to be judged.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from gatepost.queue.item import INLINE_LIMIT, BodyRef, FileBody, InlineBody
from gatepost.queue.states import Moment
from gatepost.store.sqlite.database import sync_directory
from gatepost.store.sqlite.faults import StoreFault, from_os, translating
from gatepost.store.sqlite.ownership import give_to_owner_of

_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_PIECE: Final = 64 * 1024  # what is read at once
_BATCH: Final = 256 * 1024  # what is written at once
_LOOK_EVERY: Final = 1024 * 1024  # how much is written between two looks at the room that is left
_MAX_PIECES: Final = 256  # more are joined: a sender of single octets must not fill the memory, nor pass IOV_MAX

Witness = Callable[[Moment], None]


class BodyFiles:
    """The folder of body files.

    :param folder: made when it does not exist.
    :param witness: is told of each ``Moment``; for crash tests.
    :param reserve: octets of the disk that new mail may not use, so that outcomes can still be recorded.
    """

    __slots__ = ("_awaiting", "_reserve", "folder", "witness")

    def __init__(self, folder: Path, witness: Witness | None = None, *, reserve: int = 0) -> None:
        self._reserve: Final = reserve
        self.folder: Final = folder
        self.witness: Final = witness
        self._awaiting: dict[str, int] = {}  # finished, locked, not yet named by a row
        with translating(f"{folder}: opening"):
            for new in (folder.parent, folder):
                if not new.is_dir():
                    new.mkdir(mode=0o700, parents=True, exist_ok=True)
                    give_to_owner_of(new.parent, new)

    def writer(self, message_id: str) -> BodyFileWriter:
        """A writer for one body.

        :raises ValueError: when the id cannot be a file's name.
        """
        if _ID.fullmatch(message_id) is None:
            raise ValueError(f"no message id: {message_id!r}")
        return BodyFileWriter(self, message_id)

    def check_room(self) -> None:
        """Refuse new mail while the disk has no more room than the reserve.

        :raises StoreError: ``full``.
        """
        with translating(f"{self.folder}: looking for room"):
            disk = os.statvfs(self.folder)
        if disk.f_bavail * disk.f_frsize < self._reserve:
            raise StoreFault(
                f"{self.folder}: less than {self._reserve >> 20} MiB are free, kept for delivering what is queued",
                reason="full",
                hint="make room on the file system of the data directory",
            )

    def await_commit(self, name: str, descriptor: int) -> None:
        """Keep a finished file locked until ``committed`` or ``abandon``."""
        self._awaiting[name] = descriptor

    def committed(self, name: str) -> None:
        """A row names the file now: the lock is no longer needed."""
        descriptor = self._awaiting.pop(name, -1)
        if descriptor >= 0:
            os.close(descriptor)

    def abandon(self, name: str) -> None:
        """Remove a finished file that no row will name; does nothing when a row names it or may name it."""
        if name in self._awaiting:
            self.remove(name)
            self.committed(name)

    def remove(self, name: str) -> None:
        """Remove a file; a failure leaves an orphan, which the next sweep removes."""
        try:
            (self.folder / name).unlink(missing_ok=True)
        except OSError:
            return

    def open(self, body: FileBody) -> Iterator[bytes]:
        """See ``QueueStore.open_body``."""
        with translating(f"{self.folder / body.name}: opening the body"):
            found = (self.folder / body.name).stat().st_size
        if found != body.length:
            raise _damaged(self.folder / body.name, f"has {found} octets, not {body.length}")
        return self._pieces(body)

    def _pieces(self, body: FileBody) -> Iterator[bytes]:
        path = self.folder / body.name
        digest = hashlib.sha256()
        left = body.length
        with translating(f"{path}: reading the body"), path.open("rb", buffering=0) as file:
            while left:
                piece = file.read(min(_PIECE, left))
                if not piece:
                    raise _damaged(path, f"ends {left} octets early")
                left -= len(piece)
                digest.update(piece)
                if not left and digest.hexdigest() != body.sha256:
                    raise _damaged(path, "has another SHA-256 than its row")
                yield piece

    def sweep(self, is_named: Callable[[str], bool]) -> int:
        """Remove orphans; how many.

        :param is_named: whether a row names the file; asked while the file is locked.
        """
        swept = 0
        with translating(f"{self.folder}: sweeping"):
            for entry in list(os.scandir(self.folder)):
                if entry.is_file(follow_symlinks=False) and _ID.fullmatch(entry.name):
                    swept += self._sweep_one(entry.name, is_named)
        return swept

    def _sweep_one(self, name: str, is_named: Callable[[str], bool]) -> bool:
        try:
            descriptor = os.open(self.folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if is_named(name):
                return False
            (self.folder / name).unlink(missing_ok=True)
            return True
        except BlockingIOError:
            return False  # a living process is writing it
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Let go of the files that were finished and never committed; a sweep removes them."""
        for name in list(self._awaiting):
            self.committed(name)


class BodyFileWriter:
    """See ``BodyWriter``. Made by ``BodyFiles.writer``."""

    __slots__ = ("_descriptor", "_digest", "_files", "_look_at", "_name", "_pending", "_pieces", "length")

    def __init__(self, files: BodyFiles, name: str) -> None:
        self._files: Final = files
        self._name: Final = name
        self._pieces: list[bytes] = []
        self._pending = 0
        self._descriptor = -1
        self._digest: hashlib._Hash | None = None  # of a file; a row needs none
        self._look_at = 0
        self.length = 0

    def write(self, data: bytes) -> None:
        """Take the next octets: in memory up to ``INLINE_LIMIT``, then to the file, 256 KiB at a time."""
        self._pieces.append(data)
        self._pending += len(data)
        self.length += len(data)
        if self._pending > (_BATCH if self._descriptor >= 0 else INLINE_LIMIT):
            self._flush()
        elif len(self._pieces) >= _MAX_PIECES:
            self._pieces = [b"".join(self._pieces)]

    def finish(self) -> BodyRef:
        """The body, durable."""
        if self._descriptor < 0:
            return InlineBody(self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces))
        self._flush()
        witness = self._files.witness
        try:
            if witness is not None:
                witness(Moment.BODY_WRITTEN)
            os.fsync(self._descriptor)
            sync_directory(self._files.folder)
        except OSError as error:
            self.discard()
            raise from_os(error, f"{self._path}: syncing the body") from error
        if witness is not None:
            witness(Moment.BODY_SYNCED)
        self._files.await_commit(self._name, self._descriptor)
        self._descriptor = -1
        assert self._digest is not None
        return FileBody(self._name, self.length, self._digest.hexdigest())

    def discard(self) -> None:
        """Drop the body, and its file unless a row names it or may name it."""
        self._pieces, self._pending = [], 0
        if self._descriptor >= 0:
            self._files.remove(self._name)
            os.close(self._descriptor)
            self._descriptor = -1
        else:
            self._files.abandon(self._name)

    @property
    def _path(self) -> Path:
        return self._files.folder / self._name

    def _flush(self) -> None:
        try:
            if self.length >= self._look_at:
                self._look_at = self.length + _LOOK_EVERY
                self._files.check_room()
            if self._descriptor < 0:
                self._descriptor = _create(self._path)
            digest = self._digest = self._digest or hashlib.sha256()
            for piece in self._pieces:
                digest.update(piece)
            _write_all(self._descriptor, self._pieces)
        except StoreFault:
            self.discard()
            raise
        except OSError as error:
            self.discard()
            raise from_os(error, f"{self._path}: writing the body") from error
        self._pieces, self._pending = [], 0


def _create(path: Path) -> int:
    """Create and lock a file that nobody else has, and that no sweep has removed in between."""
    while True:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_nlink:
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _write_all(descriptor: int, pieces: list[bytes]) -> None:
    """Write all of it, however little the kernel takes at once.

    :raises OSError: the disk is full.
    """
    left = sum(map(len, pieces))
    written = os.writev(descriptor, pieces)
    if written == left:
        return
    rest = memoryview(b"".join(pieces))[written:]  # a nearly full disk, or a file size limit: the next write says so
    while rest:
        written = os.write(descriptor, rest)
        if not written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        rest = rest[written:]


def _damaged(path: Path, text: str) -> StoreFault:
    return StoreFault(f"{path}: the body {text}", reason="damaged", hint="follow docs/queue.md, repairing")
