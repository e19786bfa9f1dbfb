"""The client engines: greeting, CAPA, STLS, QUIT, and every command of a mailbox."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from gatepost.errors import DeadlineExceeded, HandshakeError, LocalProtocolError
from gatepost.testing.memory import CLOSE, ORIGIN, Chunking, MemoryDriver, ScriptedPeer
from gatepost.testing.tls import evidence, upgrader
from gatepost.wire.dialogue import Dialogue
from gatepost.wire.pop3.client import Maildrop, PlainClient, SecureClient, converse_implicit, converse_stls
from gatepost.wire.pop3.exchange import PROGRESS
from gatepost.wire.pop3.refusals import (
    ConnectionLost,
    MalformedReply,
    Refused,
    StartTLSRefused,
    UnexpectedReply,
)
from gatepost.wire.upgrade import PlaintextAfterUpgrade, UpgradeReady

GREETING = (b"", b"+OK hello <1896.697170952@dbc.mtview.ca.us>\r\n")
LISTED = b"+OK\r\nUSER\r\nSTLS\r\nTOP\r\n.\r\n"
Step = tuple[bytes | re.Pattern[bytes], bytes]


def plain(*more: Step, listed: bytes = LISTED, chunks: Chunking = None) -> tuple[PlainClient, MemoryDriver]:
    """A client in the clear that has asked CAPA."""
    client = PlainClient(ORIGIN)
    driver = MemoryDriver(ScriptedPeer(GREETING, (b"CAPA\r\n", listed), *more), chunks=chunks)
    driver.run(client.greeting())
    driver.run(client.capabilities())
    return client, driver


def inside(*more: Step, chunks: Chunking = None) -> tuple[SecureClient, MemoryDriver]:
    """A client inside TLS that has logged in."""
    client = SecureClient(ORIGIN, evidence())
    script = ((b"USER a\r\n", b"+OK\r\n"), (b"PASS b\r\n", b"+OK 2 messages\r\n"))
    driver = MemoryDriver(ScriptedPeer(*script, *more), chunks=chunks)
    driver.run(client.login("a", "b"))
    return client, driver


@pytest.mark.parametrize("chunks", [None, 1, 7])
def test_upgrades_and_asks_again(chunks: int | None) -> None:
    """Greeting, CAPA, STLS, handshake, CAPA: and only the second list is believed (RFC 2595 §4)."""
    within = ScriptedPeer((b"CAPA\r\n", b"+OK\r\nSASL PLAIN scram-sha-256\r\nUIDL\r\n.\r\n"))
    outside = ScriptedPeer(GREETING, (b"CAPA\r\n", LISTED), (b"STLS\r\n", b"+OK go\r\n"))
    driver = MemoryDriver(outside, chunks=chunks, upgrade=upgrader(within))
    client = driver.run(converse_stls(ORIGIN))
    assert client.evidence is driver.evidence
    assert client.listed is not None
    assert client.listed.sasl == ("PLAIN", "SCRAM-SHA-256")
    assert client.listed.uidl
    assert not client.listed.user and not client.listed.stls
    assert outside.finished and within.finished


def test_implicit_tls_begins_with_a_greeting() -> None:
    """On port 995 the server speaks first (RFC 8314 §3.3)."""
    driver = MemoryDriver(ScriptedPeer(GREETING, (b"CAPA\r\n", b"+OK\r\nUSER\r\n.\r\n")))
    client = driver.run(converse_implicit(ORIGIN, evidence()))
    assert client.listed is not None and client.listed.user


def test_a_greeting_that_refuses_is_the_end() -> None:
    """-ERR in its place: the reason is on the error, and nothing can be begun."""
    client = PlainClient(ORIGIN)
    driver = MemoryDriver(ScriptedPeer((b"", b"-ERR [SYS/TEMP] full\r\n")))
    with pytest.raises(Refused) as caught:
        driver.run(client.greeting())
    assert caught.value.temporary
    assert caught.value.reply is not None and caught.value.reply.text == "full"
    assert not client.usable


@pytest.mark.parametrize(
    "said", [b"+OK a\r\n+OK b\r\n", b"* PREAUTH\r\n", b"220 mx\r\n", b"+OK\n\r\n", b"+OK" + b"x" * 13000]
)
def test_a_greeting_that_is_more_or_less_than_one_is_refused(said: bytes) -> None:
    """Every reply at once, another protocol, a bare LF, and a line without an end."""
    client = PlainClient(ORIGIN)
    with pytest.raises((UnexpectedReply, MalformedReply)):
        MemoryDriver(ScriptedPeer((b"", said))).run(client.greeting())
    assert not client.usable


def test_a_server_without_capa_lists_nothing() -> None:
    """-ERR is the answer of old servers; STLS may still be tried, since nothing says that it is not there."""
    client, driver = plain((b"STLS\r\n", b"-ERR what\r\n"), listed=b"-ERR what\r\n")
    assert client.listed is not None and not client.listed.known
    with pytest.raises(StartTLSRefused) as caught:
        driver.run(client.start_tls())
    assert caught.value.reply is not None
    assert client.usable


def test_stls_that_is_not_listed_is_not_sent() -> None:
    """The refusal has no reply, because nothing was asked."""
    client, driver = plain(listed=b"+OK\r\nUSER\r\n.\r\n")
    sent = len(driver.sent)
    with pytest.raises(StartTLSRefused) as caught:
        driver.run(client.start_tls())
    assert caught.value.reply is None
    assert caught.value.temporary
    assert "does not list STLS" in caught.value.message
    assert len(driver.sent) == sent
    assert client.usable


def test_a_spent_client_does_nothing_any_more() -> None:
    """After the go-ahead every use is an error, and what was listed in the clear is gone."""
    client, driver = plain((b"STLS\r\n", b"+OK go\r\n"))
    assert isinstance(driver.run(client.start_tls()), UpgradeReady)
    assert client.listed is None
    assert not client.usable
    for dialogue in (client.greeting, client.capabilities, client.start_tls, client.quit):
        with pytest.raises(LocalProtocolError):
            driver.run(dialogue())


@pytest.mark.parametrize("residue", [b"+", b"+OK\r\n", b"+OK\r\nSASL PLAIN\r\n.\r\n", b"\x16\x03\x03"])
@pytest.mark.parametrize("chunks", [None, 64])
def test_refuses_one_octet_behind_the_go_ahead(residue: bytes, chunks: int | None) -> None:
    """The octets are evidence, and the client is spent (response injection)."""
    client, driver = plain((b"STLS\r\n", b"+OK go\r\n" + residue), chunks=chunks)
    with pytest.raises(PlaintextAfterUpgrade) as caught:
        driver.run(client.start_tls())
    assert caught.value.residue == residue
    assert not client.usable


@pytest.mark.parametrize("said", [b"+ go\r\n", b"+OKgo\r\n", b"220 go\r\n", b"-ERR no\r\n+OK go\r\n", CLOSE])
def test_an_odd_answer_to_stls_ends_the_connection(said: bytes) -> None:
    """Neither a go-ahead nor a refusal: nothing can be begun, in the clear least of all."""
    client, driver = plain((b"STLS\r\n", said))
    with pytest.raises((MalformedReply, UnexpectedReply, ConnectionLost)):
        driver.run(client.start_tls())
    assert not client.usable


def test_a_go_ahead_before_the_question_is_refused() -> None:
    """A reply counts only for a command that was sent."""
    client = PlainClient(ORIGIN)
    driver = MemoryDriver(ScriptedPeer(GREETING, (b"CAPA\r\n", LISTED + b"+OK go\r\n")))
    driver.run(client.greeting())
    with pytest.raises(UnexpectedReply):
        driver.run(client.capabilities())
    assert not client.usable


def test_a_failed_handshake_ends_the_conversation() -> None:
    """There is no plaintext behind it."""
    peer = ScriptedPeer(GREETING, (b"CAPA\r\n", LISTED), (b"STLS\r\n", b"+OK go\r\n"))
    with pytest.raises(HandshakeError):
        MemoryDriver(peer).run(converse_stls(ORIGIN))
    assert peer.transcript.endswith(b"STLS\r\n")


def test_a_secure_client_is_made_from_evidence() -> None:
    """Anything else is our own misuse."""
    with pytest.raises(LocalProtocolError):
        SecureClient(ORIGIN, None)  # type: ignore[arg-type]


def test_a_client_in_the_clear_has_no_login() -> None:
    """Not as a setting: the code is not there."""
    for name in ("login", "authenticate", "retrieve", "list", "delete"):
        assert not hasattr(PlainClient, name)
    assert not hasattr(SecureClient, "start_tls")


@pytest.mark.parametrize("chunks", [None, 1, 5])
def test_a_session(chunks: int | None) -> None:
    """STAT, LIST, UIDL, TOP, RETR, DELE, RSET, NOOP, QUIT."""
    client, driver = inside(
        (b"STAT\r\n", b"+OK 2 320 more\r\n"),
        (b"LIST\r\n", b"+OK\r\n1 120\r\n2 200 x\r\n.\r\n"),
        (b"UIDL\r\n", b"+OK\r\n1 abc\r\n2 .def\r\n.\r\n"),
        (b"TOP 1 0\r\n", b"+OK\r\nA: b\r\n\r\n.\r\n"),
        (b"RETR 2\r\n", b"+OK 200\r\n..\r\nx\r\n..y\r\n\r\n.\r\n"),
        (b"DELE 2\r\n", b"+OK\r\n"),
        (b"RSET\r\n", b"+OK\r\n"),
        (b"NOOP\r\n", b"+OK\r\n"),
        (b"CAPA\r\n", b"+OK\r\nEXPIRE 60\r\n.\r\n"),
        (b"QUIT\r\n", b"+OK bye\r\n"),
        chunks=chunks,
    )
    run = driver.run
    assert run(client.stat()) == Maildrop(2, 320)
    assert run(client.list()) == {1: 120, 2: 200}
    assert run(client.uidl()) == {1: "abc", 2: ".def"}
    found: list[bytes] = []
    assert run(client.top(1, 0, found.append)) == 8
    assert b"".join(found) == b"A: b\r\n\r\n"
    found.clear()
    assert run(client.retrieve(2, found.append)) == 13 - 1
    assert b"".join(found) == b".\r\nx\r\n.y\r\n\r\n"
    for dialogue in (client.delete(2), client.reset(), client.noop()):
        assert run(dialogue).positive
    assert run(client.capabilities()).tags == {"EXPIRE": ("60",)}
    quitting = run(client.quit())
    assert quitting is not None and quitting.text == "bye"
    assert not client.usable


@pytest.mark.parametrize(
    "content", [b"", b".\r\n", b"\r\n", b"\n.\n", b"\r.\r\r\n", b"a\rb\r\n", b"\0\xff\r\n", b"..\r\n"]
)
@pytest.mark.parametrize("chunks", [None, 1, 2, 3])
def test_content_is_what_was_sent(content: bytes, chunks: int | None) -> None:
    """Only CRLF.CRLF ends it, and every octet is passed on, however it is cut."""
    wire = b"".join(b"." + line if line.startswith(b".") else line for line in _lines(content))
    client, driver = inside((b"RETR 1\r\n", b"+OK\r\n" + wire + b".\r\n"), chunks=chunks)
    found: list[bytes] = []
    if content and not content.endswith(b"\r\n"):
        with pytest.raises(DeadlineExceeded):
            driver.run(client.retrieve(1, found.append))
        return
    assert driver.run(client.retrieve(1, found.append)) == len(content)
    assert b"".join(found) == content


def _lines(content: bytes) -> list[bytes]:
    return [line + b"\r\n" for line in content.split(b"\r\n")[:-1]] or ([content] if content else [])


def test_a_refusal_leaves_the_client_usable() -> None:
    """-ERR to a command of one line and to one of several."""
    client, driver = inside(
        (b"RETR 9\r\n", b"-ERR none\r\n"), (b"DELE 9\r\n", b"-ERR none\r\n"), (b"NOOP\r\n", b"+OK\r\n")
    )
    for dialogue in (client.retrieve(9, lambda piece: None), client.delete(9)):
        with pytest.raises(Refused) as caught:
            driver.run(dialogue)
        assert not caught.value.temporary
    driver.run(client.noop())


@pytest.mark.parametrize("number", [0, -1, True, 10**10, "1\r\nDELE 2", 1.0, None])
def test_what_is_no_number_is_never_sent(number: Any) -> None:
    """A wrong argument is our own misuse, found before anything is said; the client stays usable."""
    client, driver = inside()
    sent = len(driver.sent)
    makers: tuple[Callable[[Any], Dialogue[Any]], ...] = (
        client.delete,
        lambda n: client.retrieve(n, print),
        lambda n: client.top(n, 1, print),
    )
    for make in makers:
        with pytest.raises(LocalProtocolError):
            driver.run(make(number))
    with pytest.raises(LocalProtocolError):
        driver.run(client.top(1, -1, print))
    assert len(driver.sent) == sent
    assert client.usable


@pytest.mark.parametrize(
    "answer",
    [
        b"1\r\n", b"x 1\r\n", b"1 x\r\n", b"-1 5\r\n", b"1 5\r\n1 6\r\n", b"0 5\r\n", b"1 " + b"9" * 19 + b"\r\n",
        b"\xd9\xa1 1\r\n", b"1  5\r\n", b"1 5\n2 5\r\n",
    ],
)  # fmt: skip
def test_a_listing_that_makes_no_sense_is_refused(answer: bytes) -> None:
    """No number, no size, twice the same, too many digits: the connection is over."""
    client, driver = inside((b"LIST\r\n", b"+OK\r\n" + answer + b".\r\n"))
    with pytest.raises(MalformedReply):
        driver.run(client.list())
    assert not client.usable


@pytest.mark.parametrize("identifier", [b"", b"a" * 71, b"\x7f", b"\xe9"])
def test_a_unique_id_that_is_none_is_refused(identifier: bytes) -> None:
    """1 to 70 printable characters (RFC 1939 §7)."""
    client, driver = inside((b"UIDL\r\n", b"+OK\r\n1 " + identifier + b"\r\n.\r\n"))
    with pytest.raises(MalformedReply):
        driver.run(client.uidl())


@pytest.mark.parametrize("text", [b"", b"1", b"a b", b"-1 5", b"1 " + b"9" * 19])
def test_stat_without_two_numbers_is_refused(text: bytes) -> None:
    """The connection is over."""
    client, driver = inside((b"STAT\r\n", b"+OK " + text + b"\r\n"))
    with pytest.raises(MalformedReply):
        driver.run(client.stat())
    assert not client.usable


def test_everything_that_grows_has_a_limit() -> None:
    """Lines of a listing, octets of a listing, octets of a message, lines of CAPA."""
    endless = b"+OK\r\n" + b"".join(b"%d 1\r\n" % number for number in range(1, 100))
    client, driver = inside((b"LIST\r\n", endless))
    with pytest.raises(MalformedReply):
        driver.run(client.list(limit=50))
    client, driver = inside((b"LIST\r\n", b"+OK\r\n" + b"1 1 " + b"x" * 10000 + b"\r\n.\r\n"))
    with pytest.raises(MalformedReply):
        driver.run(client.list(limit=50))
    client, driver = inside((b"RETR 1\r\n", b"+OK\r\n" + b"x" * 1000), chunks=100)
    with pytest.raises(MalformedReply):
        driver.run(client.retrieve(1, lambda piece: None, limit=500))
    with pytest.raises(MalformedReply):
        plain(listed=b"+OK\r\n" + b"X\r\n" * 300 + b".\r\n")


def test_a_message_is_given_at_its_pace_and_has_a_deadline_for_each_piece() -> None:
    """A peer that drips does not stretch one deadline; progress begins the next one."""
    body = b"x" * 70 + b"\r\n"
    client, driver = inside((b"RETR 1\r\n", b"+OK\r\n" + body * 1000 + b".\r\n"), chunks=1000)
    sizes: list[int] = []
    driver.run(client.retrieve(1, lambda piece: sizes.append(len(piece))))
    assert sum(sizes) == len(body) * 1000
    assert max(sizes) <= 1010
    steps = [waited.step for waited in driver.waited if "message 1" in waited.step]
    assert len(set(steps)) == 1 + len(body) * 1000 // PROGRESS


@pytest.mark.parametrize(
    "said", [b"+OK\r\nhalf", b"+OK\r\nwhole\r\n", b"+OK\r\nwhole\r\n.", b"+OK\r\nwhole\r\n.\r", b"+O"]
)
def test_half_a_message_is_none(said: bytes) -> None:
    """The end of the stream before CRLF.CRLF is an error (truncation)."""
    client, driver = inside((b"RETR 1\r\n", said), (b"", CLOSE))
    with pytest.raises(ConnectionLost):
        driver.run(client.retrieve(1, lambda piece: None))
    assert not client.usable


def test_what_a_sink_raises_ends_the_dialogue() -> None:
    """A disk that is full is its caller's error, and the connection is over."""
    client, driver = inside((b"RETR 1\r\n", b"+OK\r\nabc\r\n.\r\n"))

    def full(piece: bytes) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        driver.run(client.retrieve(1, full))
    assert not client.usable


