"""One dialogue body under three drivers: asyncio, blocking, in memory.

However the peer's octets are cut, the events are the same: what was said, what was heard, how it ended.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.connecting.peers import SECONDS, Server, Talker

import gatepost
from gatepost.errors import GatepostError, HandshakeError
from gatepost.net.blocking import BlockingWire
from gatepost.net.dial import dial
from gatepost.testing.memory import ORIGIN, MemoryDriver, ScriptedPeer
from gatepost.testing.tls import upgrader
from gatepost.tls.clientsettings import client_settings
from gatepost.wire.dialogue import Dialogue, upgrade
from gatepost.wire.inbox import Inbox, upgrading
from gatepost.wire.recipes.recipe import ClientTerms
from gatepost.wire.smtp.client import PlainClient, SecureClient
from gatepost.wire.smtp.envelope import Envelope, EnvelopeRecipient
from gatepost.wire.upgrade import Origin, PlaintextAfterUpgrade

Steps: TypeAlias = tuple[tuple[bytes, bytes], ...]  # what is heard, what is said then; heard nothing: at once
Body: TypeAlias = Callable[[Origin], Dialogue[object]]
Events: TypeAlias = tuple[bytes, object]  # all that the peer heard, and the result or the finding


def session(origin: Origin) -> Dialogue[object]:
    """An SMTP session: both engines, mixed answers to a pipelined group, content, QUIT."""
    plain = PlainClient(origin, hostname="client.example")
    greeting = yield from plain.greeting()
    yield from plain.hello()
    evidence = yield from upgrade((yield from plain.start_tls()))
    secure = SecureClient(origin, evidence, hostname="client.example")
    listed = yield from secure.hello()
    recipients = tuple(EnvelopeRecipient(f"{name}@d.example") for name in "abc")
    submission = yield from secure.submit(Envelope("s@d.example", recipients), (b"one\r\n", b".two\r\n"))
    farewell = yield from secure.quit()
    return str(greeting), tuple(listed.keywords), [str(each) for each in submission.replies], str(farewell)


def recipe(name: str) -> Body:
    def body(origin: Origin) -> Dialogue[object]:
        half = gatepost.recipe(name).client(origin, ClientTerms("client.example", seconds=SECONDS))
        evidence = yield from upgrading(Inbox(), origin, half)
        return evidence.version

    return body


HELLO = (b"EHLO client.example\r\n", b"250-mx\r\n250-PIPELINING\r\n250 STARTTLS\r\n")
STARTTLS = (b"STARTTLS\r\n", b"220 2.0.0 go\r\n")
RECIPIENTS = b"".join(b"RCPT TO:<%c@d.example>\r\n" % name for name in b"abc")
INSIDE: Steps = (
    (b"EHLO client.example\r\n", b"250-mx\r\n250 PIPELINING\r\n"),
    (
        b"MAIL FROM:<s@d.example>\r\n"
        + b"".join(b"RCPT TO:<%c@d.example>\r\n" % name for name in b"abc")
        + b"DATA\r\n",
        b"250 ok\r\n250-yes\r\n250 indeed\r\n550 5.1.1 no\r\n451 4.3.0 later\r\n354 go\r\n",
    ),
    (b"one\r\n..two\r\n.\r\n", b"250 2.0.0 queued\r\n"),
    (b"QUIT\r\n", b"221 bye\r\n"),
)
CASES: dict[str, tuple[Body, Steps, Steps]] = {
    "whole": (session, ((b"", b"220 mx\r\n"), HELLO, STARTTLS), INSIDE),
    "refused": (session, ((b"", b"220 mx\r\n"), HELLO, (b"STARTTLS\r\n", b"454 4.7.0 no\r\n")), ()),
    "injected": (session, ((b"", b"220 mx\r\n"), HELLO, (b"STARTTLS\r\n", b"220 go\r\n250 injected\r\n")), ()),
    "no service": (session, ((b"", b"554-no\r\n554 service\r\n"),), ()),
    "nonsense": (session, ((b"", b"220 mx\r\n"), (HELLO[0], b"250-a\r\n251 b\r\n")), ()),
    "pop3": (
        recipe("pop3"),
        ((b"", b"+OK hello\r\n"), (b"CAPA\r\n", b"+OK\r\nSTLS\r\nUIDL\r\n.\r\n"), (b"STLS\r\n", b"+OK go\r\n")),
        (),
    ),
}


def cut(data: bytes, sizes: tuple[int, ...]) -> Iterator[bytes]:
    at = 0
    for size in itertools.cycle(sizes):
        if at >= len(data):
            return
        yield data[at : at + size]
        at += size


def finding(error: GatepostError) -> str:
    """How it ended. Plaintext in a later segment is the same finding as plaintext in this one."""
    if isinstance(error, PlaintextAfterUpgrade) or (isinstance(error, HandshakeError) and error.plaintext):
        return "plaintext"
    return f"{type(error).__name__}: {error}"


def in_memory(body: Body, clear: Steps, inside: Steps, sizes: tuple[int, ...]) -> Events:
    outer, inner = ScriptedPeer(*clear), ScriptedPeer(*inside)
    driver = MemoryDriver(outer, chunks=lambda data: cut(data, sizes), upgrade=upgrader(inner))
    try:
        result: object = driver.run(body(ORIGIN))
    except GatepostError as error:
        result = finding(error)
    return outer.transcript + inner.transcript, result


class Scripted:
    """The same script on a socket."""

    def __init__(self, clear: Steps, inside: Steps, sizes: tuple[int, ...]) -> None:
        self.clear, self.inside, self.sizes = clear, inside, sizes
        self.heard = b""

    def __call__(self, talker: Talker) -> None:
        self.play(talker, self.clear)
        if self.heard.endswith(b"TLS\r\n") and self.clear[-1][1].endswith(b"go\r\n"):
            talker.upgrade()
            self.play(talker, self.inside)
        talker.sock.settimeout(SECONDS)
        while talker.hear():
            pass

    def play(self, talker: Talker, steps: Steps) -> None:
        for expected, answer in steps:
            heard = b""
            while len(heard) < len(expected) and (octets := talker.hear(len(expected) - len(heard))):
                heard += octets
            self.heard += heard
            if heard != expected:
                return
            for piece in cut(answer, self.sizes):
                talker.say(piece)


def on_asyncio(server: Server, body: Body) -> object:
    async def main() -> object:
        tls = client_settings("localhost", ca_file=server.ca_file)
        wire = await dial("127.0.0.1", server.port, tls=tls)
        try:
            return await wire.run(body(wire.origin), seconds=SECONDS)
        except GatepostError as error:
            return finding(error)
        finally:
            wire.close()

    return asyncio.run(main())


def blocking(server: Server, body: Body) -> object:
    tls = client_settings("localhost", ca_file=server.ca_file)
    with BlockingWire("127.0.0.1", server.port, tls=tls) as wire:
        try:
            return wire.run(body(wire.origin), seconds=SECONDS)
        except GatepostError as error:
            return finding(error)


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(1, 60), min_size=1, max_size=5).map(tuple))
def test_drivers_give_the_same_events_for_every_chunking(name: str, tmp_path: Path, sizes: tuple[int, ...]) -> None:
    """What was said and how it ended, three times the same; and the same as when nothing is cut at all."""
    body, clear, inside = CASES[name]
    expected = in_memory(body, clear, inside, (1 << 16,))
    assert in_memory(body, clear, inside, sizes) == expected
    for driver in (on_asyncio, blocking):
        script = Scripted(clear, inside, sizes)
        with Server(script, tmp_path) as server:
            result = driver(server, body)
        assert (script.heard, result) == expected, driver.__name__
