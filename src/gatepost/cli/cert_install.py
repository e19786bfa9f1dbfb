"""``gatepost cert install``: from what the authority sent to the file that the server reads."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gatepost.cli import passwords
from gatepost.cli.cert_options import (
    PRIVKEY_PEM,
    bad_input,
    output_file,
    setting_hint,
    trust_of,
    writing,
)
from gatepost.cli.output import print_json, printable
from gatepost.cli.settings import Settings, common_options, pass_settings
from gatepost.errors import CertificateError, LocalProtocolError

if TYPE_CHECKING:
    from gatepost.certs.install import Installation, SourcedKey
    from gatepost.config.schema import Config


@click.command("install", short_help="Install what the authority sent.")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option(
    "--key",
    "key_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The private key. Else that in FILE, tls.key, privkey.pem beside the output or here, or the one in use.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where key and chain are written; else tls.certificate, else ./server.pem.",
)
@click.option("--name", "names", multiple=True, help="Must be in the certificate, again for more; else the hostname.")
@click.option(
    "--ca-file", type=click.Path(path_type=Path), metavar="FILE", help="The root, for an authority of your own."
)
@click.option("--passphrase-stdin", is_flag=True, help="Read the passphrase of a PKCS#12 file from standard input.")
@click.option("--dry-run", is_flag=True, help="Check everything, and write nothing.")
@common_options
@pass_settings
def command(
    settings: Settings,
    files: tuple[Path, ...],
    key_file: Path | None,
    output: Path | None,
    names: tuple[str, ...],
    ca_file: Path | None,
    passphrase_stdin: bool,
    dry_run: bool,
) -> None:
    """Install what a certificate authority sent.

    FILEs are PEM, DER, PKCS#7 or PKCS#12, in any order; intermediates may be among them. The certificate must match the
    key, be for the configured hostname, be valid and strong, and lead to a trusted root. Key and chain are then written
    to one file, at once or not at all; whatever is wrong leaves the old file as it was. A running server takes the new
    one up by itself.
    """
    config = settings.config()
    path = output_file(config, output)
    if path.is_dir():
        raise click.UsageError(f"--output: {path} is a directory.")
    try:
        installation = _assembled(config, files, key_file, path, names, ca_file, ask_stdin=passphrase_stdin)
        _refuse_other_key(config, path, installation)
    except (CertificateError, LocalProtocolError) as error:
        raise bad_input(error) from error
    from gatepost.certs.pem import write_combined

    if not dry_run:
        with writing():
            write_combined(path, installation.key, installation.chain)
    _tell(settings, config, path, installation, written=not dry_run)


def _assembled(
    config: Config,
    files: tuple[Path, ...],
    key_file: Path | None,
    path: Path,
    names: tuple[str, ...],
    ca_file: Path | None,
    *,
    ask_stdin: bool,
) -> Installation:
    from gatepost.certs.incoming import read_incoming, read_key
    from gatepost.certs.install import assemble

    def ask(file: Path) -> bytes | None:
        secret = passwords.from_stdin() if ask_stdin else None
        return secret.reveal() if secret is not None else None

    incoming = read_incoming(files, ask)
    if key_file is not None:
        incoming.keys = []  # what was named is what is meant
        keys: list[SourcedKey] = [(read_key(key_file), str(key_file))]
    else:
        keys = _keys_at_hand(config, path)
    trust = trust_of(config, ca_file)
    return assemble(incoming, keys, names=names or (config.hostname,), trust=trust, at=time.time())


def _keys_at_hand(config: Config, path: Path) -> list[SourcedKey]:
    """The keys where they usually are; those that cannot be read are passed over."""
    from gatepost.certs.incoming import read_key

    places = [config.tls.key, path.parent / PRIVKEY_PEM, Path(PRIVKEY_PEM), path]
    found: list[SourcedKey] = []
    for place in dict.fromkeys(each for each in places if each is not None):
        try:
            found.append((read_key(place), str(place)))
        except CertificateError:
            continue
    return found


def _refuse_other_key(config: Config, path: Path, installation: Installation) -> None:
    """A file of its own for the key would be read in place of the key in the combined file."""
    from gatepost.certs.incoming import read_key
    from gatepost.tls.credential import public_octets

    own = [(config.tls.certificate, config.tls.key), *((each.file, each.key) for each in config.certificate)]
    for certificate, key in own:
        if certificate != path or key is None:
            continue
        try:
            same = public_octets(read_key(key).public_key()) == public_octets(installation.key.public_key())
        except CertificateError:
            same = False
        if not same:
            raise CertificateError(
                f"the configuration has the key of {path} in {key}, and the new certificate is for another key",
                hint="remove that `key` from the configuration: the key is written to the certificate's file",
            )


def _tell(settings: Settings, config: Config, path: Path, installation: Installation, *, written: bool) -> None:
    from gatepost.certs.describe import describe

    facts = describe(installation.chain[0], time.time())
    if settings.json:
        print_json(
            {
                "file": path,
                "written": written,
                **facts,
                "chain": len(installation.chain),
                "key_from": installation.key_source,
                "remarks": list(installation.remarks),
            }
        )
        return
    for remark in installation.remarks:
        click.echo(printable(remark), err=True)
    what = f"certificate for {', '.join(facts['names'])}, {len(installation.chain)} in the chain"
    settings.say(f"{path}: {'' if written else 'would be written: '}{what}")
    settings.say(f"key from {installation.key_source}; valid until {facts['not_after']}, SHA-256 {facts['sha256']}")
    if hint := setting_hint(config, path):
        settings.say(hint)
