"""IRC's way into TLS: STARTTLS (IRCv3)."""

from __future__ import annotations

import pytest
from tests.unit.wire.recipes.halves import ask, served

from gatepost.errors import RemoteProtocolError
from gatepost.wire.recipes.recipe import PeerLeft, UnexpectedWords, UpgradeRefused
from gatepost.wire.upgrade import PlaintextAfterUpgrade

ASK = b"CAP LS\r\n"
LISTED = (ASK, b":irc.example CAP * LS :multi-prefix tls sasl\r\n")
UPGRADE = b"STARTTLS\r\n"
GO = (UPGRADE, b":irc.example 670 * :go ahead\r\n")
NOTICE = b":irc.example NOTICE * :*** Looking up your hostname...\r\n"


def test_client_hears_notices_whenever_they_come() -> None:
    """A server looks its clients up and says so."""
    ask("irc", (b"", NOTICE), (ASK, NOTICE + LISTED[1] + NOTICE), (UPGRADE, b"NOTICE AUTH :x\r\n" + GO[1]))


def test_client_answers_a_ping() -> None:
    """Some servers want it answered before anything else."""
    ask(
        "irc",
        (ASK, b"PING :cookie 1\r\n"),
        (b"PONG :cookie 1\r\n", LISTED[1] + b"PING x\r\n"),
        (b"PONG :x\r\n" + UPGRADE, GO[1]),
    )


@pytest.mark.parametrize("line", [b"PING\r\n", b"PING a b\r\n", b"PING :a\0b\r\n", b"PING :" + b"x" * 500 + b"\r\n"])
def test_client_does_not_answer_every_ping(line: bytes) -> None:
    """One that cannot be answered in one line ends the conversation."""
    with pytest.raises(UnexpectedWords):
        ask("irc", (ASK, line))


@pytest.mark.parametrize(
    "script",
    [
        [(ASK, b":s 421 * CAP :Unknown command\r\n")],
        [(ASK, b":s CAP * LS :multi-prefix\r\n")],
        [(ASK, b":s CAP * LS :tlsx xtls\r\n")],
        [(ASK, b"ERROR :Closing link\r\n")],
        [LISTED, (UPGRADE, b":s 691 * :no\r\n")],
        [LISTED, (UPGRADE, b":s 451 * :not registered\r\n")],
        [LISTED, (UPGRADE, b"ERROR :bye\r\n")],
    ],
)
def test_client_gives_up_where_tls_is_not_offered_or_refused(script: list[tuple[bytes, bytes]]) -> None:
    """Numerics of refusal, and an offer that is not there."""
    with pytest.raises(UpgradeRefused):
        ask("irc", *script)


@pytest.mark.parametrize(
    "answer",
    [b":s 001 * :welcome\r\n", b"670x\r\n", b":s PRIVMSG a :670\r\n", b": 670\r\n", b"\r\n", b":s CAP * LS :tls\r\n"],
)
def test_client_takes_nothing_but_670_for_a_go_ahead(answer: bytes) -> None:
    """Nor does it hear what belongs to somebody who is registered."""
    with pytest.raises(RemoteProtocolError) as error:
        ask("irc", LISTED, (UPGRADE, answer))
    assert not isinstance(error.value, UpgradeRefused)


@pytest.mark.parametrize(
    "answer", [b":s CAP * ACK :tls\r\n", b":s CAP * LS\r\n", b":s NICK a\r\n", b"CAP * LS * :tls\r\n"]
)
def test_client_knows_an_answer_to_cap(answer: bytes) -> None:
    """A list that goes on was not asked for (CAP LS 302)."""
    with pytest.raises(UnexpectedWords):
        ask("irc", (ASK, answer))


def test_client_refuses_an_answer_that_came_before_the_question() -> None:
    """NOTICE and PING may come unasked, numerics may not; and behind the go-ahead nothing may."""
    with pytest.raises(UnexpectedWords):
        ask("irc", (ASK, LISTED[1] + GO[1]))
    with pytest.raises(PlaintextAfterUpgrade):
        ask("irc", LISTED, (UPGRADE, GO[1] + NOTICE))


def test_server_answers_what_clients_say_first() -> None:
    """CAP, PING and QUIT."""
    said, peer = served("irc", b"CAP LS 302\r\n", b"cap list\r\n", b"PING :a b\r\n", b"CAP END\r\n", b"QUIT :x\r\n")
    assert said[:3] == [b"", b":server.example CAP * LS :tls\r\n", b":server.example CAP * LIST :\r\n"]
    assert said[3:5] == [b":server.example PONG server.example :a b\r\n", b""]
    assert isinstance(peer.error, PeerLeft)


@pytest.mark.parametrize(
    "command", [b"NICK a\r\n", b"USER a 0 * :a\r\n", b"PASS p\r\n", b"CAP REQ :sasl\r\n", b"PING\r\n", b": \r\n"]
)
def test_server_serves_nothing_before_tls(command: bytes) -> None:
    """451: not registered."""
    said, _ = served("irc", command)
    assert said[1] == b":server.example 451 * :TLS first: STARTTLS\r\n"
