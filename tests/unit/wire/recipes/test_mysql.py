"""The way into TLS of MySQL and MariaDB: the SSLRequest packet."""

from __future__ import annotations

import pytest
from tests.unit.wire.recipes.halves import ORIGIN, ask, served

from gatepost.errors import LocalProtocolError
from gatepost.testing.memory import MemoryDriver, ScriptedPeer
from gatepost.testing.recipes import CLIENT_TERMS
from gatepost.wire.recipes.mysql import CLIENT_PROTOCOL_41, CLIENT_SSL
from gatepost.wire.recipes.recipe import PeerLeft, ServerTerms, UnexpectedWords, UpgradeRefused
from gatepost.wire.recipes.table import RECIPES
from gatepost.wire.upgrade import PlaintextAfterUpgrade


def packet(payload: bytes, sequence: int = 0) -> bytes:
    return len(payload).to_bytes(3, "little") + bytes((sequence,)) + payload


def greeting(capabilities: int = CLIENT_SSL | CLIENT_PROTOCOL_41, version: bytes = b"11.4.2-MariaDB") -> bytes:
    challenge = b"12345678"
    return (
        b"\x0a" + version + b"\0\1\0\0\0" + challenge + b"\0" + capabilities.to_bytes(2, "little") + b"\x2d\2\0"
        + bytes(2) + b"\x15" + bytes(10) + b"123456789012\0" + b"mysql_native_password\0"
    )  # fmt: skip


def test_client_answers_the_greeting_and_begins_at_once() -> None:
    """The request is 32 octets, the second packet, and there is no go-ahead."""
    peer = ScriptedPeer((b"", packet(greeting())))
    driver = MemoryDriver(peer)
    driver.run(RECIPES["mysql"].client(ORIGIN, CLIENT_TERMS))
    (request,) = driver.sent
    assert request[:4] == b"\x20\0\0\1"
    assert len(request) == 36
    assert int.from_bytes(request[4:8], "little") & CLIENT_SSL


def test_client_says_nothing_when_something_stands_behind_the_greeting() -> None:
    """The refusal comes before the request, not after it."""
    driver = MemoryDriver(ScriptedPeer((b"", packet(greeting()) + b"\7\0\0\2\0\0\0\2\0\0\0")))
    with pytest.raises(PlaintextAfterUpgrade):
        driver.run(RECIPES["mysql"].client(ORIGIN, CLIENT_TERMS))
    assert driver.sent == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (packet(b"\xff\x69\x04Host is blocked"), "Host is blocked"),
        (packet(greeting(CLIENT_PROTOCOL_41)), ""),
        (packet(greeting(CLIENT_SSL)), ""),
    ],
)
def test_client_gives_up_where_tls_is_not_offered(answer: bytes, words: str) -> None:
    """An error in place of the greeting, or capabilities without TLS."""
    with pytest.raises(UpgradeRefused) as refused:
        ask("mysql", (b"", answer))
    assert refused.value.words == words


@pytest.mark.parametrize(
    "answer",
    [
        packet(greeting(), 1), packet(b""), b"\xff\xff\xff\0", packet(b"\x09" + greeting()[1:]),
        packet(b"\x0a1.0\0\1\0"),
        packet(greeting(version=b"x" * 300)), packet(b"\x0a" + b"x" * 400), packet(b"\x0a1.0\0" + b"\1" * 30),
    ],
)  # fmt: skip
def test_client_knows_a_greeting(answer: bytes) -> None:
    """Protocol 10, the first packet, of a length that is possible, with an end to the version."""
    with pytest.raises(UnexpectedWords):
        ask("mysql", (b"", answer))


REQUEST = packet((CLIENT_SSL | CLIENT_PROTOCOL_41).to_bytes(4, "little") + bytes(28), 1)


def test_server_grants_without_a_word() -> None:
    """What comes next is the ClientHello, and nothing is said before it."""
    said, peer = served("mysql", REQUEST)
    assert said[1] == b""
    assert peer.granted is not None and peer.granted.go_ahead == b""


def test_server_takes_its_challenge_from_its_own_side() -> None:
    """Whoever serves inside knows it without having heard it here."""
    challenge = bytes(range(1, 21))
    said, _ = served("mysql", terms=ServerTerms(challenge=challenge))
    assert challenge[:8] + b"\0" in said[0] and challenge[8:] + b"\0" in said[0]
    for wrong in (b"short", bytes(20), b"x" * 21):
        with pytest.raises(LocalProtocolError):
            ServerTerms(challenge=wrong)


@pytest.mark.parametrize(
    "answer",
    [
        packet(CLIENT_PROTOCOL_41.to_bytes(4, "little") + bytes(28), 1),
        packet(CLIENT_SSL.to_bytes(4, "little") + bytes(28), 1),
        packet((CLIENT_SSL | CLIENT_PROTOCOL_41).to_bytes(4, "little") + bytes(28) + b"root\0\0", 1),
        packet(b"\x8d", 1),
    ],
)
def test_server_turns_away_who_does_not_ask(answer: bytes) -> None:
    """A login in the clear is answered with error 3159, whatever it says."""
    said, peer = served("mysql", answer)
    assert said[1][3:7] == b"\2\xff\x57\x0c"
    assert isinstance(peer.error, PeerLeft)


def test_server_refuses_a_login_behind_the_request() -> None:
    """In the words of the protocol: error 1043, bad handshake."""
    said, peer = served("mysql", REQUEST + packet(b"root", 2))
    assert said[1][4:7] == b"\xff\x13\x04"
    assert isinstance(peer.error, PlaintextAfterUpgrade)
