"""FTP's way into TLS: AUTH TLS (RFC 4217)."""

from __future__ import annotations

import pytest
from tests.unit.wire.recipes.halves import ask, served

from gatepost.testing.memory import MemoryDriver, ScriptedPeer
from gatepost.wire.recipes.recipe import PeerLeft, UnexpectedWords, UpgradeRefused
from gatepost.wire.recipes.table import recipe

HELLO = (b"", b"220 ready\r\n")
LISTED = (b"FEAT\r\n", b"211-Features:\r\n UTF8\r\n AUTH TLS\r\n PBSZ\r\n211 End\r\n")
UPGRADE = b"AUTH TLS\r\n"
GO = (UPGRADE, b"234 go\r\n")


@pytest.mark.parametrize(
    "greeting",
    [
        b"220\r\n",
        b"120 in a minute\r\n220 ready\r\n",
        b"220-Welcome\r\n230 not a code here\r\n  220 nor here\r\n\r\n220-nor here\r\n220 ready\r\n",
        b"220-Welcome\r\n220\r\n",
    ],
)
def test_client_hears_a_greeting_of_many_lines(greeting: bytes) -> None:
    """RFC 959 §4.2: it ends with its code and a space, and may hold anything before."""
    ask("ftp", (b"", greeting), LISTED, GO)


@pytest.mark.parametrize("feature", [b" AUTH TLS", b" auth tls", b" AUTH SSL;TLS;", b" AUTH TLS;SSL;TLS-C"])
def test_client_finds_the_offer_in_the_features(feature: bytes) -> None:
    """RFC 4217 §6, and the lists that servers make of it."""
    ask("ftp", HELLO, (b"FEAT\r\n", b"211-Features:\r\n" + feature + b"\r\n211 End\r\n"), GO)


@pytest.mark.parametrize("answer", [b"500 what\r\n", b"502 no\r\n", b"530 log in first\r\n"])
def test_client_just_asks_where_features_are_not_told(answer: bytes) -> None:
    """A server without FEAT may have AUTH TLS all the same."""
    ask("ftp", HELLO, (b"FEAT\r\n", answer), GO)


@pytest.mark.parametrize(
    "script",
    [
        [(b"", b"421 busy\r\n")],
        [(b"", b"120 in a minute\r\n421 busy\r\n")],
        [(b"", b"530 no\r\n")],
        [HELLO, (b"FEAT\r\n", b"211-Features:\r\n AUTH SSL\r\n AUTH TLSX\r\nAUTH TLS\r\n211 End\r\n")],
        [HELLO, (b"FEAT\r\n", b"211 none\r\n")],
        [HELLO, (b"FEAT\r\n", b"421 busy\r\n")],
        [HELLO, LISTED, (UPGRADE, b"504 no\r\n")],
        [HELLO, LISTED, (UPGRADE, b"534 policy\r\n")],
        [HELLO, LISTED, (UPGRADE, b"421-so\r\n long\r\n421 bye\r\n")],
    ],
)
def test_client_gives_up_where_tls_is_not_offered_or_refused(script: list[tuple[bytes, bytes]]) -> None:
    """Refusals at any step; FEAT that does not list it."""
    with pytest.raises(UpgradeRefused):
        ask("ftp", *script)


@pytest.mark.parametrize("answer", [b"334 data\r\n", b"220 go\r\n", b"234x go\r\n", b"go\r\n", b"235 go\r\n", b"\r\n"])
def test_client_takes_nothing_but_234_for_a_go_ahead(answer: bytes) -> None:
    """RFC 4217 §4."""
    with pytest.raises(UnexpectedWords):
        ask("ftp", HELLO, LISTED, (UPGRADE, answer))


def test_server_answers_what_clients_say_first() -> None:
    """FEAT, NOOP, mechanisms that are not TLS, QUIT."""
    said, peer = served("ftp", b"feat\r\n", b"NOOP\r\n", b"AUTH SSL\r\n", b"QUIT\r\n")
    assert b"\r\n AUTH TLS\r\n" in said[1]
    assert said[2:] == [b"200 Ok\r\n", b"504 No other mechanism than TLS\r\n", b"221 Bye\r\n"]
    assert isinstance(peer.error, PeerLeft)


@pytest.mark.parametrize("command", [b"AUTH TLS\r\n", b"auth  tls\r\n", b"AUTH TLS-C\r\n"])
def test_server_grants_tls_under_each_of_its_names(command: bytes) -> None:
    """RFC 4217 §17."""
    said, peer = served("ftp", command)
    assert said[1] == b"234 Begin TLS negotiation\r\n"
    assert peer.granted is not None


@pytest.mark.parametrize("command", [b"USER u\r\n", b"PASS p\r\n", b"PORT 1,2,3,4,5,6\r\n", b"AUTH\r\n"])
def test_server_serves_nothing_before_tls(command: bytes) -> None:
    """530, and no password was taken."""
    said, _ = served("ftp", command)
    assert said[1] == b"530 TLS first: AUTH TLS\r\n"


@pytest.mark.parametrize(
    "greeting", [b"220 far ready\r\n", b"220-far\r\n ready\r\n220 now\r\n", b"120 wait\r\n220 far\r\n"]
)
def test_greeting_is_heard_by_itself(greeting: bytes) -> None:
    """A gate that has greeted its client takes the server's greeting away, and nothing of what stands behind it."""
    half = recipe("ftp").greeting
    assert half is not None
    assert MemoryDriver(ScriptedPeer((b"", greeting + b"more"))).run(half.hear(60.0)) == b"more"
    with pytest.raises(UpgradeRefused):
        MemoryDriver(ScriptedPeer((b"", b"421 later\r\n"))).run(half.hear(60.0))
    assert half.say("gate.test") == b"220 gate.test FTP ready\r\n"
