"""Following records while they are written, across rotation, by looking at the files again and again.

What is held is bounded: a reader for each of the newest files, and the beginning of each session that is under way.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Final, final

from gatepost.record.columns import Clock
from gatepost.record.events import Opened, RecordEvent
from gatepost.record.reading import Damage, FileReader, record_files

FILES: Final = 64  # that are watched, the newest of them
SESSIONS: Final = 10_000  # whose place is remembered


@final
class Under:
    """What is remembered of a session under way.

    :param opened: how it began, where that is known.
    """

    __slots__ = ("clock", "opened", "serial")

    def __init__(self) -> None:
        self.opened: Opened | None = None
        self.clock: Final = Clock()
        self.serial = 0


@final
class Follower:
    """Yields the events that were written since it was asked last.

    :param places: files and directories; new files in directories are found.
    :param damaged: told of each line that cannot be read.
    """

    __slots__ = ("_damaged", "_places", "_readers", "_sizes", "_under")

    def __init__(self, places: Iterable[Path], damaged: Damage) -> None:
        self._places: Final = list(places)
        self._damaged: Final = damaged
        self._readers: Final[dict[Path, FileReader]] = {}
        self._sizes: Final[dict[Path, tuple[int, int]]] = {}
        self._under: Final[OrderedDict[str, Under]] = OrderedDict()

    def skip(self) -> None:
        """Pass over what is there already, but remember the sessions that are under way."""
        for _ in self.events():
            pass

    @property
    def remembered(self) -> Collection[str]:
        """The sessions that are remembered, the one that spoke last at the end."""
        return self._under.keys()

    def events(self) -> Iterator[tuple[RecordEvent, Under]]:
        """What is new, file by file; no event of a session comes twice.

        :raises OSError: when a directory cannot be read.
        """
        paths = record_files(self._places)[-FILES:]
        for gone in self._readers.keys() - set(paths):
            del self._readers[gone], self._sizes[gone]
        for path in paths:
            try:
                yield from self._new(path)
            except FileNotFoundError:
                continue

    def _new(self, path: Path) -> Iterator[tuple[RecordEvent, Under]]:
        found = path.stat()
        inode, size = self._sizes.get(path, (found.st_ino, 0))
        if path not in self._readers or inode != found.st_ino or found.st_size < size:
            self._readers[path] = FileReader(path, self._damaged)
            size = -1
        self._sizes[path] = (found.st_ino, found.st_size)
        if found.st_size == size:
            return
        for event in self._readers[path].read():
            under = self._remember(event)
            if event.serial > under.serial:
                under.serial = event.serial
                yield event, under

    def _remember(self, event: RecordEvent) -> Under:
        under = self._under.get(event.session)
        if under is None:
            under = self._under[event.session] = Under()
            while len(self._under) > SESSIONS:
                self._under.popitem(last=False)
        else:
            self._under.move_to_end(event.session)
        if isinstance(event, Opened):
            under.opened = event
        return under
