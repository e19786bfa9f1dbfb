"""What commands print: tables and lines for people, JSON for programs.

On a terminal tables are drawn by rich, which is imported only then; elsewhere they are plain columns of full width,
so that ``grep`` and ``awk`` see everything. Text that came from peers is escaped: it cannot move the cursor or forge
a line.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from gatepost.config.quantities import format_duration


def printable(value: object) -> str:
    """Text with everything escaped that is not printable (C0, C1, bidirectional and line separators)."""
    text = "" if value is None else str(value)
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def print_json(value: object) -> None:
    """One JSON document, keys in the order given, for ``--json``. What would move the cursor is an escape of JSON's."""
    text = json.dumps(value, default=_plain, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None)
    if not text.isprintable():
        text = "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text)
    click.echo(text)


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, set | frozenset):
        return sorted(value)
    return str(value)


def wants_colour() -> bool:
    """Whether standard output is a terminal that may be coloured (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """A table with a heading; ``empty`` says on standard error that there are no rows."""
    texts = [[printable(cell) for cell in row] for row in rows]
    if not texts:
        click.echo(empty, err=True)
    elif sys.stdout.isatty():
        _print_rich(columns, texts)
    else:
        widths = [max(len(row[at]) for row in (columns, *texts)) for at in range(len(columns))]
        for row in (columns, *texts):
            click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _print_rich(columns: Sequence[str], texts: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(Text(column), overflow="fold")
    for row in texts:
        table.add_row(*(Text(cell) for cell in row))
    Console(no_color=not wants_colour(), highlight=False).print(table)


def print_fields(fields: Mapping[str, object]) -> None:
    """One ``name: value`` a line, values aligned."""
    width = max((len(name) for name in fields), default=0)
    for name, value in fields.items():
        click.echo(f"{name + ':':<{width + 1}} {printable(value)}".rstrip())


def moment(seconds: float | None) -> str:
    """A point in time as people read it, in local time; empty for none."""
    return "" if seconds is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def age(seconds: float) -> str:
    """How long: the two largest units, such as ``3d 4h``."""
    return " ".join(format_duration(float(max(0, int(seconds)))).split()[:2])


def amount(octets: int) -> str:
    """How many bytes, as ``812 B``, ``4.0 KiB``, ``19.3 MiB``."""
    if octets < 1024:
        return f"{octets} B"
    value = float(octets)
    for unit in ("KiB", "MiB", "GiB"):
        value /= 1024
        if value < 1024 or unit == "GiB":
            break
    return f"{value:.1f} {unit}"


@contextmanager
def progress(label: str, total: int | None, *, shown: bool) -> Iterator[Callable[[int], Any]]:
    """Show how far long work is, on standard error when that is a terminal; the value adds to what is done."""
    if not shown or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True, no_color=not wants_colour()), transient=True) as bar:
        task = bar.add_task(label, total=total)
        yield lambda done: bar.advance(task, done)
