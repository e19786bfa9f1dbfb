"""``gatepost cert``: keys, certificates and requests, from the first one to the warning before the last day."""

from __future__ import annotations

import click

from gatepost.cli import cert_check, cert_install, cert_new, cert_request, cert_show


@click.group("cert", short_help="Make, request, install, show and check certificates.")
def command() -> None:
    """Make, request, install, show and check certificates.

    A server of the world needs one from an authority: `cert request` makes the request and the key, `cert install`
    takes what the authority sends. A running server takes up new files by itself.
    """


for each in (cert_new, cert_request, cert_install, cert_show, cert_check):
    command.add_command(each.command)
