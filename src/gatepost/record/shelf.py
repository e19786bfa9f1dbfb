"""The directory of records and its budget, which all processes that write there keep together.

Theory
------
Each write happens while the lock of the directory (``flock`` on ``.usage``) is held, in three steps: count the octets
as used, write them, let go. What is used stands in the locked file, so that nobody has to look at every file for every
write. It may be too high (a process was killed between the steps, somebody removed a file), never too low; when it says
that the budget is used up, the files are measured, while nobody writes, and it is right again. So the budget holds for
any number of processes, whenever one of them dies.

A file that is being written is locked as well, by whoever writes it, until that process is gone, however it went. What
is not locked is finished; the oldest finished files are removed when room is needed. Where that is not enough, nothing
is written.

SECURITY: files are created 0600 in a directory that is 0700, under names in which nothing comes from a peer. Nothing
that is no file of ours, by its name, is counted or removed, and no symbolic link is followed. A directory that another
account owns, or may write to, is not used: what is called as ours could be a link to something precious.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, final

from gatepost.record.compression import SUFFIX

_USAGE: Final = ".usage"
_NAME: Final = re.compile(r"[0-9]{8}T[0-9]{6}\.[0-9]{6}Z-[a-z0-9]{1,16}-[0-9]{1,10}-[0-9]{1,10}\.jsonl(?:\.zst)?")
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC


class NoRoom(Exception):  # it is no error: what is finished can make room later
    """The budget is used up, and no finished file is left that could make room."""


@final
class OpenFile:
    """A file that is being written, locked by us.

    :param path: where it is.
    :param descriptor: of it.
    :param begun: when, in seconds of ``time.monotonic``.
    """

    __slots__ = ("begun", "descriptor", "path", "size")

    def __init__(self, path: Path, descriptor: int, begun: float) -> None:
        self.path: Final = path
        self.descriptor: Final = descriptor
        self.begun: Final = begun
        self.size = 0

    def close(self) -> None:
        """It is finished."""
        os.close(self.descriptor)


@final
class Shelf:
    """A directory of records.

    :param directory: made, when it is not there.
    :param budget: octets that all files in it may have together.
    :param keep: seconds after which a finished file is removed; 0 for never.
    :raises OSError: when the directory cannot be made or used, or is another account's too.
    """

    __slots__ = ("_budget", "_keep", "_serial", "_usage", "directory")

    def __init__(self, directory: Path, *, budget: int, keep: float = 0.0) -> None:
        make_directory(directory)
        if directory.stat().st_uid not in (0, os.geteuid()):
            raise OSError(errno.EPERM, "it belongs to another account", str(directory))
        self.directory: Final = directory
        self._budget: Final = budget
        self._keep: Final = keep
        self._serial = 0
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._usage: Final = os.open(directory / _USAGE, flags, 0o600)
        status = os.fstat(self._usage)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            os.close(self._usage)
            raise OSError(errno.EPERM, "it is not the recorder's", str(directory / _USAGE))

    def close(self) -> None:
        """Use the directory no more."""
        os.close(self._usage)

    def begin(self, role: str, *, compressed: bool) -> OpenFile:
        """Begin a file, and remove those that are too old.

        :param role: of the process: lower-case letters and digits.
        :raises OSError: when it cannot be made.
        """
        self._serial += 1
        now = time.time()
        moment = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now)) + f".{int(now % 1 * 1e6):06d}Z"
        name = f"{moment}-{role}-{os.getpid()}-{self._serial}.jsonl{SUFFIX if compressed else ''}"
        with self._locked():
            self._remove_old(now)
            descriptor = os.open(self.directory / name, _FLAGS, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return OpenFile(self.directory / name, descriptor, time.monotonic())

    def append(self, file: OpenFile, data: bytes) -> None:
        """Write all of ``data``, or nothing.

        :raises NoRoom: when the budget has no room for it.
        :raises OSError: when the disk is full or broken.
        """
        with self._locked():
            used = self._read_usage() + len(data)
            if used > self._budget:
                used = self._make_room(len(data)) + len(data)
            self._write_usage(used)
            try:
                _write(file, data)
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(file.descriptor, file.size)
                    self._write_usage(used - len(data))
                raise
            file.size += len(data)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.flock(self._usage, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._usage, fcntl.LOCK_UN)

    def _read_usage(self) -> int:
        text = os.pread(self._usage, 32, 0)
        if len(text) != 20 or not text.isdigit():
            return self._measure()  # nobody wrote here yet, or the disk was full
        return int(text)

    def _write_usage(self, used: int) -> None:
        os.pwrite(self._usage, b"%020d" % used, 0)

    def _files(self) -> list[tuple[str, int, float]]:
        """Our files, oldest first: name, size, time of the last change."""
        found = []
        with os.scandir(self.directory) as entries:
            for entry in entries:
                if _NAME.fullmatch(entry.name):
                    with contextlib.suppress(FileNotFoundError):
                        status = entry.stat(follow_symlinks=False)
                        if stat.S_ISREG(status.st_mode):
                            found.append((entry.name, status.st_size, status.st_mtime))
        return sorted(found)

    def _measure(self) -> int:
        return sum(size for _, size, _ in self._files())

    def _make_room(self, octets: int) -> int:
        """Remove finished files, the oldest first, until there is room; what is used then.

        :raises NoRoom: when there is not enough to remove. Then nothing was removed in vain.
        """
        files = self._files()
        used = sum(size for _, size, _ in files)
        for name, size, _ in files:
            if used + octets <= self._budget:
                break
            if self._remove_finished(name):
                used -= size
        self._write_usage(used)
        if used + octets > self._budget:
            raise NoRoom
        return used

    def _remove_old(self, now: float) -> None:
        if self._keep:
            for name, _, changed in self._files():
                if changed < now - self._keep:
                    self._remove_finished(name)  # what is used stays too high until it matters

    def _remove_finished(self, name: str) -> bool:
        """Remove a file unless somebody writes it; whether it is gone."""
        path = self.directory / name
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return not path.exists()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
        except OSError:
            return False
        finally:
            os.close(descriptor)
        return True


def make_directory(directory: Path) -> None:
    """Make the directory, for its owner alone, when it is not there.

    :raises OSError: when it cannot be made, is no directory, or one in which other accounts may write.
    """
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        if not directory.is_dir():
            raise
        if directory.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise OSError(errno.EPERM, "other accounts may write there", str(directory)) from None


def _write(file: OpenFile, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file.descriptor, view) :]
