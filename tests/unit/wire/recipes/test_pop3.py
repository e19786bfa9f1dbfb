"""POP3's way into TLS: STLS (RFC 2595)."""

from __future__ import annotations

import pytest
from tests.unit.wire.recipes.halves import ask, served

from gatepost.errors import RemoteProtocolError
from gatepost.wire.recipes.recipe import PeerLeft, UnexpectedWords, UpgradeRefused

HELLO = (b"", b"+OK ready <1896.697@server.example>\r\n")
LISTED = (b"CAPA\r\n", b"+OK\r\nUSER\r\nstls\r\nSASL PLAIN\r\n.\r\n")


@pytest.mark.parametrize("go_ahead", [b"+OK\r\n", b"+OK Begin TLS negotiation\r\n"])
def test_client_upgrades_where_stls_is_listed(go_ahead: bytes) -> None:
    """Capabilities in any case; the text of the go-ahead does not matter."""
    ask("pop3", HELLO, LISTED, (b"STLS\r\n", go_ahead))


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ([(b"", b"-ERR too many\r\n")], "-ERR too many"),
        ([HELLO, (b"CAPA\r\n", b"-ERR what?\r\n")], "-ERR what?"),
        ([HELLO, (b"CAPA\r\n", b"+OK\r\nUSER\r\nXSTLS\r\nSTLSX\r\n.\r\n")], ""),
        ([HELLO, LISTED, (b"STLS\r\n", b"-ERR not now\r\n")], "-ERR not now"),
    ],
)
def test_client_gives_up_with_the_words_of_the_server(script: list[tuple[bytes, bytes]], words: str) -> None:
    """Not offered, or refused at any step."""
    with pytest.raises(UpgradeRefused) as refused:
        ask("pop3", *script)
    assert refused.value.words == words


@pytest.mark.parametrize(
    "answer", [b"OK\r\n", b"+OKAY\r\n", b"\r\n", b"220 go\r\n", b"+OK\n", b"+OK \r x\r\n", b"+ok\r\n"]
)
def test_client_takes_nothing_else_for_a_go_ahead(answer: bytes) -> None:
    """+OK and -ERR are all there is (RFC 1939 §3), on a line of its own."""
    with pytest.raises(RemoteProtocolError) as error:
        ask("pop3", HELLO, LISTED, (b"STLS\r\n", answer))
    assert not isinstance(error.value, UpgradeRefused)


def test_server_says_what_it_can_and_waits_for_stls() -> None:
    """CAPA lists STLS, and nothing that would need a password."""
    said, peer = served("pop3", b"CAPA\r\n", b"capa \r\n", b"stls\r\n")
    assert said[0] == b"+OK server.example POP3 ready\r\n"
    assert said[1] == said[2]
    assert b"\r\nSTLS\r\n" in said[1]
    assert b"USER" not in said[1] and b"SASL" not in said[1]
    assert said[3].startswith(b"+OK")
    assert peer.granted is not None


@pytest.mark.parametrize(
    "command", [b"USER u\r\n", b"PASS p\r\n", b"AUTH PLAIN AAAA\r\n", b"STLS now\r\n", b"\r\n", b"NOOP\r\n"]
)
def test_server_serves_nothing_before_tls(command: bytes) -> None:
    """Each is answered, and ten of them are enough."""
    said, peer = served("pop3", *[command] * 11)
    assert said[1:11] == [b"-ERR [SYS/PERM] TLS first: STLS\r\n"] * 10
    assert isinstance(peer.error, UnexpectedWords)


def test_server_lets_a_client_go() -> None:
    """QUIT is answered."""
    said, peer = served("pop3", b"QUIT\r\n")
    assert said[1] == b"+OK Bye\r\n"
    assert isinstance(peer.error, PeerLeft)
    assert peer.closed


@pytest.mark.parametrize("line", [b"CAPA\n", b"CA\rPA\r\n", b"x" * 3000])
def test_server_ends_at_what_is_no_line(line: bytes) -> None:
    """A line that stands on a lone CR or LF, or has no end, is the last one."""
    said, peer = served("pop3", line)
    assert said[1].startswith(b"-ERR")
    assert isinstance(peer.error, UnexpectedWords)
