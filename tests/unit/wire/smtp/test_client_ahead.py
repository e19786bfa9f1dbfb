"""The next message's envelope goes out with the end of the content (RFC 2920 §3.1)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gatepost.errors import LocalProtocolError
from gatepost.testing.memory import CLOSE, ORIGIN, MemoryDriver, ScriptedPeer
from gatepost.wire.smtp.client import PlainClient
from gatepost.wire.smtp.envelope import Envelope, EnvelopeRecipient
from gatepost.wire.smtp.refusals import ConnectionLost
from gatepost.wire.smtp.transaction import Transaction

TAKEN = b"250 2.1.0 ok\r\n250 2.1.5 ok\r\n354 go\r\n"


def envelope(name: str, recipients: int = 1) -> Envelope:
    """An envelope with this name in all its addresses."""
    return Envelope(
        f"{name}@example.org", tuple(EnvelopeRecipient(f"{name}{n}@example.com") for n in range(recipients))
    )


def group(name: str) -> bytes:
    """What is said for ``envelope``."""
    return f"MAIL FROM:<{name}@example.org>\r\nRCPT TO:<{name}0@example.com>\r\nDATA\r\n".encode()


def text(name: str) -> bytes:
    """A message's content."""
    return f"Subject: {name}\r\n\r\n.\r\n".encode()


def wire(name: str) -> bytes:
    """The same with the final dot."""
    return f"Subject: {name}\r\n\r\n..\r\n.\r\n".encode()


def ready(
    *script: tuple[bytes, bytes], listed: bytes = b"PIPELINING", chunks: int | None = None
) -> tuple[PlainClient, MemoryDriver, ScriptedPeer]:
    """A client that has said hello."""
    client = PlainClient(ORIGIN, hostname="c.example")
    peer = ScriptedPeer((b"", b"220 mx\r\n"), (b"EHLO c.example\r\n", b"250-mx\r\n250 " + listed + b"\r\n"), *script)
    driver = MemoryDriver(peer, chunks=chunks)
    driver.run(client.greeting())
    driver.run(client.hello())
    return client, driver, peer


def prepared(client: PlainClient, *names: str) -> list[Transaction]:
    """A transaction for each name."""
    return [client.prepare(envelope(name), [text(name)]) for name in names]


@pytest.mark.parametrize("chunks", [None, 1, 7])
def test_each_message_after_the_first_costs_one_flight(chunks: int | None) -> None:
    """Content, final dot and the next group are one write; RSET is not needed, whatever became of the content."""
    client, driver, peer = ready(
        (group("a"), TAKEN),
        (wire("a") + group("b"), b"554 5.7.1 no\r\n" + TAKEN),
        (wire("b") + group("c"), b"250 2.0.0 queued\r\n" + TAKEN),
        (wire("c"), b"250 2.0.0 queued\r\n"),
        chunks=chunks,
    )
    a, b, c = prepared(client, "a", "b", "c")
    found = [
        driver.run(client.carry_out(a, lambda: b)), driver.run(client.carry_out(b, lambda: c)),
        driver.run(client.carry_out(c)),
    ]  # fmt: skip
    assert [one.replies[0].code for one in found] == [554, 250, 250]
    assert client.usable and peer.finished


def test_only_the_message_that_was_begun_can_be_next() -> None:
    """Its content is what the server waits for: no other message, command or conversation may come between."""
    client, driver, peer = ready(
        (group("a"), TAKEN), (wire("a") + group("b"), b"250 2.0.0 queued\r\n" + TAKEN), (wire("b"), b"250 ok\r\n")
    )
    a, b, c = prepared(client, "a", "b", "c")
    driver.run(client.carry_out(a, lambda: b))
    others: list[Callable[[], object]] = [
        lambda: driver.run(client.carry_out(c)), lambda: driver.run(client.noop()), client.relaying,
        lambda: driver.run(client.reset()), lambda: driver.run(client.quit()), lambda: driver.run(client.start_tls()),
    ]  # fmt: skip
    for other in others:
        with pytest.raises(LocalProtocolError):
            other()
    assert b.begun and not c.begun
    assert driver.run(client.carry_out(b)).delivered and peer.finished


def test_message_that_was_begun_and_refused_ends_by_itself() -> None:
    """MAIL is refused, DATA is taken all the same: a lone dot, as for any group."""
    client, driver, peer = ready(
        (group("a"), TAKEN),
        (wire("a") + group("b"), b"250 2.0.0 queued\r\n550 5.7.1 no\r\n503 5.5.1 no\r\n354 go\r\n"),
        (b".\r\n", b"554 5.5.1 nobody\r\n"),
        (group("c"), TAKEN),
        (wire("c"), b"250 2.0.0 queued\r\n"),
    )
    a, b, c = prepared(client, "a", "b", "c")
    asked: list[str] = []

    def following() -> None:
        asked.append("c")

    driver.run(client.carry_out(a, lambda: b))
    assert driver.run(client.carry_out(b, following)).stages == ("MAIL",)
    assert asked == []  # without content there is nothing that it could go with
    assert driver.run(client.carry_out(c)).delivered and peer.finished


@pytest.mark.parametrize("end", [b"421 4.3.2 closing\r\n", CLOSE])
def test_end_of_the_connection_decides_nothing_about_the_message_that_was_begun(end: bytes) -> None:
    """Its content was not said: it may be sent again, on another connection."""
    client, driver, _ = ready((group("a"), TAKEN), (wire("a") + group("b"), end))
    a, b = prepared(client, "a", "b")
    if end is CLOSE:
        with pytest.raises(ConnectionLost):
            driver.run(client.carry_out(a, lambda: b))
    else:
        assert driver.run(client.carry_out(a, lambda: b)).replies[0].code == 421
    assert a.ended and not b.ended and b.decided == [None]
    assert not client.usable


def test_nothing_goes_ahead_to_a_server_without_pipelining() -> None:
    """Each command waits for its reply; the next message is begun when its turn comes."""
    client, driver, peer = ready(
        (b"MAIL FROM:<a@example.org>\r\n", b"250 ok\r\n"), (b"RCPT TO:<a0@example.com>\r\n", b"250 ok\r\n"),
        (b"DATA\r\n", b"354 go\r\n"), (wire("a"), b"250 ok\r\n"), listed=b"SIZE",
    )  # fmt: skip
    a, b = prepared(client, "a", "b")
    assert driver.run(client.carry_out(a, lambda: b)).delivered
    assert not b.begun and client.usable and peer.finished


@pytest.mark.parametrize(
    "one", [envelope("b", 101), Envelope("b@example.org", envelope("b").recipients, smtputf8=True)]
)
def test_nothing_goes_ahead_that_is_more_or_less_than_one_group(one: Envelope) -> None:
    """A group longer than a window has replies to be heard in between; what the server's list refuses has none."""
    client, driver, peer = ready((group("a"), TAKEN), (wire("a"), b"250 ok\r\n"))
    (a,), b = prepared(client, "a"), client.prepare(one, [text("b")])
    assert driver.run(client.carry_out(a, lambda: b)).delivered
    assert not b.begun and client.usable and peer.finished
