"""How many octets a message has as a client is sent it: counted once, then remembered.

RFC 1939 §11 counts octets with CRLF line ends, and files have LF, so a size has to be counted from the content. What
gatepost delivers says it in the file's name (``S=`` and ``W=``). For the rest this module keeps a file of sizes beside
``cur/`` and ``new/``, ``gatepost.sizes``.

The file can be thrown away at any time: sizes are counted again. It is written whole under another name and renamed,
never synced, and carries a checksum over everything, so that what a crash or a disk made of it is not believed. A row
counts only while the message's identity, inode, modification time and size on disk are those it was counted for.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import sys
from array import array
from collections.abc import Iterable
from typing import Final, TypeAlias, final

FILE_NAME: Final = "gatepost.sizes"

_MAGIC: Final = f"gatepost sizes 1 {sys.byteorder}\n".encode()
_DIGEST: Final = 32
_READ: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_WRITE: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_LIMIT: Final = 1 << 29  # octets of the file that are read


Sized: TypeAlias = tuple[str, int, int, int, int]
"""One row: identity, inode, time of modification in nanoseconds, size, and the octets on the wire that were counted."""


@final
class SizeMemory:
    """What is remembered of one mailbox."""

    __slots__ = ("_columns", "_places")

    def __init__(self, rows: Iterable[Sized] = ()) -> None:
        # A line end in a name would tear the file's rows apart; such a message is counted every time.
        kept = {row[0]: row[1:] for row in rows if "\n" not in row[0]}
        self._places: dict[str, int] = {identity: place for place, identity in enumerate(kept)}
        self._columns: list[array[int]] = [array("q", (row[at] for row in kept.values())) for at in range(4)]

    def __len__(self) -> int:
        return len(self._places)

    def find(self, identity: str, inode: int, modified_ns: int, size: int) -> int | None:
        """The octets on the wire of a file, when it is the one that was counted."""
        place = self._places.get(identity)
        if place is None:
            return None
        inodes, times, sizes, wire_sizes = self._columns
        if inodes[place] != inode or times[place] != modified_ns or sizes[place] != size:
            return None
        return wire_sizes[place]

    def encode(self) -> bytes:
        """As the file has it."""
        names = "\n".join(self._places).encode("utf-8", "surrogateescape")
        body = len(self._places).to_bytes(8, sys.byteorder) + b"".join(map(bytes, self._columns)) + names
        return _MAGIC + hashlib.blake2b(body, digest_size=_DIGEST).digest() + body


def decode(data: bytes) -> SizeMemory:
    """Read what ``encode`` made; whatever is wrong with it, nothing is remembered."""
    memory = SizeMemory()
    start = len(_MAGIC) + _DIGEST
    body = data[start:]
    if not data.startswith(_MAGIC) or hashlib.blake2b(body, digest_size=_DIGEST).digest() != data[len(_MAGIC) : start]:
        return memory
    count = int.from_bytes(body[:8], sys.byteorder)
    names = body[8 + 4 * 8 * count :].decode("utf-8", "surrogateescape").split("\n") if count else []
    places = {name: place for place, name in enumerate(names)}
    if len(places) != count:
        return memory
    memory._places = places
    memory._columns = [array("q", body[8 + at * 8 * count : 8 + (at + 1) * 8 * count]) for at in range(4)]
    return memory


def load(root: int) -> SizeMemory:
    """What is remembered of a mailbox; nothing when the file is not there or not sound.

    :param root: a descriptor of the mailbox's directory.
    """
    try:
        descriptor = os.open(FILE_NAME, _READ, dir_fd=root)
    except OSError:
        return SizeMemory()
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _LIMIT:
            return SizeMemory()
        try:
            return decode(file.read())
        except OSError:
            return SizeMemory()


def save(root: int, memory: SizeMemory) -> None:
    """Remember. When it cannot be written, sizes are counted again the next time.

    :param root: a descriptor of the mailbox's directory, whose maildrop is locked by us.
    """
    temporary = f"{FILE_NAME}.tmp"
    with contextlib.suppress(OSError):
        with os.fdopen(os.open(temporary, _WRITE, 0o600, dir_fd=root), "wb") as file:
            file.write(memory.encode())
        os.rename(temporary, FILE_NAME, src_dir_fd=root, dst_dir_fd=root)
