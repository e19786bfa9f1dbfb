"""A maildrop as it is at login: which messages, in which order, how big. It does not change afterwards.

A hundred thousand messages are no rarity, so what is kept of each is its file's name and four numbers in arrays, some
200 octets, and what can be derived (the unique id) is derived when it is asked for.

Only regular files count: not links, directories, pipes or sockets, whatever their names. Names that begin with a dot
are not messages (the Maildir convention).
"""

from __future__ import annotations

import os
import stat
from array import array
from collections import Counter
from collections.abc import Iterator
from itertools import repeat
from typing import Final, TypeAlias, final

from gatepost.mailbox import sizes
from gatepost.mailbox.filenames import parse, seconds_of, unique_id
from gatepost.wire.pop3.multiline import wire_octets

FOLDERS: Final = ("new", "cur")  # a reader moves from the first to the second: listed in this order, none is missed

PIECE: Final = 1 << 18  # octets of a file that are read at a time
READ: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
_RECOUNTED: Final = 16  # sizes counted anew that are worth writing the file of sizes


Row: TypeAlias = tuple[str, str, int, int, int, int | None]
"""A file of the listing: identity, path below the mailbox (``cur/NAME``), inode, time of modification in nanoseconds,
size, and octets on the wire where the name says them. A bare tuple: there may be a hundred thousand."""


@final
class Snapshot:
    """The messages of a maildrop. Places count from 0, oldest first.

    :param rows: the files, in order.
    :param wire_sizes: the octets of each as a client is sent it.
    :param twins: the identities that several files have.
    """

    __slots__ = ("_twins", "inodes", "octets", "paths", "sizes", "times", "wire_sizes")

    def __init__(self, rows: list[Row], wire_sizes: list[int], twins: frozenset[str]) -> None:
        columns = tuple(zip(*rows, strict=True)) or ((),) * 6
        self.paths: Final[list[str]] = list(columns[1])
        self.inodes: Final = array("Q", columns[2])
        self.times: Final = array("q", columns[3])
        self.sizes: Final = array("q", columns[4])
        self.wire_sizes: Final = array("q", wire_sizes)
        self.octets: Final = sum(wire_sizes)
        self._twins: Final = twins

    def __len__(self) -> int:
        return len(self.paths)

    def identity(self, place: int) -> str:
        """The message's name without folder, flags and sizes."""
        return parse(self.paths[place].partition("/")[2]).identity

    def unique_id(self, place: int) -> str:
        """Its unique id.

        Several files of one identity should not be; when they are, each has an id of its own, which none of them had
        while it was alone: a client would otherwise take one for the other, and never fetch it.
        """
        identity = self.identity(place)
        if identity in self._twins:
            return unique_id(identity, self.inodes[place], self.times[place])
        return unique_id(identity)


def take(root: int) -> Snapshot:
    """Look at a mailbox.

    :param root: a descriptor of its directory; its maildrop is locked by us, for the file of sizes is written.
    :raises OSError: when a folder cannot be read.
    """
    rows = _listed(root)
    rows.sort()
    identities = [row[0] for row in rows]
    if len(set(map(str.find, identities, repeat(".")))) > 1:  # else their seconds have the same number of digits
        rows.sort(key=lambda row: (seconds_of(row[0]), row[0]))
    twins: frozenset[str] = frozenset()
    if len(set(identities)) < len(rows):
        rows, twins = _distinct(rows)
    return Snapshot(*_sized(root, rows), twins)


def scan(root: int) -> Iterator[tuple[str, list[os.DirEntry[str]]]]:
    """The regular files of ``new/``, then those of ``cur/``, each with the folder's name.

    :raises OSError: when a folder cannot be read; one that is not there is empty.
    """
    for folder in FOLDERS:
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root)
        except FileNotFoundError:
            continue
        try:
            with os.scandir(descriptor) as entries:
                # The entries are used while their folder's descriptor is open: it is what they are looked up in.
                yield (
                    folder,
                    [entry for entry in entries if entry.name[0] != "." and entry.is_file(follow_symlinks=False)],
                )
        finally:
            os.close(descriptor)


def _listed(root: int) -> list[Row]:
    rows: list[Row] = []
    for folder, entries in scan(root):
        for entry in entries:
            name = entry.name
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # renamed or removed since
            if not stat.S_ISREG(status.st_mode):
                continue
            identity, named, wire_size, _ = parse(name)
            size = status.st_size
            if named != size or wire_size is None or not size <= wire_size <= 2 * size + 2:
                wire_size = None  # the name is not of this content
            rows.append((identity, f"{folder}/{name}", status.st_ino, status.st_mtime_ns, size, wire_size))
    return rows


def _distinct(rows: list[Row]) -> tuple[list[Row], frozenset[str]]:
    """Each file once, and which identities are several files'.

    A file that a reader renames while we list can be seen under both names; either is good.
    """
    kept: dict[tuple[str, int], Row] = {(row[0], row[2]): row for row in rows}
    counted = Counter(identity for identity, _ in kept)
    return list(kept.values()), frozenset(identity for identity, files in counted.items() if files > 1)


def _sized(root: int, rows: list[Row]) -> tuple[list[Row], list[int]]:
    """The octets on the wire of all, and the rows that have some: a file that cannot be read is no message."""
    found = [row[5] for row in rows]
    unknown = found.count(None)
    if unknown:
        memory = sizes.load(root)
        find = memory.find
        found = [row[5] if row[5] is not None else find(row[0], row[2], row[3], row[4]) for row in rows]
        uncounted = found.count(None)
        if uncounted:
            found = [_counted(root, *row[1:5]) if size is None else size for row, size in zip(rows, found, strict=True)]
        if uncounted > _RECOUNTED or len(memory) > 2 * unknown + _RECOUNTED:
            named = zip(rows, found, strict=True)
            remembered = ((*row[:1], *row[2:5], size) for row, size in named if row[5] is None and size is not None)
            sizes.save(root, sizes.SizeMemory(remembered))
        if None in found:
            rows = [row for row, size in zip(rows, found, strict=True) if size is not None]
    return rows, [size for size in found if size is not None]


def _counted(root: int, path: str, inode: int, modified_ns: int, size: int) -> int | None:
    try:
        descriptor = os.open(path, READ, dir_fd=root)
    except OSError:
        return None
    try:
        status = os.fstat(descriptor)
        if (status.st_ino, status.st_mtime_ns, status.st_size) != (inode, modified_ns, size) or not stat.S_ISREG(
            status.st_mode
        ):
            return None
        return wire_octets(iter(lambda: os.read(descriptor, PIECE), b""))
    except OSError:
        return None
    finally:
        os.close(descriptor)
