"""The servers behind the gate: which of them are well, and connections to them.

A pool asks each of its servers how it is, every ``health_every`` with a little chance in it, and never again before the
last question was answered or its deadline passed. Whoever cannot be dialled is out of use at once, and is asked again
within a second or so; a connection then goes to the next server. What a check learned (``known``) is what the
protocol's probe returned, such as a server's extensions.

Names are looked up at each dial, so a server may move. A connection is bounded in everything: connecting, the handshake
and every answer have deadlines, and each server takes only so many connections at a time.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias, TypeVar, final

from gatepost.config.endpoints import parse_endpoint
from gatepost.config.schema import Backend
from gatepost.errors import GatepostError
from gatepost.net.drive import Wire
from gatepost.observe import logs
from gatepost.service.gate.backend_tally import BackendTally
from gatepost.service.gate.choice import Health, Standing, order
from gatepost.service.gate.introduction import introduction, own_introduction
from gatepost.service.gate.link import Client, Link
from gatepost.service.gate.places import Places
from gatepost.service.gate.server import Server
from gatepost.tls.contexts import ClientTLS

__all__ = ["Answered", "BackendUnavailable", "Client", "Link", "Pool", "Probe", "Server"]

CHECK_SECONDS: Final = 30.0  # the longest that a check, or an opening, takes, whatever the timeouts of sessions are
_SOON_SECONDS: Final = 1.0  # from a failed dial to the next check
_JITTER: Final = 0.1  # of the time between two checks, either way

T = TypeVar("T")
Probe: TypeAlias = Callable[[Link, Backend], Awaitable[object]]
"""Says hello as the protocol does, and returns what it learned. Whatever it raises of ``GatepostError`` and ``OSError``
means that the server is not well."""


class BackendUnavailable(GatepostError):
    """No server can be had now: ``message`` says why, for the log; ``reason`` is the same without the pool's name."""

    temporary = True

    def __init__(self, pool: str, reason: str) -> None:
        super().__init__(f"backend {pool}: {reason}")
        self.reason = reason


class Answered(GatepostError):
    """What a server said is the client's answer: the server is well, and no other one is asked."""

    temporary = True


