"""What a gate lists is what passes through it."""

from __future__ import annotations

import pytest

from gatepost.wire.imap.capabilities import in_the_clear, passes, rewrite, unasked_limit


@pytest.mark.parametrize(
    "word",
    [
        b"COMPRESS=DEFLATE",
        b"compress=deflate",
        b"UNAUTHENTICATE",
        b"AUTH=SCRAM-SHA-256-PLUS",
        b"AUTH=EXTERNAL",
        b"STARTTLS",
    ],
)
def test_what_cannot_pass_is_left_out(word: bytes) -> None:
    """Compression, channel bindings, the gate's own certificate and a second STARTTLS do not pass."""
    assert not passes(word)


@pytest.mark.parametrize(
    "word",
    [b"IMAP4rev1", b"LOGINDISABLED", b"AUTH=PLAIN", b"AUTH=SCRAM-SHA-256", b"IDLE", b"X-PLUS", b"LITERAL+", b"NOTIFY"],
)
def test_everything_else_is_listed(word: bytes) -> None:
    """What passes is listed, known or not."""
    assert passes(word)


def test_starttls_is_listed_where_it_is_passed_on() -> None:
    """In pass mode the server's STARTTLS is the client's."""
    assert passes(b"STARTTLS", starttls=True)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"* CAPABILITY IMAP4rev1 COMPRESS=DEFLATE IDLE\r\n", b"* CAPABILITY IMAP4rev1 IDLE\r\n"),
        (b"* OK [CAPABILITY IMAP4rev1 STARTTLS] Hello\r\n", b"* OK [CAPABILITY IMAP4rev1] Hello\r\n"),
        (b"a1 OK [CAPABILITY STARTTLS A AUTH=X-PLUS] in\r\n", b"a1 OK [CAPABILITY A] in\r\n"),
        (b"* CAPABILITY  IMAP4rev1  STARTTLS \r\n", b"* CAPABILITY IMAP4rev1 \r\n"),
    ],
)
def test_lists_are_rewritten_where_they_stand(line: bytes, expected: bytes) -> None:
    """An untagged response and response codes of any status are rewritten, and nothing else of them."""
    assert rewrite(line).octets == expected


@pytest.mark.parametrize(
    "line",
    [
        b"* CAPABILITY  IMAP4rev1   IDLE \r\n",
        b"* OK [CAPABILITY IMAP4rev1 IDLE] hi [STARTTLS]\r\n",
        b"* OK STARTTLS COMPRESS=DEFLATE\r\n",
        b"* OK [ALERT] [CAPABILITY STARTTLS]\r\n",
        b"a1 OK done\r\n",
    ],
)
def test_other_lines_stay_as_they_are(line: bytes) -> None:
    """Octet for octet, where nothing has to be left out."""
    assert rewrite(line).octets == line


def test_before_tls_logins_are_not_offered() -> None:
    """STARTTLS and LOGINDISABLED are listed once, and no mechanism (RFC 9051 §6.2.1)."""
    listed = in_the_clear((b"IMAP4rev1", b"LOGINDISABLED", b"STARTTLS", b"AUTH=PLAIN", b"ID"))
    assert listed == (b"IMAP4rev1", b"ID", b"STARTTLS", b"LOGINDISABLED")
    assert in_the_clear(()) == (b"IMAP4rev1", b"STARTTLS", b"LOGINDISABLED")


@pytest.mark.parametrize(
    ("listed", "limit"),
    [((b"IMAP4REV1",), 0), ((b"LITERAL+",), None), ((b"LITERAL-",), 4096), ((b"IMAP4REV2",), 4096)],
)
def test_literals_unasked_are_as_the_server_takes_them(listed: tuple[bytes, ...], limit: int | None) -> None:
    """RFC 7888 §4 and §5."""
    assert unasked_limit(listed) == limit
