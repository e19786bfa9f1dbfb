"""One attempt on one server: connect, greet, protect, log in. What comes out is an open ``Session``.

``Opening`` is the conversation itself, a dialogue without I/O. TLS comes about as the level says (``policy.levels``):
where it was asked for and does not come about, a level that does not insist on it tries once more on a *new* connection
in the clear, and the log says so; where the level insists, the message waits.

A connection on which a handshake failed is never used again, and plaintext injected behind the go-ahead leads to no
second attempt at any level. A password is sent inside TLS only.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar, final

from gatepost.config.endpoints import format_endpoint
from gatepost.delivery.route import Hop, Kind
from gatepost.delivery.session import Session
from gatepost.delivery.trouble import Stage, Trouble, trouble_of
from gatepost.errors import GatepostError, LocalProtocolError
from gatepost.net.dial import dial
from gatepost.observe.logs import event
from gatepost.policy.levels import DEMANDS, Level, reached
from gatepost.queue.outcome import Outcome, Protection, Result
from gatepost.tls.contexts import ClientContext, ClientTLS
from gatepost.wire.dialogue import Dialogue, upgrade
from gatepost.wire.sasl.mechanisms import choose
from gatepost.wire.sasl.outcome import Credentials, bindings_of
from gatepost.wire.smtp.capabilities import Capabilities
from gatepost.wire.smtp.client import PlainClient, SecureClient
from gatepost.wire.smtp.refusals import StartTLSRefused
from gatepost.wire.smtp.timeouts import DEFAULT_TIMEOUTS, ClientTimeouts
from gatepost.wire.upgrade import Origin, TLSEvidence

Client: TypeAlias = PlainClient | SecureClient
T = TypeVar("T")


@final
@dataclass(frozen=True, slots=True)
class Target:
    """One address of one host.

    :param hop: the host and its port.
    :param address: the IP address to connect to.
    :param kind: how the route came about.
    :param approach: how this server is approached, where rules have a say in it; None is as all others.
    """

    hop: Hop
    address: str
    kind: Kind
    approach: Approach | None = None

    @property
    def remote(self) -> str:
        """``name[address]:port``, for logs, outcomes and reports."""
        if self.hop.host == self.address:
            return format_endpoint(self.address, self.hop.port)
        return f"{self.hop.host}[{self.address}]:{self.hop.port}"


@final
@dataclass(frozen=True, slots=True)
class Approach:
    """How servers are approached: from the configuration for all of them, from a decision of the rules for one.

    :param hostname: our name in EHLO.
    :param level: the TLS level.
    :param tls: with whom we trust; None only at level ``none``.
    :param implicit: whether TLS begins with the first octet (RFC 8314 §3.3), for a smarthost.
    :param credentials: what we log in with, for a smarthost, or None.
    :param names: the names of which the certificate must have one; none: the server's.
    :param pins: SHA-256 of certificates or public keys, for ``fingerprint``.
    :param rule: what decided the level, for the log.
    """

    hostname: str
    level: Level = "may"
    tls: ClientContext | None = None
    implicit: bool = False
    credentials: Credentials | None = None
    connect_seconds: float = 30.0
    handshake_seconds: float = 30.0
    timeouts: ClientTimeouts = DEFAULT_TIMEOUTS
    names: tuple[str, ...] = ()
    pins: tuple[str, ...] = ()
    rule: str = "delivery.tls_level"

    @property
    def key(self) -> tuple[object, ...]:
        """What decides how a connection was protected: one made under another key is never used instead."""
        user = self.credentials.user if self.credentials is not None else None
        return (self.hostname, self.level, self.tls, self.implicit, user, self.names, self.pins, self.rule)

    def settings(self, target: Target) -> ClientTLS | None:
        """What TLS with this server asks for: where no names are set, its name, as the route gave it, is verified."""
        demand = DEMANDS[self.level]
        if not demand.asks or self.tls is None:
            return None
        if demand.certificate == "pinned":
            return ClientTLS(self.tls, target.hop.host, "fingerprint", pins=self.pins)
        if demand.certificate == "trusted":
            return ClientTLS(self.tls, target.hop.host, "verify", self.names)
        return ClientTLS(self.tls, target.hop.host, "encrypt" if demand.insists else "may", self.names)

    @property
    def insists(self) -> bool:
        """Whether nothing is said to the server without TLS: a password makes it a must, too."""
        return DEMANDS[self.level].insists or self.implicit or self.credentials is not None

    def protection(self, evidence: TLSEvidence | None) -> Protection:
        """What was asked of TLS, and what came about."""
        status = None if evidence is None else evidence.verification.status
        return Protection(self.level, reached(self.level, status), self.rule)


class Connection(Protocol):
    """What an attempt needs of a connection: ``net.drive.Wire``."""

    @property
    def origin(self) -> Origin: ...
    @property
    def evidence(self) -> TLSEvidence | None: ...
    @property
    def closed(self) -> bool: ...
    async def run(self, dialogue: Dialogue[T]) -> T: ...
    async def handshake(self) -> TLSEvidence: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...


Dialer: TypeAlias = Callable[[Target, Approach], Awaitable[Connection]]


async def connect(target: Target, approach: Approach) -> Connection:
    """Open a TCP connection (``net.dial``)."""
    return await dial(
        target.address, target.hop.port, dialer="delivery", tls=approach.settings(target),
        connect_seconds=approach.connect_seconds, handshake_seconds=approach.handshake_seconds,
    )  # fmt: skip


@final
class Opening:
    """The conversation up to the first MAIL. ``stage`` says how far it is.

    :param in_clear: leave TLS alone: the second try at level ``may``.
    """

    __slots__ = ("_approach", "_in_clear", "_kind", "stage")

    def __init__(self, approach: Approach, kind: Kind, *, in_clear: bool) -> None:
        self._approach = approach
        self._kind = kind
        self._in_clear = in_clear
        self.stage = Stage.GREETING

    def starttls(self, origin: Origin) -> Dialogue[tuple[Client, Capabilities]]:
        """Begin in the clear, and upgrade as the level says.

        :raises GatepostError, OSError: see ``trouble_of``.
        """
        approach = self._approach
        client = PlainClient(origin, hostname=approach.hostname, timeouts=approach.timeouts)
        yield from client.greeting()
        self.stage = Stage.HELLO
        asks, insists = DEMANDS[approach.level].asks, approach.insists
        capabilities = yield from client.hello(helo_fallback=not insists)
        self._look_in_the_mirror(capabilities)
        if self._in_clear or not asks or not (insists or capabilities.starttls):
            if approach.credentials is not None:
                raise LocalProtocolError("a password is sent inside TLS only")
            return client, capabilities
        self.stage = Stage.TLS
        if not capabilities.starttls:
            raise StartTLSRefused(None)
        ready = yield from client.start_tls()
        evidence = yield from upgrade(ready)
        self.stage = Stage.HELLO
        return (
            yield from self._inside(
                SecureClient(origin, evidence, hostname=approach.hostname, timeouts=approach.timeouts)
            )
        )

    def implicit(self, origin: Origin, evidence: TLSEvidence) -> Dialogue[tuple[Client, Capabilities]]:
        """Begin inside TLS."""
        client = SecureClient(origin, evidence, hostname=self._approach.hostname, timeouts=self._approach.timeouts)
        yield from client.greeting()
        self.stage = Stage.HELLO
        return (yield from self._inside(client))

    def _inside(self, client: SecureClient) -> Dialogue[tuple[Client, Capabilities]]:
        capabilities = yield from client.hello()
        self._look_in_the_mirror(capabilities)
        credentials = self._approach.credentials
        if credentials is not None:
            self.stage = Stage.LOGIN
            bindings = bindings_of(client.evidence)
            mechanism = choose(capabilities.auth, credentials, bindings, nonce=secrets.token_urlsafe(24))
            yield from client.authenticate(mechanism)
        return client, capabilities

    def _look_in_the_mirror(self, capabilities: Capabilities) -> None:
        """A mail exchanger that has our own name is ourselves (RFC 5321 §6.3): mail would go round for ever. So is the
        host of a route; the route is ours to mend, and its mail waits."""
        if capabilities.server_name.lower() != self._approach.hostname.lower():
            return
        reason = "mail loops back: the server has our own name"
        if self._kind in ("mx", "implicit"):
            raise Trouble(Outcome(Result.FAILED, 0, "5.4.6", reason))
        if self._kind == "route":
            raise Trouble(Outcome(Result.DEFERRED, 0, "4.4.6", reason))


async def open_session(
    target: Target, approach: Approach, *, dialer: Dialer = connect, failed: Callable[[Trouble], None] = lambda _: None
) -> Session:
    """Open a session with a server, with TLS as the level says.

    :param failed: told of every attempt that came to nothing, the one before a second in the clear included.
    :raises Trouble: when it cannot be had; nothing was sent to that server then.
    """
    try:
        return await _try(target, approach, dialer, in_clear=False)
    except Trouble as trouble:
        failed(trouble)
        if trouble.injected:
            event("delivery.plaintext-after-upgrade", "error", relay=target.remote, reason=trouble.message)
        if not trouble.in_clear or approach.insists:
            raise
        event(
            "delivery.in-clear", "notice", relay=target.remote, reason=trouble.message, level=approach.level,
            rule=approach.rule,
            result=trouble.outcome.tlsrpt.value if trouble.outcome.tlsrpt else None,
        )  # fmt: skip
    try:
        return await _try(target, approach, dialer, in_clear=True)
    except Trouble as trouble:
        failed(trouble)
        raise


async def _try(target: Target, approach: Approach, dialer: Dialer, *, in_clear: bool) -> Session:
    stage = Stage.CONNECT
    opening = Opening(approach, target.kind, in_clear=in_clear)
    connection: Connection | None = None
    opened = False
    try:
        connection = await dialer(target, approach)
        if approach.implicit:
            stage = Stage.TLS
            evidence = await connection.handshake()
            stage = opening.stage
            client, capabilities = await connection.run(opening.implicit(connection.origin, evidence))
        else:
            stage = opening.stage
            client, capabilities = await connection.run(opening.starttls(connection.origin))
        opened = True
        return Session(connection, client, capabilities, target.remote, approach.protection(connection.evidence))
    except (GatepostError, OSError) as error:
        stage = stage if stage in (Stage.CONNECT, Stage.TLS) else opening.stage
        raise trouble_of(error, stage, remote=target.remote, protection=approach.protection(None)) from error
    finally:
        if connection is not None and not opened:
            connection.abort()
