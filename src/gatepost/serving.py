"""``gatepost.serve_protocol``: the server's side of an upgrade, for every protocol that has a recipe.

    async def session(connection: gatepost.SecureConnection) -> None:
        await connection.send(b"* OK private\\r\\n")
        ...

    await gatepost.serve_protocol("imap", listening_socket, contexts, session)

What is said in the clear is the recipe's: the greeting, the capabilities, the go-ahead, and a refusal of everything
else. The handler begins inside TLS and never sees a word of what was said before; it is given a connection that was
made from origin and evidence.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import socket
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from gatepost.connecting import SecureConnection
from gatepost.errors import GatepostError, LocalProtocolError
from gatepost.net.listen import Acceptor
from gatepost.net.serve_dialogue import upgrade_accepted
from gatepost.tls.contexts import ServerContexts
from gatepost.wire.recipes.recipe import Recipe, ServerTerms
from gatepost.wire.recipes.table import recipe as recipe_named

SECONDS: Final = 60.0
CONNECTIONS: Final = 1000

SecureHandler: TypeAlias = Callable[[SecureConnection], Awaitable[object]]
FailureHandler: TypeAlias = Callable[[Exception], object]

log: Final = logging.getLogger("gatepost.serving")


async def serve_protocol(
    recipe: str | Recipe,
    source: socket.socket,
    contexts: ServerContexts,
    handler: SecureHandler,
    *,
    hostname: str = "localhost",
    challenge: bytes = b"",
    implicit: bool = False,
    timeout: float = SECONDS,
    connections: int = CONNECTIONS,
    failed: FailureHandler | None = None,
) -> None:
    """Serve one accepted socket, or everybody who connects to a listening one.

    An accepted socket: hear the client out, grant the upgrade, run the handler, close; return when it is over. What
    goes wrong is raised. A listening socket: do that for each client, until this is cancelled; what goes wrong with one
    client is logged and told to ``failed``, and the others go on. When it is cancelled, so are the handlers.

    :param recipe: a protocol (``smtp``, ``imap``, ``xmpp``, …) or a ``Recipe``.
    :param source: a stream socket, connected or listening. A connected one is ours once the arguments are right; a
        listening one stays open.
    :param contexts: the certificates that may be shown (``gatepost.tls.server_contexts``).
    :param handler: a coroutine function, called with each connection once it is private; the connection is closed when
        it returns.
    :param hostname: our own name, for greetings.
    :param challenge: the 20 octets of a MySQL greeting, for a handler that has to know them: on an accepted socket
        only, for each connection needs its own. Without it the login inside TLS must begin with a challenge of its own.
    :param implicit: begin with the handshake.
    :param timeout: seconds for what is said in the clear, for the handshake, and for each operation of the connection.
    :param connections: how many at once; the others wait in the kernel.
    :param failed: called with what went wrong before a client was private.
    :raises LocalProtocolError: for a recipe that does not exist, limits that cannot be, or a challenge
        that is none or would be everybody's.
    :raises PlaintextAfterUpgrade: when something stood behind the request; it was refused in the protocol's words.
    :raises RemoteProtocolError: when the client left without asking, or broke the protocol or a limit.
    :raises HandshakeError: when the handshake fails.
    :raises DeadlineExceeded: when the client takes too long.
    :raises OSError: when the connection is lost.
    """
    chosen = recipe if isinstance(recipe, Recipe) else recipe_named(recipe)
    if not 0 < timeout < math.inf or connections < 1:
        raise LocalProtocolError("a timeout is more than zero seconds, and somebody must be served")
    terms = ServerTerms(hostname, timeout, challenge)
    listening = bool(source.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    if challenge and listening:
        raise LocalProtocolError(
            "one challenge would be said to every client",
            hint="accept the sockets yourself, and serve each with its own",
        )

    async def serve(sock: socket.socket) -> None:
        accepted = await upgrade_accepted(
            asyncio.get_running_loop(),
            sock,
            chosen,
            contexts,
            terms=terms,
            handshake_seconds=timeout,
            implicit=implicit,
        )
        connection = SecureConnection(accepted.wire, timeout)
        try:
            await handler(connection)
        except BaseException:
            accepted.wire.abort()
            raise
        with contextlib.suppress(LocalProtocolError):  # the handler closed it
            await connection.close()

    if listening:
        await _Listening(source, serve, connections, failed).run()
    else:
        await serve(source)


class _Listening:
    """The clients of one listening socket, each in a task of its own."""

    __slots__ = ("_acceptor", "_failed", "_limit", "_loop", "_serve", "_source", "_tasks")

    def __init__(
        self,
        source: socket.socket,
        serve: Callable[[socket.socket], Awaitable[None]],
        limit: int,
        failed: FailureHandler | None,
    ) -> None:
        self._source = source
        self._serve = serve
        self._limit = limit
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._acceptor: Acceptor | None = None

    async def run(self) -> None:
        """Serve until cancelled."""
        self._source.setblocking(False)
        self._accept()
        try:
            await self._loop.create_future()
        finally:
            if self._acceptor is not None:
                self._acceptor.stop()
                self._acceptor = None
            self._limit = 0  # nobody is accepted in the place of those who go now
            for task in tuple(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self) -> None:
        if self._acceptor is None and len(self._tasks) < self._limit:
            self._acceptor = Acceptor(self._loop, self._source, self._accepted)

    def _accepted(self, sock: socket.socket, _peer: object) -> None:
        task = self._loop.create_task(self._attend(sock))
        self._tasks.add(task)
        task.add_done_callback(self._gone)
        if len(self._tasks) >= self._limit and self._acceptor is not None:
            self._acceptor.stop()
            self._acceptor = None

    def _gone(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._accept()

    async def _attend(self, sock: socket.socket) -> None:
        try:
            await self._serve(sock)
        except (GatepostError, OSError) as error:
            log.info("a client was not served: %s", error)
            if self._failed is not None:
                self._failed(error)
        except Exception:
            log.exception("the handler of a connection failed")
