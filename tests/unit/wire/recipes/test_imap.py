"""IMAP's way into TLS: STARTTLS (RFC 9051 §6.2.1)."""

from __future__ import annotations

import pytest
from tests.unit.wire.recipes.halves import ask, served

from gatepost.wire.recipes.recipe import PeerLeft, UnexpectedWords, UpgradeRefused

HELLO = (b"", b"* OK [CAPABILITY IMAP4rev1 STARTTLS] ready\r\n")
LISTED = (b"a1 CAPABILITY\r\n", b"* CAPABILITY IMAP4rev1 StartTLS \r\na1 OK done\r\n")
UPGRADE = b"a2 STARTTLS\r\n"


@pytest.mark.parametrize(
    "before",
    [b"", b"* OK still here\r\n", b"* NO [ALERT] disk is full\r\n", b"* CAPABILITY IMAP4rev1\r\n", b"* BAD eh?\r\n"],
)
def test_client_hears_what_a_server_may_say_unasked(before: bytes) -> None:
    """Status lines and capabilities may stand before the tagged answers."""
    listed = (LISTED[0], before + LISTED[1])
    ask("imap", HELLO, listed, (UPGRADE, before + b"a2 OK begin\r\n"))


@pytest.mark.parametrize(
    "line",
    [
        b"* 5 EXISTS\r\n", b"* LIST () \"/\" INBOX\r\n", b"* FLAGS ()\r\n", b"+ go on\r\n", b"a1 OK again\r\n",
        b"a3 OK\r\n", b"* PREAUTH hello\r\n", b"\r\n", b"*\r\n", b"* SEARCH\r\n", b"a2\r\n",
    ],
)  # fmt: skip
def test_client_hears_nothing_that_belongs_to_a_mailbox(line: bytes) -> None:
    """Data of a mailbox before a login is an injection (and would be believed after it)."""
    with pytest.raises(UnexpectedWords):
        ask("imap", HELLO, LISTED, (UPGRADE, line + b"a2 OK begin\r\n"))


@pytest.mark.parametrize(
    "script",
    [
        [(b"", b"* PREAUTH [CAPABILITY IMAP4rev1 STARTTLS] welcome\r\n")],
        [(b"", b"* BYE busy\r\n")],
        [HELLO, (LISTED[0], b"* CAPABILITY IMAP4rev1 XSTARTTLS\r\na1 OK done\r\n")],
        [HELLO, (LISTED[0], b"a1 OK done\r\n")],
        [HELLO, (LISTED[0], b"a1 BAD what\r\n")],
        [HELLO, (LISTED[0], b"* BYE\r\n")],
        [HELLO, LISTED, (UPGRADE, b"a2 NO not now\r\n")],
        [HELLO, LISTED, (UPGRADE, b"a2 BAD no\r\n")],
        [HELLO, LISTED, (UPGRADE, b"* BYE no\r\n")],
    ],
)
def test_client_gives_up_where_tls_is_not_offered_or_refused(script: list[tuple[bytes, bytes]]) -> None:
    """PREAUTH among them: a session that is logged in cannot be upgraded, and is not ours."""
    with pytest.raises(UpgradeRefused):
        ask("imap", *script)


@pytest.mark.parametrize(
    "greeting", [b"* NO\r\n", b"a1 OK\r\n", b"220 mx\r\n", b"+OK\r\n", b"* CAPABILITY STARTTLS\r\n"]
)
def test_client_knows_a_greeting(greeting: bytes) -> None:
    """RFC 9051 §7.1: OK, PREAUTH or BYE, untagged."""
    with pytest.raises(UnexpectedWords):
        ask("imap", (b"", greeting))


def test_server_answers_what_clients_say_first() -> None:
    """CAPABILITY, NOOP, ID and LOGOUT, each with its tag; logins are disabled."""
    said, peer = served("imap", b"1 capability\r\n", b'2 ID ("name" "x")\r\n', b"3 noop\r\n", b"4 logout\r\n")
    assert said[1] == b"* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\r\n1 OK Capability completed\r\n"
    assert said[2].endswith(b"2 OK Id completed\r\n")
    assert said[3] == b"3 OK Noop completed\r\n"
    assert said[4].startswith(b"* BYE") and b"4 OK" in said[4]
    assert isinstance(peer.error, PeerLeft)


@pytest.mark.parametrize("command", [b"x LOGIN u p\r\n", b"x LOGIN\r\n", b"x STARTTLS now\r\n", b"x SELECT INBOX\r\n"])
def test_server_serves_nothing_before_tls(command: bytes) -> None:
    """Refused under the client's own tag."""
    said, _ = served("imap", command)
    assert said[1] == b"x BAD TLS first: STARTTLS\r\n"


@pytest.mark.parametrize(
    "command",
    [
        b"x LOGIN {5}\r\n", b"x LOGIN {11+}\r\n", b"x LOGIN bob x{5}\r\n", b"x LOGIN {-1}\r\n",
        b"STARTTLS\r\n", b"* STARTTLS\r\n", b"\r\n",
    ],
)  # fmt: skip
def test_server_never_reads_a_literal_as_a_command(command: bytes) -> None:
    """Octets of a literal stand behind their line: the conversation is over before they are read. So it is where a
    client may mean a literal and the grammar has none.
    """
    said, peer = served("imap", command + b"y STARTTLS\r\n")
    assert said[1].startswith(b"* BYE")
    assert peer.granted is None


def test_server_refuses_an_injection_under_the_tag_of_the_request() -> None:
    """The refusal is a tagged BAD."""
    said, peer = served("imap", b"T7 starttls\r\nT8 LOGIN a b\r\n")
    assert said[1].startswith(b"T7 BAD ")
    assert peer.granted is None
