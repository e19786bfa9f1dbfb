"""``gatepost record export``: sessions as JSON lines, as text, or as one page of HTML."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal

import click

from gatepost.cli import exits
from gatepost.cli.exits import CommandError
from gatepost.cli.record_files import chosen, places, read, records_option, wanted, wanted_options
from gatepost.cli.settings import Settings, common_options, pass_settings

if TYPE_CHECKING:
    from gatepost.record.reading import Session

_PAGE_LIMIT: Final = 1000  # sessions that are held at once for a page


@click.command("export")
@click.argument("names", metavar="[ID|FILE]...", nargs=-1)
@click.option("--html", "form", flag_value="html", help="One page with the two columns, which needs nothing else.")
@click.option("--text", "form", flag_value="text", help="The two columns as text (if nothing else is asked for).")
@click.option("--width", type=click.IntRange(min=60, max=1000), default=100, show_default=True, help="Of the text.")
@click.option(
    "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write into FILE, which must not be there yet."
)
@wanted_options
@records_option
@common_options
@pass_settings
def command(
    settings: Settings,
    /,
    names: tuple[str, ...],
    form: Literal["html", "text"] | None,
    width: int,
    output: Path | None,
    records: tuple[Path, ...],
    **asked: Any,
) -> None:
    """Write sessions for somebody else: those named, or all that the options ask for.

    With --json it is JSON lines, as in the records: `gatepost record show FILE` reads them again. A file that is made
    can be read by its owner alone.

    \b
    gatepost record export 7c38a1 --html --output session.html
    gatepost record export --failed --since 1d --json | jq .
    """
    if settings.json and form is not None:
        raise click.UsageError("--json, --html and --text exclude each other.")
    sessions = _selected(settings, names, records, asked)
    if output is None:
        stream = sys.stdout.buffer
        _write(stream, settings, sessions, form, width)
        stream.flush()
        return
    try:
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise CommandError(
            f"{output} is there already, and is left as it is", exits.CANNOT_CREATE, hint="name another file"
        ) from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            _write(file, settings, sessions, form, width)
    except BaseException:
        output.unlink(missing_ok=True)
        raise
    settings.say(f"written: {output}")


def _selected(
    settings: Settings, names: tuple[str, ...], records: tuple[Path, ...], asked: dict[str, Any]
) -> Iterator[Session]:
    """The sessions that were asked for.

    :raises CommandError: when there is none.
    """
    from gatepost.record.summary import summarise

    filters = wanted(**asked)
    found = False
    for session in chosen(settings, records, names) if names else read(places(settings, records)):
        if filters.takes(summarise(session)):
            found = True
            yield session
    if not found:
        raise CommandError("no such session was recorded", exits.DATA, hint="see `gatepost record list`")


def _write(stream: BinaryIO, settings: Settings, sessions: Iterator[Session], form: str | None, width: int) -> None:
    for piece in _pieces(sessions, "json" if settings.json else form or "text", width):
        stream.write(piece)


def _pieces(sessions: Iterator[Session], form: str, width: int) -> Iterator[bytes]:
    if form == "html":
        from gatepost.record.page import page

        for piece in page(_bounded(sessions)):
            yield piece.encode("utf-8", "backslashreplace")
    elif form == "json":
        from gatepost.record.events import to_line

        for session in sessions:
            yield from map(to_line, session.events)
    else:
        for at, session in enumerate(sessions):
            if at:
                yield b"\n\n"
            yield from (f"{line}\n".encode("utf-8", "backslashreplace") for line in _text(session, width))


def _text(session: Session, width: int) -> Iterable[str]:
    from gatepost.record.columns import heading, rows
    from gatepost.record.terminal import Columns, headed, plain

    columns = Columns(width)
    yield from plain(headed(heading(session)))
    yield ""
    yield from plain(columns.head())
    for row in rows(session):
        yield from plain(columns.draw(row))


def _bounded(sessions: Iterator[Session]) -> list[Session]:
    """All sessions of a page, which needs them at once.

    :raises CommandError: when they are too many for one.
    """
    found: list[Session] = []
    for session in sessions:
        if len(found) == _PAGE_LIMIT:
            raise CommandError(
                f"these are more than the {_PAGE_LIMIT} sessions that one page may have",
                exits.USAGE,
                hint="ask for fewer with --since, --client, --listener or --failed",
            )
        found.append(session)
    return found
