"""The two drivers of client dialogues: the same bodies, the same outcomes, against the same peers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias, TypeVar

import pytest

from gatepost.errors import (
    DeadlineExceeded,
    GatepostError,
    HandshakeError,
    LocalProtocolError,
    UpgradeError,
    VerificationError,
)
from gatepost.net.blocking import BlockingWire
from gatepost.net.dial import dial
from gatepost.net.drive import Wire
from gatepost.net.transport import Transport
from gatepost.testing.server import MailServer
from gatepost.tls.contexts import ClientTLS, client_context
from gatepost.wire.dialogue import Dialogue, Receive, Send, Upgrade, receive, send, upgrade
from gatepost.wire.smtp.client import PlainClient, SecureClient
from gatepost.wire.smtp.envelope import Envelope, EnvelopeRecipient
from gatepost.wire.upgrade import Origin, PlaintextAfterUpgrade, TLSEvidence, hand_over_client

T = TypeVar("T")
Talk: TypeAlias = Callable[[Origin], Dialogue[T]]
Driver: TypeAlias = Callable[..., object]


def drive_async(port: int, talk: Talk[T], tls: ClientTLS | None = None, *, implicit: bool = False) -> T:
    async def main() -> T:
        wire = await dial("127.0.0.1", port, tls=tls, handshake_seconds=2)
        try:
            if implicit:
                await wire.handshake()
            return await wire.run(talk(wire.origin))
        finally:
            wire.close()

    return asyncio.run(main())


def drive_blocking(port: int, talk: Talk[T], tls: ClientTLS | None = None, *, implicit: bool = False) -> T:
    with BlockingWire("127.0.0.1", port, tls=tls, handshake_seconds=2) as wire:
        if implicit:
            wire.handshake()
        return wire.run(talk(wire.origin))


@pytest.fixture(params=[drive_async, drive_blocking], ids=["asyncio", "blocking"])
def drive(request: pytest.FixtureRequest) -> Driver:
    driver: Driver = request.param
    return driver


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    with MailServer(tmp_path_factory.mktemp("data")) as server:
        yield server


class Script:
    """A peer that says its first line at once and each other one when it was sent something; None closes."""

    def __init__(self, *lines: bytes | None) -> None:
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        self.lines = lines
        self.heard: list[bytes] = []
        self.thread = threading.Thread(target=self.run)

    def __enter__(self) -> Script:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.thread.join()
        self.sock.close()

    def run(self) -> None:
        connection, _ = self.sock.accept()
        connection.settimeout(10)
        with connection:
            for number, line in enumerate(self.lines):
                if line is None:
                    return
                if number:
                    self.heard.append(connection.recv(65536))
                connection.sendall(line)
            with contextlib.suppress(OSError):
                while data := connection.recv(65536):
                    self.heard.append(data)


def client_tls(server: MailServer, name: str = "localhost") -> ClientTLS:
    return ClientTLS(client_context(server.ca_file), name)


def submission(content: list[bytes]) -> Talk[tuple[str, bool]]:
    def talk(origin: Origin) -> Dialogue[tuple[str, bool]]:
        plain = PlainClient(origin, hostname="client.example")
        yield from plain.greeting()
        yield from plain.hello()
        evidence = yield from upgrade((yield from plain.start_tls()))
        secure = SecureClient(origin, evidence, hostname="client.example")
        yield from secure.hello()
        envelope = Envelope("a@b.example", (EnvelopeRecipient("alice@example.test"),))
        outcome = yield from secure.submit(envelope, content)
        yield from secure.quit()
        return evidence.version, outcome.delivered

    return talk


def test_drivers_deliver_over_starttls(drive: Driver, server: MailServer) -> None:
    """A message goes through one dialogue body, whichever driver runs it; long content streams."""
    server.messages()
    content = [b"Subject: x\r\n\r\n", *[b"." * 998 + b"\r\n"] * 3000]
    assert drive(server.port("mx"), submission(content), client_tls(server)) == ("TLSv1.3", True)
    [(_, body, recipients)] = server.messages()
    assert body.endswith(b"".join(content))
    assert recipients == ["alice@example.test"]


def test_drivers_begin_in_private_where_the_port_does(drive: Driver, server: MailServer) -> None:
    """Implicit TLS: the first octet is a handshake's (RFC 8314 §3)."""

    def talk(origin: Origin) -> Dialogue[bytes]:
        return (yield from receive(5, "greeting"))

    found = drive(server.port("submissions"), talk, client_tls(server), implicit=True)
    assert isinstance(found, bytes)
    assert found.startswith(b"220 ")


