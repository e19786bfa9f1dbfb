"""Files of addresses and of senders that rules name with ``file:PATH``: one entry a line, ``#`` begins a comment.

A file is read when a policy is built, and again when it has changed. A file that has become unreadable, or wrong,
keeps its last good entries: a mistake in a list must neither open nor close a door that it did not mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from gatepost.config.entries import check_sender, file_of
from gatepost.errors import ConfigError
from gatepost.policy.addresses import AddressList
from gatepost.policy.senders import SenderList

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
        self._files: dict[tuple[str, Callable[[str], str]], _File] = {}

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
            lines = self._entries(path, _check_address)
            if entry.strip().startswith("!"):
                lines = tuple(line.removeprefix("!") if line.startswith("!") else f"!{line}" for line in lines)
            found.extend(lines)
        if any(not entry.startswith("!") for entry in found):
            return AddressList(found)
        return AddressList()  # every file is empty: nobody is in the list

    def senders(self, entries: Sequence[str]) -> SenderList:
        """The list of senders that the entries of a key make, files read.

        :raises ConfigError: when a file cannot be read, or has an entry that cannot.
        """
        found: list[str] = []
        for entry in entries:
            path = file_of(entry)
            found += [entry] if path is None else self._entries(path, _check_sender)
        return SenderList(found)

    def _entries(self, path: str, check: Callable[[str], str]) -> tuple[str, ...]:
        known = self._files.get((path, check))
        if known is None:
            known = self._files[path, check] = _read(path, check)
        return known.entries

    def refresh(self) -> tuple[list[str], list[ConfigError]]:
        """Look whether files have changed, and read those that have.

        :return: the files whose entries are new, and what is wrong with others, once for each change.
        """
        changed: list[str] = []
        problems: list[ConfigError] = []
        for (path, check), known in self._files.items():
            stamp = stamp_of(path)
            if stamp == known.stamp:
                continue
            try:
                fresh = _read(path, check)
            except ConfigError as error:
                known.stamp = stamp
                problems.append(error)
                continue
            if fresh.entries != known.entries:
                changed.append(path)
            self._files[path, check] = fresh
        return changed, problems


def stamp_of(path: str | Path) -> tuple[int, int, int]:
    """What tells a file that has changed, or was replaced, from what it was; zeros when there is none."""
    try:
        status = Path(path).stat()
    except OSError:
        return (0, 0, 0)
    return (status.st_ino, status.st_size, status.st_mtime_ns)


def _check_address(entry: str) -> str:
    AddressList(("*", entry))
    return entry


def _check_sender(entry: str) -> str:
    if file_of(entry) is not None:
        raise ValueError(f'"{entry[:80]}": a list names no other file')
    return check_sender(entry)


def _read(path: str, check: Callable[[str], str]) -> _File:
    stamp = stamp_of(path)  # before the text: what is written meanwhile is seen as a change
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
            entries.append(check(entry))
        except ValueError as error:
            raise ConfigError(f"{path}:{number}: {error}") from error
    return _File(stamp, tuple(entries))
