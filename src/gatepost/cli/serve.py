"""``gatepost serve``: run the server in the foreground."""

from __future__ import annotations

import sys

import click

from gatepost.cli.settings import Settings, common_options, pass_settings


@click.command("serve")
@common_options
@pass_settings
def command(settings: Settings) -> int:
    """Run the server, in the foreground.

    Without a configuration file it serves this machine alone, with a certificate that it makes for itself once.
    Ends on SIGTERM or SIGINT, after the sessions that are going on; SIGHUP is `gatepost reload`.
    """
    config = settings.config()
    from gatepost.tls.openssl import limit_tickets

    limit_tickets(config.tls.tickets)  # first of all: it counts only before anything loads OpenSSL
    from gatepost.config.load import reload
    from gatepost.serve.launch import main

    code = main(config, lambda: reload(config))
    sys.stdout.flush()
    return code
