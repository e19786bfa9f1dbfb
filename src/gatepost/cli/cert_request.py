"""``gatepost cert request``: a key, and the request that goes to an authority."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gatepost.cli.cert_options import (
    PRIVKEY_PEM,
    REQUEST_PEM,
    bad_input,
    key_kind,
    key_options,
    refuse_existing,
    writing,
)
from gatepost.cli.output import print_json
from gatepost.cli.settings import Settings, common_options, pass_settings
from gatepost.errors import CertificateError, LocalProtocolError

if TYPE_CHECKING:
    from gatepost.tls.credential import PrivateKey

_QUESTIONS = {
    "organization": "Organization (empty: none)",
    "unit": "Unit of it (empty: none)",
    "locality": "Town (empty: none)",
    "state": "State or province (empty: none)",
    "country": "Country, two letters (empty: none)",
}


@click.command("request", short_help="Make a key and a request for an authority.")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=Path(),
    metavar="DIR",
    help="Where request.pem and privkey.pem go; else here.",
)
@key_options
@click.option(
    "--key",
    "key_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Ask for a certificate of this key, for a renewal that keeps it, in place of making a new one.",
)
@click.option("--organization", default="", help="For the subject; most authorities want no more than the names.")
@click.option("--unit", default="", help="For the subject.")
@click.option("--locality", default="", help="For the subject.")
@click.option("--state", default="", help="For the subject.")
@click.option("--country", default="", metavar="CC", help="For the subject: two letters.")
@click.option("--email", default="", help="An e-mail address among the names, for a certificate that identifies one.")
@click.option("--ask/--no-ask", default=None, help="Ask for everything. Default: at a terminal, when no NAME is given.")
@click.option("--force", is_flag=True, help="Replace files that are there: a request that was sent loses its key!")
@common_options
@pass_settings
def command(
    settings: Settings,
    /,
    names: tuple[str, ...],
    directory: Path,
    rsa: bool,
    ed25519: bool,
    key_file: Path | None,
    email: str,
    ask: bool | None,
    force: bool,
    **fields: str,
) -> None:
    """Make a key and a request, to be sent to a certificate authority.

    Writes request.pem, which goes to the authority, and privkey.pem, which goes nowhere; both are readable by their
    owner alone. NAMEs are host names, wildcards and addresses. Without any, the questions are asked at a terminal, and
    otherwise it is for the configured hostname. `gatepost cert install` takes the answer.
    """
    kind = key_kind(rsa=rsa, ed25519=ed25519)
    if key_file is not None and (rsa or ed25519):
        raise click.UsageError("--key takes a key as it is; leave --rsa and --ed25519 out.")
    request_path, key_path = directory / REQUEST_PEM, directory / PRIVKEY_PEM
    refuse_existing([request_path] if key_file else [request_path, key_path], force=force)
    named = list(names)
    if ask or (ask is None and not names and sys.stdin.isatty()):
        named, fields = _answers(named or [settings.config().hostname], fields)
    named = named or [settings.config().hostname]
    from gatepost.certs.files import write_secret
    from gatepost.certs.incoming import read_key
    from gatepost.certs.keys import described, key_pem, make_key
    from gatepost.certs.request import make_request

    try:
        key: PrivateKey = make_key(kind) if key_file is None else read_key(key_file)
        request = make_request(key, named, email=email, **fields)
    except (CertificateError, LocalProtocolError) as error:
        raise bad_input(error) from error
    with writing():
        if key_file is None:  # the key first: a request without its key is worth nothing
            write_secret(key_path, key_pem(key), replace=force)
        write_secret(request_path, request, replace=force)
    if settings.json:
        print_json({"request": request_path, "key": key_file or key_path, "names": named, "kind": described(key)})
        return
    settings.say(f"{request_path}: request for {', '.join(named)}; send it to the authority")
    settings.say(f"{key_file or key_path}: its {described(key)} key; keep it, and show it to nobody")
    from gatepost.config.invocation import command_with

    key_name = str((key_file or key_path).absolute())
    install = command_with(settings.config_file, settings.data, "cert", "install", "--key", key_name)
    settings.say(f"then: {install} ANSWER...")


def _answers(names: list[str], fields: dict[str, str]) -> tuple[list[str], dict[str, str]]:
    answer = click.prompt("Names, separated by spaces", default=" ".join(names), err=True)
    asked = {
        word: click.prompt(question, default=fields.get(word, ""), show_default=False, err=True).strip()
        for word, question in _QUESTIONS.items()
    }
    return str(answer).replace(",", " ").split(), fields | asked
