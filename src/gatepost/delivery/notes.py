"""What was delivered and is not recorded yet, noted where it outlives the process.

Between a server's 250, or the rename that shows a message in a mailbox, and the transaction that records it lie some
milliseconds; more of them while the disk is full. A worker that is killed there has left a note, one write into a file
that is there already, and whoever takes its place records what the notes say before anything is tried again.

What a note says stays true: this recipient of this message was served. So notes have no order and are never synced; one
that is too old names a recipient whose row is gone, and does nothing. All are forgotten whenever nothing is left to be
recorded. The kernel keeps them when a process dies. When the machine does, they may be ahead of what the disk has of a
mailbox: then they are not believed, and at most what they are about is delivered again.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Final, TypeAlias, final

from gatepost.errors import StoreError

Note: TypeAlias = tuple[str, int]
"""A message's id, and the position of a recipient."""

_SLOTS: Final = 4096  # more than a worker holds at a time
_SLOT: Final = 96  # octets: an id has up to 64
_SIZE: Final = (1 + _SLOTS) * _SLOT
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


@final
class Notes:
    """The notes of one worker. The first slot of their file says which run of the machine they are of, and the epoch:
    a note of another epoch is forgotten.

    :param descriptor: of the file, which its owner has locked; it stays the owner's.
    """

    __slots__ = ("_boot", "_count", "_descriptor", "_epoch", "_lock", "_open")

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._boot = _boot()
        self._epoch = 0
        self._count = 0
        self._open: set[Note] = set()
        self._lock = threading.Lock()

    def read(self) -> list[Note]:
        """What is noted; nothing when the machine was started anew since.

        :raises StoreError: when the file cannot be read.
        """
        try:
            octets = os.pread(self._descriptor, _SIZE, 0)
        except OSError as error:
            raise StoreError(f"the delivery worker's notes: {error.strerror}", temporary=True) from error
        boot, _, epoch = octets[:_SLOT].rstrip(b"\0").partition(b" ")
        if not self._boot or boot != self._boot:
            return []
        found: set[Note] = set()
        for start in range(_SLOT, len(octets), _SLOT):
            of, message, position, *_ = (*octets[start : start + _SLOT].rstrip(b"\0").split(b" "), b"", b"", b"")
            if of == epoch and position.isdigit():
                found.add((message.decode("ascii", "replace"), int(position)))
        return sorted(found)

    def begin(self) -> None:
        """Forget everything, and make room for what is to come. Without room nothing is noted."""
        with contextlib.suppress(OSError):
            if os.fstat(self._descriptor).st_size < _SIZE:
                os.posix_fallocate(self._descriptor, 0, _SIZE)  # so that a full disk does not stop a note
            os.pwrite(self._descriptor, bytes(_SIZE), 0)
        self._forget()

    def discard(self) -> None:
        """Forget everything, and take no room: the worker is gone."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, 0)

    def add(self, message: str, position: int) -> None:
        """Note that a recipient was served. May be called in any thread."""
        with self._lock:
            self._open.add((message, position))
            slot = 1 + self._count % _SLOTS
            self._count += 1
            self._write(slot, f"{self._epoch} {message} {position}")

    def recorded(self, notes: Iterable[Note]) -> None:
        """The queue knows these now, noted or not."""
        with self._lock:
            if self._open:
                self._open.difference_update(notes)
                if not self._open:
                    self._forget()

    def _forget(self) -> None:
        self._epoch += 1
        self._count = 0
        self._write(0, f"{self._boot.decode()} {self._epoch}")

    def _write(self, slot: int, text: str) -> None:
        with contextlib.suppress(OSError):  # without a note a death may cost a duplicate, and nothing else does
            os.pwrite(self._descriptor, text.encode().ljust(_SLOT, b"\0"), slot * _SLOT)


def _boot() -> bytes:
    """What this run of the machine is called; empty where nobody says, and then no note is believed."""
    try:
        return _BOOT.read_bytes().strip()
    except OSError:
        return b""
