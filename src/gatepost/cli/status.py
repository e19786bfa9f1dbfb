"""``gatepost status``: ask the running server how it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from gatepost.cli.output import print_fields, print_json, print_table
from gatepost.cli.running import ask
from gatepost.cli.settings import Settings, common_options, pass_settings


@click.command("status")
@common_options
@pass_settings
def command(settings: Settings) -> None:
    """Ask the running server how it is: version, listeners, processes, queue, counters."""
    answer = ask(settings.config(), "status")
    if settings.json:
        print_json(answer)
        return
    scalars = {name.replace("_", " "): value for name, value in answer.items() if not isinstance(value, dict | list)}
    print_fields(scalars)
    for name, value in answer.items():
        if isinstance(value, list) and value:
            click.echo()
            _print_list(name, value)
        elif isinstance(value, dict) and value:
            click.echo(f"\n{name}")
            print_fields({f"  {key}": item for key, item in value.items()})


def _print_list(name: str, rows: list[Any]) -> None:
    if not all(isinstance(row, Mapping) for row in rows):
        print_fields({name: ", ".join(map(str, rows))})
        return
    columns = list(dict.fromkeys(key for row in rows for key in row))
    print_table(columns, [[row.get(column) for column in columns] for row in rows], empty=f"no {name}")
