"""``gatepost cert check``: what is wrong with the certificates that are configured, and what soon will be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gatepost.cli import exits
from gatepost.cli.cert_options import trust_of
from gatepost.cli.output import print_json, printable
from gatepost.cli.settings import Settings, common_options, pass_settings
from gatepost.errors import CertificateError

if TYPE_CHECKING:
    from gatepost.certs.check import Checked

WARNED = 1


@click.command("check", short_help="Look for what is wrong with the configured certificates.")
@click.option(
    "--ca-file", type=click.Path(path_type=Path), metavar="FILE", help="The root, for an authority of your own."
)
@common_options
@pass_settings
def command(settings: Settings, ca_file: Path | None) -> int:
    """Look at every certificate that the configuration names: dates, names, chain, key, permissions, algorithms.

    Exits with 0 when all is well, 1 when something is to be done soon (a certificate expires within 21 days), and 78
    when something is wrong. Run it as the user that starts the server; once a day is a good time.
    """
    config = settings.config()
    from gatepost.certs.check import check_configured

    try:
        trust = trust_of(config, ca_file)
    except CertificateError as error:
        if ca_file is not None:
            raise
        click.echo(f"chains are not judged: {printable(error.message)}: {printable(error.hint)}", err=True)
        trust = None
    checked = check_configured(config, trust=trust)
    severities = {finding.severity for each in checked for finding in each.findings}
    if settings.json:
        print_json({"ok": not severities & {"error", "warning"}, "certificates": [_as_json(each) for each in checked]})
    else:
        for each in checked:
            _print(settings, each)
    return exits.CONFIG if "error" in severities else WARNED if "warning" in severities else 0


def _as_json(checked: Checked) -> dict[str, object]:
    return {
        "setting": checked.setting,
        "file": checked.file,
        **(checked.facts or {}),
        "findings": [finding._asdict() for finding in checked.findings],
    }


def _print(settings: Settings, checked: Checked) -> None:
    """One line a thing that is well, and one a finding; with ``-q`` only what has to be done."""
    where = f"{checked.setting}: {checked.file}"
    if checked.facts is not None:
        facts = checked.facts
        names = ", ".join(facts["names"]) or facts["subject"]
        settings.say(printable(f"{where}: {names}; {facts['key']}; until {facts['not_after'][:10]}"))
    for finding in checked.findings:
        hint = f": {finding.hint}" if finding.hint else ""
        line = printable(f"{finding.severity}: {where}: {finding.text}{hint}")
        if finding.severity == "note":
            settings.say(line)
        else:
            click.echo(line)
