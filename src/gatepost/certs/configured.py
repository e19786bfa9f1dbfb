"""The certificates that a configuration names: which files they are, and loading them all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from gatepost.certs.keys import certificate_fingerprint, described
from gatepost.config.kinds import Table
from gatepost.config.schema import Config
from gatepost.errors import CertificateError
from gatepost.tls.credential import Credential, load_credential

SELF_SIGNED: Final = Path("tls") / "self-signed.pem"
"""Where the certificate of the first start is, below the data directory."""

# Keys of the configuration, in whatever table, that name files of a kind.
AUTHORITIES: Final = frozenset({"ca", "ca_file", "client_ca"})
REVOCATIONS: Final = frozenset({"crl", "crl_file", "client_crl"})
CLIENT_CERTIFICATES: Final = frozenset({"client_certificate"})


class Named(NamedTuple):
    """A certificate by its files.

    :param setting: the key that names it.
    :param file: the certificate with its chain, and with the key unless there is another file.
    :param key: the key's own file.
    """

    setting: str
    file: Path
    key: Path | None

    @property
    def files(self) -> tuple[Path, ...]:
        """All of its files."""
        return (self.file,) if self.key is None else (self.file, self.key)


def needs_self_signed(config: Config) -> bool:
    """Whether the configuration names no certificate, so that the one of the first start is used."""
    return config.tls.certificate is None and not config.certificate


def named_certificates(config: Config) -> list[Named]:
    """The server's certificates, the default first."""
    if needs_self_signed(config):
        return [Named("tls.certificate", config.data / SELF_SIGNED, None)]
    first = [] if config.tls.certificate is None else [Named("tls.certificate", config.tls.certificate, config.tls.key)]
    return first + [
        Named(f"certificate[{index}].file", each.file, each.key) for index, each in enumerate(config.certificate)
    ]


def other_files(config: Config) -> Iterator[tuple[str, str, Path]]:
    """What else the configuration names of the kind, in whatever table: authorities, CRLs, certificates of our clients.

    :return: the whole key, its last part, the path.
    """
    for setting, name, path in _paths(config, "", ""):
        if name in AUTHORITIES | REVOCATIONS | CLIENT_CERTIFICATES:
            yield setting, name, path


def configured_files(config: Config) -> list[Path]:
    """Every file whose replacement is to be noticed."""
    own = [path for named in named_certificates(config) for path in named.files]
    return list(dict.fromkeys([*own, *(path for _, _, path in other_files(config))]))


def _paths(value: object, setting: str, name: str) -> Iterator[tuple[str, str, Path]]:
    if isinstance(value, Path):
        yield setting, name, value
    elif isinstance(value, Table):
        for each in type(value).model_fields:
            yield from _paths(getattr(value, each), f"{setting}.{each}" if setting else each, each)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _paths(inner, f"{setting}[{index}]", name)


def load_configured(config: Config, *, at: float | None = None) -> list[Credential]:
    """Load the server's certificates, the default first.

    :raises CertificateError: for the first that cannot be used.
    """
    return [_load(config, named, at) for named in named_certificates(config)]


def _load(config: Config, named: Named, at: float | None) -> Credential:
    try:
        return load_credential(named.file, named.key, at=at)
    except CertificateError as error:
        if needs_self_signed(config):
            hint = f"remove {named.file}, and the next start makes a new one"
            raise CertificateError(error.message, hint=hint) from error
        raise


def facts_of(config: Config, credentials: Sequence[Credential]) -> list[dict[str, Any]]:
    """What status and metrics tell of the certificates; each has a ``name`` of its own."""
    facts: list[dict[str, Any]] = []
    for credential in credentials:
        name, key = credential.names[0] if credential.names else config.hostname, described(credential.key)
        taken = [fact["name"] for fact in facts]
        for unique in (name, f"{name} {key}", f"{name} {credential.source}"):
            if unique not in taken:
                break
        facts.append(
            {
                "name": unique,
                "names": list(credential.names),
                "not_after": credential.certificate.not_valid_after_utc.timestamp(),
                "path": credential.source,
                "key": key,
                "sha256": certificate_fingerprint(credential.certificate),
            }
        )
    return facts


def never_shown(credentials: Sequence[Credential]) -> list[Credential]:
    """Those that no client can get: for each of their names an earlier one has the same kind of key."""
    from gatepost.tls.contexts import shown_for

    shown = {
        id(each) for credential in credentials for name in credential.names for each in shown_for(name, credentials)
    }
    return [each for each in credentials[1:] if id(each) not in shown]
