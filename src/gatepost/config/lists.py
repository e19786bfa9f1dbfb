"""Files of addresses that rules name with ``file:PATH``: one entry a line, ``#`` begins a comment.

A file is read when a policy is built, and again when it has changed. A file that has become unreadable, or wrong,
keeps its last good entries: a mistake in a list must neither open nor close a door that it did not mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from gatepost.config.entries import file_of
from gatepost.errors import ConfigError
from gatepost.policy.addresses import AddressList

SIZE_LIMIT: Final = 64 << 20


@final
@dataclass(slots=True)
class _File:
    stamp: tuple[int, int, int]
    entries: tuple[str, ...]


@final
class ListFiles:
    """The list files of one process, each with what it said last."""

    __slots__ = ("_files",)

    def __init__(self) -> None:
        self._files: dict[str, _File] = {}

    def __bool__(self) -> bool:
        return bool(self._files)

    def addresses(self, entries: Sequence[str]) -> AddressList:
        """The list that the entries of a key make, files read.

        :raises ConfigError: when a file cannot be read, or has an entry that cannot.
        """
        found: list[str] = []
        for entry in entries:
            path = file_of(entry)
            if path is None:
                found.append(entry)
                continue
            lines = self._entries(path)
            if entry.strip().startswith("!"):
                lines = tuple(line.removeprefix("!") if line.startswith("!") else f"!{line}" for line in lines)
            found.extend(lines)
        if any(not entry.startswith("!") for entry in found):
            return AddressList(found)
        return AddressList()  # every file is empty: nobody is in the list

    def _entries(self, path: str) -> tuple[str, ...]:
        known = self._files.get(path)
        if known is None:
            known = self._files[path] = _read(path)
        return known.entries

    def refresh(self) -> tuple[list[str], list[ConfigError]]:
        """Look whether files have changed, and read those that have.

        :return: the files whose entries are new, and what is wrong with others, once for each change.
        """
        changed: list[str] = []
        problems: list[ConfigError] = []
        for path, known in self._files.items():
            stamp = _stamp(path)
            if stamp == known.stamp:
                continue
            try:
                fresh = _read(path)
            except ConfigError as error:
                known.stamp = stamp
                problems.append(error)
                continue
            if fresh.entries != known.entries:
                changed.append(path)
            self._files[path] = fresh
        return changed, problems


def _stamp(path: str) -> tuple[int, int, int]:
    try:
        status = Path(path).stat()
    except OSError:
        return (0, 0, 0)
    return (status.st_ino, status.st_size, status.st_mtime_ns)


def _read(path: str) -> _File:
    stamp = _stamp(path)  # before the text: what is written meanwhile is seen as a change
    try:
        with Path(path).open("rb") as stream:
            octets = stream.read(SIZE_LIMIT + 1)
    except OSError as error:
        raise ConfigError(f"{path}: the list cannot be read: {error.strerror}") from error
    if len(octets) > SIZE_LIMIT:
        raise ConfigError(f"{path}: is larger than {SIZE_LIMIT >> 20} MiB")
    entries: list[str] = []
    for number, line in enumerate(octets.decode("utf-8", "replace").splitlines(), 1):
        entry = line.partition("#")[0].strip()
        if not entry:
            continue
        try:
            AddressList(("*", entry))
        except ValueError as error:
            raise ConfigError(f"{path}:{number}: {error}") from error
        entries.append(entry)
    return _File(stamp, tuple(entries))
