"""``gatepost record``: what was said in sessions that were recorded, and saying it again."""

from __future__ import annotations

import click

from gatepost.cli import record_export, record_follow, record_list, record_replay, record_show


@click.group("record", short_help="List, show, follow, export and replay recorded sessions.")
def command() -> None:
    """Read the sessions that were recorded, and replay them.

    What is recorded, [[record_rule]] in the configuration says. Passwords are masked when a session is recorded; of
    mail only size and SHA-256 are kept, where nothing else was asked for.
    """


for each in (record_list, record_show, record_follow, record_export, record_replay):
    command.add_command(each.command)
