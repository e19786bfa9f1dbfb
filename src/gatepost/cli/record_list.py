"""``gatepost record list``: one line a session."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gatepost.cli.output import moment, print_json, print_table
from gatepost.cli.record_files import places, read, records_option, wanted, wanted_options
from gatepost.cli.settings import Settings, common_options, pass_settings

if TYPE_CHECKING:
    from gatepost.record.summary import Summary


@click.command("list")
@wanted_options
@click.option("--limit", type=click.IntRange(min=0), default=50, show_default=True, help="At most so many; 0 for all.")
@records_option
@common_options
@pass_settings
def command(settings: Settings, /, limit: int, records: tuple[Path, ...], **asked: Any) -> None:
    """List recorded sessions, newest last.

    \b
    gatepost record list --client 192.0.2.0/24 --since 2h
    gatepost record list --failed --json
    """
    from gatepost.record.summary import COLUMNS, summarise

    filters = wanted(**asked)
    found = 0
    newest: deque[Summary] = deque(maxlen=limit or None)
    for session in read(places(settings, records)):
        summary = summarise(session)
        if filters.takes(summary):
            found += 1
            newest.append(summary)
    ordered = sorted(newest, key=lambda each: each.began)
    if settings.json:
        print_json({"sessions": [each.facts() for each in ordered], "count": found})
        return
    rows = [(moment(each.began), *each.cells()) for each in ordered]
    print_table(("began", *COLUMNS), rows, empty="no such session was recorded")
    if found > len(ordered):
        settings.say(f"{len(ordered)} of {found} sessions; --limit 0 for all")
