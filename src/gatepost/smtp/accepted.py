"""A connection of the public server: one handler and one session in the clear, another of each inside TLS."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any, Final, final

from gatepost.errors import HandshakeError
from gatepost.net.channel import PlainChannel, SecureChannel
from gatepost.net.served import Gone, ServedConnection
from gatepost.net.transport import Receiver, Transport
from gatepost.smtp.handler import Hooks, UpgradeFailure
from gatepost.smtp.hooked import FAILED, HookedConversation, HookedPlain, HookedSecure, log, settle
from gatepost.smtp.session import PlainSession, SecureSession, Session
from gatepost.tls.engine import ServerHandshake
from gatepost.wire.smtp.reply import Reply
from gatepost.wire.smtp.server import PlainServer, SecureServer
from gatepost.wire.upgrade import EarlyHello, Origin, UpgradeReady

if TYPE_CHECKING:
    from gatepost.smtp.server import Server

BROKEN: Final = Reply(421, "4.3.0", "Internal error, try again later")


class _Side:
    """A session and its handler."""

    __slots__ = ("hooks", "session")

    def __init__(self, session: Session, hooks: Hooks) -> None:
        self.session: Final = session
        self.hooks: Final = hooks


class _Threshold:
    """Holds what comes from inside TLS until ``on_secure`` has answered; then the conversation begins with it.

    Reading is paused meanwhile, so this is what came in one read at most.
    """

    __slots__ = ("_connection", "ended", "held")

    def __init__(self, connection: PublicConnection) -> None:
        self._connection = connection
        self.held = b""
        self.ended = False

    def data_received(self, data: bytes) -> None:
        self.held += data

    def eof_received(self) -> None:
        self.ended = True

    def connection_lost(self, error: OSError | None) -> None:
        self._connection.ended()


@final
class PublicConnection(ServedConnection):
    """One client of a ``Server``.

    :param server: its server.
    """

    __slots__ = ("_failing", "_opening", "_side", "command_seconds", "data_seconds", "finished", "server", "upgradable")

    def __init__(self, server: Server, transport: Transport, origin: Origin) -> None:
        limits = server.limits
        super().__init__(transport, origin, server.loop.time, limits.handshake)
        self.upgradable = server.contexts is not None
        self.command_seconds = limits.command
        self.data_seconds = limits.data
        if limits.session:
            self.last_call = server.loop.time() + limits.session
        self.server: Final = server
        self.finished: Final[asyncio.Future[None]] = server.loop.create_future()
        self._side: _Side | None = None
        self._opening: asyncio.Task[None] | None = None  # on_connect or on_secure
        self._failing: asyncio.Task[None] | None = None  # on_failure
        self.hold()

    def refuse(self, reply: Reply) -> None:
        """Say one reply and close: a limit was reached."""
        self.turn_away("too many connections", b"" if self.server.implicit else reply.octets)

    def start(self) -> None:
        """Begin: with ``on_connect``, or with TLS."""
        channel = PlainChannel(self.transport, self.origin)
        if self.server.implicit:
            contexts = self.server.contexts
            assert contexts is not None
            self.wait(self.handshake_seconds, "handshake")
            channel.upgrade(ServerHandshake.implicit(contexts, self.origin, alpn=self.server.alpn), self)
        else:
            self.transport.receive_with(Gone(self))  # nothing is read before the greeting
            self._opening = self.server.spawn(self._open_plain(channel))

    def drain(self) -> None:
        if self.session is not None:
            super().drain()
        elif self._opening is None:  # in the handshake
            self.outcome = "drained"
            self.transport.abort()

    # In the clear

    async def _open_plain(self, channel: PlainChannel) -> None:
        session = PlainSession(self.origin)
        try:
            hooks = self.server.make_hooks()
            self.server.register_extensions(session.extensions, private=False)
        except Exception:  # noqa: BLE001 - it is the user's code; logged below
            log.exception("a session cannot be made: connection %s", session.id)
            self._opening = None
            self.turn_away("internal error", BROKEN.octets)
            return
        self._side = _Side(session, hooks)
        verdict = await self._call(self._side, "on_connect", session)
        self._opening = None
        if self.transport.closed:
            return
        session.begin()
        profile = self.server.profile(session.extensions.added, None, private=False)
        conversation = HookedPlain(self, channel, PlainServer(self.origin, profile), session, hooks)
        self.session = conversation
        channel.start(conversation)
        self._begin(conversation, verdict, greeting=True)

    def _begin(self, conversation: HookedConversation, verdict: Any, *, greeting: bool) -> None:
        if isinstance(verdict, Reply) and not verdict.positive:
            conversation.refuse(verdict, greeting=greeting)
        elif greeting:
            conversation.greet()
        else:
            conversation.await_command()
        if self.server.draining and conversation.alive:
            conversation.drain()

    # The upgrade

    def _handshake(self, ready: UpgradeReady, early: EarlyHello | None) -> ServerHandshake:
        contexts = self.server.contexts
        assert contexts is not None
        return ServerHandshake(contexts, ready, alpn=self.server.alpn, early=early)

    def secured(self, channel: SecureChannel) -> Receiver:
        """A new session from origin and evidence, a new handler from the factory: nothing else is there to be given."""
        threshold = _Threshold(self)
        self.transport.pause()
        self.hold()
        spent, self._side = self._side, None
        self._opening = self.server.spawn(self._open_secure(channel, threshold, spent))
        return threshold

    async def _open_secure(self, channel: SecureChannel, threshold: _Threshold, spent: _Side | None) -> None:
        session = SecureSession(channel.origin, channel.evidence)
        try:
            if spent is not None:
                await self._call(spent, "on_close", spent.session, "upgraded")
            hooks = self.server.make_hooks(spent.hooks if spent is not None else None)
            del spent
            self.server.register_extensions(session.extensions, private=True)
        except Exception:  # noqa: BLE001 - it is the user's code; logged below
            log.exception("a session cannot be made: connection %s", session.id)
            self._opening = None
            self.outcome = "internal error"
            channel.close(BROKEN.octets, linger=True)
            return
        if self.server.auth is not None:
            session.offer_login(self.server.auth)
        side = self._side = _Side(session, hooks)
        verdict = await self._call(side, "on_secure", session, channel.evidence)
        self._opening = None
        if self.transport.closed:
            return
        session.begin()
        profile = self.server.profile(session.extensions.added, session.auth, private=True)
        engine = SecureServer(channel.origin, channel.evidence, profile)
        conversation = HookedSecure(self, channel, engine, session, hooks)
        self.session = conversation
        channel.start(conversation)
        self._begin(conversation, verdict, greeting=self.server.implicit)
        if threshold.held and conversation.alive:
            conversation.data_received(threshold.held)
        if threshold.ended and conversation.alive:
            conversation.eof_received()
        self.transport.resume()

    # What went wrong

    def plaintext_found(self, residue: bytes) -> None:
        log.warning("%d octets behind STARTTLS: connection %s", len(residue), self.origin.connection)
        reason = f"{len(residue)} octets stood behind STARTTLS"
        self._tell(UpgradeFailure(self.origin, reason, injected=True, residue=residue))

    def _handshake_failed(self, error: Exception, *, plaintext: bool) -> None:
        alert = error.alert if isinstance(error, HandshakeError) else ""
        log.info("%s: connection %s", error, self.origin.connection)
        self._tell(UpgradeFailure(self.origin, str(error), alert, injected=plaintext))

    def _tell(self, failure: UpgradeFailure) -> None:
        self._failing = self.server.spawn(self._told(self._side, failure))

    async def _told(self, side: _Side | None, failure: UpgradeFailure) -> None:
        try:
            hooks = side.hooks if side is not None else self.server.make_hooks()
        except Exception:  # noqa: BLE001 - it is the user's code; logged below
            log.exception("a handler cannot be made: connection %s", self.origin.connection)
            return
        await self._call_hook(hooks, "on_failure", failure)

    def _timed_out(self, phase: str) -> None:
        log.info("timeout in %s: connection %s", phase, self.origin.connection)

    # The end

    def _closed(self) -> None:
        self.server.forget(self)
        if self._opening is not None:
            self._opening.cancel()
        side, self._side = self._side, None
        if not self.finished.done():
            self.finished.set_result(None)
        if side is not None:
            self.server.spawn(self._say_goodbye(side))

    async def _say_goodbye(self, side: _Side) -> None:
        if self._failing is not None:
            await asyncio.wait({self._failing})
        await self._call(side, "on_close", side.session, self.outcome or "lost")

    # Hooks outside a conversation

    async def _call(self, side: _Side, name: str, *arguments: object) -> Any:
        return await self._call_hook(side.hooks, name, *arguments)

    async def _call_hook(self, hooks: Hooks, name: str, *arguments: object) -> Any:
        hook = hooks.get(name)
        if hook is None:
            return None

        async def call() -> Any:
            result = hook(*arguments)
            return await result if inspect.isawaitable(result) else result

        clock = asyncio.timeout(self.server.limits.hook)
        result = await settle(call(), clock, name, self.origin.connection)
        if result is not None and not isinstance(result, Reply):
            log.error("%s returned %r, which is no reply: connection %s", name, type(result), self.origin.connection)
            return FAILED
        return result
