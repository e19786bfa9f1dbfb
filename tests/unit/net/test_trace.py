"""Traces of real connections: both drivers, both sides, both levels, and every mechanism's secrets."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
from collections.abc import Iterator
from io import StringIO

import pytest

import gatepost
from gatepost.errors import HandshakeError, LocalProtocolError, VerificationError
from gatepost.net.blocking import BlockingWire
from gatepost.net.channel import PlainChannel, SecureChannel
from gatepost.net.dial import dial, wrap
from gatepost.net.listen import Acceptor
from gatepost.net.tap import TappedSocket
from gatepost.net.trace import (
    AlertSeen,
    CertificatesShown,
    Ended,
    Judged,
    MessageSeen,
    Noted,
    Opened,
    RecordSeen,
    Said,
    StateEntered,
    TraceEvent,
    TraceLevel,
    Upgraded,
    UpgradeFailed,
    Upgrading,
    subscribed,
    trace,
)
from gatepost.net.transport import Transport
from gatepost.observe import logs
from gatepost.observe.tracing import JSONTrace, TextTrace
from gatepost.testing.server import MailServer
from gatepost.testing.tls import client_settings, contexts
from gatepost.tls.contexts import ClientTLS, Level, client_context
from gatepost.tls.engine import ServerHandshake
from gatepost.tls.sessions import SessionCache
from gatepost.tls.trust import TrustStore
from gatepost.wire.dialogue import Dialogue, Receive, Send
from gatepost.wire.sasl.login import ClientLogin
from gatepost.wire.sasl.outcome import ClientMechanism, Credentials, bindings_of
from gatepost.wire.sasl.plain import ClientPlain
from gatepost.wire.sasl.scram_client import ClientScram
from gatepost.wire.sasl.secret import Secret
from gatepost.wire.smtp.client import SecureClient, converse_starttls
from gatepost.wire.upgrade import Origin, TLSEvidence

USER, PASSWORD = "alice@example.test", "wonderland"
MECHANISMS = ("PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS")
SECONDS = 30.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    """A submission server whose log stays out of the way."""
    directory = tmp_path_factory.mktemp("server")
    with (directory / "log").open("wb") as out:
        logs.setup(descriptor=out.fileno())
        (directory / "data").mkdir()
        listener = [{"name": "submission", "protocol": "submission", "bind": "127.0.0.1:0"}]
        with MailServer(directory / "data", {USER: PASSWORD}, listener=listener) as running:
            yield running
        logs.teardown()


def settings(
    server: MailServer, *, observable: bool = True, level: Level = "verify", name: str = "localhost"
) -> ClientTLS:
    context = client_context(server.ca_file, sessions=SessionCache(0), observable=observable)
    return ClientTLS(context, name, level=level)


def mechanism(name: str, evidence: TLSEvidence) -> ClientMechanism:
    credentials = Credentials(USER, Secret(PASSWORD))
    if name == "PLAIN":
        return ClientPlain(credentials)
    if name == "LOGIN":
        return ClientLogin(credentials)
    plus = name.endswith("PLUS")
    return ClientScram(credentials, "fyko+d2lbbFgONRv9qkxdawL", bindings_of(evidence) if plus else {}, plus=plus)


def login(origin: Origin, name: str) -> Dialogue[None]:
    """From the greeting to the end, over the upgrade and a login."""
    client = yield from converse_starttls(origin, hostname="me.test")
    assert isinstance(client, SecureClient)
    yield from client.authenticate(mechanism(name, client.evidence))
    yield from client.quit()


def run_blocking(server: MailServer, name: str = "PLAIN", tls: ClientTLS | None = None) -> None:
    tls = tls or settings(server)
    with BlockingWire("localhost", server.port("submission"), tls=tls, handshake_seconds=SECONDS) as wire:
        wire.run(login(wire.origin, name))


def run_async(server: MailServer, name: str = "PLAIN", tls: ClientTLS | None = None) -> None:
    async def main() -> None:
        wire = await dial("127.0.0.1", server.port("submission"), tls=tls or settings(server))
        try:
            await wire.run(login(wire.origin, name))
        finally:
            wire.close()

    asyncio.run(main())


DRIVERS = pytest.mark.parametrize("run", [run_blocking, run_async], ids=["blocking", "asyncio"])


@DRIVERS
def test_session_tells_each_line_and_the_upgrade(server: MailServer, run: object) -> None:
    """In order: opened, what is said in the clear, the upgrade with its evidence, what is said in private, the end."""
    events: list[TraceEvent] = []
    with trace(events.append):
        run(server)  # type: ignore[operator]
    kinds = [type(event) for event in events if not isinstance(event, Said)]
    assert kinds == [Opened, Upgrading, Upgraded, Ended]
    said = [event for event in events if isinstance(event, Said)]
    assert said[0].data.startswith(b"220 ") and said[0].direction == "received" and not said[0].private
    assert [each.data for each in said if each.direction == "sent"] == [
        b"EHLO me.test\r\n", b"STARTTLS\r\n", b"EHLO me.test\r\n", b"AUTH PLAIN ***\r\n", b"QUIT\r\n",
    ]  # fmt: skip
    at = events.index(next(event for event in events if isinstance(event, Upgrading)))
    assert [each.private for each in said] == [event in events[at:] for event in said]
    upgraded = next(event for event in events if isinstance(event, Upgraded))
    assert upgraded.evidence.verification.status == "verified"
    assert len({event.connection for event in events}) == 1 and {event.side for event in events} == {"client"}


@DRIVERS
def test_handshake_tells_records_messages_states_and_certificates(server: MailServer, run: object) -> None:
    """Everything between the go-ahead and the evidence, and the same conversation as the other level."""
    events: list[TraceEvent] = []
    with trace(events.append, "handshake"):
        run(server)  # type: ignore[operator]
    names = [event.name for event in events if isinstance(event, MessageSeen)]
    assert names == ["ClientHello", "ServerHello"]
    records = [event for event in events if isinstance(event, RecordSeen)]
    assert {event.direction for event in records} == {"sent", "received"}
    states = [event.name for event in events if isinstance(event, StateEntered)]
    assert "TLSv1.3 read encrypted extensions" in states and "SSLv3/TLS read server certificate" in states
    (shown,) = (event for event in events if isinstance(event, CertificatesShown))
    (upgraded,) = (event for event in events if isinstance(event, Upgraded))
    assert shown.chain == upgraded.evidence.peer_chain
    (judged,) = (event for event in events if isinstance(event, Judged))
    assert judged.verification == upgraded.evidence.verification
    alerts = [(event.direction, event.name) for event in events if isinstance(event, AlertSeen)]
    assert ("sent", "close_notify") in alerts
    order = [events.index(each) for each in (records[0], shown, judged, upgraded)]
    assert order == sorted(order)


@DRIVERS
def test_without_openssl_s_callback_the_trace_says_so_and_goes_on(server: MailServer, run: object) -> None:
    """As where memory may not be written and executed: states once a record, and a note."""
    events: list[TraceEvent] = []
    with trace(events.append, "handshake"):
        run(server, "PLAIN", settings(server, observable=False))  # type: ignore[operator]
    assert len([event for event in events if isinstance(event, Noted)]) == 1
    assert any(isinstance(event, StateEntered) and "finished" in event.name for event in events)


@DRIVERS
@pytest.mark.parametrize("name", MECHANISMS)
def test_no_mechanism_leaves_a_secret_in_the_trace(server: MailServer, run: object, name: str) -> None:
    """Neither the password nor anything that was sent to prove it, in either format, on either level."""
    text, lines = StringIO(), StringIO()
    with trace(TextTrace(text, colour=True), "handshake"), trace(JSONTrace(lines), "handshake"):
        events: list[TraceEvent] = []
        with trace(events.append):
            run(server, name)  # type: ignore[operator]
    raw = b"".join(event.data for event in events if isinstance(event, Said))
    everything = text.getvalue() + lines.getvalue() + raw.decode("latin-1")
    client = mechanism(name, next(event for event in events if isinstance(event, Upgraded)).evidence)
    proofs = (client.initial(), USER.encode(), PASSWORD.encode())
    encoded = [base64.b64encode(each).decode() for each in proofs if each]
    for secret in (PASSWORD, USER, *encoded, *(each.rstrip("=") for each in encoded)):
        assert secret not in everything
    assert (f"AUTH {name}" in everything and "334 " in everything) or name == "PLAIN"
    assert "235 2.7.0" in everything


def test_secrets_are_masked_on_the_server_s_side_too() -> None:
    """A server that is traced, in its own process: what it reads is masked by the state of the protocol."""
    events: list[TraceEvent] = []

    class Receiver:
        def __init__(self, channel: PlainChannel) -> None:
            self.channel = channel

        def data_received(self, data: bytes) -> None:
            self.channel.send(b"334 \r\n" if data.startswith(b"AUTH") else b"235 2.7.0 in\r\n")

        def eof_received(self) -> None:
            self.channel.close()

        def connection_lost(self, error: OSError | None) -> None: ...

    def client() -> Dialogue[None]:
        for line in (b"AUTH PLAIN\r\n", b"c2VjcmV0\r\n"):
            yield Send(line)
            yield Receive(SECONDS, f"reply {line!r}")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        with trace(events.append):
            channel = PlainChannel(Transport(loop, theirs), Origin(("local", 0), ("local", 0), "mx", 0.0, "one"))
            channel.start(Receiver(channel))
        wire = wrap(loop, ours, dialer="test")
        await wire.run(client())
        wire.close()
        channel.close()

    asyncio.run(main())
    assert {event.side for event in events} == {"server"}
    said = [(event.direction, event.data) for event in events if isinstance(event, Said)]
    assert said == [
        ("received", b"AUTH PLAIN\r\n"), ("sent", b"334 \r\n"), ("received", b"***\r\n"), ("sent", b"235 2.7.0 in\r\n"),
    ]  # fmt: skip


@DRIVERS
def test_failed_verification_is_told_with_the_chain_it_was_about(server: MailServer, run: object) -> None:
    """The certificates were shown, the reason is in words, and nothing was said in private."""
    events: list[TraceEvent] = []
    with trace(events.append, "handshake"), pytest.raises(VerificationError):
        run(server, "PLAIN", settings(server, name="other.test"))  # type: ignore[operator]
    (failed,) = (event for event in events if isinstance(event, UpgradeFailed))
    assert "not for other.test" in failed.reason
    assert any(isinstance(event, CertificatesShown) for event in events)
    assert not any(isinstance(event, Said) and event.private for event in events)


def test_what_is_no_tls_is_named() -> None:
    """A peer that goes on in text: the trace shows how it begins, and the failure."""
    ours, theirs = socket.socketpair()
    events: list[TraceEvent] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        tls = ClientTLS(client_context(trust=TrustStore()), "mx.test", level="encrypt")
        with trace(events.append, "handshake"):
            wire = wrap(loop, ours, dialer="test", tls=tls)
        theirs.sendall(b"250 nonsense\r\n")
        with pytest.raises(HandshakeError):
            await wire.handshake()
        wire.abort()

    asyncio.run(main())
    theirs.close()
    assert any(isinstance(event, Noted) and "250 n" in event.text for event in events)
    assert any(isinstance(event, UpgradeFailed) for event in events)


def test_subscriber_that_fails_is_asked_no_more_and_harms_nobody(
    server: MailServer, caplog: pytest.LogCaptureFixture
) -> None:
    """The conversation goes on, others hear everything, and the log says it once."""
    asked: list[TraceEvent] = []
    heard: list[TraceEvent] = []

    def broken(event: TraceEvent) -> None:
        asked.append(event)
        raise ValueError("no")

    with trace(broken), trace(heard.append):
        run_blocking(server)
    assert len(asked) == 1 and len(heard) > 10
    assert [record.name for record in caplog.records] == ["gatepost.trace"]


def test_connection_that_nobody_watches_has_no_tap(server: MailServer) -> None:
    """Outside of a block nothing is made: neither a tap nor another kind of socket."""
    assert subscribed() == ()
    with BlockingWire("localhost", server.port("submission")) as wire:
        assert wire._tap is None and not isinstance(wire._sock, TappedSocket)


def test_blocks_nest_and_end() -> None:
    """Each block adds its subscriber, and takes it away, also after an exception."""
    with trace(print):
        with pytest.raises(KeyError), trace(print, "handshake"):
            assert [each.level for each in subscribed()] == ["session", "handshake"]
            raise KeyError
        assert len(subscribed()) == 1
    assert subscribed() == ()


@pytest.mark.parametrize("level", ["verbose", ""])
def test_unknown_level_is_refused(level: TraceLevel) -> None:
    """There are two."""
    with pytest.raises(LocalProtocolError, match="session or handshake"):
        trace(print, level)


def test_connect_takes_a_trace_of_its_own(server: MailServer) -> None:
    """``trace=`` watches that connection alone; ``gatepost.trace`` is the same as the block's."""
    events: list[TraceEvent] = []
    address = ("localhost", server.port("submission"))
    with gatepost.blocking.connect(
        *address, ca_file=server.ca_file, trace=gatepost.trace(events.append, "handshake")
    ) as plain:
        secure = plain.upgrade("submission")
        secure.send(b"QUIT\r\n")
        assert secure.readline().startswith(b"221")
    with gatepost.blocking.connect(*address, ca_file=server.ca_file):
        pass
    assert len({event.connection for event in events}) == 1
    assert not any(isinstance(event, Noted) for event in events)  # its context was made for it
    assert any(isinstance(event, Upgraded) for event in events)


