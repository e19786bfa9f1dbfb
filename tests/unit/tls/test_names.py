"""Names in certificates and the names that are looked for (RFC 9525)."""

from __future__ import annotations

import pytest
from cryptography import x509

from gatepost.errors import LocalProtocolError
from gatepost.testing.ca import TestAuthority
from gatepost.tls.names import (
    certificate_mailboxes,
    certificate_matches,
    dns_name_matches,
    is_address,
    printable_names,
    reference_name,
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("MX.Example.TEST.", "mx.example.test"),
        ("192.0.2.1", "192.0.2.1"),
        ("[2001:DB8:0:0::1]", "2001:db8::1"),
        ("faß.example", "xn--fa-hia.example"),
        ("gru\u0308n.example", "xn--grn-ioa.example"),
        ("xn--grn-ioa.example", "xn--grn-ioa.example"),
        ("_25._tcp.example", "_25._tcp.example"),
        ("grün-kohl.a.example", "xn--grn-kohl-75a.a.example"),
        ("x" * 63 + ".example", "x" * 63 + ".example"),
        (".".join(["x" * 62] * 4) + ".y", ".".join(["x" * 62] * 4) + ".y"),
    ],
)
def test_reference_name_is_brought_to_one_form(name: str, expected: str) -> None:
    """Case, trailing dot, U-labels by the rules of 2008, addresses in their shortest form."""
    assert reference_name(name) == expected


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "a..b",
        "a b",
        "*.example",
        "a\0b",
        "a\r\nb",
        "x" * 64,
        "a." * 130 + "b",
        "1.2.3",
        "a/ß",
        "☃.test",
        "192.0.2.1]",
        "x." * 126 + "yy",
    ],
)
def test_what_is_no_name_is_refused(name: str) -> None:
    """No control, no wildcard, no empty label, no number for a top-level domain."""
    with pytest.raises(LocalProtocolError):
        reference_name(name)


@pytest.mark.parametrize(
    ("presented", "reference", "same"),
    [
        ("MX.example.test", "mx.example.test", True),
        ("mx.example.test.", "mx.example.test", True),
        ("*.example.test", "mx.example.test", True),
        ("*.EXAMPLE.test", "mx.example.test", True),
        ("*.example.test", "example.test", False),
        ("*.example.test", "a.mx.example.test", False),
        ("*.test", "example.test", False),
        ("*", "localhost", False),
        ("*.*.test", "a.b.test", False),
        ("m*.example.test", "mx.example.test", False),
        ("m.example.test", "mx.example.test", False),
        ("mx.*.test", "mx.example.test", False),
        ("*x.example.test", "mx.example.test", False),
        ("mx.example.test.evil.test", "mx.example.test", False),
        ("amx.example.test", "mx.example.test", False),
        ("mx.example.tes", "mx.example.test", False),
        ("", "mx.example.test", False),
    ],
)
def test_wildcard_is_one_whole_leftmost_label(presented: str, reference: str, same: bool) -> None:
    """RFC 9525 §6.3."""
    assert dns_name_matches(presented, reference) is same


def test_address_is_told_from_a_name() -> None:
    """What matches iPAddress entries only."""
    assert is_address("192.0.2.1")
    assert is_address("2001:db8::1")
    assert not is_address("mx1.example")


def test_address_is_looked_for_among_addresses_only() -> None:
    """RFC 9525 §6.5: the same text as a dNSName is no address, and an address is no host."""
    both = TestAuthority().issue("192.0.2.1", "2001:db8::1", x509.DNSName("192.0.2.2")).certificate
    assert [certificate_matches(both, name) for name in ("192.0.2.1", "2001:db8::1")] == [True, True]
    assert [certificate_matches(both, name) for name in ("192.0.2.2", "2001:db8::2")] == [False, False]


def test_certificate_without_names_matches_nothing() -> None:
    """The common name is not read, and prints nothing."""
    certificate = TestAuthority().issue(common_name="mx.example.test").certificate
    assert not certificate_matches(certificate, "mx.example.test")
    assert printable_names(certificate) == ()


def test_subject_that_cannot_be_read_names_nobody() -> None:
    """Its octets are no UTF-8: there is no mailbox in it, and nothing of it gets into a log."""
    octets = TestAuthority().issue(common_name="readable", email_address="a@example.test").der[0]
    assert octets.count(b"readable") == 1
    certificate = x509.load_der_x509_certificate(octets.replace(b"readable", b"\xff\xfeadable"))
    assert certificate_mailboxes(certificate) == printable_names(certificate) == ()
