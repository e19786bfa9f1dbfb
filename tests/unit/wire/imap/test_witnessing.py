"""What a transcript shows of an IMAP conversation, and what it measures or hides."""

from __future__ import annotations

from tests.unit.record.recording import recorded
from tests.unit.wire.imap.imap_talk import ORIGIN, PROFILE, answer, hear, relay
from tests.unit.wire.shown import Shown

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


def seen(*turns: tuple[bytes, bytes], authenticated: bool = True) -> list[bytes]:
    """What a witness is shown, each thing that the client says followed by the server's answer."""
    engine, witness = relay(authenticated=authenticated), Shown()
    engine.watch(witness)
    for client, server in turns:
        hear(engine, client)
        answer(engine, server)
        engine.outgoing()
    return witness.seen


def test_message_is_content_and_what_the_server_tells_is_measured() -> None:
    """APPEND's literal is a message; a mailbox's data are octets that pass; each ends before the next line."""
    assert seen(
        (b"a APPEND x {3+}\r\nabc\r\n", b"a OK [APPENDUID 1 2] done\r\n"),
        (b"b FETCH 1 BODY[]\r\n", b"* 1 FETCH (BODY[] {3}\r\nxyz)\r\nb OK done\r\n"),
        (b"c SEARCH TEXT {3+}\r\nabc\r\n", b"* SEARCH\r\nc OK done\r\n"),
    ) == [
        b"C a APPEND x {3+}", b"D abc", b"E", b"C ", b"S a OK [APPENDUID 1 2] done",
        b"C b FETCH 1 BODY[]", b"L * 1 FETCH (BODY[] {3}\r\nxyz)\r\n", b"E", b"S b OK done",
        b"C c SEARCH TEXT {3+}", b"L abc", b"E", b"C ", b"L * SEARCH\r\n", b"E", b"S c OK done",
    ]  # fmt: skip


def test_credentials_are_hidden_wherever_they_stand() -> None:
    """In the line, in literals, in what answers a challenge: the name of the command and the mechanism are left."""
    assert seen((b"a LOGIN bob secret\r\n", b"a NO secret is wrong\r\n"), authenticated=False) == [
        b"C a LOGIN***", b"S a NO secret is wrong",
    ]  # fmt: skip
    assert seen((b"a LOGIN {3+}\r\nbob {6+}\r\nsecret\r\n", b""), authenticated=False) == [
        b"C a LOGIN***", b"C ***", b"C ***",
    ]  # fmt: skip
    assert seen(
        (b"a AUTHENTICATE PLAIN\r\n", b"+ \r\n"), (b"AGJvYgBzZWNyZXQ=\r\n", b"a OK in\r\n"), authenticated=False
    ) == [b"C a AUTHENTICATE PLAIN***", b"S + ***", b"C ***", b"S a OK in"]


def test_answer_to_what_was_not_shown_is_not_shown() -> None:
    """A line that is no command may be a password, and the answer may repeat it as its tag and in its text."""
    assert seen((b"secret word\r\n", b"secret BAD word?\r\n")) == [b"C ***", b"S *** BAD ***"]
    assert seen((b"secret\r\n", b"")) == [b"C ***", b"S *** BAD ***"]


def test_what_breaks_the_protocol_is_not_shown() -> None:
    """Nobody knows what it is."""
    assert seen((b"a NOOP\rb LOGIN bob secret\r\n", b"")) == [
        b"C ***", b"S *** BAD ***", b"S * BYE Closing: what follows cannot be told apart",
    ]  # fmt: skip


def test_nothing_is_shown_where_nothing_is_said() -> None:
    """The end behind LOGOUT is the server's: we add no words, and the record has none."""
    assert seen((b"a LOGOUT\r\n", b"* BYE bye\r\na OK done\r\n")) == [b"C a LOGOUT", b"S * BYE bye", b"S a OK done"]


def test_witness_that_fails_costs_nothing_but_the_record() -> None:
    """It is told what broke, and the conversation goes on."""

    class Full(Shown):
        def __init__(self) -> None:
            super().__init__()
            self.errors: list[Exception] = []

        def heard(self, line: bytes, hidden_from: int | None = None) -> None:
            raise OSError("disk full")

        def broke(self, error: Exception) -> None:
            self.errors.append(error)

    engine, witness = relay(authenticated=True), Full()
    engine.watch(witness)
    hear(engine, b"a NOOP\r\n")
    assert engine.to_server() == b"a NOOP\r\n"
    assert [str(error) for error in witness.errors] == ["disk full"]
