"""ManageSieve's way into TLS: STARTTLS (RFC 5804 §2.2)."""

from __future__ import annotations

import pytest
from tests.unit.wire.recipes.halves import ask, served

from gatepost.errors import RemoteProtocolError
from gatepost.wire.recipes.recipe import PeerLeft, UnexpectedWords, UpgradeRefused

LIST = b'"IMPLEMENTATION" "x"\r\n"SIEVE" "fileinto"\r\n"starttls"\r\n'
HELLO = (b"", LIST + b"OK\r\n")
GO = (b"STARTTLS\r\n", b"OK\r\n")


@pytest.mark.parametrize(
    "greeting",
    [
        LIST + b'OK "ready"\r\n',
        LIST + b"OK (WARNINGS) {5}\r\nready\r\n",
        LIST + b'"OWNER" {7}\r\na\r\nOK\r\n\r\nOK\r\n',
        LIST + b'"A" {3+}\r\nabc\r\nok\r\n',
        LIST + b'"A" {4096}\r\n' + b"a" * 4096 + b"\r\nOK\r\n",
    ],
)
def test_client_hears_capabilities_and_literals_to_their_end(greeting: bytes) -> None:
    """What stands in a literal is not read as lines (RFC 5804 §4)."""
    ask("sieve", (b"", greeting), GO)


def test_client_does_not_find_an_offer_within_a_literal() -> None:
    """The word STARTTLS in somebody's text is no capability."""
    with pytest.raises(UpgradeRefused):
        ask("sieve", (b"", b'"IMPLEMENTATION" {12}\r\n"STARTTLS"\r\n\r\nOK\r\n'), GO)


@pytest.mark.parametrize(
    "script",
    [
        [(b"", b"BYE\r\n")],
        [(b"", b'"SIEVE" ""\r\nOK\r\n')],
        [HELLO, (GO[0], b'NO "no"\r\n')],
        [HELLO, (GO[0], b"BYE {2}\r\nno\r\n")],
    ],
)
def test_client_gives_up_where_tls_is_not_offered_or_refused(script: list[tuple[bytes, bytes]]) -> None:
    """NO and BYE, at any step."""
    with pytest.raises(UpgradeRefused):
        ask("sieve", *script)


@pytest.mark.parametrize(
    "answer",
    [b"OKAY\r\n", b"\r\n", b"+OK\r\n", b'"STARTTLS"\r\nOK\r\n', b"OK {4097}\r\n", b"OK {2}\r\n", b'"\\"" ""\r\n'],
)
def test_client_takes_nothing_else_for_a_go_ahead(answer: bytes) -> None:
    """Capabilities belong inside TLS; a literal has a length that is possible."""
    with pytest.raises(RemoteProtocolError) as error:
        ask("sieve", HELLO, (GO[0], answer))
    assert not isinstance(error.value, UpgradeRefused)


def test_client_does_not_hear_literals_for_ever() -> None:
    """A response has at most 64 of them."""
    with pytest.raises(UnexpectedWords, match="literals"):
        ask("sieve", (b"", b'"X" {0}\r\n' + b"{0}\r\n" * 100 + b"\r\nOK\r\n"))


def test_server_answers_what_clients_say_first() -> None:
    """CAPABILITY again, NOOP with and without a tag, LOGOUT."""
    said, peer = served("sieve", b"capability\r\n", b"NOOP\r\n", b'noop "sync 1"\r\n', b"LOGOUT\r\n")
    assert said[0] == said[1]
    assert b'"STARTTLS"\r\n' in said[0] and b'"SASL" ""\r\n' in said[0]
    assert said[2] == b'OK "Done"\r\n'
    assert said[3] == b'OK (TAG "sync 1") "Done"\r\n'
    assert isinstance(peer.error, PeerLeft)


@pytest.mark.parametrize("command", [b'AUTHENTICATE "PLAIN" "AAAA"\r\n', b"LISTSCRIPTS\r\n", b"STARTTLS now\r\n"])
def test_server_serves_nothing_before_tls(command: bytes) -> None:
    """The code is the one of RFC 5804 §1.3."""
    said, _ = served("sieve", command)
    assert said[1] == b'NO (ENCRYPT-NEEDED) "TLS first: STARTTLS"\r\n'


def test_server_never_reads_a_literal_as_a_command() -> None:
    """The conversation is over before what stands in it."""
    said, peer = served("sieve", b'AUTHENTICATE "PLAIN" {10+}\r\nSTARTTLS\r\n')
    assert said[1].startswith(b"BYE")
    assert peer.granted is None