def test_json_lines_are_versioned_and_whole(server: MailServer) -> None:
    """Each line is one object with the fields that all have; the evidence is in it without its bindings."""
    lines = StringIO()
    with trace(JSONTrace(lines), "handshake"):
        run_blocking(server)
    facts = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert all({"v", "at", "connection", "side", "event"} <= each.keys() and each["v"] == 1 for each in facts)
    (upgraded,) = (each for each in facts if each["event"] == "upgraded")
    assert upgraded["evidence"]["verification"]["status"] == "verified"
    assert upgraded["evidence"]["chain"][0]["faults"] == []
    assert "exporter" not in lines.getvalue()


def test_listener_that_begins_in_a_block_is_traced_with_its_connections() -> None:
    """A server's connections come later, and inherit the block; TLS is told from the server's side, too."""
    events: list[TraceEvent] = []
    ended = asyncio.Event()

    class Inside:
        def __init__(self, channel: SecureChannel) -> None:
            self.channel = channel

        def data_received(self, data: bytes) -> None:
            self.channel.send(b"heard " + data)

        def eof_received(self) -> None:
            self.channel.close()

        def connection_lost(self, error: OSError | None) -> None:
            ended.set()

    class Listener:
        def secured(self, channel: SecureChannel) -> Inside:
            return Inside(channel)

        def upgrade_failed(self, error: Exception) -> None:
            raise AssertionError(error)

    def accepted(sock: socket.socket, peer: object) -> None:
        origin = Origin(("192.0.2.1", 1), ("192.0.2.2", 2), "mx", 0.0, "served")
        channel = PlainChannel(Transport(asyncio.get_running_loop(), sock), origin)
        channel.upgrade(ServerHandshake.implicit(contexts(), origin), Listener())

    def words() -> Dialogue[None]:
        yield Send(b"words\r\n")
        assert (yield Receive(SECONDS, "answer")) == b"heard words\r\n"

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            listening.setblocking(False)
            with trace(events.append, "handshake"):
                acceptor = Acceptor(asyncio.get_running_loop(), listening, accepted)
            wire = await dial("127.0.0.1", listening.getsockname()[1], tls=client_settings())
            await wire.handshake()
            await wire.run(words())
            wire.close()
            await asyncio.wait_for(ended.wait(), SECONDS)
            acceptor.stop()

    asyncio.run(main())
    assert {(event.side, event.connection) for event in events} == {("server", "served")}
    said = [(event.direction, event.data) for event in events if isinstance(event, Said)]
    assert said == [("received", b"words\r\n"), ("sent", b"heard words\r\n")]
    assert [event.name for event in events if isinstance(event, MessageSeen)] == ["ClientHello", "ServerHello"]
    assert any(isinstance(event, Upgraded) for event in events) and any(
        isinstance(event, StateEntered) for event in events
    )
    assert not any(isinstance(event, Judged) for event in events)  # a client that shows no certificate is not judged


def test_secret_words_do_not_print() -> None:
    """A ``Send`` that holds a secret shows none of it, in an error message or a debugger; it is otherwise the same."""
    assert repr(Send(b"PASS x\r\n", secret=True)) == "Send(***)"
    assert repr(Send(b"NOOP\r\n")) == "Send(b'NOOP\\r\\n')"
    assert Send(b"x", secret=True) == Send(b"x")
