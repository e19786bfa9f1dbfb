"""The certificate of a first start: ECDSA P-256, signed by itself, for one host name."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gatepost.certs.pem import write_combined
from gatepost.tls.credential import Credential, make_credential
from gatepost.tls.names import reference_name

LIFETIME_DAYS: Final = 825
_CLOCK_SLACK: Final = timedelta(hours=1)
_COMMON_NAME_LIMIT: Final = 64  # RFC 5280 appendix A.1, ub-common-name


def make_self_signed(hostname: str, *, at: float, days: int = LIFETIME_DAYS) -> Credential:
    """Make a key and a certificate that it signed itself (RFC 5280 §4.2, RFC 9525).

    It is no authority: basicConstraints says so, and who wants to trust it names the certificate itself.

    :param hostname: the server's host name, or its address.
    :param at: now, in seconds since the epoch.
    :raises LocalProtocolError: when the host name is none.
    """
    name = reference_name(hostname)
    try:
        alternative: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        alternative = x509.DNSName(name)
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)] if len(name) <= _COMMON_NAME_LIMIT else [])
    begin = datetime.fromtimestamp(int(at), UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin - _CLOCK_SLACK)
        .not_valid_after(begin + timedelta(days=days))
        # An empty subject makes the names critical (RFC 5280 §4.2.1.6).
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=not list(subject))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=False,
                crl_sign=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )
    return make_credential([certificate], key, source=f"self-signed for {name}", at=at)


def write_self_signed(path: Path, hostname: str, *, at: float, days: int = LIFETIME_DAYS) -> Credential:
    """Make a self-signed certificate and write it as a combined file of mode 0600.

    :raises CertificateError: when it cannot be written.
    :raises LocalProtocolError: when the host name is none.
    """
    credential = make_self_signed(hostname, at=at, days=days)
    write_combined(path, credential.key, (credential.certificate, *credential.chain))
    return credential
