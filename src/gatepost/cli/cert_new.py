"""``gatepost cert new``: a key and a certificate that signs itself."""

from __future__ import annotations

import time
from pathlib import Path

import click

from gatepost.cli.cert_options import (
    bad_input,
    key_kind,
    key_options,
    output_file,
    refuse_existing,
    setting_hint,
    writing,
)
from gatepost.cli.output import print_json
from gatepost.cli.settings import Settings, common_options, pass_settings
from gatepost.errors import LocalProtocolError


@click.command("new", short_help="Make a self-signed certificate.")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="File for key and certificate; else tls.certificate, else ./server.pem.",
)
@key_options
@click.option("--days", type=click.IntRange(1, 36500), default=825, show_default=True, help="How long it is valid.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@common_options
@pass_settings
def command(
    settings: Settings, names: tuple[str, ...], output: Path | None, rsa: bool, ed25519: bool, days: int, force: bool
) -> None:
    """Make a key and a certificate that signs itself, in one file that only its owner may read.

    NAMEs are host names, wildcards such as *.example.org, and addresses; without any it is for the configured hostname.
    The key is ECDSA P-256. Peers that verify accept such a certificate only when they are given it, or its fingerprint.
    """
    kind = key_kind(rsa=rsa, ed25519=ed25519)
    config = settings.config()
    path = output_file(config, output)
    refuse_existing([path], force=force)
    from gatepost.certs.describe import describe
    from gatepost.certs.selfsigned import write_self_signed

    at = time.time()
    try:
        with writing():
            made = write_self_signed(path, names or (config.hostname,), at=at, days=days, kind=kind, replace=force)
    except LocalProtocolError as error:
        raise bad_input(error) from error
    facts = describe(made.certificate, at)
    hint = setting_hint(config, path)
    if settings.json:
        print_json({"file": path, **facts})
        return
    settings.say(f"{path}: {facts['key']} key and self-signed certificate for {', '.join(facts['names'])}")
    settings.say(f"valid until {facts['not_after']}, SHA-256 {facts['sha256']}")
    if hint:
        settings.say(hint)
