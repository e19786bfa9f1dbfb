"""NNTP's way into TLS: STARTTLS (RFC 4642)."""

from __future__ import annotations

import pytest
from tests.unit.wire.recipes.halves import ask, served

from gatepost.testing.memory import MemoryDriver, ScriptedPeer
from gatepost.wire.recipes.recipe import PeerLeft, UnexpectedWords, UpgradeRefused
from gatepost.wire.recipes.table import recipe

HELLO = (b"", b"200 news ready\r\n")
ASK = b"CAPABILITIES\r\n"
LISTED = (ASK, b"101 list\r\nVERSION 2\r\nStarttls\r\nOVER\r\n.\r\n")
UPGRADE = b"STARTTLS\r\n"


@pytest.mark.parametrize("greeting", [b"200 posting\r\n", b"201\r\n"])
def test_client_upgrades_where_starttls_is_listed(greeting: bytes) -> None:
    """Either greeting will do."""
    ask("nntp", (b"", greeting), LISTED, (UPGRADE, b"382 go on\r\n"))


def test_client_asks_a_transit_server_for_its_reader_side() -> None:
    """RFC 3977 §5.3: STARTTLS may be listed only behind MODE READER."""
    transit = (ASK, b"101 list\r\nVERSION 2\r\nIHAVE\r\nMODE-READER\r\n.\r\n")
    ask("nntp", HELLO, transit, (b"MODE READER\r\n", b"200 hello\r\n"), LISTED, (UPGRADE, b"382 go\r\n"))


@pytest.mark.parametrize(
    ("script", "temporary"),
    [
        ([(b"", b"400 later\r\n")], True),
        ([(b"", b"502 no\r\n")], False),
        ([HELLO, (ASK, b"500 what\r\n")], False),
        ([HELLO, (ASK, b"101 list\r\nVERSION 2\r\nXSTARTTLS\r\n.\r\n")], False),
        ([HELLO, LISTED, (UPGRADE, b"580 can not\r\n")], False),
        ([HELLO, LISTED, (UPGRADE, b"483 no\r\n")], True),
    ],
)
def test_client_gives_up_where_tls_is_not_offered_or_refused(
    script: list[tuple[bytes, bytes]], temporary: bool
) -> None:
    """The class of the code says whether to try again."""
    with pytest.raises(UpgradeRefused) as refused:
        ask("nntp", *script)
    assert refused.value.temporary is temporary


@pytest.mark.parametrize(
    "answer", [b"200 go\r\n", b"38 go\r\n", b"382go\r\n", b"3820 go\r\n", b"\r\n", b"101 list\r\n"]
)
def test_client_takes_nothing_but_382_for_a_go_ahead(answer: bytes) -> None:
    """RFC 4642 §2.2.1."""
    with pytest.raises(UnexpectedWords):
        ask("nntp", HELLO, LISTED, (UPGRADE, answer))


def test_server_answers_what_clients_say_first() -> None:
    """CAPABILITIES, MODE READER and QUIT."""
    said, peer = served("nntp", b"capabilities\r\n", b"mode  reader\r\n", b"quit\r\n")
    assert b"\r\nSTARTTLS\r\n" in said[1]
    assert said[2].startswith(b"201 ")
    assert said[3].startswith(b"205 ")
    assert isinstance(peer.error, PeerLeft)


@pytest.mark.parametrize("command", [b"GROUP a\r\n", b"AUTHINFO USER a\r\n", b"POST\r\n", b"STARTTLS x\r\n"])
def test_server_serves_nothing_before_tls(command: bytes) -> None:
    """483: encryption is needed."""
    said, _ = served("nntp", command)
    assert said[1] == b"483 TLS first: STARTTLS\r\n"


@pytest.mark.parametrize("greeting", [b"200 far ready\r\n", b"201 far\r\n"])
def test_greeting_is_heard_by_itself(greeting: bytes) -> None:
    """A gate that has greeted its client takes the server's greeting away, and nothing of what stands behind it."""
    half = recipe("nntp").greeting
    assert half is not None
    assert MemoryDriver(ScriptedPeer((b"", greeting + b"more"))).run(half.hear(60.0)) == b"more"
    with pytest.raises(UpgradeRefused):
        MemoryDriver(ScriptedPeer((b"", b"400 later\r\n"))).run(half.hear(60.0))
    assert half.say("gate.test") == b"200 gate.test NNTP ready\r\n"
