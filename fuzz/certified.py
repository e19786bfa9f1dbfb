"""Certificates to begin with: good ones, and some that are unusual. Made once a process."""

from __future__ import annotations

import base64
import functools

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, pkcs7, pkcs12

from gatepost.testing.ca import CLIENT_ONLY, Issued, TestAuthority, key_for

# A subjectAltName with an EDIPartyName (RFC 5280 §4.2.1.6), which nobody uses and ``cryptography`` does not read.
STRANGE = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.17"), b"\x30\x06\xa5\x04\xa1\x02\x0c\x00")
AT = 1_800_000_000.0  # the time of every judgement


def elements(data: bytes) -> tuple[bytes, ...]:
    """DER elements, one behind the other, as far as they are long ones; what is none is the last."""
    found, at = [], 0
    while at < len(data):
        long = data[at : at + 2] == b"\x30\x82"
        size = 4 + int.from_bytes(data[at + 2 : at + 4]) if long else len(data) - at
        found.append(data[at : at + size])
        at += size
    return tuple(found)


def armoured(data: bytes, label: bytes) -> bytes:
    """Each of the elements as a PEM block."""
    return b"".join(
        b"-----BEGIN %b-----\n%b-----END %b-----\n" % (label, base64.encodebytes(each), label)
        for each in elements(data)
    )


@functools.cache
def authority() -> TestAuthority:
    """Who signs."""
    return TestAuthority(at=AT)


@functools.cache
def leaves() -> tuple[Issued, ...]:
    """Names, addresses and mailboxes; a client's; one below an intermediate; names of other kinds."""
    other = x509.OtherName(x509.ObjectIdentifier("1.3.6.1.5.5.7.8.9"), b"\x0c\x03a@b")
    return (
        authority().issue("mx.example.org", "*.example.org", "192.0.2.1", "2001:db8::1"),
        authority().issue(x509.RFC822Name("alice@example.org"), usages=CLIENT_ONLY, email_address="old@example.org"),
        authority().intermediate().issue("mx.example.org", common_name="mx.example.org", usages=None),
        authority().issue(x509.UniformResourceIdentifier("https://example.org"), other, common_name="x", usages=None),
        authority().issue("mx.example.org", key=key_for("a modern leaf", "ed25519")),
        authority().issue(common_name="x", extra=[(STRANGE, False)]),
    )


@functools.cache
def revocations() -> bytes:
    """A revocation list, DER."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority().certificate.subject)
        .last_update(authority().now)
        .next_update(authority().now.replace(year=authority().now.year + 1))
        .add_revoked_certificate(
            x509.RevokedCertificateBuilder().serial_number(1001).revocation_date(authority().now).build()
        )
    )
    return builder.sign(authority().key, SHA256()).public_bytes(Encoding.DER)


@functools.cache
def bundles() -> tuple[bytes, ...]:
    """What authorities send: PEM, DER, PKCS#7 and PKCS#12."""
    leaf = leaves()[0]
    return (
        leaf.key_pem + leaf.chain_pem,
        leaf.der[0],
        pkcs7.serialize_certificates([leaf.certificate, authority().certificate], Encoding.DER),
        pkcs7.serialize_certificates([leaf.certificate], Encoding.PEM),
        pkcs12.serialize_key_and_certificates(b"x", leaf.key, leaf.certificate, None, NoEncryption()),
        pkcs12.serialize_key_and_certificates(
            b"x", leaf.key, leaf.certificate, None, BestAvailableEncryption(b"secret")
        ),
        leaves()[2].chain_pem,
    )
