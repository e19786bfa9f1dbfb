"""What a transcript of an SMTP conversation shows: everything in its order, and nothing of a login."""

from __future__ import annotations

import pytest
from tests.unit.wire.shown import Shown
from tests.unit.wire.smtp.serving import Talk, opened, plain, secure

from gatepost.wire.smtp import reply
from gatepost.wire.smtp.extensions import Extensions
from gatepost.wire.smtp.server import SecureServer


def watched(talk: Talk) -> list[bytes]:
    """What is shown of a conversation from here on."""
    talk.engine.witness = witness = Shown()
    return witness.seen


def test_message_is_shown_in_its_order() -> None:
    """Commands, replies, content without its doubled dots, its end."""
    talk = opened(plain())
    seen = watched(talk)
    talk.say(b"DATA\r\n")
    talk.say(b"..a\r\n.\r\n")
    talk.say(b"NOOP\r\n")
    assert seen == [
        b"C DATA", b"S 354 End data with <CR><LF>.<CR><LF>", b"D .a\r\n", b"E", b"S 250 2.0.0 Ok: queued as 1",
        b"C NOOP", b"S 250 2.0.0 Ok",
    ]  # fmt: skip


def test_message_that_breaks_a_rule_or_is_cut_off_is_told_as_half() -> None:
    """A transcript does not take for whole what nobody accepted."""
    for said in (b"DATA\r\na\nb\r\n.\r\n", b"BDAT 1\r\naRSET\r\n"):
        talk = opened(plain())
        seen = watched(talk)
        talk.say(said)
        assert [entry for entry in seen if entry[:1] == b"E"] == [b"E half"]


def test_login_is_hidden() -> None:
    """Initial responses, challenges and responses, one that is too long to be read; that it is given up is shown."""
    talk = secure(auth_mechanisms=("PLAIN", "LOGIN"))
    talk.say(b"EHLO a\r\n")
    assert isinstance(talk.engine, SecureServer)
    seen = watched(talk)
    for said in (b"c2VjcmV0", b"A" * 20000, b"*"):
        talk.say(b"AUTH LOGIN c2VjcmV0\r\n")
        talk.engine.challenge(b"who?")
        talk.run()
        talk.say(said + b"\r\n")
        if talk.engine.waiting:
            talk.engine.answer(reply.AUTH_FAILED)
        talk.run()
    assert [entry for entry in seen if entry[:3] != b"S 5"] == [
        b"C AUTH LOGIN***", b"S 334 ***", b"C ***",
        b"C AUTH LOGIN***", b"S 334 ***", b"C ***",
        b"C AUTH LOGIN***", b"S 334 ***", b"C *",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (b"NOOP 1\rx", b"C NOOP 1\r"),
        (b"NOOP AUTH\rPLAIN c2VjcmV0", b"C NOOP***"),
        (b"AUTH PLAIN c2Vj\rcmV0", b"C AUTH***"),
        (b"c2Vj\rcmV0", b"C ***"),
    ],
)
def test_line_that_cannot_be_read_is_shown_where_it_carries_no_credentials(line: bytes, shown: bytes) -> None:
    """The beginning of a known command is evidence of what broke; what may be a password is not."""
    talk = secure()
    seen = watched(talk)
    talk.say(line + b"\r\n")
    assert seen[0] == shown


def test_verbs_of_extensions_are_known() -> None:
    """They are shown whole; a verb that nobody defined is shown without what stands behind it."""
    talk = secure(secure_extensions=Extensions(verbs=frozenset({"XQUOTA"})))
    seen = watched(talk)
    talk.say(b"XOTHER me\r\nXQUOTA me\r\n")
    assert [entry for entry in seen if entry[:1] == b"C"] == [b"C XOTHER***", b"C XQUOTA me"]
