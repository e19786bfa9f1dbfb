"""A server for programs: ``Server`` listens, accepts, and asks a handler's hooks.

    class Handler:
        async def on_message(self, session, message):
            await store(message.recipients, await message.read())

    server = Server(Handler, hostname="mx.example.org", certificate="server.pem")
    async with server.listen("0.0.0.0", 25):
        await asyncio.Event().wait()

The core that pumps, upgrades, drains and ends is the one of ``gatepost serve`` (``gatepost.smtp.conversation``).
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Sequence
from pathlib import Path
from typing import Any, Final, Literal, final

from gatepost.errors import LocalProtocolError
from gatepost.net.identifiers import new_identifier
from gatepost.net.listen import Acceptor, bind, peer_uid
from gatepost.net.served import Sweeper
from gatepost.net.transport import Transport
from gatepost.smtp.accepted import PublicConnection
from gatepost.smtp.extensions import ExtensionFactory, ExtensionTable
from gatepost.smtp.handler import HandlerFactory, Hooks, check_handler
from gatepost.smtp.hooked import log
from gatepost.smtp.logins import Auth
from gatepost.smtp.serverlimits import ServerLimits
from gatepost.tls.contexts import ServerContexts, TLSProfile, server_contexts
from gatepost.tls.credential import load_credential
from gatepost.wire.smtp.extensions import NO_EXTENSIONS, Extensions
from gatepost.wire.smtp.profile import ServerProfile
from gatepost.wire.smtp.reply import Reply
from gatepost.wire.upgrade import Origin

TOO_MANY_HERE: Final = Reply(421, "4.3.2", "Too many connections, try again later")
TOO_MANY_FROM_YOU: Final = Reply(421, "4.7.0", "Too many connections from your address")
_PROFILES: Final = 256  # that are kept, of sessions whose hooks registered something


@final
class Server:
    """An SMTP or LMTP server.

    :param handler: makes a handler for one side of one connection: as a rule the class itself, or a function that gives
        it what all handlers share. It must make a new one each time. See ``gatepost.smtp.Handler``.
    :param hostname: our own name.
    :param certificate: a PEM file with the certificate, its chain, and the key, unless that is in ``key``.
    :param key: a PEM file with the private key.
    :param contexts: TLS contexts that exist already, in place of a certificate.
    :param starttls: False serves without TLS: then there is no certificate, and no login either.
    :param implicit: begin with TLS, as on port 465 (RFC 8314 §3).
    :param require_tls: serve nothing before STARTTLS (RFC 3207 §4). With a login that is required it goes without
        saying.
    :param auth: offer AUTH inside TLS.
    :param extensions: factories of extensions, as a rule their classes; each session gets objects of its own.
    :param dialect: ``SMTP`` or ``LMTP``.
    :param name: the listener's name, in ``Origin.listener``.
    :raises LocalProtocolError: for what does not go together.
    :raises CertificateError: when the certificate cannot be used.
    """

    __slots__ = (
        "_acceptors", "_addresses", "_checked", "_connections", "_draining", "_extensions", "_handler", "_profile",
        "_profiles", "_sockets", "_sweeper", "_tasks", "alpn", "auth", "contexts", "hostname", "implicit", "limits",
        "loop", "name",
    )  # fmt: skip

    loop: asyncio.AbstractEventLoop

    def __init__(
        self,
        handler: HandlerFactory,
        *,
        hostname: str,
        certificate: str | Path | None = None,
        key: str | Path | None = None,
        contexts: ServerContexts | None = None,
        starttls: bool = True,
        implicit: bool = False,
        require_tls: bool = False,
        auth: Auth | None = None,
        extensions: Sequence[ExtensionFactory] = (),
        dialect: Literal["SMTP", "LMTP"] = "SMTP",
        limits: ServerLimits | None = None,
        name: str = "smtp",
    ) -> None:
        limits = limits or ServerLimits()
        if not callable(handler):
            raise LocalProtocolError(
                f"{type(handler).__name__} is no factory: give the server the class, not an object of it",
                hint="each side of each connection has a handler of its own, so that nothing crosses the upgrade",
            )
        if contexts is None and certificate is not None:
            credential = load_credential(Path(certificate), Path(key) if key is not None else None)
            contexts = server_contexts([credential], TLSProfile())
        if (starttls or implicit) != (contexts is not None):
            raise LocalProtocolError(
                "a server needs a certificate or contexts, or starttls=False"
                if contexts is None
                else "starttls=False, and a certificate"
            )
        if contexts is None and (auth is not None or require_tls):
            raise LocalProtocolError("a login, or required TLS, needs a certificate: AUTH exists inside TLS only")
        self._handler = handler
        self._checked: set[type] = set()
        self._extensions: Final = tuple(extensions)
        self.hostname: Final = hostname
        self.contexts: Final = contexts
        self.implicit: Final = implicit
        self.auth: Final = auth
        self.limits: Final = limits
        self.name: Final = name
        self.alpn: Final = frozenset({dialect.lower()})
        upgradable = contexts is not None and not implicit
        required = auth is not None and auth.required
        self._profile: Final = ServerProfile(
            hostname=hostname,
            dialect=dialect,
            starttls=upgradable,
            require_tls=upgradable and (require_tls or required),
            auth_mechanisms=auth.mechanisms if auth is not None else (),
            require_auth=required,
            max_size=limits.message_size,
            max_recipients=limits.recipients,
            max_messages=limits.messages,
            line_limit=limits.line,
            max_errors=limits.errors,
            asks_hello=True,
        )
        self._profiles: Final[dict[object, ServerProfile]] = {}
        self._connections: Final[set[PublicConnection]] = set()
        self._addresses: Final[Counter[str]] = Counter()
        self._acceptors: Final[list[Acceptor]] = []
        self._sockets: Final[list[socket.socket]] = []
        self._tasks: Final[set[asyncio.Task[Any]]] = set()
        self._sweeper: Sweeper | None = None
        self._draining = False
        if isinstance(handler, type):
            check_handler(handler)
        for private in (False, True):
            self.register_extensions(ExtensionTable(), private=private)

    # For its user

    @property
    def ports(self) -> tuple[int, ...]:
        """The ports that are listened on, in the order in which they were opened."""
        return tuple(sock.getsockname()[1] for sock in self._sockets)

    @property
    def port(self) -> int:
        """The port, where there is one.

        :raises LocalProtocolError: when nothing is listened on.
        """
        if not self._sockets:
            raise LocalProtocolError("this server does not listen")
        return self.ports[0]

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    @contextlib.asynccontextmanager
    async def listen(self, host: str = "127.0.0.1", port: int = 25) -> AsyncIterator[Server]:
        """Listen while the block runs; then drain. More than one address may be listened on, one in the other.

        :param port: 0 for a free one; see ``port``.
        :raises BindError: when the address is taken, forbidden or not ours.
        """
        self._start()
        sock = bind((host, port))
        acceptor = Acceptor(self.loop, sock, self._accepted, _starved)
        self._sockets.append(sock)
        self._acceptors.append(acceptor)
        try:
            yield self
        finally:
            acceptor.stop()
            self._acceptors.remove(acceptor)
            self._sockets.remove(sock)
            sock.close()
            if not self._acceptors:
                await self.drain()

    async def serve_socket(self, sock: socket.socket) -> None:
        """Serve one connected socket, and return when it is over. The server owns the socket from here on.

        Whoever cancels this cuts the connection off.

        :raises OSError: when it is not connected.
        """
        self._start()
        connection = self._serve(sock)
        try:
            await asyncio.shield(connection.finished)
        except asyncio.CancelledError:
            connection.transport.abort()
            raise

    async def drain(self, seconds: float | None = None) -> None:
        """Accept no more; end what is idle with 421, let messages that are under way arrive, then cut off the rest.

        :param seconds: how long; by default ``limits.drain``.
        """
        self._draining = True
        for acceptor in self._acceptors:
            acceptor.stop()
        try:
            for connection in tuple(self._connections):
                connection.drain()
            await self._wait_until_done(self.limits.drain if seconds is None else seconds)
        finally:
            for connection in tuple(self._connections):
                connection.outcome = "cut off"
                connection.transport.abort()
            if self._tasks:
                _done, left = await asyncio.wait(set(self._tasks), timeout=1.0)
                for task in left:
                    task.cancel()
            if self._sweeper is not None:
                self._sweeper.stop()
                self._sweeper = None
            self._draining = False

    async def _wait_until_done(self, seconds: float) -> None:
        waiting = {connection.finished for connection in self._connections}
        if waiting:
            await asyncio.wait(waiting, timeout=seconds)

    # For its connections

    @property
    def draining(self) -> bool:
        """Whether the server is about to end."""
        return self._draining

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run something that the server waits for when it ends."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def make_hooks(self, spent: Hooks | None = None) -> Hooks:
        """A new handler.

        :param spent: that of the side before the upgrade; the new one must be another.
        :raises LocalProtocolError: when the factory returns what no handler can be.
        """
        hooks = Hooks(self._handler())
        kind = type(hooks.handler)
        if kind not in self._checked:
            check_handler(kind)
            self._checked.add(kind)
        if spent is not None and hooks.handler is spent.handler:
            raise LocalProtocolError(
                "the factory returned the handler of the plaintext side again",
                hint="make a new handler each time: what one kept from before the upgrade must not be believed inside",
            )
        return hooks

    def register_extensions(self, table: ExtensionTable, *, private: bool) -> None:
        """Make the server's extensions for one session.

        :raises LocalProtocolError: when their names cannot be, or one object is given twice.
        """
        for factory in self._extensions:
            if not callable(factory):
                raise LocalProtocolError(
                    f"{type(factory).__name__} is no factory: give the server the extension's class, not an object",
                    hint="for one session, register an object in on_connect or on_secure",
                )
            extension = factory()
            if private or not extension.only_in_private:
                table.register(extension, private=private)

    def profile(self, added: Extensions, auth: Auth | None, *, private: bool) -> ServerProfile:
        """The settings of an engine for one session."""
        if not added.keywords and added == NO_EXTENSIONS and (auth is self.auth or not private):
            return self._profile
        key = (private, added, auth.mechanisms if auth else (), auth is not None and auth.required)
        known = self._profiles.get(key)
        if known is None:
            if len(self._profiles) >= _PROFILES:
                self._profiles.clear()
            if private:
                known = dataclasses.replace(
                    self._profile, secure_extensions=added, auth_mechanisms=key[2], require_auth=key[3]
                )
            else:
                known = dataclasses.replace(self._profile, plain_extensions=added)
            self._profiles[key] = known
        return known

    def forget(self, connection: PublicConnection) -> None:
        """A connection is gone."""
        if connection in self._connections:
            self._connections.discard(connection)
            address = connection.origin.peer[0]
            self._addresses[address] -= 1
            if self._addresses[address] <= 0:
                del self._addresses[address]

    # Accepting

    def _start(self) -> None:
        self.loop = asyncio.get_running_loop()
        if self._sweeper is None:
            self._sweeper = Sweeper(self.loop, self._connections)

    def _accepted(self, sock: socket.socket, _peer: object) -> None:
        try:
            self._serve(sock)
        except OSError:  # it is gone already
            sock.close()

    def _serve(self, sock: socket.socket) -> PublicConnection:
        connection = PublicConnection(self, Transport(self.loop, sock), _origin(sock, self.name))
        address, limits = connection.origin.peer[0], self.limits
        self._connections.add(connection)
        self._addresses[address] += 1
        if len(self._connections) > limits.connections:
            connection.refuse(TOO_MANY_HERE)
        elif 0 < limits.connections_per_address < self._addresses[address]:
            connection.refuse(TOO_MANY_FROM_YOU)
        elif self._draining:
            connection.refuse(TOO_MANY_HERE)
        else:
            log.debug("connection %s from %s", connection.origin.connection, address)
            connection.start()
        return connection


def _starved(error: OSError) -> None:
    log.warning("clients wait to be accepted: %s", error.strerror)


def _origin(sock: socket.socket, name: str) -> Origin:
    """What the kernel knows of an accepted socket."""
    if sock.family == socket.AF_UNIX:
        return Origin(("local", 0), ("local", 0), name, time.time(), new_identifier(), peer_uid(sock))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    peer, local = sock.getpeername(), sock.getsockname()
    return Origin((peer[0], peer[1]), (local[0], local[1]), name, time.time(), new_identifier())
