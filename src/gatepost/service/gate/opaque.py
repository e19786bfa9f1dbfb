"""Sessions of protocols that the gate does not read: the way into TLS, and then octets both ways.

Theory
------
* In the clear the gate is the recipe's server: it says what has to be said up to the go-ahead, refuses all else, and no
  server behind hears anything of it. So TLS is required, whatever ``starttls`` says beyond ``deny``.
* The private session dials a connection of its own. Where the backend has ``tls = "starttls"`` the recipe's client half
  runs on it first. What the server greets with is then reconciled with what the client has heard: a greeting that comes
  once (``Recipe.greeting``) is swallowed when the gate has greeted in the clear, and said by the gate where the server
  spent it on its own upgrade.
* From then on nothing is looked at (``net.splice``). A session in which nothing has moved for a second ends when the
  process drains.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from gatepost.errors import GatepostError
from gatepost.net.channel import PlainChannel, SecureChannel
from gatepost.net.served import Gone
from gatepost.net.splice import Counts, End, end_of, splice
from gatepost.observe import logs
from gatepost.service.gate.backends import Answered, BackendUnavailable, Client, Link
from gatepost.service.gate.farewells import UNAVAILABLE
from gatepost.service.gate.lost import about, server_lost, unavailable
from gatepost.service.gate.opaque_plain import PlainGate
from gatepost.service.gate.passing import plaintext_of_server
from gatepost.wire.dialogue import Dialogue, upgrade
from gatepost.wire.recipes.recipe import ClientTerms, Recipe
from gatepost.wire.recipes.table import recipe
from gatepost.wire.upgrade import Origin, PlaintextAfterUpgrade, TLSEvidence

if TYPE_CHECKING:
    from gatepost.service.gate.connection import GateConnection

__all__ = ["PlainGate", "SecureGate", "SplicedGate"]

_STILL_SECONDS: Final = 1.0  # in which nothing moves, before a draining process ends a stream


class _Through:
    """A stream to a server behind: dial, open, and pass everything on."""

    __slots__ = ("_channel", "_connection", "_counts", "_early", "_spliced", "_task")

    def __init__(self, connection: GateConnection, channel: PlainChannel | SecureChannel) -> None:
        self._connection = connection
        self._channel = channel
        self._counts = Counts()
        self._early = b""  # what came with the end of the handshake; nothing more is read before there is a server
        self._spliced = False
        channel.transport.pause()
        connection.hold()  # what follows has deadlines of its own
        self._task: asyncio.Task[None] = connection.port.loop.create_task(self._serve())

    @property
    def alive(self) -> bool:
        return not self._task.done()

    def greet(self) -> None:
        """Nothing is said before there is a server."""

    def drain(self) -> None:
        if not self._spliced:
            self._connection.outcome = "drained"
            self._task.cancel()
        else:
            self._look(self._moved())

    def expire(self) -> None:
        self._task.cancel()

    def data_received(self, data: bytes) -> None:
        self._early += data

    def eof_received(self) -> None:
        """The client says nothing more, before there is a server: it has left."""
        self._task.cancel()

    def connection_lost(self, error: OSError | None) -> None:
        self._task.cancel()

    def _moved(self) -> int:
        return self._counts.from_near + self._counts.from_far

    def _look(self, before: int) -> None:
        """While the process drains: end a stream that stands still."""
        if self._task.done():
            return
        now = self._moved()
        loop = self._connection.port.loop
        if now == before and self._connection.outcome:
            self._task.cancel()
            return
        self._connection.outcome = "drained"
        loop.call_later(_STILL_SECONDS, self._look, now)

    async def _serve(self) -> None:
        connection, link = self._connection, None
        try:
            link, behind = await connection.port.pool.open(Client(connection.origin, self._evidence()), self._begin)
            near, far = await self._open(link, behind)
            self._spliced = True
            await splice(near, far, idle_seconds=connection.port.settings.idle_timeout, counts=self._counts)
            connection.outcome = connection.outcome or self._counts.ending
        except Answered:
            self._say_last()
        except (GatepostError, OSError) as error:
            self._lost(error, link)
        except asyncio.CancelledError:
            connection.outcome = connection.outcome or "left"
            self._leave()
        except Exception as error:  # noqa: BLE001 - one session's fault is not another's
            logs.failure("gate.failed", error, connection=connection.origin.connection)
            connection.outcome = "failed"
            self._leave()
        finally:
            if link is not None:
                link.close()
            self._sum_up()
            self._end()

    def _lost(self, error: GatepostError | OSError, link: Link | None) -> None:
        """There is no server, or it is not what it should be."""
        connection, reason = self._connection, _words(error)
        if link is None:
            unavailable(connection, error.reason if isinstance(error, BackendUnavailable) else reason)
        else:
            link.abort()
            connection.outcome = connection.outcome or "server lost"
            server_lost(connection, reason)
        self._say_last()

    async def _begin(self, link: Link) -> tuple[Link, bytes]:
        """Bring a server to where the client is. Nothing of the client's has reached it by then: where it comes to
        nothing, the next one is tried. Returns with it what the client has to hear first.

        :raises GatepostError: when the server is not what it should be; OSError when it is lost.
        """
        self._connection.record.server = link.server
        try:
            return link, await self._reconcile(link, recipe(self._connection.port.settings.protocol))
        except PlaintextAfterUpgrade as finding:  # somebody is at work: nobody else is tried
            plaintext_of_server(self._connection, link.server, finding)
            link.condemn(_words(finding))
            raise Answered(finding.message) from finding

    async def _open(self, link: Link, behind: bytes) -> tuple[End, End]:
        """Make both ends ready to be one.

        :param behind: what the client has to hear first.
        :raises GatepostError: when the connection is broken; OSError when it is lost.
        """
        connection = self._connection
        connection.reached(link)
        if self._early:
            early, self._early = self._early, b""
            await link.send(early)
            self._counts.from_near += len(early)
        given = link.wire.surrender()
        if first := behind + given.waiting:
            self._channel.send(first)
            self._counts.from_far += len(first)
        return end_of(self._channel), end_of(given.channel)

    async def _reconcile(self, link: Link, half: Recipe) -> bytes:
        """Bring the server to where the client is. Returns what the client has to hear first."""
        return b""

    def _evidence(self) -> TLSEvidence | None:
        return None

    def _say_last(self) -> None:
        """Close, where the client can be told anything behind the last words of its protocol."""
        if not self._spliced:
            words = UNAVAILABLE.get(self._connection.port.settings.protocol, b"")
            self._channel.close(words, linger=bool(words))

    def _leave(self) -> None:
        if not self._spliced:
            self._channel.close()

    def _sum_up(self) -> None:
        record, tally, counts = self._connection.record, self._connection.port.tally, self._counts
        record.bytes = counts.from_near + counts.from_far
        tally.add(tally.octets_in, counts.from_near)
        tally.add(tally.octets_out, counts.from_far)
        if (transcript := self._connection.transcript) is not None:
            transcript.octets("client", counts.from_near)
            transcript.octets("server", counts.from_far)

    def _end(self) -> None:
        """The connection is over when its last octets are taken."""
        near = self._channel.transport
        if near.closed:
            self._connection.ended()
        else:
            near.receive_with(Gone(self._connection))


class SecureGate(_Through):
    """Inside TLS with the client: a connection to a server of its own, and octets both ways."""

    __slots__ = ()

    def _evidence(self) -> TLSEvidence | None:
        assert isinstance(self._channel, SecureChannel)
        return self._channel.evidence

    async def _reconcile(self, link: Link, half: Recipe) -> bytes:
        port = self._connection.port
        seconds, hostname = port.pool.settings.reply_timeout, port.config.hostname
        upgraded = port.pool.settings.tls == "starttls"
        if upgraded:
            domain = next(iter(port.pool.settings.names or ()), hostname).lstrip(".")
            await link.run(_open_private(half, link.wire.origin, ClientTerms(hostname, domain, seconds)))
            if half.settled:
                await link.send(half.settled)
        if half.greeting is None or upgraded is not port.implicit:
            return b""  # what the server greets with, if it does, is what the client waits for
        return half.greeting.say(hostname) if upgraded else await link.run(half.greeting.hear(seconds))


class SplicedGate(_Through):
    """Octets go through from the first one, whatever they are: the gate is blind."""

    __slots__ = ()

    def __init__(self, connection: GateConnection, channel: PlainChannel) -> None:
        connection.record.blind = True
        super().__init__(connection, channel)

    def greet(self) -> None:
        self._channel.transport.pause()  # the channel was started since

    async def _reconcile(self, link: Link, half: Recipe) -> bytes:
        if self._connection.transcript is not None:
            self._connection.transcript.blind("nothing is read of what goes through here", link.server)
        logs.event("gate.blind", **about(self._connection), server=link.server)
        return b""


def _open_private(half: Recipe, origin: Origin, terms: ClientTerms) -> Dialogue[None]:
    """The client half, and the handshake."""
    ready = yield from half.client(origin, terms)
    yield from upgrade(ready)


def _words(error: GatepostError | OSError) -> str:
    return error.message if isinstance(error, GatepostError) else error.strerror or str(error)