def test_drivers_refuse_a_certificate_for_another_name(drive: Driver, server: MailServer) -> None:
    """Nothing is said inside TLS to a server that is not the one that was meant."""
    with pytest.raises(VerificationError, match=r"not for other\.example"):
        drive(server.port("mx"), submission([b"x\r\n"]), client_tls(server, "other.example"))


def upgrade_now(origin: Origin) -> Dialogue[TLSEvidence]:
    yield from send(b"STARTTLS\r\n")
    heard = yield from receive(2, "reply to STARTTLS")
    assert heard.startswith(b"220")
    return (yield from upgrade(hand_over_client(origin, heard.partition(b"\r\n")[2])))


def test_drivers_refuse_bytes_behind_the_go_ahead(drive: Driver, server: MailServer) -> None:
    """Bytes in the go-ahead's segment are refused before a handshake starts (CVE-2021-38371)."""
    with Script(b"", b"220 go\r\n250 injected\r\n") as peer:
        with pytest.raises(PlaintextAfterUpgrade):
            drive(peer.port, upgrade_now, client_tls(server))
    assert peer.heard == [b"STARTTLS\r\n"]


def test_drivers_report_plaintext_where_the_handshake_is_due(drive: Driver, server: MailServer) -> None:
    """Text in the next segment fails the handshake, and is reported as the same finding."""
    with Script(b"", b"220 go\r\n", b"250 injected\r\n") as peer, pytest.raises(HandshakeError) as caught:
        drive(peer.port, upgrade_now, client_tls(server))
    assert caught.value.plaintext


def test_drivers_leave_a_peer_that_is_silent_in_the_handshake(drive: Driver, server: MailServer) -> None:
    """A handshake has a deadline of its own."""
    with Script(b"", b"220 go\r\n") as peer, pytest.raises(DeadlineExceeded):
        drive(peer.port, upgrade_now, client_tls(server))


@pytest.mark.parametrize("last", [b"", b"\x16\x03\x03"], ids=["at once", "in a record"])
def test_drivers_report_a_peer_that_leaves_in_the_handshake(drive: Driver, server: MailServer, last: bytes) -> None:
    """The connection's end is an error, and the same one whichever driver ran."""
    with Script(b"", b"220 go\r\n", last, None) as peer, pytest.raises(UpgradeError):
        drive(peer.port, upgrade_now, client_tls(server))


def test_drivers_hold_one_deadline_for_a_whole_step(drive: Driver) -> None:
    """A peer that drips does not stretch the wait: all receives of a step share one deadline."""
    drip = threading.Event()

    def talk(origin: Origin) -> Dialogue[int]:
        while True:
            yield from receive(0.5, "reply to EHLO")
            drip.set()

    class Dripping(Script):
        def run(self) -> None:
            connection, _ = self.sock.accept()
            with connection:
                for _ in range(1000):
                    try:
                        connection.sendall(b"2")
                    except OSError:
                        return
                    drip.wait(0.05)
                    drip.clear()

    with Dripping() as peer, pytest.raises(DeadlineExceeded, match="reply to EHLO"):
        drive(peer.port, talk)


def test_drivers_return_nothing_at_the_end(drive: Driver) -> None:
    """The end of the connection is an empty receive, again and again."""

    def talk(origin: Origin) -> Dialogue[tuple[bytes, bytes, bytes]]:
        first = yield from receive(5, "greeting")
        yield from send(b"x")
        return first, (yield from receive(5, "more")), (yield from receive(5, "more"))

    with Script(b"hello", b"", None) as peer:
        assert drive(peer.port, talk) == (b"hello", b"", b"")


def test_drivers_notice_a_reset_behind_the_last_octets(drive: Driver) -> None:
    """A peer that says something and resets is noticed long before the deadline, on every loop."""

    def talk(origin: Origin) -> Dialogue[bytes]:
        heard = yield from receive(5, "greeting")
        try:
            while more := (yield from receive(60, "more")):
                heard += more
        except OSError:
            return heard + b", then a reset"
        return heard

    class Resetting(Script):
        def run(self) -> None:
            connection, _ = self.sock.accept()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.sendall(b"hello")
            connection.close()

    began = time.monotonic()
    with Resetting() as peer:
        with contextlib.suppress(OSError):  # the reset may overtake the octets
            drive(peer.port, talk)
    assert time.monotonic() - began < 20


