"""One connection from its first byte to its summary line.

The connection outlives its sessions: a plaintext session ends at the upgrade and a private one is made from the secure
channel, that is from origin and evidence alone; the terms that both are served on follow from the origin. What else the
connection keeps across the two is for the log only; no session can read it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gatepost.errors import HandshakeError
from gatepost.net.channel import PlainChannel, SecureChannel
from gatepost.net.transport import Receiver, Transport
from gatepost.observe import logs
from gatepost.service.smtp import refusals
from gatepost.service.smtp.local import LocalSession
from gatepost.service.smtp.plain import PlainSession
from gatepost.service.smtp.port import Port
from gatepost.service.smtp.secure import SecureSession
from gatepost.tls.engine import ServerHandshake
from gatepost.wire.smtp.reply import Reply
from gatepost.wire.upgrade import EarlyHello, Origin, TLSEvidence, UpgradeReady


class Record:
    """What the summary line of a connection says. Written by sessions, read by the log alone."""

    __slots__ = ("bytes", "errors", "helo", "messages", "outcome", "recipients", "refused", "relay", "user")

    def __init__(self) -> None:
        self.messages = 0
        self.recipients = 0
        self.bytes = 0
        self.refused = 0
        self.errors = 0
        self.helo = ""
        self.relay = ""
        self.user = ""
        self.outcome = ""


class Connection:
    """One client.

    :param port: the listener it came to.
    :param transport: its socket.
    :param origin: where it came from.
    :param closed: called once, when it is gone.
    """

    __slots__ = (
        "_closed", "_evidence", "_phase", "deadline", "last_call", "origin", "port", "record", "session", "terms",
        "transport",
    )  # fmt: skip

    def __init__(self, port: Port, transport: Transport, origin: Origin, closed: Callable[[Connection], None]) -> None:
        self.port: Final = port
        self.transport: Final = transport
        self.origin: Final = origin
        self.terms: Final = port.terms(origin.peer[0])
        self.record: Final = Record()
        self.session: PlainSession | SecureSession | None = None
        self.deadline = 0.0
        limits = port.services.config.limits
        self.last_call = (
            port.services.loop.time() + limits.session_timeout_before_auth if port.submission else float("inf")
        )
        self._evidence: TLSEvidence | None = None
        self._phase = "command"
        self._closed = closed

    def start(self) -> None:
        """Greet, or begin TLS at once on a port that is private from its first byte."""
        port, channel = self.port, PlainChannel(self.transport, self.origin)
        port.tally.add(port.tally.connections)
        port.tally.add(port.tally.open)
        if self.terms.refusal:
            port.tally.count("smtp_connections_refused_total", reason="policy")
            self.hold()
            self._turn_away(self.terms.refusal)
            return
        if port.implicit:
            contexts = self.terms.contexts
            assert contexts is not None
            self._begin_handshake()
            channel.upgrade(
                ServerHandshake.implicit(contexts, self.origin, alpn=port.alpn, bindings=port.submission), self
            )
            return
        self.session = (LocalSession if port.local else PlainSession)(self, channel)
        channel.start(self.session)
        self.session.greet()

    def refuse(self, reply: Reply, reason: str) -> None:
        """Say one reply and close, before any session: a limit was reached."""
        self.port.tally.add(self.port.tally.open)  # until it is gone
        self._turn_away(reason, b"" if self.port.implicit else reply.octets)

    def _turn_away(self, reason: str, last: bytes = b"") -> None:
        self.record.outcome = reason
        self.transport.receive_with(_Gone(self))
        self.transport.write(last)
        self.transport.close(linger=True)

    def upgrade(self, channel: PlainChannel, ready: UpgradeReady, early: EarlyHello | None, go_ahead: bytes) -> None:
        """The plaintext session is spent: run the handshake."""
        port, contexts = self.port, self.terms.contexts
        assert contexts is not None
        self.session = None
        self._begin_handshake()
        handshake = ServerHandshake(contexts, ready, alpn=port.alpn, early=early, bindings=port.submission)
        channel.upgrade(handshake, self, go_ahead)

    def wait(self, seconds: float, phase: str) -> None:
        """The peer has this long to get on."""
        self._phase = phase
        self.deadline = min(self.port.services.loop.time() + seconds, self.last_call)

    def hold(self) -> None:
        """Nothing is expected of the peer now: we are working."""
        self.deadline = float("inf")

    def expire(self) -> None:
        """The deadline has passed."""
        self.record.outcome = f"timeout ({self._phase})"
        self.port.tally.count("smtp_timeouts_total", phase=self._phase)
        if self.session is None or not self.session.alive:
            self.transport.abort()  # in the handshake no text may be said; after our last words nothing more
            return
        self.session.hang_up(refusals.TIMED_OUT)

    def drain(self) -> None:
        """Finish: at once when nothing is under way, else after the message that is."""
        if self.session is not None:
            self.session.drain()

    # net.channel.TLSListener

    def secured(self, channel: SecureChannel) -> Receiver:
        self._evidence = channel.evidence
        self.port.tally.handshake(channel.evidence)
        session = self.session = SecureSession(self, channel)
        if self.port.implicit:
            session.greet()
        else:
            session.await_command()
        return session

    def upgrade_failed(self, error: Exception) -> None:
        self.port.tally.count(
            "tls_handshakes_total", direction="inbound", version="none", group="none", result="failed"
        )
        plaintext = isinstance(error, HandshakeError) and error.plaintext
        if plaintext:
            self.port.tally.count("plaintext_after_upgrade_total", side="server")
        if not self.record.outcome:
            self.record.outcome = "plaintext after the upgrade" if plaintext else "handshake failed"
        logs.event(
            "tls.handshake-failed",
            severity="warning" if plaintext else "notice",
            connection=self.origin.connection,
            rip=self.origin.peer[0],
            listener=self.port.listener.name,
            reason=str(error),
            alert=error.alert if isinstance(error, HandshakeError) else "",
        )
        if self.transport.closed:
            self.ended()
        else:
            self.transport.receive_with(_Gone(self))  # it lingers, and counts until it is gone

    def _begin_handshake(self) -> None:
        self.wait(self.port.services.config.limits.handshake_timeout, "handshake")

    def ended(self) -> None:
        """The connection is gone: write its summary, once."""
        closed, self._closed = self._closed, _nothing
        if closed is _nothing:
            return
        self.session = None
        port, record, evidence, origin = self.port, self.record, self._evidence, self.origin
        port.tally.add(port.tally.open, -1)
        tls = "none" if evidence is None else "implicit" if port.implicit else "starttls"
        port.tally.session(tls)
        logs.event(
            "smtp.session",
            connection=origin.connection,
            listener=port.listener.name,
            rip=origin.peer[0],
            rport=origin.peer[1],
            tls="none" if evidence is None else evidence.version,
            cipher="" if evidence is None else evidence.cipher,
            group="" if evidence is None else evidence.group or "",
            resumed=evidence is not None and evidence.resumed,
            verified="" if evidence is None else evidence.verification.status,
            wanted=self.terms.wanted,
            got=tls,
            rule=self.terms.rule,
            relay=record.relay,
            user=record.user,
            helo=record.helo,
            messages=record.messages,
            recipients=record.recipients,
            bytes=record.bytes,
            refused=record.refused,
            errors=record.errors,
            seconds=round(port.services.clock() - origin.accepted_at, 3),
            outcome=record.outcome or "lost",
        )
        closed(self)


def _nothing(_: Connection) -> None:
    """What ``closed`` is once it was called."""


class _Gone:
    """Receives nothing: the connection was refused."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def data_received(self, data: bytes) -> None: ...

    def eof_received(self) -> None: ...

    def connection_lost(self, error: OSError | None) -> None:
        self._connection.ended()
