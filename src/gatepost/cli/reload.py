"""``gatepost reload``: have the running server read its configuration and certificates again."""

from __future__ import annotations

import click

from gatepost.cli.output import print_json
from gatepost.cli.running import ask
from gatepost.cli.settings import Settings, common_options, pass_settings


@click.command("reload", short_help="Have the server read its configuration again.")
@common_options
@pass_settings
def command(settings: Settings) -> None:
    """Have the running server read its configuration and certificates again.

    A configuration that cannot be used leaves the server as it is, and the reason is printed here.
    Sessions that are going on finish with what they began with.
    """
    config = settings.config()  # what is wrong is said with file and line before the server is asked
    answer = ask(config, "reload")
    if settings.json:
        print_json(answer)
    else:
        settings.say("The server has read its configuration again.")
