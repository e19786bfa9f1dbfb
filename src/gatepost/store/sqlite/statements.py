"""SQL in named files.

Every statement that a store runs stands in ``sql/CONCERN.sql`` behind a line ``-- name: the_name``; every migration is
one file ``sql/CONCERN_schema_NNN.sql``, applied in the order of its number. The files are read once a process, from
the installed package.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Final

_NAME: Final = "-- name:"


@cache
def statements(concern: str) -> Mapping[str, str]:
    """The statements of ``sql/CONCERN.sql`` by name.

    :param concern: ``queue``, ``accounts``, …
    :raises ValueError: when a name stands twice, or text stands before the first name.
    """
    return MappingProxyType(parse(_read(f"{concern}.sql")))


@cache
def migrations(concern: str) -> tuple[tuple[str, ...], ...]:
    """The migrations of a concern, each as its statements. The first leads from version 0 to version 1, and so on."""
    folder = resources.files(__package__).joinpath("sql")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.startswith(f"{concern}_schema_"))
    for number, name in enumerate(names, start=1):
        if name != f"{concern}_schema_{number:03}.sql":
            raise ValueError(f"migration {name} is out of sequence: {concern}_schema_{number:03}.sql was expected")
    return tuple(split(_read(name)) for name in names)


def parse(text: str) -> dict[str, str]:
    """Cut the text of a file into its named statements."""
    found: dict[str, list[str]] = {}
    lines: list[str] | None = None
    for line in text.splitlines():
        if line.startswith(_NAME):
            name = line.removeprefix(_NAME).strip()
            if name in found:
                raise ValueError(f"the statement {name} stands twice")
            lines = found[name] = []
        elif line.startswith("--") or not line.strip():
            continue
        elif lines is None:
            raise ValueError(f"text before the first name: {line!r}")
        else:
            lines.append(line)
    return {name: "\n".join(body) for name, body in found.items()}


def split(script: str) -> tuple[str, ...]:
    """Cut a script into its statements, comments on lines of their own left out."""
    complete: list[str] = []
    pending = ""
    for line in script.splitlines():
        if not line.strip() or line.lstrip().startswith("--"):
            continue
        pending += line + "\n"
        if sqlite3.complete_statement(pending):
            complete.append(pending.strip())
            pending = ""
    if pending:
        raise ValueError(f"a statement has no end: {pending!r}")
    return tuple(complete)


def _read(name: str) -> str:
    return resources.files(__package__).joinpath("sql", name).read_text(encoding="utf-8")
