"""Our own POP3 server engines as the other side of a client dialogue, over a maildrop in memory.

The upgrade is the real one on both sides: the server's engine is spent, its token begins a handshake in memory, and a
new engine is built inside.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, final

from gatepost.errors import LocalProtocolError
from gatepost.testing.handshakes import run_handshake
from gatepost.testing.memory import ORIGIN, Peer, Upgrader
from gatepost.testing.tls import SecurePeer, client_settings, contexts
from gatepost.tls.engine import ClientHandshake, ServerHandshake
from gatepost.wire.pop3 import reply
from gatepost.wire.pop3.events import (
    AuthRequested,
    AuthResponse,
    Delete,
    Ended,
    Event,
    ListAsked,
    LoginRequested,
    Quit,
    Retrieve,
    StartTLSRequested,
    StatAsked,
    Top,
    UidlAsked,
    Undelete,
)
from gatepost.wire.pop3.multiline import top_filter, wire_octets
from gatepost.wire.pop3.profile import ServerProfile
from gatepost.wire.pop3.reply import Reply
from gatepost.wire.pop3.server import PlainServer, SecureServer
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
from gatepost.wire.sasl.plain import judge_password
from gatepost.wire.upgrade import EarlyHello, TLSEvidence, UpgradeReady


@final
class MaildropPeer:
    """A POP3 server engine with a mailbox of its own.

    :param engine: greeted already, where a greeting is due.
    :param messages: what is in the mailbox; after ``QUIT`` what is left. Line ends may be LF or CRLF.
    :param users: name to SCRAM verifier and password; whoever logs in sees the one mailbox.
    """

    def __init__(
        self,
        engine: PlainServer | SecureServer,
        *,
        messages: Iterable[bytes] = (),
        users: Mapping[str, tuple[ScramVerifier | None, bytes]] | None = None,
    ) -> None:
        self.engine: Final = engine
        self.messages: list[bytes] = list(messages)
        self.events: Final[list[Event]] = []
        self.upgrade: tuple[UpgradeReady, EarlyHello | None] | None = None
        self._users: Final = users or {}
        self._deleted: set[int] = set()
        self._mechanism: ServerMechanism | None = None

    @property
    def closed(self) -> bool:
        """Whether the conversation has ended."""
        return any(isinstance(event, Ended) for event in self.events)

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
            case LoginRequested(user, password):
                self._judge(judge_password(user, password.reveal().decode()))
            case AuthRequested(name, initial):
                self._begin(name, initial)
            case AuthResponse(data):
                assert self._mechanism is not None
                self._act(self._mechanism.step(data))
            case StatAsked() | ListAsked() | UidlAsked():
                self._tell(event)
            case Retrieve(number):
                self._send(number, None)
            case Top(number, lines):
                self._send(number, lines)
            case Delete(number) if number in self._present():
                self._deleted.add(number)
                engine.answer(reply.OK)
            case Delete(_):
                engine.answer(reply.NO_SUCH_MESSAGE)
            case Undelete():
                self._deleted.clear()
                engine.answer(reply.OK)
            case Quit(True):
                self.messages = list(self._present().values())
                engine.answer(reply.BYE)

    def _present(self) -> dict[int, bytes]:
        return {n: message for n, message in enumerate(self.messages, 1) if n not in self._deleted}

    def _tell(self, event: StatAsked | ListAsked | UidlAsked) -> None:
        engine, present = self.engine, self._present()
        sizes = {number: wire_octets([message]) for number, message in present.items()}
        if isinstance(event, StatAsked):
            engine.answer(Reply(True, f"{len(sizes)} {sum(sizes.values())}"))
            return
        values = sizes if isinstance(event, ListAsked) else {n: f"id-{n}" for n in present}
        if event.number is None:
            engine.begin_multiline()
            engine.multiline("".join(f"{number} {value}\n" for number, value in values.items()).encode())
            engine.end_multiline()
        elif event.number in values:
            engine.answer(Reply(True, f"{event.number} {values[event.number]}"))
        else:
            engine.answer(reply.NO_SUCH_MESSAGE)

    def _send(self, number: int, lines: int | None) -> None:
        engine, message = self.engine, self._present().get(number)
        if message is None:
            engine.answer(reply.NO_SUCH_MESSAGE)
            return
        pieces: Iterable[bytes] = (message[at : at + 1000] for at in range(0, len(message), 1000))
        engine.begin_multiline("message follows")
        for piece in pieces if lines is None else top_filter(pieces, lines):
            engine.multiline(piece)
        engine.end_multiline()

    def _begin(self, name: str, initial: bytes | None) -> None:
        engine = self.engine
        assert isinstance(engine, SecureServer)
        bindings = bindings_of(engine.evidence)
        offered = offer(engine.profile.auth_mechanisms, bindings)
        self._mechanism = serve(name, offered, bindings, nonce="server-nonce-of-the-test")
        assert self._mechanism is not None
        self._act(self._mechanism.step(initial))

    def _judge(self, step: NeedPassword | Failure) -> None:
        """USER and PASS: the same judgement as that of PLAIN."""
        engine = self.engine
        assert isinstance(engine, SecureServer)
        known = self._users.get(step.user)
        if isinstance(step, NeedPassword) and known is not None and known[1] == step.password.reveal():
            engine.authenticated(step.user)
        else:
            engine.answer(reply.AUTH_FAILED)

    def _act(self, step: ServerStep) -> None:
        engine, mechanism = self.engine, self._mechanism
        assert isinstance(engine, SecureServer)
        assert mechanism is not None
        match step:
            case Challenge(data):
                engine.challenge(data)
            case NeedPassword(user, password):
                known = self._users.get(user)
                self._act(mechanism.verified(known is not None and known[1] == password.reveal()))
            case NeedScram(user):
                verifier = self._users[user][0]
                assert verifier is not None
                self._act(mechanism.supply(verifier))
            case Success(identity):
                engine.authenticated(identity)
            case Failure():
                engine.answer(reply.AUTH_FAILED)


def maildrop_upgrader(
    profile: ServerProfile,
    *,
    messages: Iterable[bytes] = (),
    users: Mapping[str, tuple[ScramVerifier | None, bytes]] | None = None,
) -> Upgrader:
    """What a ``MemoryDriver`` upgrades with when its peer is a ``MaildropPeer``; see that for the parameters."""

    def upgrade(ready: UpgradeReady, outer: Peer) -> tuple[TLSEvidence, Peer]:
        if not isinstance(outer, MaildropPeer) or outer.upgrade is None:
            raise LocalProtocolError("the server granted no upgrade")
        token, early = outer.upgrade
        server = ServerHandshake(contexts(), token, early=early)
        theirs, ours = run_handshake(server, ClientHandshake(client_settings(), ready))
        inside = MaildropPeer(SecureServer(ORIGIN, theirs.evidence, profile), messages=messages, users=users)
        return ours.evidence, SecurePeer(ours, theirs, inside)

    return upgrade
