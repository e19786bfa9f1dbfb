"""``gatepost completion``: the script that lets a shell complete our commands."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from gatepost.cli.settings import common_options


@click.command("completion", epilog="See docs/completion.md for where each shell looks for it.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@common_options
def command(shell: str) -> None:
    """Print the completion script for a shell.

    Try it in bash with: eval "$(gatepost completion bash)"
    """
    from gatepost.cli.main import gatepost

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(gatepost, {}, "gatepost", "_GATEPOST_COMPLETE").source())