def test_drivers_refuse_an_upgrade_without_settings(drive: Driver) -> None:
    """A wire that was given no TLS settings does not invent some."""

    def talk(origin: Origin) -> Dialogue[TLSEvidence]:
        return (yield from upgrade(hand_over_client(origin, b"")))

    with Script() as peer, pytest.raises(LocalProtocolError):
        drive(peer.port, talk)


def test_drivers_refuse_tls_in_tls(drive: Driver, server: MailServer) -> None:
    """TLS is not started while TLS is on (RFC 3207 §4.2)."""

    def talk(origin: Origin) -> Dialogue[TLSEvidence]:
        yield from receive(5, "greeting")
        return (yield from upgrade(hand_over_client(origin, b"")))

    with pytest.raises(GatepostError):
        drive(server.port("submissions"), talk, client_tls(server), implicit=True)


def test_words_before_an_implicit_handshake_are_refused(server: MailServer) -> None:
    """What was read in the clear is never read as if it had come inside TLS, there neither."""

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            wire = await dial("127.0.0.1", listening.getsockname()[1], tls=client_tls(server))
            with listening.accept()[0] as peer:
                peer.sendall(b"* OK come in\r\n")
                assert await wire.ready(60)
                with pytest.raises(PlaintextAfterUpgrade) as found:
                    await wire.handshake()
                assert found.value.residue == b"* OK come in\r\n"
                assert wire.closed

    asyncio.run(main())


def test_drivers_throw_into_the_dialogue_where_it_failed(drive: Driver) -> None:
    """A dialogue may handle a failure and go on to return a value."""

    def talk(origin: Origin) -> Dialogue[str]:
        try:
            yield Receive(0.05, "greeting")
        except DeadlineExceeded as error:
            return str(error)
        return "heard something"

    with Script(b"") as peer:
        assert drive(peer.port, talk) == "no greeting in time"


def test_dialogue_goes_on_where_its_octets_come_in() -> None:
    """Within the call that brings them: whoever began it is told before that returns."""

    def talk() -> Dialogue[bytes]:
        yield from send(b"hello?")
        return (yield from receive(60, "answer"))

    async def scenario() -> None:
        near, far = socket.socketpair()
        loop, ends = asyncio.get_running_loop(), list[tuple[bytes | None, Exception | None]]()
        with far:
            wire = Wire(loop, Transport(loop, near), Origin(("local", 0), ("local", 0), "test", 0.0, "1"))
            wire.begin(talk(), lambda value, error: ends.append((value, error)))
            assert far.recv(64) == b"hello?"
            wire.data_received(b"here")
            assert ends == [(b"here", None)]
            wire.abort()

    asyncio.run(scenario())


def test_dialogue_whose_runner_is_cancelled_is_closed() -> None:
    """At once, and the wire can run another."""
    closed: list[bool] = []

    def talk() -> Dialogue[bytes]:
        try:
            return (yield from receive(60, "answer"))
        finally:
            closed.append(True)

    async def scenario() -> None:
        near, far = socket.socketpair()
        loop = asyncio.get_running_loop()
        with far:
            wire = Wire(loop, Transport(loop, near), Origin(("local", 0), ("local", 0), "test", 0.0, "1"))
            task = loop.create_task(wire.run(talk()))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert closed == [True]
            far.sendall(b"late")
            assert await wire.run(talk()) == b"late"
            wire.abort()

    asyncio.run(scenario())


def test_effects_are_values() -> None:
    """Effects compare by what they hold, so that dialogues can be tested without a driver."""
    assert Send(b"x") == Send(b"x")
    assert Receive(1, "a") != Receive(1, "b")
    assert Upgrade.__slots__ == ("ready",)


def test_dial_gives_up_on_an_address_that_refuses(tmp_path: Path) -> None:
    """A refused connection is an OSError at once, with nothing left open."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]

    async def main() -> None:
        await dial("127.0.0.1", port)

    with pytest.raises(ConnectionRefusedError):
        asyncio.run(main())
