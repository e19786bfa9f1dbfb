"""What the commands of ``gatepost cert`` share: the kind of key, where files go, and the authorities."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from gatepost.cli import exits
from gatepost.cli.exits import CommandError
from gatepost.errors import CertificateError, LocalProtocolError

if TYPE_CHECKING:
    from gatepost.certs.keys import KeyKind
    from gatepost.config.schema import Config
    from gatepost.tls.trust import TrustStore

F = TypeVar("F", bound=Callable[..., Any])

SERVER_PEM: Final = Path("server.pem")
REQUEST_PEM: Final = "request.pem"
PRIVKEY_PEM: Final = "privkey.pem"


def key_options(command: F) -> F:
    """``--rsa`` and ``--ed25519``."""
    for option in (
        click.option("--rsa", is_flag=True, help="An RSA key of 3072 bits, for peers that know nothing newer."),
        click.option("--ed25519", is_flag=True, help="An Ed25519 key; few mail servers and no authorities take one."),
    ):
        command = option(command)
    return command


def key_kind(*, rsa: bool, ed25519: bool) -> KeyKind:
    """The kind of key that the options ask for."""
    if rsa and ed25519:
        raise click.UsageError("--rsa and --ed25519 exclude each other.")
    return "rsa" if rsa else "ed25519" if ed25519 else "ecdsa"


def output_file(config: Config, given: Path | None) -> Path:
    """Where a combined file goes: what was named, else ``tls.certificate``, else ``server.pem`` here."""
    return given or config.tls.certificate or SERVER_PEM


def refuse_existing(paths: list[Path], *, force: bool) -> None:
    """Refuse to write over files.

    :raises CommandError: naming the first one that is there (73).
    """
    for path in paths:
        if path.exists() and not force:
            raise CommandError(f"{path}: is there already", exits.CANNOT_CREATE, hint="--force replaces it")


def bad_input(error: CertificateError | LocalProtocolError) -> CommandError:
    """An error of what was given on the command line, in place of one of the configuration."""
    return CommandError(error.message, exits.DATA, hint=error.hint)


@contextmanager
def writing() -> Iterator[None]:
    """Around what writes files: what goes wrong there has the exit code of output that cannot be made (73)."""
    try:
        yield
    except CertificateError as error:
        raise CommandError(error.message, exits.CANNOT_CREATE, hint=error.hint) from error


def trust_of(config: Config, ca_file: Path | None) -> TrustStore:
    """The authorities: those that were named, else ``tls.ca_file``, else those of the system.

    :raises CertificateError: when there are none.
    """
    from gatepost.tls.trust import TrustStore

    return TrustStore.load(ca_file or config.tls.ca_file)


def setting_hint(config: Config, path: Path) -> str:
    """What to put into the configuration so that a file is used; empty when it is used already."""
    from gatepost.config.files import absolute

    used = [config.tls.certificate, *(each.file for each in config.certificate)]
    if absolute(path) in [absolute(each) for each in used if each is not None]:
        return ""
    return f'to use it, set certificate = "{absolute(path)}" under [tls]'
