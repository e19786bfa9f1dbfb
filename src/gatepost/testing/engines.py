"""Our own server engines as the other side of a client dialogue: two engines back to back, upgrade included.

The upgrade is the real one on both sides: the server's engine is spent, its token begins a handshake in memory, and a
new engine is built inside.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias, final

from gatepost.errors import LocalProtocolError
from gatepost.testing.handshakes import run_handshake
from gatepost.testing.memory import ORIGIN, Peer
from gatepost.testing.tls import SecurePeer, client_settings, contexts
from gatepost.tls.engine import ClientHandshake, ServerHandshake
from gatepost.wire.sasl.mechanisms import offer, serve
from gatepost.wire.sasl.outcome import (
    Challenge,
    Failure,
    NeedPassword,
    NeedScram,
    ScramVerifier,
    ServerMechanism,
    ServerStep,
    Success,
    bindings_of,
)
from gatepost.wire.smtp import reply
from gatepost.wire.smtp.events import (
    AuthRequested,
    AuthResponse,
    Content,
    ContentAborted,
    ContentBegins,
    ContentEnds,
    Event,
    Mail,
    Recipient,
    StartTLSRequested,
)
from gatepost.wire.smtp.profile import ServerProfile
from gatepost.wire.smtp.reply import Reply
from gatepost.wire.smtp.server import PlainServer, SecureServer
from gatepost.wire.upgrade import EarlyHello, TLSEvidence, UpgradeReady

Judge: TypeAlias = Callable[[Event], Reply | None]
"""Given Mail, Recipient, ContentBegins or ContentEnds, a reply in place of the usual one, or None for that."""


@final
@dataclass(slots=True)
class Received:
    """One message that a server engine took."""

    sender: str
    recipients: list[str] = field(default_factory=list)
    content: bytes = b""


@final
class EnginePeer:
    """A server engine that accepts everything, unless ``judge`` says otherwise.

    :param engine: greeted already, where a greeting is due.
    :param judge: see ``Judge``.
    :param users: name to SCRAM verifier and password, for a ``SecureServer`` that offers AUTH.
    """

    def __init__(
        self,
        engine: PlainServer | SecureServer,
        *,
        judge: Judge = lambda event: None,
        users: Mapping[str, tuple[ScramVerifier, bytes]] | None = None,
    ) -> None:
        self.engine: Final = engine
        self.messages: Final[list[Received]] = []
        self.events: Final[list[Event]] = []
        self.upgrade: tuple[UpgradeReady, EarlyHello | None] | None = None
        self._judge: Final = judge
        self._users: Final = users or {}
        self._open: Received | None = None
        self._mechanism: ServerMechanism | None = None

    @property
    def closed(self) -> bool:
        """Whether the conversation has ended."""
        return any(type(event).__name__ == "Ended" for event in self.events)

    def receive(self, data: bytes) -> None:
        """Feed the engine and answer what it asks."""
        self.engine.receive(data)
        while self.upgrade is None and (event := self.engine.next_event()) is not None:
            self.events.append(event)
            self._answer(event)

    def outgoing(self) -> bytes:
        """What the engine says."""
        return self.engine.outgoing()

    def _answer(self, event: Event) -> None:
        engine = self.engine
        match event:
            case StartTLSRequested():
                assert isinstance(engine, PlainServer)
                self.upgrade = engine.grant_upgrade()
            case Mail(sender, _):
                self._open = Received(str(sender or ""))
                engine.answer(self._judge(event) or reply.SENDER_OK)
            case Recipient(mailbox, _):
                verdict = self._judge(event) or reply.RECIPIENT_OK
                if verdict.positive and self._open is not None:
                    self._open.recipients.append(str(mailbox))
                engine.answer(verdict)
            case ContentBegins():
                engine.answer(self._judge(event) or reply.DATA_GO_AHEAD)
            case Content(data) if self._open is not None:
                self._open.content += data
            case ContentEnds(refusal) if refusal is None and self._open is not None:
                verdict = self._judge(event) or reply.OK
                if verdict.positive:
                    self.messages.append(self._open)
                engine.answer(verdict)
            case ContentAborted():
                self._open = None
            case AuthRequested(mechanism, initial):
                self._authenticate(mechanism, initial)
            case AuthResponse(data) if self._mechanism is not None:
                self._act(self._mechanism.step(data))

    def _authenticate(self, name: str, initial: bytes | None) -> None:
        assert isinstance(self.engine, SecureServer)
        bindings = bindings_of(self.engine.evidence)
        offered = offer(self.engine.profile.auth_mechanisms, bindings)
        self._mechanism = serve(name, offered, bindings, nonce="a nonce of the test".replace(" ", "-"))
        assert self._mechanism is not None
        self._act(self._mechanism.step(initial))

    def _act(self, step: ServerStep) -> None:
        engine, mechanism = self.engine, self._mechanism
        assert isinstance(engine, SecureServer) and mechanism is not None
        match step:
            case Challenge(data):
                engine.challenge(data)
            case NeedPassword(user, password):
                known = self._users.get(user)
                self._act(mechanism.verified(known is not None and known[1] == password.reveal()))
            case NeedScram(user):
                self._act(mechanism.supply(self._users[user][0]))
            case Success(identity):
                engine.authenticated(identity)
            case Failure():
                engine.answer(reply.AUTH_FAILED)


def engine_upgrader(
    profile: ServerProfile, inside: Callable[[SecureServer], EnginePeer] = EnginePeer
) -> Callable[[UpgradeReady, Peer], tuple[TLSEvidence, Peer]]:
    """What a ``MemoryDriver`` upgrades with when its peer is an ``EnginePeer``.

    :param inside: makes the peer that speaks inside TLS from its engine.
    """

    def upgrade(ready: UpgradeReady, outer: Peer) -> tuple[TLSEvidence, Peer]:
        if not isinstance(outer, EnginePeer) or outer.upgrade is None:
            raise LocalProtocolError("the server granted no upgrade")
        token, early = outer.upgrade
        server = ServerHandshake(contexts(), token, early=early)
        theirs, ours = run_handshake(server, ClientHandshake(client_settings(), ready))
        return ours.evidence, SecurePeer(ours, theirs, inside(SecureServer(ORIGIN, theirs.evidence, profile)))

    return upgrade
