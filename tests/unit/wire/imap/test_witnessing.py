"""What a transcript of an IMAP conversation shows of the server's requests for more."""

from __future__ import annotations

from tests.unit.record.recording import recorded
from tests.unit.wire.imap.imap_talk import ORIGIN, PROFILE, hear

from gatepost.record.events import Line
from gatepost.wire.imap.client import Opening
from gatepost.wire.imap.relay import ClearServer


def told(*turns: tuple[bytes, bytes]) -> list[bytes]:
    """The server's lines in the record, after each thing that the client said and the server's answer to it."""
    engine = ClearServer(ORIGIN, PROFILE, logins=True)
    witness, shelved = recorded(protocol="imap")
    engine.watch(witness)
    engine.opened(Opening(b"", (b"IMAP4rev1",)), greet=False)
    for client, server in turns:
        hear(engine, client)
        engine.receive_from_server(server)
        hear(engine, b"")
        engine.outgoing()
    return [event.data for event in shelved.events if isinstance(event, Line) and event.speaker == "server"]


def test_request_for_a_literal_is_shown() -> None:
    """APPEND's and IDLE's: nothing of a login is in it."""
    assert told((b"a APPEND x {3}\r\n", b"+ Ready for literal data\r\n")) == [b"+ Ready for literal data"]
    assert told((b"a IDLE\r\n", b"+ idling\r\n")) == [b"+ idling"]


def test_challenge_of_a_login_is_not_shown() -> None:
    """Nor what is asked of somebody who says what nobody knows: it may be a login."""
    assert told((b"a AUTHENTICATE SCRAM-SHA-256\r\n", b"+ c2FsdA==\r\n")) == [b"+ ***"]
    assert told((b"a LOGIN {3}\r\n", b"+ c2FsdA==\r\n")) == [b"+ ***"]
    assert told((b"a LOGGIN x {3}\r\n", b"+ c2FsdA==\r\n")) == [b"+ ***"]
