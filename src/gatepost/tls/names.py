"""Names in certificates (RFC 9525, RFC 5280 §4.2.1.6): only subjectAltName counts, the common name never.

A reference name is what the user or the configuration said. It is compared as A-labels, without regard to case, one
trailing dot dropped. A wildcard stands for exactly one whole leftmost label. An address matches only an iPAddress.

U-labels become A-labels by RFC 5891 §4 (NFC, Punycode), with the letters and digits of RFC 5892 §2.1: Python's ``idna``
codec follows the rules of 2003, which make another name of ``faß``.
"""

from __future__ import annotations

import ipaddress
import unicodedata
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from gatepost.errors import LocalProtocolError
from gatepost.wire.certified import canonical_mailbox
from gatepost.wire.upgrade import EMAIL_PREFIX

_LETTERS_AND_DIGITS: Final = frozenset({"Ll", "Lo", "Lm", "Mn", "Mc", "Nd"})
_LDH: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_")
_LABEL_LIMIT: Final = 63
_NAME_LIMIT: Final = 253


def reference_name(name: str) -> str:
    """Bring a reference name to the form that is compared: an address in its shortest form, or A-labels in lower case.

    :raises LocalProtocolError: when it is neither a host name nor an address.
    """
    text = name.strip("[]") if name.startswith("[") else name
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        pass
    labels = unicodedata.normalize("NFC", name.lower()).removesuffix(".").split(".")
    ascii_name = ".".join(_a_label(label, name) for label in labels)
    if len(ascii_name) > _NAME_LIMIT or is_address(ascii_name):
        raise LocalProtocolError(f"{name[:64]!r} is not a host name")
    return ascii_name


def reference_pattern(name: str) -> str:
    """Bring a reference to the form that is compared: a name, an address, or ``.example.com`` for any name below one.

    :raises LocalProtocolError: when it is none of them.
    """
    if not name.startswith("."):
        return reference_name(name)
    parent = reference_name(name[1:])
    if is_address(parent):
        raise LocalProtocolError(f"{name[:64]!r} is not a host name")
    return f".{parent}"


def _a_label(label: str, name: str) -> str:
    if label.isascii():
        ascii_label = label
    else:
        if not all(c == "-" or unicodedata.category(c) in _LETTERS_AND_DIGITS for c in label):
            raise LocalProtocolError(f"{name!r} is not a host name")
        ascii_label = "xn--" + label.encode("punycode").decode("ascii")
    if not 0 < len(ascii_label) <= _LABEL_LIMIT or not _LDH.issuperset(ascii_label):
        raise LocalProtocolError(f"{name!r} is not a host name")
    return ascii_label


def is_address(reference: str) -> bool:
    """Whether a reference name, as ``reference_name`` returns it, is an address."""
    return ":" in reference or reference.rpartition(".")[2].isdigit()


def dns_name_matches(presented: str, reference: str) -> bool:
    """Whether a dNSName stands for a reference host name (RFC 9525 §6.3).

    :param presented: as the certificate has it.
    :param reference: as ``reference_pattern`` returns it, and not an address.
    """
    presented = presented.lower().removesuffix(".")
    if reference.startswith("."):  # any name below one: Postfix's "dot-nexthop"
        below = presented.removesuffix(reference)
        return below not in ("", presented) and below[0] != "." and "*" not in below.removeprefix("*")
    if presented == reference:
        return True
    if not presented.startswith("*."):
        return False
    parent = presented[2:]
    # A wildcard over a whole top-level domain is nobody's to have; a second asterisk stands in no reference.
    return "." in parent and reference.partition(".")[2] == parent


def certificate_matches(certificate: x509.Certificate, reference: str) -> bool:
    """Whether a certificate is for a reference name, as ``reference_pattern`` returns it.

    :raises ValueError: when its subjectAltName cannot be read.
    """
    names = subject_names(certificate)
    if names is None:
        return False
    if is_address(reference):
        return ipaddress.ip_address(reference) in names.get_values_for_type(x509.IPAddress)
    return any(dns_name_matches(name, reference) for name in names.get_values_for_type(x509.DNSName))


def subject_names(certificate: x509.Certificate) -> x509.SubjectAlternativeName | None:
    """The subjectAltName extension, or None.

    :raises ValueError: when it cannot be read.
    """
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
    except (x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise ValueError(str(error)) from error


def printable_names(certificate: x509.Certificate) -> tuple[str, ...]:
    """The DNS names, addresses and mailboxes that a certificate carries, safe to write to a log; at most a hundred
    of a kind. Mailboxes are written as ``email:a@b``.
    """
    try:
        names = subject_names(certificate)
    except ValueError:
        return ()
    mailboxes = tuple(f"{EMAIL_PREFIX}{mailbox}" for mailbox in certificate_mailboxes(certificate))
    if names is None:
        return mailboxes
    found = [
        *names.get_values_for_type(x509.DNSName),
        *(str(address) for address in names.get_values_for_type(x509.IPAddress)),
    ]
    return (*(ascii(name)[1:-1] for name in found[:100]), *mailboxes)


def certificate_mailboxes(certificate: x509.Certificate) -> tuple[str, ...]:
    """The mail addresses that a certificate is for, in the form that is compared; at most a hundred.

    Those of its subjectAltName (rfc822Name); only where there is none the ``emailAddress`` of the subject, as old
    authorities wrote it (RFC 5280 §4.1.2.6). What is no address, for instance one with a NUL in it, is left out; the
    common name never counts.
    """
    try:
        names = subject_names(certificate)
        found: list[object] = [] if names is None else list(names.get_values_for_type(x509.RFC822Name))
        if not found:
            found = [each.value for each in certificate.subject.get_attributes_for_oid(NameOID.EMAIL_ADDRESS)]
    except ValueError:
        return ()
    mailboxes = (canonical_mailbox(each) for each in found[:100] if isinstance(each, str))
    return tuple(dict.fromkeys(mailbox for mailbox in mailboxes if mailbox is not None))
