"""The Received field."""

from __future__ import annotations

import email
import email.policy
import time

import pytest
from tests.unit.wire.smtp.serving import ORIGIN, evidence

from gatepost.wire.smtp.received import Received, protocol_keyword
from gatepost.wire.upgrade import Origin, TLSEvidence

DATE = "Sat, 21 Nov 2026 00:00:00 +0000"
HOSTILE = 'a\r\nBcc: x@y\t(;) "\\<>\x00\x1b\x85\u2028é' * 40


def field(proof: TLSEvidence | None = None, **words: str) -> bytes:
    """The field with some words changed."""
    usual = {"hello": "client.example", "protocol": "ESMTP", "hostname": "mx.example.org"}
    recipient = words.pop("recipient", None)
    return Received(ORIGIN, proof, **{**usual, **words}).field("ID1", DATE, recipient)


def test_field_says_how_the_message_came() -> None:
    """In the form that operators know, TLS clause included."""
    assert field(evidence(), protocol="ESMTPS", recipient="bob@example.net") == (
        b"Received: from client.example (unknown [192.0.2.1])\r\n"
        b"\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)\r\n"
        b"\tkey-exchange X25519MLKEM768 (no client certificate))\r\n"
        b"\tby mx.example.org (gatepost) with ESMTPS id ID1 for <bob@example.net>;\r\n"
        b"\tSat, 21 Nov 2026 00:00:00 +0000\r\n"
    )


def test_field_in_the_clear_has_no_tls_clause() -> None:
    """Nothing is claimed that was not."""
    assert b"TLS" not in field()
    assert b"for <" not in field()


def test_field_names_a_verified_client_and_a_login() -> None:
    """The certificate's name and who logged in, where there is one."""
    text = field(evidence(status="verified", names=("client.example",)), identity="alice@example.org")
    assert b"(verified client certificate client.example))" in text
    assert b"(authenticated as alice@example.org)" in text
    assert b"(untrusted client certificate))" in field(evidence(status="untrusted"))


def test_field_writes_ipv6_as_the_grammar_wants() -> None:
    """RFC 5321 §4.1.3."""
    origin = Origin(("2001:db8::1", 1), ("::1", 25), "mx", 0.0, "c")
    text = Received(origin, None, hello="a", protocol="SMTP", hostname="h").field("i", DATE)
    assert b"[IPv6:2001:db8::1]" in text


@pytest.mark.parametrize("word", ["hello", "recipient", "identity", "peer_name"])
def test_field_cannot_be_broken_by_what_a_peer_chose(word: str) -> None:
    """No line end, comment, clause or octet beyond ASCII comes from a peer, and no word is endless."""
    text = field(evidence(names=(HOSTILE,), status=HOSTILE), **{word: HOSTILE})
    assert text.isascii()
    message = email.message_from_bytes(text + b"\r\nbody", policy=email.policy.compat32)
    assert message.keys() == ["Received"]
    assert all(line.startswith(b"\t") for line in text.split(b"\r\n")[1:-1])
    assert max(map(len, text.split(b"\r\n"))) < 998
    assert text.count(b";") == 1
    assert text.count(b"(") == text.count(b")")


def test_field_is_folded_into_short_lines() -> None:
    """RFC 5322 §2.1.1."""
    text = field(evidence(), hello="client.example", recipient="bob@example.net", identity="alice@example.org")
    assert max(map(len, text.split(b"\r\n"))) <= 79


def test_unspoken_hello_is_unknown() -> None:
    """The clause is never empty."""
    assert field(hello="").startswith(b"Received: from unknown (")


@pytest.mark.parametrize(
    ("flags", "keyword"),
    [
        (("SMTP", False, False, False, False), "SMTP"),
        (("SMTP", False, False, True, True), "SMTP"),
        (("SMTP", True, False, False, False), "ESMTP"),
        (("SMTP", True, False, True, False), "ESMTPS"),
        (("SMTP", True, False, True, True), "ESMTPSA"),
        (("SMTP", True, True, False, False), "UTF8SMTP"),
        (("SMTP", True, True, True, True), "UTF8SMTPSA"),
        (("LMTP", True, False, False, False), "LMTP"),
        (("LMTP", True, False, True, False), "LMTPS"),
        (("LMTP", True, True, True, True), "UTF8LMTPSA"),
    ],
)
def test_protocol_has_its_registered_keyword(flags: tuple[str, bool, bool, bool, bool], keyword: str) -> None:
    """RFC 3848 and RFC 6531 §4.3."""
    dialect, extended, utf8, tls, login = flags
    assert protocol_keyword(dialect, extended=extended, utf8=utf8, tls=tls, authenticated=login) == keyword


@pytest.mark.no_cover  # it measures time, and a tracer takes some
def test_field_is_cheap() -> None:
    """It is built for every message: a thousand of them in a moment."""
    proof = evidence()
    began = time.process_time()
    for _ in range(1000):
        field(proof)
    assert time.process_time() - began < 0.2
