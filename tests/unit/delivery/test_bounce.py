"""Promises of delivery status notifications (RFC 3461, 3464, 6522, 6533)."""

from __future__ import annotations

import email
import email.policy
from dataclasses import replace
from email.message import EmailMessage

import pytest

from gatepost.delivery.bounce import Action, Fate, Report, Subject, build, clean, owed

CONTENT = b"From: <a@example.org>\r\nSubject: Hello\r\n\r\nbody line\r\n"
SUBJECT = Subject("a@example.org", "q1", 1_700_000_000.0, CONTENT, True)
FATE = Fate(
    "b@example.com", "failed", "5.1.1", "the server refused the recipient", "550 5.1.1 no such user", "mx.example.com"
)


def report(subject: Subject = SUBJECT, *fates: Fate, limit: int = 65536, until: float = 0.0) -> Report:
    """Build a report with fixed names."""
    return build(
        subject, fates or (FATE,), hostname="mx.test", report_id="r1", now=1_700_000_100.0, limit=limit, until=until
    )


def parsed(made: Report) -> EmailMessage:
    """Read a report the way a mail program does."""
    message = email.message_from_bytes(made.content, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    assert not message.defects
    return message


def parts(made: Report) -> list[EmailMessage]:
    """The three parts of a report."""
    found = list(parsed(made).iter_parts())
    assert len(found) == 3
    return [part for part in found if isinstance(part, EmailMessage)]


def fields(made: Report) -> list[dict[str, str]]:
    """The groups of fields of the second part, the message's own first."""
    text = parts(made)[1].as_bytes(policy=email.policy.HTTP).split(b"\r\n\r\n", 1)[1].decode()
    groups = [group for group in text.split("\r\n\r\n") if group.strip()]
    return [dict(line.split(": ", 1) for line in group.strip().split("\r\n")) for group in groups]


def test_report_is_a_multipart_report_from_nobody() -> None:
    """The type of RFC 6522, marked as automatic so that no other robot answers (RFC 3834 §5)."""
    message = parsed(report())
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["To"].addresses[0].addr_spec == "a@example.org"


def test_report_carries_the_fields_of_rfc_3464() -> None:
    """Per message and per recipient: who reports, about whom, what became of it, and why."""
    subject = replace(SUBJECT, envid="QQ+314")
    fate = replace(FATE, orcpt="rfc822;b+x@example.com", tls="TLSv1.3, verified")
    message, recipient = fields(report(subject, fate))
    assert message["Reporting-MTA"] == "dns; mx.test"
    assert message["Original-Envelope-Id"] == "QQ+314"
    assert recipient["Original-Recipient"] == "rfc822; b+x@example.com"
    assert recipient["Final-Recipient"] == "rfc822; b@example.com"
    assert recipient["Action"] == "failed"
    assert recipient["Status"] == "5.1.1"
    assert recipient["Remote-MTA"] == "dns; mx.example.com"
    assert recipient["Diagnostic-Code"] == "smtp; 550 5.1.1 no such user"
    assert recipient["X-Gatepost-TLS"] == "TLSv1.3, verified"


def test_report_lists_every_recipient() -> None:
    """One group of fields for each, in order."""
    made = report(SUBJECT, FATE, replace(FATE, address="c@example.com"))
    assert [group["Final-Recipient"] for group in fields(made)[1:]] == [
        "rfc822; b@example.com",
        "rfc822; c@example.com",
    ]


def test_report_gives_a_reason_of_our_own_a_type_of_our_own() -> None:
    """Only what a remote server said stands under ``smtp``."""
    made = report(SUBJECT, replace(FATE, diagnostic="", reason="no such domain"))
    assert fields(made)[1]["Diagnostic-Code"] == "x-gatepost; no such domain"


def test_report_returns_the_content_octet_by_octet() -> None:
    """What goes back is what came, even where it looks like a boundary, a From line or broken 8-bit."""
    content = b"Subject: x\r\n\r\n.dot\r\nFrom me\r\n--=_r1/6553f164--\r\n\xff\xfe\r\n"
    made = report(replace(SUBJECT, content=content))
    assert content in made.content
    assert made.eightbit
    assert parts(made)[2].get_content_type() == "message/rfc822"


@pytest.mark.parametrize(
    ("subject", "limit"),
    [(replace(SUBJECT, ret="HDRS"), 65536), (SUBJECT, 10), (replace(SUBJECT, whole=False), 65536)],
)
def test_report_returns_the_header_only(subject: Subject, limit: int) -> None:
    """Because RET asks so, because the message is big, or because only its header is at hand."""
    made = report(subject, limit=limit)
    assert parts(made)[2].get_content_type() == "text/rfc822-headers"
    assert b"body line" not in made.content
    assert b"Subject: Hello" in made.content


def test_report_of_a_success_returns_the_header_only() -> None:
    """RET=FULL is about failures (RFC 3461 §4.3)."""
    made = report(replace(SUBJECT, ret="FULL"), replace(FATE, action="delivered", status="2.0.0"))
    assert b"body line" not in made.content


def test_report_with_a_header_in_utf8_stays_ascii_for_an_ascii_sender() -> None:
    """A sender without SMTPUTF8 gets a report that every server takes (RFC 6533 §6)."""
    content = "Subject: Grüße\r\n\r\nx\r\n".encode()
    made = report(replace(SUBJECT, content=content), replace(FATE, address="jörg@example.com"))
    assert not made.smtputf8
    assert not made.eightbit
    assert made.content.isascii()
    assert fields(made)[1]["Final-Recipient"] == r"utf-8; j\x{F6}rg@example.com"
    assert parts(made)[2].get_content_type() == "message/global"


def test_report_to_a_utf8_sender_is_a_global_report() -> None:
    """RFC 6533 §4: the types and the addresses of internationalised mail."""
    made = report(replace(SUBJECT, sender="jörg@example.org"), replace(FATE, address="bø@example.com"))
    assert made.smtputf8
    assert parts(made)[1].get_content_type() == "message/global-delivery-status"
    assert "Final-Recipient: utf-8; bø@example.com".encode() in made.content


def test_report_of_a_delay_says_until_when() -> None:
    """RFC 3464 §2.3.9."""
    made = report(SUBJECT, replace(FATE, action="delayed", status="4.4.1"), until=1_700_400_000.0)
    assert fields(made)[1]["Will-Retry-Until"].startswith("Sun, 19 Nov 2023")


def test_report_never_lets_a_peer_write_fields() -> None:
    """Text from a peer or a sender cannot begin a line, hide in a terminal, or grow without bound."""
    nasty = "550 no\r\nAction: delivered\n\x1b[2J\u202e" + "x" * 5000
    fate = replace(FATE, diagnostic=nasty, remote="mx\r\nX: y", reason=nasty, orcpt="rfc822;a\r\nX: y", tls=nasty)
    made = report(replace(SUBJECT, envid="a\r\nX-Evil: 1"), fate)
    message, recipient = fields(made)
    assert recipient["Action"] == "failed"
    assert set(message) == {"Reporting-MTA", "Original-Envelope-Id", "Arrival-Date"}
    assert b"\x1b" not in made.content
    assert max(len(line) for line in made.content.split(b"\r\n")) <= 998


@pytest.mark.parametrize(
    ("action", "sender", "notify", "expected"),
    [
        ("failed", "a@b.test", None, True),
        ("delayed", "a@b.test", None, False),
        ("delivered", "a@b.test", None, False),
        ("failed", "", None, False),
        ("failed", "", frozenset({"FAILURE"}), False),
        ("failed", "a@b.test", frozenset({"NEVER"}), False),
        ("failed", "a@b.test", frozenset({"SUCCESS"}), False),
        ("failed", "a@b.test", frozenset({"SUCCESS", "FAILURE"}), True),
        ("delayed", "a@b.test", frozenset({"DELAY"}), True),
        ("delivered", "a@b.test", frozenset({"SUCCESS"}), True),
        ("relayed", "a@b.test", frozenset({"SUCCESS"}), True),
    ],
)
def test_report_is_owed_as_notify_says(
    action: Action, sender: str, notify: frozenset[str] | None, expected: bool
) -> None:
    """RFC 3461 §5.2; and never to the null sender, so never about a report (RFC 5321 §4.5.5)."""
    assert owed(action, sender, notify) is expected


def test_cleaned_text_is_one_line_of_bounded_length() -> None:
    """Controls become a space and long text is cut with a sign that it was."""
    assert clean("a\r\nb\tc\x00d\u2028e") == "a b c d e"
    assert clean("x" * 50, 10) == "xxxxxxx..."