@final
class Pool:
    """The servers of one ``[[backend]]`` in one process, for one protocol.

    :param settings: the backend.
    :param tls: what a handshake with the server of a host name or address asks for.
    :param probe: the protocol's question.
    :param places: where connections are counted.
    :param tally: what is counted for metrics.
    """

    __slots__ = ("_leaving", "_places", "_probe", "_servers", "_tally", "_tasks", "_turn", "name", "settings")

    def __init__(
        self,
        settings: Backend,
        tls: Callable[[str], ClientTLS | None],
        probe: Probe,
        places: Places,
        tally: BackendTally,
    ) -> None:
        self.name: Final = settings.name
        self.settings: Final = settings
        self._probe: Final = probe
        self._places: Final = places
        self._tally: Final = tally
        self._servers: Final = tuple(
            Server(name, tls(parse_endpoint(name)[0]), places.column(settings.name, name)) for name in settings.servers
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._leaving: set[Link] = set()  # connections that no session has any more
        self._turn = 0

    # What is known

    @property
    def known(self) -> object | None:
        """What the last check of a server that is well returned; None when none has said anything yet."""
        for each in self._servers:
            if each.health is Health.UP:
                return each.known
        return None

    @property
    def reason(self) -> str:
        """Why no server can be had; empty when one can."""
        if self.available():
            return ""
        down = [f"{each.name}: {each.reason}" for each in self._servers if each.health is Health.DOWN]
        full = [each.name for each in self._servers if each.health is not Health.DOWN]
        busy = [f"{', '.join(full)}: as many connections as it may have"] if full else []
        return "; ".join(down + busy)

    @property
    def servers(self) -> tuple[Server, ...]:
        """Every server, in the order of the configuration."""
        return self._servers

    def available(self) -> bool:
        """Whether a server can be tried now."""
        most, places = self.settings.connections, self._places
        return any(each.health is not Health.DOWN and places.taken(each.column) < most for each in self._servers)

    def _order(self) -> list[int]:
        standings = [Standing(each.health, self._places.taken(each.column)) for each in self._servers]
        return order(standings, self.settings.connections, self._turn)

    # Connections

    async def dial(self, client: Client) -> Link:
        """Connect to the best server, or to the next when one cannot be reached.

        Implicit TLS is spoken and a PROXY header is sent by then; whatever the protocol says first is the business of
        the session, which calls ``Link.condemn`` when it comes to nothing.

        :param client: whom the connection is for.
        :raises BackendUnavailable: when no server can be had.
        """
        return await self.open(client, _nothing_said)

    async def open(self, client: Client, opening: Callable[[Link], Awaitable[T]]) -> T:
        """Connect to the best server and open the conversation; or with the next, when one cannot be reached, or its
        opening fails: it is out of use then, until a check finds it well. Where it was told of the client, it may have
        meant the client: then it is only asked soon, since no client is to take a server away from the others.

        :param client: whom the connection is for.
        :param opening: says nothing of the client's own. Whatever it raises of ``GatepostError`` and ``OSError`` means
            that the server is not well, but for ``Answered``, which ends the search.
        :raises BackendUnavailable: when no server can be had.
        """
        header = introduction(self.settings.client, client)
        told = self.settings.client != "none" or bool(client.helo)
        candidates, why = self._order(), "every server failed"
        self._turn += 1
        for at in candidates:
            server = self._servers[at]
            link = await self._reach(server, told=told)
            if link is None:
                continue
            heard = bool(header)  # whether the server knows of the client yet
            try:
                link.bound(CHECK_SECONDS)
                await self._introduce(link.wire, header)
                heard = told
                opened = await opening(link)
                link.bound(math.inf)
            except Answered:
                link.abort()
                raise
            except (GatepostError, OSError) as error:
                self._tally.failed()
                why = f"{link.server}: {_words(error)}"
                link.condemn(_words(error))
                if not heard:
                    self._failed(server, _words(error))
            except BaseException:
                link.abort()
                raise
            else:
                return opened
        self._tally.unavailable()
        raise BackendUnavailable(self.name, self.reason or why)

    async def _reach(self, server: Server, *, told: bool) -> Link | None:
        """A connection to this server for a client, if it can be had."""
        if server.health is Health.DOWN or self._places.taken(server.column) >= self.settings.connections:
            return None  # since the choice was made
        self._places.take(server.column)
        try:
            link = await self._link(server, counted=True, told=told)
        except BaseException as error:
            self._places.leave(server.column)
            if not isinstance(error, GatepostError | OSError):
                raise
            self._tally.failed()
            self._failed(server, _words(error))
            return None
        self._tally.connected()
        return link

    async def _link(self, server: Server, *, counted: bool, told: bool) -> Link:
        """A connection on which nothing was said.

        :param told: whether the server hears of the client before the conversation is open.
        """
        wire = await server.dial(f"backend:{self.name}", self.settings.connect_timeout)
        return Link(
            server.name, wire, self.settings.reply_timeout,
            released=_Release(self._places, self._tally, server.column) if counted else _nothing,
            failed=(lambda _: server.doubt.set()) if told else lambda reason: self._failed(server, reason),
            leaving=self._leaving,
        )  # fmt: skip

    async def _introduce(self, wire: Wire, header: bytes) -> None:
        """What comes before the protocol: a header, and implicit TLS."""
        if header:
            await wire.send(header, self.settings.connect_timeout)
        if self.settings.tls == "implicit":
            await wire.handshake()

    # Health

    def start(self) -> None:
        """Begin to ask the servers how they are. The loop runs."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._watch(server)) for server in self._servers]

    def hush(self) -> None:
        """Tell the metrics nothing any more of how the servers are: successors do. The asking goes on."""
        self._tally.hush()

    def stop(self) -> None:
        """Ask no more, and take leave of nobody. The connections of sessions go on."""
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()
        for link in tuple(self._leaving):
            link.abort()

    async def settled(self) -> None:
        """Wait until every server has been asked once."""
        for server in self._servers:
            await server.asked.wait()

    async def _watch(self, server: Server) -> None:
        while True:
            server.doubt.clear()
            await self._check(server)
            server.asked.set()
            try:
                async with asyncio.timeout(self.settings.health_every * _chance(1 - _JITTER, 1 + _JITTER)):
                    await server.doubt.wait()
                    await asyncio.sleep(min(_SOON_SECONDS, self.settings.health_every) * _chance(0.5, 1.0))
            except TimeoutError:
                continue

    async def _check(self, server: Server) -> None:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                link = await self._link(server, counted=False, told=False)
                try:
                    await self._introduce(link.wire, own_introduction(self.settings.client, link.wire.origin))
                    known = await self._probe(link, self.settings)
                finally:
                    link.close()
        except (GatepostError, OSError) as error:
            self._tally.checked(well=False)
            self._down(server, _words(error))
        except Exception as error:  # noqa: BLE001 - a server that a probe stumbles over must not end the asking
            logs.failure("backend.check-failed", error, backend=self.name, server=server.name)
            self._tally.checked(well=False)
            self._down(server, "the check failed")
        else:
            self._tally.checked(well=True)
            self._up(server, known)

    def _up(self, server: Server, known: object) -> None:
        before, server.health, server.known = server.health, Health.UP, known
        if before is Health.UP:
            return
        server.reason = ""
        self._count()
        after = None if before is Health.UNKNOWN else asyncio.get_running_loop().time() - server.since
        severity = "info" if before is Health.UNKNOWN else "notice"
        logs.event("backend.up", severity, backend=self.name, server=server.name, after=after)

    def _failed(self, server: Server, reason: str) -> None:
        """A client's connection came to nothing: ask soon whether that holds."""
        server.doubt.set()
        self._down(server, reason)

    def _down(self, server: Server, reason: str) -> None:
        server.reason = reason
        if server.health is Health.DOWN:
            return
        server.health, server.since = Health.DOWN, asyncio.get_running_loop().time()
        self._count()
        logs.event("backend.down", "error", backend=self.name, server=server.name, reason=reason)

    def _count(self) -> None:
        well = sum(each.health is Health.UP for each in self._servers)
        self._tally.standing(well, sum(each.health is Health.DOWN for each in self._servers))


@final
class _Release:
    """What a link gives back. It holds no link, or none would ever be collected."""

    __slots__ = ("_column", "_places", "_tally")

    def __init__(self, places: Places, tally: BackendTally, column: int) -> None:
        self._places = places
        self._tally = tally
        self._column = column

    def __call__(self) -> None:
        self._places.leave(self._column)
        self._tally.released()


async def _nothing_said(link: Link) -> Link:
    """The opening of who wants the connection alone."""
    return link


def _nothing() -> None:
    """What a check's connection gives back: it was not counted."""


def _chance(least: float, most: float) -> float:
    """So that the processes of a gate, and many gates, do not ask in the same instant."""
    return random.uniform(least, most)  # noqa: S311 - nobody has to guess it


def _words(error: GatepostError | OSError) -> str:
    if isinstance(error, GatepostError):
        return error.message
    if error.errno is not None and (error.strerror or "").startswith("Connect call failed"):
        return os.strerror(error.errno)  # asyncio puts the address in place of the reason
    return error.strerror or str(error) or "no answer in time"
