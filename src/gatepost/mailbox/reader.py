"""Reading a Maildir: what is there, how big it is, opening and deleting.

Nothing here writes but ``delete`` and ``sweep``. Other programs may read and change the same mailbox at the same time:
a message may move from ``new/`` to ``cur/`` or change its flags between the listing and the opening, and is then found
again by its unique name.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, final

from gatepost.errors import StoreError
from gatepost.mailbox.filenames import parse, seconds_of

# What a dead delivery leaves in tmp/ is removed when it is this old, in seconds: the Maildir convention's 36 hours.
STALE: Final = 36 * 3600.0


@final
@dataclass(frozen=True, slots=True)
class StoredMessage:
    """One message of a mailbox.

    :param unique: the file's name without its flags: the message's name for as long as it exists.
    :param path: where it was when it was listed.
    :param size: its octets on disk, with LF line ends.
    :param wire_size: its octets as a client is sent them, with CRLF line ends; None where the name does not say.
    :param flags: the Maildir flags, such as ``FS``; empty while it is in ``new/``.
    :param new: whether no reader has moved it to ``cur/`` yet.
    """

    unique: str
    path: Path
    size: int
    wire_size: int | None
    flags: str
    new: bool


@final
@dataclass(frozen=True, slots=True)
class Usage:
    """How much a mailbox holds: messages, and their octets on disk."""

    messages: int
    octets: int


class Maildir:
    """One mailbox. Making the object touches nothing; a mailbox that is not there is empty.

    :param root: its directory, see ``mailbox_root``.
    """

    __slots__ = ("root",)

    def __init__(self, root: Path) -> None:
        self.root = root

    def messages(self) -> list[StoredMessage]:
        """Every message, oldest first (their names begin with the time).

        :raises StoreError: when the mailbox cannot be read.
        """
        try:
            found = [*self._scan("new"), *self._scan("cur")]
        except OSError as error:
            raise StoreError(f"mailbox {self.root}: {error.strerror}") from error
        # A reader that moves a message while we list can show it to us twice; the later sight, in cur/, stands.
        by_name = {message.unique: message for message in found}
        return sorted(by_name.values(), key=lambda message: (seconds_of(message.unique), message.unique))

    def usage(self) -> Usage:
        """How much it holds.

        :raises StoreError: when the mailbox cannot be read.
        """
        sizes = [message.size for message in self.messages()]
        return Usage(len(sizes), sum(sizes))

    def open(self, message: StoredMessage) -> BinaryIO:
        """Open a message, its lines ending in LF.

        :raises StoreError: when it is gone, or cannot be read.
        """
        try:
            try:
                return message.path.open("rb")
            except FileNotFoundError:
                return self._again(message).open("rb")
        except OSError as error:
            raise StoreError(f"message {message.path}: {error.strerror}") from error

    def delete(self, message: StoredMessage) -> None:
        """Delete a message; one that is gone already is no error.

        :raises StoreError: when it cannot be deleted.
        """
        try:
            try:
                message.path.unlink()
            except FileNotFoundError:
                self._again(message).unlink(missing_ok=True)
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreError(f"message {message.path}: {error.strerror}") from error

    def _again(self, message: StoredMessage) -> Path:
        for name in ("new", "cur"):
            for other in self._scan(name):
                if other.unique == message.unique:
                    return other.path
        raise FileNotFoundError(2, "the message is gone", str(message.path))

    def _scan(self, name: str) -> Iterator[StoredMessage]:
        folder = self.root / name
        try:
            entries = os.scandir(folder)
        except FileNotFoundError:
            return
        with entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                _, size, wire_size, flags = parse(entry.name)
                try:
                    size = entry.stat(follow_symlinks=False).st_size if size is None else size
                except FileNotFoundError:
                    continue
                unique = entry.name.partition(":")[0]
                yield StoredMessage(unique, folder / entry.name, size, wire_size, flags, name == "new")


def sweep(data: Path, *, now: float, stale: float = STALE) -> int:
    """Remove what dead deliveries left in the ``tmp/`` of every mailbox.

    :param data: the data directory.
    :param now: the time, in seconds since the Unix epoch.
    :param stale: how old a file must be, in seconds.
    :return: how many files were removed.
    """
    removed = 0
    for path in (data / "mail").glob("*/*/tmp/*"):
        try:
            if path.lstat().st_mtime < now - stale:
                path.unlink()
                removed += 1
        except OSError:  # gone in between, or not ours: the next sweep sees it again
            continue
    return removed
