"""The way into TLS of SMTP, submission and LMTP: STARTTLS (RFC 3207), with engines that are tested elsewhere."""

from __future__ import annotations

import pytest
from tests.unit.wire.recipes.halves import ask, served

from gatepost.errors import LocalProtocolError
from gatepost.wire.recipes.conversation import OCTETS_LIMIT
from gatepost.wire.recipes.recipe import ClientTerms, PeerLeft, UnexpectedWords, UpgradeRefused
from gatepost.wire.upgrade import PlaintextAfterUpgrade

HELLO = (b"", b"220-mx\r\n220 ready\r\n")
LISTED = b"250-mx\r\n250-SIZE\r\n250 STARTTLS\r\n"
UPGRADE = b"STARTTLS\r\n"


@pytest.mark.parametrize(("name", "verb"), [("smtp", b"EHLO"), ("submission", b"EHLO"), ("lmtp", b"LHLO")])
def test_client_says_hello_in_its_dialect(name: str, verb: bytes) -> None:
    """With the name that it was told."""
    ask(name, HELLO, (verb + b" me.example\r\n", LISTED), (UPGRADE, b"220 go\r\n"), terms=ClientTerms("me.example"))


@pytest.mark.parametrize(
    ("script", "words", "temporary"),
    [
        ([(b"", b"554 no\r\n")], "554 no", False),
        ([(b"", b"421 busy\r\n")], "421 busy", True),
        ([HELLO, (b"EHLO client.example\r\n", b"550 no\r\n")], "550 no", False),
        ([HELLO, (b"EHLO client.example\r\n", b"250 mx\r\n")], "", True),
        ([HELLO, (b"EHLO client.example\r\n", LISTED), (UPGRADE, b"454 4.7.0 later\r\n")], "454 4.7.0 later", True),
    ],
)
def test_client_gives_up_with_the_words_of_the_server(
    script: list[tuple[bytes, bytes]], words: str, temporary: bool
) -> None:
    """Not offered, or refused at any step; the code says whether to try again."""
    with pytest.raises(UpgradeRefused) as refused:
        ask("smtp", *script)
    assert refused.value.words == words
    assert refused.value.temporary is temporary


def test_client_says_no_name_that_is_none() -> None:
    """Our own mistake is ours."""
    with pytest.raises(LocalProtocolError):
        ask("smtp", HELLO, terms=ClientTerms("not a name"))


def test_server_serves_nothing_before_tls() -> None:
    """Nothing but EHLO, NOOP, STARTTLS and QUIT (RFC 3207 §4)."""
    said, peer = served(
        "submission", b"EHLO c\r\n", b"NOOP\r\n", b"MAIL FROM:<a@b>\r\n", b"AUTH PLAIN AAAA\r\n", b"QUIT\r\n"
    )
    assert b"250-STARTTLS\r\n" in said[1] and b"AUTH" not in said[1]
    assert said[2].startswith(b"250 ")
    assert said[3].startswith(b"530 5.7.0") and said[4].startswith(b"530 5.7.0")
    assert said[5].startswith(b"221 ")
    assert isinstance(peer.error, PeerLeft)


def test_server_grants_to_a_pipeline_that_ends_with_the_request() -> None:
    """The answers leave together, the go-ahead the last of them."""
    said, peer = served("lmtp", b"LHLO c\r\nNOOP\r\nSTARTTLS\r\n")
    assert peer.granted is not None
    assert said[1].startswith(b"250-") and said[1].endswith(b"\r\n220 2.0.0 Ready to start TLS\r\n")


def test_server_hears_no_more_than_its_limit() -> None:
    """Whoever says NOOP for ever is turned away."""
    said, peer = served("smtp", b"NOOP\r\n" * (OCTETS_LIMIT // 6 + 1), b"NOOP\r\n")
    assert isinstance(peer.error, UnexpectedWords)
    assert said[1].endswith(b"421 4.7.0 Too many errors\r\n")


def test_server_notices_that_the_client_has_gone() -> None:
    """The end of the stream is the end."""
    _, peer = served("smtp", b"EHLO c\r\n", b"")
    assert isinstance(peer.error, PeerLeft)


def test_server_refuses_octets_behind_the_request() -> None:
    """With one 554, in place of the go-ahead."""
    said, peer = served("smtp", b"EHLO c\r\n", b"STARTTLS\r\nNOOP\r\n")
    assert said[2].startswith(b"554 5.5.0 ") and said[2].count(b"\r\n") == 1
    assert isinstance(peer.error, PlaintextAfterUpgrade)


def test_server_waits_for_the_end_of_a_line() -> None:
    """Half a command is not answered."""
    said, peer = served("smtp", b"EH", b"LO c\r\n")
    assert said[1] == b"" and said[2].startswith(b"250-")
    assert peer.error is None
