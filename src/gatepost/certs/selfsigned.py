"""Certificates that sign themselves: that of a first start, and those of ``gatepost cert new``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from gatepost.certs.keys import KeyKind, make_key, signing_hash
from gatepost.certs.pem import write_combined
from gatepost.certs.subject import alternative_names, subject_name, usages
from gatepost.tls.credential import Credential, make_credential

LIFETIME_DAYS: Final = 825
_CLOCK_SLACK: Final = timedelta(hours=1)


def make_self_signed(
    names: str | Sequence[str], *, at: float, days: int = LIFETIME_DAYS, kind: KeyKind = "ecdsa"
) -> Credential:
    """Make a key and a certificate that it signed itself (RFC 5280 §4.2, RFC 9525).

    It is no authority: basicConstraints says so, and who wants to trust it names the certificate itself.

    :param names: the server's host name or several; addresses and wildcards are names, too.
    :param at: now, in seconds since the epoch.
    :raises LocalProtocolError: when a name is none.
    """
    named = [names] if isinstance(names, str) else list(names)
    alternative = alternative_names(named)
    subject = subject_name(named)
    key = make_key(kind)
    public = key.public_key()
    begin = datetime.fromtimestamp(int(at), UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin - _CLOCK_SLACK)
        .not_valid_after(begin + timedelta(days=days))
        # An empty subject makes the names critical (RFC 5280 §4.2.1.6).
        .add_extension(alternative, critical=not list(subject))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
    )
    for extension, critical in usages(rsa=isinstance(key, rsa.RSAPrivateKey)):
        builder = builder.add_extension(extension, critical=critical)
    certificate = builder.sign(key, signing_hash(key))
    return make_credential([certificate], key, source=f"self-signed for {', '.join(named)}", at=at)


def write_self_signed(
    path: Path,
    names: str | Sequence[str],
    *,
    at: float,
    days: int = LIFETIME_DAYS,
    kind: KeyKind = "ecdsa",
    replace: bool = True,
) -> Credential:
    """Make a self-signed certificate and write it as a combined file of mode 0600.

    :param replace: False never overwrites a file.
    :raises CertificateError: when it cannot be written, or is there and may not be replaced.
    :raises LocalProtocolError: when a name is none.
    """
    credential = make_self_signed(names, at=at, days=days, kind=kind)
    write_combined(path, credential.key, (credential.certificate, *credential.chain), replace=replace)
    return credential
