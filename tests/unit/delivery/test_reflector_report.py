"""Whom the reflector answers, and what it tells."""

from __future__ import annotations

import json
from email import message_from_bytes, policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.delivery.bounce import Report
from gatepost.delivery.reflector_limits import WINDOW, Allowance
from gatepost.delivery.reflector_report import silence, write

OWN = "ping@example.org"
PLAIN = b"From: <ann@example.net>\r\nMessage-ID: <1@example.net>\r\n\r\n"
TLS = {
    "version": "TLSv1.3", "began": "by STARTTLS", "cipher": "TLS_AES_256_GCM_SHA384", "bits": 256, "group": "x25519",
    "resumed": False, "server_name": "mx.example.org", "verification": "trusted", "reason": "",
    "names": ["email:ann@example.net"], "sha256": "ab" * 32,
}  # fmt: skip
FACTS = {"peer": "192.0.2.1", "listener": "mx", "hello": "there", "wanted": "offer", "rule": "inbound[0] (x:3)"}


def _written(header: bytes = PLAIN, sender: str = "ann@example.net", **facts: object) -> Report:
    return write(
        sender, header, json.dumps({**FACTS, **facts}), own=OWN, hostname="mx.example.org", answer_id="7-r", about="7",
        now=1.7e9,
    )  # fmt: skip


@pytest.mark.parametrize(
    "sender",
    ["", OWN, "PING@example.org", "MAILER-DAEMON@example.net", "owner-list@example.net", "list-request@example.net",
     "list-owner@example.net", "majordomo@example.net"],
)  # fmt: skip
def test_senders_that_are_no_persons_are_not_answered(sender: str) -> None:
    """The null sender, itself, mailing-list software (RFC 3834 §2)."""
    assert silence(sender, PLAIN, OWN)


@pytest.mark.parametrize(
    "field",
    ["Auto-Submitted: auto-replied", "auto-submitted: Auto-Generated; owner-email=x", "List-Id: <a.b>",
     "List-Unsubscribe: <mailto:x@y.example>", "Precedence: bulk", "PRECEDENCE: List", "Precedence: junk",
     "Auto-Submitted: no\r\nAuto-Submitted: auto-notified", "Auto-Submitted:", "no colon here"],
)  # fmt: skip
def test_programs_and_lists_are_not_answered(field: str) -> None:
    """By what their header says; a header that cannot be read says too little."""
    assert silence("ann@example.net", f"From: x\r\n{field}\r\n\r\n".encode(), OWN)


@pytest.mark.parametrize("header", [PLAIN, b"", b"Auto-Submitted: no\r\n\r\n", b"Precedence: first-class\r\n\r\n"])
def test_persons_are_answered(header: bytes) -> None:
    """``Auto-Submitted: no`` is what a person's mail may say, and no header at all is no reason."""
    assert silence("ann@example.net", header, OWN) == ""


def test_answer_says_how_the_message_came() -> None:
    """Version, cipher, group, resumption, name asked for, certificate, policy and every Received line."""
    received = b"Received: from a\r\n\tby b; now\r\nReceived: from c by a; then\r\n"
    made = _written(received + PLAIN, tls=TLS)
    answer = message_from_bytes(made.content, policy=policy.default)
    text = answer.get_content()
    for words in ("TLSv1.3, by STARTTLS", "TLS_AES_256_GCM_SHA384, 256 bits", "x25519", "no: a full handshake",
                  "mx.example.org", "trusted, email:ann@example.net (SHA-256 abab", "policy:       offer",
                  "inbound[0] (x:3)", "192.0.2.1", "from a", "by b; now", "from c by a; then"):  # fmt: skip
        assert words in text, words
    assert answer["Auto-Submitted"] == "auto-replied" and answer["In-Reply-To"] == "<1@example.net>"
    assert answer["Subject"] == "Auto: your message came over TLSv1.3"
    assert (made.recipient, made.smtputf8, made.eightbit) == ("ann@example.net", False, False)
    assert silence("postmaster@example.org", made.content.partition(b"\r\n\r\n")[0] + b"\r\n\r\n", OWN)


def test_answer_tells_of_mail_in_the_clear() -> None:
    """No TLS is said in words, in the subject too."""
    text = _written().content.decode()
    assert "TLS:          none" in text and "Subject: Auto: your message came in the clear" in text


def test_answer_to_an_address_beyond_ascii_needs_smtputf8() -> None:
    """RFC 6531: its header has the address."""
    made = _written(sender="jürgen@example.net")
    assert made.smtputf8 and made.eightbit


def test_text_of_others_cannot_write_header_fields() -> None:
    """Line ends and controls in what a peer said, and a Message-ID that is none."""
    evil = "x\r\nBcc: <all@example.net>\r\n\r\nhello"
    made = _written(b"Message-ID: <a>\r\n <b>\r\nReceived: \x00\x1b[2J\xff\r\n\r\n", hello=evil, rule=evil, tls={})
    header, _, body = made.content.partition(b"\r\n\r\n")
    assert b"Bcc" not in header and b"In-Reply-To" not in header
    assert b"\x1b" not in body and b"\x00" not in body


@given(st.binary(max_size=400), st.text(max_size=60), st.text(max_size=200))
def test_any_header_and_any_summary_make_an_answer(header: bytes, sender: str, arrival: str) -> None:
    """Whatever stands in the queue: no exception, and lines that transport carries (RFC 5322 §2.1.1)."""
    silence(sender, header + b"\r\n\r\n", OWN)
    made = write("a@b.example", header, arrival, own=OWN, hostname="h.example", answer_id="i", about="i", now=0.0)
    assert all(len(line) <= 998 and b"\n" not in line for line in made.content.split(b"\r\n"))


def test_header_with_thousands_of_trace_lines_makes_a_short_answer() -> None:
    """What is quoted is bounded."""
    assert len(_written(b"Received: from a by b; now\r\n" * 2000 + PLAIN).content) < 16384


def test_allowance_is_per_sender_and_in_all() -> None:
    """Each bound by itself; after an hour there is room again."""
    allowance = Allowance(2, 3)
    assert [bool(allowance.take("a@x.example", 0.0)) for _ in range(3)] == [False, False, True]
    assert allowance.take("A@X.example", 1.0) and not allowance.take("b@x.example", 1.0)
    assert "3 answers" in allowance.take("c@x.example", WINDOW - 1)
    assert not allowance.take("a@x.example", WINDOW)
