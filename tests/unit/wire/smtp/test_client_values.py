"""Capabilities, envelopes, command lines, dot-stuffing: the values a client is made of."""

from __future__ import annotations

from typing import Any

import pytest

from gatepost.errors import LocalProtocolError
from gatepost.wire.smtp.capabilities import Capabilities
from gatepost.wire.smtp.envelope import Envelope, EnvelopeRecipient, Submission, without_u_labels, xtext
from gatepost.wire.smtp.exchange import command
from gatepost.wire.smtp.reply import Reply
from gatepost.wire.smtp.stuffing import PIECE, stuffed


def listed(*lines: str) -> Capabilities:
    return Capabilities(Reply(250, "", ("mx.example.org hello", *lines)))


def test_reads_what_a_server_lists() -> None:
    """Keywords in any case, parameters as they are, the first of duplicates."""
    found = listed(
        "starttls", "PIPELINING", "SIZE 1000", "size 5", "AUTH PLAIN login", "8BITMIME", "SMTPUTF8", "DSN",
        "CHUNKING", "ENHANCEDSTATUSCODES", "REQUIRETLS", "LIMITS RCPTMAX=100 MAILMAX=x FOO", "X-Odd  two  ",
    )  # fmt: skip
    assert found.server_name == "mx.example.org"
    assert found.starttls and found.pipelining and found.eightbitmime and found.smtputf8 and found.dsn
    assert found.chunking and found.enhanced and found.requiretls
    assert (found.size_offered, found.size) == (True, 1000)
    assert found.auth == ("PLAIN", "LOGIN")
    assert found.limits == {"RCPTMAX": 100}
    assert "STARTTLS" in repr(found)


@pytest.mark.parametrize(
    ("line", "size"),
    [
        ("SIZE", None),
        ("SIZE 0", None),
        ("SIZE -1", None),
        ("SIZE \u0663", None),
        ("SIZE " + "9" * 5000, None),
        ("SIZE 12 13", None),
        ("SIZE 7", 7),
    ],
)
def test_size_is_a_number_or_no_limit(line: str, size: int | None) -> None:
    """RFC 1870 §4; anything odd is no limit at all."""
    assert listed(line).size == size
    assert listed(line).size_offered


@pytest.mark.parametrize("line", ["XXXXXXXX", "STARTTLSX", "-STARTTLS", "START TLS", "", " STARTTLS", "STARTTLS:"])
def test_an_overwritten_keyword_is_not_a_keyword(line: str) -> None:
    """What only resembles STARTTLS does not offer it."""
    assert not listed(line).starttls


def test_helo_lists_nothing() -> None:
    """The reply to HELO may be as long as it likes."""
    found = Capabilities(Reply(250, "", ("mx", "STARTTLS")), extended=False)
    assert not found.starttls
    assert not found.extended
    assert Capabilities(Reply(250, "", "mx STARTTLS")).keywords == {}


BAD = ["\r\n", "\n", "\r", "\0", "\x85", "\u2028", "\u2029", "\x1b", "\x7f", "\ud800"]


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("place", ["sender", "recipient", "orcpt", "envid", "notify", "ret", "body", "size"])
def test_envelope_refuses_controls_everywhere(place: str, bad: str) -> None:
    """No value can end a line, whatever it is called."""
    recipient: dict[str, Any] = {"address": "user@example.org"}
    envelope: dict[str, Any] = {"sender": "a@example.org"}
    match place:
        case "sender":
            envelope["sender"] = f"a{bad}b@example.org"
        case "recipient":
            recipient["address"] = f"a@example{bad}.org"
        case "orcpt":
            recipient["orcpt"] = f"rfc822;a{bad}"
        case "envid":
            envelope["envid"] = f"id{bad}"
        case "notify":
            recipient["notify"] = frozenset({f"NEVER{bad}"})
        case "ret":
            envelope["ret"] = f"FULL{bad}"
        case "body":
            envelope["body"] = f"8BITMIME{bad}"
        case _:
            envelope["size"] = f"10{bad}"
    with pytest.raises(LocalProtocolError):
        Envelope(recipients=(EnvelopeRecipient(**recipient),), **envelope)


@pytest.mark.parametrize(
    "address",
    [
        "", "a", "@b", "a@", "a@b>c@d", "a b@c", "a@b c", "<a@b>", "a@b> SIZE=1", "a@@b", "a@b@c", "a..b@c", ".a@b",
        '"a@b', '"a"b@c', "a@b,c@d", "a@[1.2.3.4", "a@[1.2.3.4]>", "x" * 600 + "@b", "a@b\u202e c",
    ],
)  # fmt: skip
def test_envelope_refuses_what_is_no_address(address: str) -> None:
    """An address is one mailbox and nothing beside it."""
    with pytest.raises(LocalProtocolError):
        EnvelopeRecipient(address)


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("user@example.org", "user@example.org"),
        ("user+tag@sub.example.org", "user+tag@sub.example.org"),
        ("User@Example.ORG", "User@example.org"),
        ('"a b"@example.org', '"a b"@example.org'),
        ('"plain"@example.org', "plain@example.org"),
        ("user@[192.0.2.1]", "user@[192.0.2.1]"),
        ("Postmaster", "postmaster"),
        ("grüße@bücher.example", "grüße@bücher.example"),
    ],
)
def test_envelope_respells_addresses(address: str, path: str) -> None:
    """What goes out is made from what the address means."""
    assert EnvelopeRecipient(address).path == path


