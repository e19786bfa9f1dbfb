"""Which files make up the configuration, and how their tables become one.

One main file: the one that was named, else ``./gatepost.toml``, else ``/etc/gatepost/gatepost.toml``. The files
``conf.d/*.toml`` beside it are merged into it in the order of their names: tables are joined, lists of tables
(``[[listener]]``) are continued, and for every other key the later file wins.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from gatepost.config.entries import FILE_PREFIX
from gatepost.config.locate import Key, locate

LOCAL: Final = Path("gatepost.toml")
SYSTEM: Final = Path("/etc/gatepost/gatepost.toml")
SIZE_LIMIT: Final = 16 << 20
_TOML_PLACE: Final = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


@dataclass(slots=True)
class Sources:
    """The merged tables, the place of each key, and what kept a file from being read.

    :param main: the main file, or None when there is none.
    :param files: every file that was merged, the main one first.
    :param places: file and line of each key.
    :param problems: one line each, ``FILE:LINE: what is wrong``.
    """

    main: Path | None
    files: list[Path] = field(default_factory=list)
    tables: dict[str, Any] = field(default_factory=dict)
    places: dict[Key, tuple[Path, int]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def place(self, key: Key) -> str:
        """``FILE:LINE`` of a key, or of the nearest table around it that stands in a file."""
        for length in range(len(key), 0, -1):
            if key[:length] in self.places:
                file, line = self.places[key[:length]]
                return f"{file}:{line}"
        return f"{self.main}:1" if self.main else "built-in defaults"


def find_main(named: Path | None) -> Path | None:
    """The main file; None when none was named and none is in place."""
    return named or next((path for path in (LOCAL, SYSTEM) if path.is_file()), None)


def read_sources(main: Path | None, path_keys: frozenset[Key], entry_keys: frozenset[Key] = frozenset()) -> Sources:
    """Read and merge the main file and its ``conf.d``.

    :param path_keys: the keys whose values are paths; a relative one is made absolute, beside its own file.
    :param entry_keys: the keys whose entries may be ``file:PATH``; those paths are made absolute, too.
    """
    sources = Sources(main)
    if main is None:
        return sources
    try:
        beside = sorted(path for path in (main.parent / "conf.d").glob("*.toml") if not path.name.startswith("."))
    except OSError:
        beside = []
    for file in (main, *beside):
        tables = _read(file, sources)
        if tables is None:
            continue
        sources.files.append(file)
        _absolute(tables[0], path_keys, absolute(file).parent)
        _absolute_entries(tables[0], entry_keys, absolute(file).parent)
        _merge(sources, file, tables[1], sources.tables, tables[0], (), ())
    return sources


def absolute(path: Path) -> Path:
    """The path from the root, without ``..``; links stay links, so a file beside a linked one is beside the link."""
    return Path(os.path.abspath(path))  # noqa: PTH100  (resolve() would follow links)


def _read(file: Path, sources: Sources) -> tuple[dict[str, Any], dict[Key, int]] | None:
    try:
        with file.open("rb") as stream:
            octets = stream.read(SIZE_LIMIT + 1)
        if len(octets) > SIZE_LIMIT:
            raise ValueError(f"larger than {SIZE_LIMIT >> 20} MiB")
        text = octets.decode()
        tables = tomllib.loads(text)
    except FileNotFoundError:
        sources.problems.append(f"{file}: does not exist; name another file with --config, or make it")
    except OSError as error:
        sources.problems.append(f"{file}: cannot be read: {error.strerror}")
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        sources.problems.append(f"{file}:{line}: is not UTF-8")
    except tomllib.TOMLDecodeError as error:
        place = _TOML_PLACE.search(str(error))
        line = int(place[1]) if place and place[1] else text.count("\n") + 1
        sources.problems.append(f"{file}:{line}: not TOML: {_TOML_PLACE.sub('', str(error))}")
    except (ValueError, RecursionError) as error:
        sources.problems.append(f"{file}: not TOML: {error}")
    else:
        return tables, locate(text)
    return None


def _absolute(tables: dict[str, Any], path_keys: frozenset[Key], directory: Path) -> None:
    for *parents, name in path_keys:
        for table in _holders(tables, parents):
            text = table.get(str(name))
            if isinstance(text, str) and text:
                table[str(name)] = str(directory / _expanded(text))


def _holders(tables: dict[str, Any], parents: Sequence[str | int]) -> list[dict[str, Any]]:
    """The tables that may have a key: the whole document, or those below the names of its parents."""
    holders = [tables]
    for parent in parents:
        holders = [inner for table in holders for inner in _tables_in(table.get(str(parent)))]
    return holders


def _absolute_entries(tables: dict[str, Any], entry_keys: frozenset[Key], directory: Path) -> None:
    for *parents, name in entry_keys:
        for table in _holders(tables, parents):
            value = table.get(str(name))
            entries = value if isinstance(value, list) else [value]
            if any(isinstance(entry, str) and FILE_PREFIX in entry for entry in entries):
                table[str(name)] = [_absolute_entry(entry, directory) for entry in entries]


def _absolute_entry(entry: object, directory: Path) -> object:
    """``file:PATH`` and ``!file:PATH`` with the path made absolute; any other entry as it is."""
    if not isinstance(entry, str):
        return entry
    mark = "!" if entry.startswith("!") else ""
    text = entry.removeprefix("!").strip()
    if not text.startswith(FILE_PREFIX):
        return entry
    path = text.removeprefix(FILE_PREFIX)
    return f"{mark}{FILE_PREFIX}{directory / _expanded(path)}" if path else entry


def _expanded(text: str) -> Path:
    """A path with the home directory in place of ``~`` or ``~user``; where nobody has one it stays as it is written."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


def _tables_in(value: object) -> list[dict[str, Any]]:
    """A table, or the tables of a list."""
    return [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, dict)]


def _merge(
    sources: Sources, file: Path, lines: dict[Key, int], into: dict[str, Any], new: dict[str, Any], at: Key, origin: Key
) -> None:
    """Join ``new`` into ``into``, which stands at key ``at``; in its own file ``new`` stands at key ``origin``."""
    for name, value in new.items():
        here, there = (*at, name), (*origin, name)
        old = into.get(name)
        if isinstance(old, dict) and isinstance(value, dict):
            _merge(sources, file, lines, old, value, here, there)
            continue
        offset = 0
        if _tables(old) and _tables(value):
            assert isinstance(old, list)
            offset = len(old)
            old.extend(value)
        else:
            into[name] = value
            if old is not None:
                for stale in [key for key in sources.places if key[: len(here)] == here]:
                    del sources.places[stale]
        if isinstance(value, dict | list):
            _place(sources, file, lines, here, there, offset)
        elif there in lines:
            sources.places[here] = (file, lines[there])


def _tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _place(sources: Sources, file: Path, lines: dict[Key, int], here: Key, there: Key, offset: int) -> None:
    for key, line in lines.items():
        if key[: len(there)] != there:
            continue
        rest = key[len(there) :]
        if rest and offset and isinstance(rest[0], int):
            rest = (rest[0] + offset, *rest[1:])
        sources.places.setdefault((*here, *rest), (file, line))
