"""Reading records: files to events, events to sessions.

Files are read as they are: a last line that was cut off by a crash is left out, and what was written behind it later is
read. Sessions stand interleaved in a file, and one may go on in the next file. No more is held than the sessions that
are open at the place where the reading stands.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, final

from gatepost.record.compression import SUFFIX, Decompressor
from gatepost.record.errors import RecordError
from gatepost.record.events import Closed, FileBegins, Opened, RecordEvent, from_json
from gatepost.record.version import CURRENT, Version

ENDINGS: Final = (".jsonl", ".jsonl" + SUFFIX)
LINE_LIMIT: Final = 1 << 24  # octets of one event; what is longer is damage
_READ: Final = 1 << 16
_READ_COMPRESSED: Final = 1 << 8  # it may become thirty thousand times as much (RFC 8878 §3.1.1.2.2: RLE_Block)

Damage = Callable[["Damaged"], None]


@final
@dataclass(frozen=True, slots=True)
class Damaged:
    """A line that could not be read.

    :param path: the file.
    :param line: its number, from 1.
    :param reason: in words.
    """

    path: Path
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.reason}"


@final
@dataclass(slots=True)
class Session:
    """One session, as far as it was recorded.

    :param id: the connection's identifier.
    :param events: in their order.
    """

    id: str
    events: list[RecordEvent] = field(default_factory=list)

    @property
    def opened(self) -> Opened | None:
        """How it began; None when that was dropped, or its file is gone."""
        first = self.events[0] if self.events else None
        return first if isinstance(first, Opened) else None

    @property
    def closed(self) -> Closed | None:
        """How it ended; None while it goes on, or when a crash ended it."""
        last = self.events[-1] if self.events else None
        return last if isinstance(last, Closed) else None

    @property
    def missing(self) -> int:
        """Events that were dropped, as far as the gaps in their numbers say it."""
        if not self.events:
            return 0
        serials = {event.serial for event in self.events}
        return max(serials) - len(serials)


@final
class FileReader:
    """Reads the events of one file, and goes on where it stopped when the file has grown.

    :param path: a file; compressed when its name ends in ``.zst``.
    :param damaged: told of each line that cannot be read; without it the first one raises ``RecordError``.
    :raises RecordError: when the file is compressed and there is no Zstandard.
    """

    __slots__ = ("_damaged", "_decompressor", "_line", "_place", "_rest", "_skipping", "_version", "_versions", "path")

    def __init__(self, path: str | os.PathLike[str], damaged: Damage | None = None) -> None:
        self.path: Final = Path(path)
        self._damaged = damaged
        self._decompressor = Decompressor() if self.path.name.endswith(SUFFIX) else None
        self._place = 0
        self._line = 0
        self._rest = b""
        self._skipping = False  # what is left of a line that was too long
        self._version: Version | None = None
        self._versions: dict[str, Version] = {}  # of sessions, in a file that does not say its own

    def read(self) -> Iterator[RecordEvent]:
        """The events from where the last call stopped to the end that the file has now.

        :raises RecordError: for a line that cannot be read, and a file of a newer version.
        :raises OSError: when the file cannot be read.
        """
        with self.path.open("rb", buffering=0) as file:
            file.seek(self._place)
            while data := file.read(_READ if self._decompressor is None else _READ_COMPRESSED):
                self._place += len(data)
                if self._decompressor is not None:
                    try:
                        data = self._decompressor.add(data)
                    except RecordError as error:
                        self._tell(str(error))
                        return
                yield from self._lines(data)

    def _lines(self, data: bytes) -> Iterator[RecordEvent]:
        *lines, rest = data.split(b"\n")
        if lines:
            lines[0] = self._rest + lines[0]
            self._rest = rest
        else:
            self._rest += rest
        for line in lines:
            self._line += 1
            if self._skipping:
                self._skipping = False
            elif line:
                event = self._event(line)
                if event is not None:
                    yield event
        if len(self._rest) > LINE_LIMIT:
            self._rest = b""
            if not self._skipping:
                self._skipping = True
                self._tell("the line is too long", self._line + 1)

    def _event(self, line: bytes) -> RecordEvent | None:
        try:
            document = json.loads(line)
            event = from_json(document, self._version_for(document))
        except RecordError as error:
            self._tell(str(error))
        except (ValueError, RecursionError):
            self._tell("the line is no JSON")
        else:
            if isinstance(event, FileBegins):
                self._version = Version(event.version, event.minor)
                return None
            if self._version is None:
                self._remember(event)
            return event
        return None

    def _version_for(self, document: object) -> Version:
        if self._version is not None:
            return self._version
        session = document.get("s") if isinstance(document, dict) else None
        return self._versions.get(session, CURRENT) if isinstance(session, str) else CURRENT

    def _remember(self, event: RecordEvent | None) -> None:
        if isinstance(event, Opened):
            self._versions[event.session] = Version(event.version, event.minor)
        elif isinstance(event, Closed):
            self._versions.pop(event.session, None)

    def _tell(self, reason: str, line: int = 0) -> None:
        damaged = Damaged(self.path, line or self._line, reason)
        if self._damaged is None:
            raise RecordError(str(damaged))
        self._damaged(damaged)


def record_files(places: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """The files of records in some places.

    :param places: files, which are taken as they are, and directories, of which those that end in ``.jsonl`` and
        ``.jsonl.zst`` are taken, oldest first (their names begin with the time).
    :raises OSError: when a directory cannot be read.
    """
    found = []
    for place in map(Path, places):
        if place.is_dir():
            found += sorted(path for path in place.iterdir() if path.name.endswith(ENDINGS) and path.is_file())
        else:
            found.append(place)
    return found


def events(paths: Iterable[str | os.PathLike[str]], *, damaged: Damage | None = None) -> Iterator[RecordEvent]:
    """All events of some files, file by file, in the order in which they were written.

    :param paths: of files and directories; a file that a running server removed meanwhile is passed over.
    :param damaged: told of each line that cannot be read; without it the first one raises.
    :raises RecordError: for a line that cannot be read, a newer format, or when Zstandard is lacking.
    :raises OSError: when a file cannot be read.
    """
    for path in record_files(paths):
        try:
            yield from FileReader(path, damaged).read()
        except FileNotFoundError:
            if path.parent.is_dir() and path.name.endswith(ENDINGS) and damaged is not None:
                continue
            raise


def sessions(paths: Iterable[str | os.PathLike[str]], *, damaged: Damage | None = None) -> Iterator[Session]:
    """The sessions of some files: each when its end is read, and at last those that have no end, as they began.

    :param paths: of files and directories.
    :param damaged: told of each line that cannot be read; without it the first one raises.
    :raises RecordError: as ``events`` does.
    :raises OSError: as ``events`` does.
    """
    under_way: dict[str, Session] = {}
    for event in events(paths, damaged=damaged):
        session = under_way.get(event.session)
        if session is None:
            session = under_way[event.session] = Session(event.session)
        session.events.append(event)
        if isinstance(event, Closed):
            del under_way[event.session]
            yield session
    yield from under_way.values()
