"""One connection from its first byte to its summary line, whatever is spoken over it.

The connection outlives its sessions: a plaintext session ends at the upgrade and a private one is made from the secure
channel, that is from origin and evidence alone. What else the connection keeps across the two is for the log only; no
session can read it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, Literal, Protocol

from gatepost.errors import HandshakeError
from gatepost.net.channel import PlainChannel, SecureChannel
from gatepost.net.served import ServedConnection, ServedSession
from gatepost.net.transport import Receiver, Transport
from gatepost.observe import logs
from gatepost.record.recorder import Recorder
from gatepost.record.transcript import SessionRecord
from gatepost.service.certified import certificate_name, report_unproved
from gatepost.service.limits import Refusal
from gatepost.service.tally import Tally
from gatepost.tls.contexts import ServerContexts
from gatepost.tls.engine import ServerHandshake
from gatepost.wire.upgrade import EarlyHello, Origin, TLSEvidence, UpgradeReady
from gatepost.wire.witness import Witness, shown_residue


class Session(Receiver, ServedSession, Protocol):
    """What a connection asks of its session."""

    def greet(self) -> None: ...


class Door(Protocol):
    """The listener that a connection came to, as far as every protocol has one."""

    recorder: Recorder | None
    """What sessions are recorded with, where any may be."""

    @property
    def name(self) -> str: ...
    @property
    def number(self) -> int: ...
    @property
    def implicit(self) -> bool: ...
    @property
    def alpn(self) -> frozenset[str]: ...
    @property
    def tally(self) -> Tally: ...
    @property
    def bindings(self) -> bool:
        """Whether somebody may log in here, who could bind the login to the handshake."""

    @property
    def protocol(self) -> str: ...
    @property
    def handshake_seconds(self) -> float: ...
    def now(self) -> float:
        """The loop's time."""

    def clock(self) -> float:
        """Seconds since the Unix epoch."""


