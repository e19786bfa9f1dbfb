"""A conversation in the clear that passes logins on, and what engines do when another server answers."""

from __future__ import annotations

import pytest
from tests.unit.wire.pop3.maildrop_talk import ORIGIN, evidence, logged_in, profile, secure, unprotected

from gatepost.errors import LocalProtocolError
from gatepost.wire.pop3.events import LoginRequested, NoopAsked, StartTLSRequested
from gatepost.wire.pop3.multiline import ExactWriter
from gatepost.wire.pop3.reply import OK
from gatepost.wire.pop3.server import SecureServer
from gatepost.wire.pop3.states import UNPROTECTED, State
from gatepost.wire.pop3.unprotected import UnprotectedServer


def test_unprotected_takes_a_login_and_no_upgrade() -> None:
    """STLS is neither listed nor heard; nothing that was said can come into a private session."""
    talk = unprotected(auth_mechanisms=("PLAIN", "SCRAM-SHA-256-PLUS"))
    listed = talk.say(b"CAPA\r\n")
    assert b"\r\nUSER\r\n" in listed
    assert b"\r\nSASL PLAIN\r\n" in listed
    assert b"STLS" not in listed
    assert talk.say(b"STLS\r\n").startswith(b"-ERR")
    assert talk.of(StartTLSRequested) == []
    assert talk.say(b"USER alice\r\nPASS secret\r\nSTAT\r\n").endswith(b"+OK Logged in\r\n+OK 1 27\r\n")
    assert len(talk.of(LoginRequested)) == 1


def test_unprotected_has_no_way_to_an_upgrade() -> None:
    """Not in its table, and not as a method."""
    assert not any(target is State.UPGRADED for row in UNPROTECTED.edges.values() for target in row.values())
    assert not hasattr(UnprotectedServer, "grant_upgrade")


def test_offer_replaces_what_is_offered_before_anything_is_answered() -> None:
    """The list is that of the server behind, once there is one."""
    talk = secure()
    assert isinstance(talk.engine, SecureServer)
    talk.engine.receive(b"CAPA\r\n")
    talk.engine.offer(profile(listed=("UIDL", "X-BEHIND"), auth_mechanisms=("PLAIN",), utf8=False))
    assert talk.run() == b"+OK Capabilities follow\r\nUIDL\r\nX-BEHIND\r\nUSER\r\nSASL PLAIN\r\n.\r\n"
    with pytest.raises(LocalProtocolError):
        talk.engine.offer(profile())


def test_offer_keeps_bindings_out_where_there_is_none() -> None:
    """As the constructor does."""
    engine = SecureServer(ORIGIN, evidence(binding=False), profile())
    engine.offer(profile(listed=(), auth_mechanisms=("SCRAM-SHA-256-PLUS", "PLAIN"), utf8=False))
    engine.receive(b"CAPA\r\n")
    assert engine.next_event() is None
    assert b"\r\nSASL PLAIN\r\n" in engine.outgoing()


def test_relayed_noop_is_answered_by_another_server() -> None:
    """It asks, and nothing behind it is read before its answer."""
    talk = logged_in(relayed=True)
    assert talk.say(b"NOOP\r\nSTAT\r\n") == b""
    assert talk.of(NoopAsked) == [NoopAsked()]
    talk.engine.answer(OK)
    assert talk.run() == b"+OK Done\r\n+OK 1 27\r\n"


WIRE = b"Subject: x\r\n\r\n..\r\n..dots\nbare\n.\r\nlast\0\xff\r\n"


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
def test_exact_answer_is_what_another_server_sent(size: int) -> None:
    """Octet for octet, however it is cut; and what a witness is shown has its dots undone."""
    talk = logged_in(silent=True)
    talk.say(b"RETR 1\r\n")
    talk.engine.begin_multiline("here", exact=True)
    for at in range(0, len(WIRE), size):
        talk.engine.multiline(WIRE[at : at + size])
    assert talk.engine.end_multiline() == len(WIRE)
    assert talk.engine.outgoing() == b"+OK here\r\n" + WIRE + b".\r\n"


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
def test_exact_writer_shows_content_without_its_stuffing(size: int) -> None:
    """For transcripts: the same for every cut."""
    writer, shown = ExactWriter(), b""
    for wire in (WIRE, b"..at once\r\n"):
        writer, shown = ExactWriter(), b""
        for at in range(0, len(wire), size):
            writer.write(wire[at : at + size])
            shown += writer.written
        writer.finish()
        assert writer.written == b""
        assert shown == (b"\r\n" + wire).replace(b"\r\n.", b"\r\n")[2:]
