"""What a certificate of ours is to be for: the names (RFC 5280 §4.2.1.6, RFC 9525) and the uses."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Final

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gatepost.errors import LocalProtocolError
from gatepost.tls.names import reference_name

_COMMON_NAME_LIMIT: Final = 64  # RFC 5280 appendix A.1, ub-common-name

# By the words that people are asked with, in the order of a request's subject; each with its limit (RFC 5280 A.1).
SUBJECT_FIELDS: Final = {
    "country": (NameOID.COUNTRY_NAME, 2),
    "state": (NameOID.STATE_OR_PROVINCE_NAME, 128),
    "locality": (NameOID.LOCALITY_NAME, 128),
    "organization": (NameOID.ORGANIZATION_NAME, 64),
    "unit": (NameOID.ORGANIZATIONAL_UNIT_NAME, 64),
}


def checked_name(name: str) -> str:
    """A name as certificates have it: an address, a host name, or a wildcard for one label below a domain.

    :raises LocalProtocolError: when it is none of these.
    """
    if not name.startswith("*."):
        return reference_name(name)
    parent = reference_name(name[2:])
    if "." not in parent:
        raise LocalProtocolError(f"{name!r} would stand for a whole top-level domain (RFC 9525 §6.3)")
    return f"*.{parent}"


def alternative_names(names: Iterable[str]) -> x509.SubjectAlternativeName:
    """The subjectAltName extension for these names, each once.

    :raises LocalProtocolError: when one is none, or there is none.
    """
    found: list[x509.GeneralName] = []
    for name in dict.fromkeys(checked_name(name) for name in names):
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(name))
    if not found:
        raise LocalProtocolError("a certificate needs a name")
    return x509.SubjectAlternativeName(found)


def subject_name(names: Sequence[str], **fields: str) -> x509.Name:
    """The subject: the fields that are given, and the first name as common name where it is short enough.

    :param fields: as ``SUBJECT_FIELDS`` names them.
    :raises LocalProtocolError: when a field is longer than it may be.
    """
    attributes = []
    for word, (oid, limit) in SUBJECT_FIELDS.items():
        text = fields.get(word, "").strip()
        if not text:
            continue
        if len(text) > limit or (word == "country" and not (len(text) == 2 and text.isascii() and text.isalpha())):
            what = "the two letters of ISO 3166, such as DE" if word == "country" else f"at most {limit} characters"
            raise LocalProtocolError(f"{word}: {text[:80]!r} cannot be used: it must be {what}")
        attributes.append(x509.NameAttribute(oid, text.upper() if word == "country" else text))
    first = checked_name(names[0]) if names else ""
    if first and len(first) <= _COMMON_NAME_LIMIT:
        attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, first))
    return x509.Name(attributes)


def usages(*, rsa: bool) -> tuple[tuple[x509.ExtensionType, bool], ...]:
    """What the key is for, each extension with whether it is critical: TLS, as server and as client, and no authority.

    :param rsa: an RSA key may also transport keys (RFC 5280 §4.2.1.3), which old requests for RSA ask for.
    """
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=rsa,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    return ((x509.BasicConstraints(ca=False, path_length=None), True), (usage, True), (purposes, False))
