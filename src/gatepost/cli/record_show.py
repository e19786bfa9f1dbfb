"""``gatepost record show``: a session in two columns."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import click

from gatepost.cli.output import print_json, wants_colour
from gatepost.cli.record_files import chosen, records_option
from gatepost.cli.settings import Settings, common_options, pass_settings

if TYPE_CHECKING:
    from gatepost.record.terminal import Drawn

Colour: TypeAlias = Literal["auto", "always", "never"]


@click.command("show")
@click.argument("names", metavar="ID|FILE...", nargs=-1, required=True)
@click.option(
    "--width", type=click.IntRange(min=60, max=1000), metavar="CELLS", help="Of the whole; else the terminal's, or 100."
)
@click.option(
    "--color", type=click.Choice(["auto", "always", "never"]), default="auto", show_default=True, help="Colour."
)
@records_option
@common_options
@pass_settings
def command(
    settings: Settings, names: tuple[str, ...], width: int | None, color: Colour, records: tuple[Path, ...]
) -> None:
    """Show sessions in two columns: the client left, the server right.

    Name a session by its ID, or by as much of it as is enough, or name a file to see all sessions in it. The arrows
    are -> and <- in the clear, => and <= inside TLS.

    \b
    gatepost record show 7c38a1
    gatepost record show 7c38a1 --color always | less -R
    """
    if settings.json:
        print_json([
            {"id": session.id, "events": [event.to_json() for event in session.events]}
            for session in chosen(settings, records, names)
        ])  # fmt: skip
        return
    from gatepost.record.columns import heading, rows
    from gatepost.record.terminal import Columns, headed

    screen = Screen(color)
    columns = Columns(width or usual_width())
    for at, session in enumerate(chosen(settings, records, names)):
        if at:
            click.echo()
        screen.print(headed(heading(session)))
        click.echo()
        screen.print(columns.head())
        for row in rows(session):
            screen.print(columns.draw(row))


def usual_width() -> int:
    """Of the terminal, or 100 cells."""
    return shutil.get_terminal_size((100, 24)).columns if sys.stdout.isatty() else 100


class Screen:
    """Standard output, in colour where that is wanted.

    :param colour: ``auto`` asks the terminal and NO_COLOR.
    """

    def __init__(self, colour: Colour) -> None:
        self._console = None
        _never_fail_to_write()
        if colour == "always" or (colour == "auto" and wants_colour()):
            from rich.console import Console

            plain_terminal = os.environ.get("TERM") in (None, "", "dumb", "unknown")
            self._console = Console(
                force_terminal=True, highlight=False, color_system="standard" if plain_terminal else "auto",
                no_color=False, _environ={key: value for key, value in os.environ.items() if key != "NO_COLOR"},
            )  # fmt: skip

    def print(self, lines: Iterable[Drawn]) -> None:
        """Write lines."""
        for line in lines:
            if self._console is None:
                click.echo("".join(piece.text for piece in line))
                continue
            from rich.text import Text

            self._console.print(Text.assemble(*((piece.text, piece.style) for piece in line)), soft_wrap=True)


def _never_fail_to_write() -> None:
    """What standard output cannot encode is escaped."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