class Connection(ServedConnection):
    """One client. A protocol's own connection makes the sessions and says what its summary has.

    :param door: the listener it came to.
    :param transport: its socket.
    :param origin: where it came from.
    :param contexts: for the handshake; None where TLS is not to be had.
    :param closed: called once, when it is gone.
    """

    __slots__ = ("_contexts", "_door", "_evidence", "_gone", "transcript")

    side: ClassVar[Literal["server", "gate"]] = "server"
    """Whether we answer ourselves, or stand before another server."""

    def __init__(
        self,
        door: Door,
        transport: Transport,
        origin: Origin,
        contexts: ServerContexts | None,
        closed: Callable[[Any], None],
    ) -> None:
        super().__init__(transport, origin, door.now, door.handshake_seconds)
        self._door: Final = door
        self._contexts: Final = contexts
        self._evidence: TLSEvidence | None = None
        self._gone: Final = closed
        self.transcript: SessionRecord | None = None
        """What is written down of the session; None when nothing is."""

    # What a protocol adds

    def plain_session(self, channel: PlainChannel) -> Session:
        """A session in the clear."""
        raise NotImplementedError

    def secure_session(self, channel: SecureChannel) -> Session:
        """A session inside TLS, from the channel and nothing else."""
        raise NotImplementedError

    def refusal(self) -> str:
        """Why nothing is said to this client at all; empty, as a rule."""
        return ""

    def last_words(self, refusal: Refusal) -> bytes:
        """What a client is told in the clear when a limit keeps it out."""
        raise NotImplementedError

    def tell(self, facts: Mapping[str, object], ending: Mapping[str, object]) -> None:
        """Write the summary line.

        :param facts: what every protocol's line begins with.
        :param ending: what it ends with.
        """
        raise NotImplementedError

    # Its life

    def start(self) -> None:
        """Greet, or begin TLS at once on a port that is private from its first byte."""
        door, channel, tally = self._door, PlainChannel(self.transport, self.origin), self._door.tally
        tally.add(tally.connections)
        tally.add(tally.open)
        self.record_from_here()
        if reason := self.refusal():
            if self.transcript is not None:
                self.transcript.decision("connection", "refuse", reason=reason)
            tally.count(f"{tally.family}_connections_refused_total", reason="policy")
            self.hold()
            self.turn_away(reason)
        elif door.implicit:
            assert self._contexts is not None
            self.wait(self.handshake_seconds, "handshake")
            channel.upgrade(
                ServerHandshake.implicit(self._contexts, self.origin, alpn=door.alpn, bindings=door.bindings), self
            )
        else:
            session = self.session = self.plain_session(channel)
            self.show(session)
            channel.start(session)
            session.greet()

    def record_from_here(self) -> None:
        """Begin the transcript, where a rule wants one."""
        if (recorder := self._door.recorder) is not None:
            self.transcript = recorder.session(self.origin, self._door.protocol, self._door.name, side=self.side)

    def show(self, session: Session) -> None:
        """Let the transcript see what a session reads and says, if there is one and the session can show it."""
        if self.transcript is not None:
            watch: Callable[[Witness], None] | None = getattr(session, "watch", None)
            if watch is not None:
                watch(self.transcript)

    def refuse(self, refusal: Refusal) -> None:
        """Say one reply and close, before any session: a limit was reached."""
        tally = self._door.tally
        tally.count(f"{tally.family}_connections_refused_total", reason=refusal.reason)
        tally.add(tally.open)  # until it is gone
        self.turn_away(refusal.reason, b"" if self._door.implicit else self.last_words(refusal))

    def _handshake(self, ready: UpgradeReady, early: EarlyHello | None) -> ServerHandshake:
        contexts = self._contexts
        assert contexts is not None
        return ServerHandshake(contexts, ready, alpn=self._door.alpn, early=early, bindings=self._door.bindings)

    def _timed_out(self, phase: str) -> None:
        tally = self._door.tally
        tally.count(f"{tally.family}_timeouts_total", phase=phase)

    def plaintext_found(self, residue: bytes) -> None:
        """Plaintext stood behind the upgrade: say so in the log."""
        self.outcome = "plaintext after the upgrade"
        if self.transcript is not None:
            words = f"{len(residue)} octets stood behind the request for it"
            self.transcript.decision("upgrade", "refuse", reason=words)
        self._door.tally.count("plaintext_after_upgrade_total", side="server")
        logs.event(
            "tls.plaintext-after-upgrade",
            severity="warning",
            connection=self.origin.connection,
            rip=self.origin.peer[0],
            listener=self._door.name,
            octets=len(residue),
            evidence=shown_residue(residue),
        )

    def fault(self, family: str, reason: str, line: bytes) -> None:
        """The client broke the protocol: count it, and say so in the log.

        :param family: the protocol, as the names of its events begin.
        :param reason: stable words.
        :param line: the beginning of the offending line, without credentials.
        """
        self._door.tally.add(self._door.tally.errors)
        logs.event(
            f"{family}.fault",
            severity="notice",
            connection=self.origin.connection,
            rip=self.origin.peer[0],
            reason=reason,
            line=line,
        )

    def secured(self, channel: SecureChannel) -> Receiver:
        self._evidence = channel.evidence
        self._door.tally.handshake(channel.evidence)
        report_unproved(self.origin, channel.evidence)
        if self.transcript is not None:
            self.transcript.upgrade("client", channel.evidence)
        session = self.session = self.secure_session(channel)
        self.show(session)
        if self._door.implicit:
            session.greet()
        return session

    def _handshake_failed(self, error: Exception, *, plaintext: bool) -> None:
        tally = self._door.tally
        if self.transcript is not None:
            self.transcript.upgrade_failed("client", str(error))
        tally.count("tls_handshakes_total", direction="inbound", version="none", group="none", result="failed")
        if plaintext:
            tally.count("plaintext_after_upgrade_total", side="server")
        logs.event(
            "tls.handshake-failed",
            severity="warning" if plaintext else "notice",
            connection=self.origin.connection,
            rip=self.origin.peer[0],
            listener=self._door.name,
            reason=str(error),
            alert=error.alert if isinstance(error, HandshakeError) else "",
        )

    def _closed(self) -> None:
        """Write the summary."""
        door, evidence, origin = self._door, self._evidence, self.origin
        door.tally.add(door.tally.open, -1)
        tls = "none" if evidence is None else "implicit" if door.implicit else "starttls"
        door.tally.session(tls)
        self.tell(
            {
                "connection": origin.connection,
                "listener": door.name,
                "rip": origin.peer[0],
                "rport": origin.peer[1],
                "tls": "none" if evidence is None else evidence.version,
                "cipher": "" if evidence is None else evidence.cipher,
                "group": "" if evidence is None else evidence.group or "",
                "resumed": evidence is not None and evidence.resumed,
                "verified": "" if evidence is None else evidence.verification.status,
                "cert": certificate_name(evidence),
                "got": tls,
            },
            {"seconds": round(door.clock() - origin.accepted_at, 3), "outcome": self.outcome or "lost"},
        )
        if self.transcript is not None:
            self.transcript.close(self.outcome or "lost")
        self._gone(self)