def test_quit_that_deletes_must_be_answered() -> None:
    """-ERR, silence and the end of the stream are errors when somebody is logged in (RFC 1939 §6)."""
    for said, error in ((b"-ERR some were not removed\r\n", Refused), (CLOSE, ConnectionLost), (b"", DeadlineExceeded)):
        client, driver = inside((b"QUIT\r\n", said))
        with pytest.raises(error):
            driver.run(client.quit())


@pytest.mark.parametrize("said", [CLOSE, b"", b"-ERR no\r\n", b"noise\r\n"])
def test_quit_that_deletes_nothing_raises_nothing(said: bytes) -> None:
    """Before a login there is nothing to lose."""
    client, driver = plain((b"QUIT\r\n", said))
    quitting = driver.run(client.quit())
    assert quitting is None or not quitting.positive


def test_a_dialogue_that_was_broken_off_leaves_a_client_that_does_nothing() -> None:
    """Nobody knows what the server will say next."""
    client, driver = inside((b"NOOP\r\n", b""))
    with pytest.raises(DeadlineExceeded):
        driver.run(client.noop())
    for dialogue in (client.noop, client.stat, client.quit):
        with pytest.raises(LocalProtocolError):
            driver.run(dialogue())


def test_capabilities_are_read_as_they_are() -> None:
    """The first of a kind counts, dots are unstuffed, empty lines are nothing, controls are made visible."""
    client, _ = plain(listed=b"+OK\r\nsasl PLAIN\r\n\r\nSASL LOGIN\r\nX\x1b[2J\r\n..Y a\r\n.\r\n")
    assert client.listed is not None
    assert client.listed.tags == {"SASL": ("PLAIN",), "X\\X1B[2J": (), ".Y": ("a",)}
    assert repr(client.listed) == "Capabilities('SASL X\\\\X1B[2J .Y')"
