"""``gatepost record follow``: sessions as they happen."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import click

from gatepost.cli.record_files import complain, places, records_option, wanted
from gatepost.cli.record_show import Colour, Screen, usual_width
from gatepost.cli.settings import Settings, common_options, pass_settings

if TYPE_CHECKING:
    from gatepost.record.events import RecordEvent
    from gatepost.record.following import Under
    from gatepost.record.summary import Wanted
    from gatepost.record.terminal import Drawn

_PAUSE: Final = 0.25
_ARROWS: Final = {
    ("client", False): "->", ("server", False): "<-", ("client", True): "=>", ("server", True): "<=",
    ("across", False): "**", ("across", True): "**",
}  # fmt: skip


@click.command("follow")
@click.option("--listener", "listeners", metavar="NAME", multiple=True, help="Only sessions of this listener.")
@click.option(
    "--client", "clients", metavar="ADDRESS", multiple=True, help="Only clients from this address or network."
)
@click.option("--columns", is_flag=True, help="In two columns, as `gatepost record show`.")
@click.option("--all", "everything", is_flag=True, help="Begin with what is recorded already.")
@click.option("--for", "seconds", type=click.FloatRange(min=0), metavar="SECONDS", help="Stop after so long.")
@click.option(
    "--color", type=click.Choice(["auto", "always", "never"]), default="auto", show_default=True, help="Colour."
)
@records_option
@common_options
@pass_settings
def command(
    settings: Settings,
    /,
    columns: bool,
    everything: bool,
    seconds: float | None,
    color: Colour,
    records: tuple[Path, ...],
    **asked: Any,
) -> None:
    """Show sessions while they happen, one line an event, until Ctrl-C.

    A recorder writes with a short delay. -> and <- are in the clear, => and <= inside TLS, ** is what happened to the
    connection.

    \b
    gatepost record follow --client 192.0.2.7
    gatepost record follow --json | jq .
    """
    from gatepost.record.following import Follower

    filters = wanted(**asked, since=None, until=None, failed=False)
    follower = Follower(places(settings, records), complain)
    if not everything:
        follower.skip()
    show: _Shower = _JSON() if settings.json else _Columns(Screen(color)) if columns else _Lines(Screen(color))
    end = None if seconds is None else time.monotonic() + seconds
    while True:
        for event, under in follower.events():
            if _takes(filters, under):
                show.event(event, under)
        if end is not None and time.monotonic() >= end:
            return
        time.sleep(_PAUSE if end is None else max(0.0, min(_PAUSE, end - time.monotonic())))


def _takes(filters: Wanted, under: Under) -> bool:
    opened = under.opened
    if opened is None:
        return not filters.listeners and filters.clients is None
    if filters.listeners and opened.listener not in filters.listeners:
        return False
    return filters.clients is None or filters.clients.matches(opened.client[0])


class _Shower(Protocol):
    """Shows one event after the other."""

    def event(self, event: RecordEvent, under: Under) -> None: ...


class _JSON:
    """Each event as it stands in the record."""

    def event(self, event: RecordEvent, under: Under) -> None:
        click.echo(json.dumps(event.to_json(), separators=(",", ":")))


class _Lines:
    """One line an event."""

    def __init__(self, screen: Screen) -> None:
        self._screen: Final = screen

    def event(self, event: RecordEvent, under: Under) -> None:
        self._screen.print(self._drawn(event, under))

    def _drawn(self, event: RecordEvent, under: Under) -> Iterator[Drawn]:
        from gatepost.record.columns import began, row
        from gatepost.record.escaping import shown_text
        from gatepost.record.events import Opened
        from gatepost.record.terminal import Piece, style_of

        when = f"{datetime.fromtimestamp(event.at):%H:%M:%S.%f}"[:-3]
        front = [Piece(f"{when} {shown_text(event.session)} ", "dim")]
        found = row(event, under.clock)
        if found is None:
            assert isinstance(event, Opened)
            yield [*front, Piece(f"** {began(event)}", "bold")]
            return
        note = f"{' ' if found.text else ''}[{found.note}]" if found.note else ""
        details = "".join(f"; {each}" for each in found.details)
        arrow = _ARROWS[found.place, found.private]
        yield [*front, Piece(f"{arrow} {found.text}{note}{details}", style_of(found))]


class _Columns:
    """Two columns; a line names the session whenever another one speaks."""

    def __init__(self, screen: Screen) -> None:
        self._screen: Final = screen
        self._last = ""

    def event(self, event: RecordEvent, under: Under) -> None:
        from gatepost.record.columns import began, row
        from gatepost.record.escaping import shown_text
        from gatepost.record.events import Opened
        from gatepost.record.terminal import Columns, Piece

        if event.session != self._last:
            self._last = event.session
            self._screen.print([[], [Piece(f"session {shown_text(event.session)}", "bold")]])
        found = row(event, under.clock)
        if found is not None:
            self._screen.print(Columns(usual_width()).draw(found))
        elif isinstance(event, Opened):
            self._screen.print([[Piece(began(event), "dim")]])