def test_envelope_refuses_impossible_combinations() -> None:
    """No recipients, a negative size, NEVER beside others, an empty set."""
    one = EnvelopeRecipient("a@example.org")
    with pytest.raises(LocalProtocolError):
        Envelope("", ())
    with pytest.raises(LocalProtocolError):
        Envelope("", (one,), size=-1)
    for notify in (frozenset({"NEVER", "SUCCESS"}), frozenset[str](), frozenset({"never"})):
        with pytest.raises(LocalProtocolError):
            EnvelopeRecipient("a@example.org", notify=notify)


def test_dsn_parameters_are_xtext() -> None:
    """RFC 3461 §4: +, = and space are written +HH."""
    assert xtext("a+b=c d~") == "a+2Bb+3Dc+20d~"
    recipient = EnvelopeRecipient("a@example.org", frozenset({"SUCCESS", "DELAY"}), "rfc822;x+y@example.org")
    assert recipient.dsn() == " NOTIFY=DELAY,SUCCESS ORCPT=rfc822;x+2By@example.org"
    assert Envelope("", (recipient,), ret="HDRS", envid="a=b").dsn() == " RET=HDRS ENVID=a+3Db"
    assert Envelope("", (recipient,)).dsn() == ""


def test_u_labels_become_a_labels() -> None:
    """A peer without SMTPUTF8 can still be told of an internationalized domain."""
    assert without_u_labels("a@bücher.example") == "a@xn--bcher-kva.example"
    assert without_u_labels("a@example.org") == "a@example.org"
    assert without_u_labels('"a b"@bücher.example') == '"a b"@xn--bcher-kva.example'


def test_a_submission_is_delivered_when_everybody_is() -> None:
    """One refusal is enough to say no."""
    yes, no = Reply(250, "", "ok"), Reply(550, "", "no")
    assert Submission((yes, yes), ("content", "content"), yes).delivered
    assert not Submission((yes, no), ("content", "RCPT"), yes).delivered


@pytest.mark.parametrize("bad", BAD)
def test_command_lines_hold_no_controls(bad: str) -> None:
    """The last line of defence: whatever was passed, nothing is written."""
    with pytest.raises(LocalProtocolError) as caught:
        command(f"RCPT TO:<secret{bad}>")
    assert "secret" not in str(caught.value)


def test_command_lines_are_bounded() -> None:
    """A line that no server would read is not sent."""
    assert command("NOOP") == b"NOOP\r\n"
    with pytest.raises(LocalProtocolError):
        command("x" * 2049)


@pytest.mark.parametrize(
    ("chunks", "wire"),
    [
        ([], b""),
        ([b""], b""),
        ([b"a\r\n"], b"a\r\n"),
        ([b"a"], b"a\r\n"),
        ([b"."], b"..\r\n"),
        ([b".\r\n"], b"..\r\n"),
        ([b".", b"\r\n.", b"\r\n"], b"..\r\n..\r\n"),
        ([b"a\r", b"\n", b".b\r\n"], b"a\r\n..b\r\n"),
        ([b"a\r\n", b".", b"b\r\n"], b"a\r\n..b\r\n"),
        ([b"a", b".b\r\n"], b"a.b\r\n"),
        ([b"\r\n.\r\n"], b"\r\n..\r\n"),
        ([b"..\r\n..."], b"...\r\n....\r\n"),
        ([b"\r", b"", b"\n."], b"\r\n..\r\n"),
    ],
)
def test_stuffs_dots_across_chunks(chunks: list[bytes], wire: bytes) -> None:
    """A dot at the beginning of a line is doubled wherever the content was cut."""
    assert b"".join(stuffed(chunks)) == wire


@pytest.mark.parametrize(
    "chunks",
    [
        [b"a\n"],
        [b"a\rb"],
        [b"a\r"],
        [b"a\r", b"b"],
        [b"\n"],
        [b"a\r\r\n"],
        [b"a\n\r\n"],
        [b"a\r", b"\r\n"],
        [b"a\r\n\n.\r\n"],
    ],
)
def test_refuses_a_cr_or_lf_that_stands_alone(chunks: list[bytes]) -> None:
    """Whoever takes it for a line end would find commands in the message."""
    with pytest.raises(LocalProtocolError):
        list(stuffed(chunks))


def test_long_chunks_are_cut() -> None:
    """A whole message given at once is still stuffed piece by piece."""
    data = b".\r\n" * PIECE
    pieces = list(stuffed([data]))
    assert len(pieces) >= 3
    assert b"".join(pieces) == b"..\r\n" * PIECE
    assert max(map(len, pieces)) <= 2 * PIECE
