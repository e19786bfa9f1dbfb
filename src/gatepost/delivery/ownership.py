"""Who holds leases, so that those of a dead worker come back at once and those of a living one never do.

Each worker takes the first free of a row of lock files and is named after it. The kernel drops a lock when its process
dies, however it dies; so whoever gets a lock knows that the worker of that name is gone, and returns its leases. A
worker that still drains beside its successor, after a reload, keeps its lock and its leases. The content of the file is
what its holder noted as delivered (``delivery.notes``).
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, final

from gatepost.delivery.notes import Note, Notes
from gatepost.errors import StoreError

_PLACES: Final = 32  # workers that can live at the same time


@final
class Ownership:
    """A name that no other living worker has.

    :param folder: where the lock files are; made when it is not there.
    :raises StoreError: when there is no free place, or the folder cannot be used.
    """

    __slots__ = ("_descriptor", "_folder", "name", "notes")

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for place in range(_PLACES):
                if (descriptor := self._lock(place)) is not None:
                    self._descriptor = descriptor
                    self.name = f"delivery.{place}"
                    self.notes = Notes(descriptor)
                    return
        except OSError as error:
            raise StoreError(
                f"{folder}: {os.strerror(error.errno or 0)}", hint="see that it is ours to write"
            ) from error
        raise StoreError(f"{folder}: {_PLACES} delivery workers live already", hint="end those that should not")

    def return_leases(
        self, release_owner: Callable[[str], int], settle_noted: Callable[[Sequence[Note]], int]
    ) -> tuple[int, int]:
        """Return the leases of workers that are gone: of this name's last holder, and of every name that nobody has.
        What they had noted as delivered is recorded before. Called once, before anything is delivered under this name.

        :param release_owner: ``QueueStore.release_owner``.
        :param settle_noted: ``QueueStore.settle_noted``.
        :return: how many deliveries were recorded, and how many leases came back.
        """
        recorded = settle_noted(_on_disk(self.notes.read()))
        self.notes.begin()
        returned = release_owner(self.name)
        more_recorded, more_returned = self.return_others(release_owner, settle_noted)
        return recorded + more_recorded, returned + more_returned

    def return_others(
        self, release_owner: Callable[[str], int], settle_noted: Callable[[Sequence[Note]], int]
    ) -> tuple[int, int]:
        """The same for every name but our own: a worker may have ended, and given nothing back, since we began."""
        recorded = returned = 0
        for place in range(_PLACES):
            name = f"delivery.{place}"
            if name == self.name or not self._path(place).exists():
                continue
            if (descriptor := self._lock(place)) is not None:
                try:
                    notes = Notes(descriptor)
                    recorded += settle_noted(_on_disk(notes.read()))
                    returned += release_owner(name)
                    notes.discard()
                finally:
                    os.close(descriptor)
        return recorded, returned

    def close(self) -> None:
        """Give the name up."""
        os.close(self._descriptor)

    def _path(self, place: int) -> Path:
        return self._folder / f"delivery-{place}.lock"

    def _lock(self, place: int) -> int | None:
        descriptor = os.open(self._path(place), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor


def _on_disk(notes: list[Note]) -> list[Note]:
    """The same, when what they are about survives a power failure: a message is noted when readers can see it, which is
    before its mailbox's directory was synced, and its worker may have been killed in between."""
    if notes:
        os.sync()
    return notes
