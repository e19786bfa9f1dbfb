"""The way to a server behind: greeting, TLS, capabilities, and nothing that was said before TLS."""

from __future__ import annotations

import pytest

from gatepost.errors import RemoteProtocolError
from gatepost.testing.memory import CLOSE, ORIGIN, MemoryDriver, ScriptedPeer
from gatepost.testing.tls import upgrader
from gatepost.wire.imap.client import Opening, log_out, open_here, open_upgraded
from gatepost.wire.recipes.imap import IMAP
from gatepost.wire.recipes.recipe import ClientTerms, UnexpectedWords, UpgradeRefused
from gatepost.wire.upgrade import PlaintextAfterUpgrade

ASKED = b"g1 CAPABILITY\r\n"


def opened(*script: tuple[bytes, bytes]) -> Opening:
    for chunks in (1, None):
        found = MemoryDriver(ScriptedPeer(*script), chunks=chunks).run(open_here(5.0))
    return found


def test_a_greeting_that_lists_capabilities_is_enough() -> None:
    """One answer, no question."""
    line = b"* OK [CAPABILITY IMAP4rev1 ID] hi\r\n"
    assert opened((b"", line)) == Opening(line, (b"IMAP4rev1", b"ID"))


def test_capabilities_are_asked_for() -> None:
    """Where the greeting lists none; what else is said meanwhile is forgotten, what comes behind is the client's."""
    found = opened(
        (b"", b"* OK hi\r\n"), (ASKED, b"* OK still\r\n* CAPABILITY IMAP4rev1\r\n* CAPABILITY Id\r\ng1 OK\r\n")
    )
    assert found == Opening(b"* OK hi\r\n", (b"IMAP4rev1", b"Id"))
    assert found.listed == (b"IMAP4REV1", b"ID")


def test_what_comes_behind_is_kept() -> None:
    """In the same security layer, what the server says unasked is the client's."""
    peer = ScriptedPeer((b"", b"* OK [CAPABILITY IMAP4rev1] hi\r\n* OK again\r\n"))
    assert MemoryDriver(peer).run(open_here(5.0)).residue == b"* OK again\r\n"


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ([(b"", b"* PREAUTH in\r\n")], UpgradeRefused),
        ([(b"", b"* BYE no\r\n")], UpgradeRefused),
        ([(b"", b"a1 OK hi\r\n")], UnexpectedWords),
        ([(b"", b"* NO hi\r\n")], UnexpectedWords),
        ([(b"", b"+OK POP3\r\n")], UnexpectedWords),
        ([(b"", b"* OK hi\r\n"), (ASKED, b"g1 OK\r\n")], UnexpectedWords),
        ([(b"", b"* OK hi\r\n"), (ASKED, b"g1 BAD\r\n")], UpgradeRefused),
        ([(b"", b"* OK hi\r\n"), (ASKED, b"* BYE\r\n")], UpgradeRefused),
        ([(b"", b"* OK hi\r\n"), (ASKED, b"* 5 EXISTS\r\ng1 OK\r\n")], UnexpectedWords),
        ([(b"", b"* OK hi\r\n"), (ASKED, b"* PREAUTH x\r\ng1 OK\r\n")], UnexpectedWords),
        ([(b"", b"* OK hi"), (b"", CLOSE)], RemoteProtocolError),
    ],
)
def test_servers_that_cannot_be_used(script: list[tuple[bytes, bytes]], error: type[Exception]) -> None:
    """Refusals, other protocols, logins that nobody made."""
    with pytest.raises(error):
        opened(*script)


HELLO = (b"", b"* OK [CAPABILITY IMAP4rev1 STARTTLS AUTH=INJECTED] hi\r\n")
LISTED = (b"a1 CAPABILITY\r\n", b"* CAPABILITY IMAP4rev1 STARTTLS AUTH=INJECTED\r\na1 OK\r\n")


@pytest.mark.parametrize("chunks", [1, None])
def test_what_was_said_before_tls_is_forgotten(chunks: int | None) -> None:
    """Greeting and capabilities of before are nobody's; those of inside are asked for (RFC 9051 §6.2.1)."""
    within = ScriptedPeer((ASKED, b"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\ng1 OK\r\n"))
    outside = ScriptedPeer(HELLO, LISTED, (b"a2 STARTTLS\r\n", b"a2 OK go\r\n"))
    driver = MemoryDriver(outside, chunks=chunks, upgrade=upgrader(within))
    found = driver.run(open_upgraded(ORIGIN, ClientTerms(seconds=5.0), IMAP.client))
    assert found == Opening(b"", (b"IMAP4rev1", b"AUTH=PLAIN"))


def test_what_stands_behind_the_go_ahead_is_refused() -> None:
    """No handshake is begun."""
    outside = ScriptedPeer(HELLO, LISTED, (b"a2 STARTTLS\r\n", b"a2 OK go\r\n* CAPABILITY IMAP4rev1\r\ng1 OK\r\n"))
    driver = MemoryDriver(outside, upgrade=upgrader(ScriptedPeer()))
    with pytest.raises(PlaintextAfterUpgrade):
        driver.run(open_upgraded(ORIGIN, ClientTerms(seconds=5.0), IMAP.client))


@pytest.mark.parametrize("answers", [(b"* BYE bye\r\ng9 OK done\r\n",), (b"* BYE bye\r\n", CLOSE), (CLOSE,)])
def test_logout_is_answered_or_not(answers: tuple[bytes, ...]) -> None:
    """Servers may close at once."""
    first, *more = answers
    peer = ScriptedPeer((b"g9 LOGOUT\r\n", first), *((b"", answer) for answer in more))
    MemoryDriver(peer).run(log_out(5.0))
