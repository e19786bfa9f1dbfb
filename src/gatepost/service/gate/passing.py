"""Mode ``pass``: the client's own TLS goes through to the server behind, and the gate is blind from there on.

What SMTP, POP3 and IMAP sessions share. A session in the clear asks the server for TLS when its client does, with the
protocol's client engine. When the server refuses, its answer is the client's, and the session goes on reading. When it
agrees, both engines are spent, and ``begin_passing`` takes the connection over from the session::

    server_side = await link.run(plain_client.start_tls())           # StartTLSRefused: answer it, go on reading
    ready, early = engine.grant_upgrade()                            # PlaintextAfterUpgrade: as without a gate
    begin_passing(connection, channel, link, server_side, ready, early, engine.outgoing(), refusal=b"-ERR …")

Nothing that was said in the clear crosses: the door is ``wire.upgrade.pass_upgrade``, and ``net.splice.pass_on`` judges
the first octets of either side. A session that calls ``begin_passing`` has given up its channel.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, final

from gatepost.errors import GatepostError
from gatepost.net.channel import PlainChannel
from gatepost.net.served import Gone
from gatepost.net.splice import Counts, pass_on
from gatepost.net.transport import Transport
from gatepost.observe import logs
from gatepost.service.gate.backends import Link
from gatepost.service.gate.lost import server_lost
from gatepost.wire.upgrade import (
    EarlyHello,
    PassReady,
    PlaintextAfterUpgrade,
    Role,
    UpgradeReady,
    pass_upgrade,
)
from gatepost.wire.witness import shown_residue

if TYPE_CHECKING:
    from gatepost.service.gate.connection import GateConnection

STILL_SECONDS: Final = 1.0  # in which nothing moves, before a draining process ends what goes through


def begin_passing(
    connection: GateConnection,
    channel: PlainChannel,
    link: Link,
    server_side: UpgradeReady,
    ready: UpgradeReady,
    early: EarlyHello | None,
    go_ahead: bytes,
    *,
    refusal: bytes,
) -> None:
    """Say the go-ahead and let the client's TLS through, until both ends are done. The connection ends itself then.

    :param channel: to the client; the session has given it up.
    :param link: to the server, in the clear; it belongs to the splice from now on.
    :param server_side: what the client engine, which faces the server, left.
    :param ready: what the server engine, which faces the client, left; with the beginning of an eager client's hello.
    :param go_ahead: the last words to the client in the clear.
    :param refusal: what is said in their place when the server broke the protocol behind its own go-ahead.
    """
    try:
        given = link.wire.surrender()
        token = pass_upgrade(ready, early, server_side, given.waiting)
        if given.ended or not isinstance(given.channel, PlainChannel):
            raise ConnectionResetError("the server went away behind its go-ahead")
    except PlaintextAfterUpgrade as finding:
        link.abort()
        plaintext_of_server(connection, link.server, finding)
        _leave(connection, channel, refusal)
        return
    except (GatepostError, OSError) as error:
        link.abort()
        connection.outcome = "server lost"
        server_lost(connection, str(error))
        _leave(connection, channel, refusal)
        return
    near, far = channel.surrender(go_ahead), given.channel.surrender()
    connection.session = Blind(connection, link, token, near, far, connection.port.settings.idle_timeout)


def _leave(connection: GateConnection, channel: PlainChannel, refusal: bytes) -> None:
    connection.session = None
    connection.hold()
    channel.start(Gone(connection))
    channel.close(refusal, linger=True)
    if channel.transport.closed:
        connection.ended()


def plaintext_of_server(connection: GateConnection, server: str, finding: PlaintextAfterUpgrade) -> None:
    """A server said something between its go-ahead and its handshake: count it, and say so in the log.

    :param finding: with the octets as evidence.
    """
    connection.outcome = "plaintext after the upgrade"
    connection.port.tally.count("plaintext_after_upgrade_total", side="client")
    logs.event(
        "gate.plaintext-after-upgrade",
        severity="error",
        connection=connection.origin.connection,
        listener=connection.port.name,
        server=server,
        octets=len(finding.residue),
        evidence=shown_residue(finding.residue),
    )


@final
class Blind:
    """In place of a session: nothing is read any more. It lasts as long as the two ends do."""

    __slots__ = ("_connection", "_counts", "_link", "_near", "_task")

    def __init__(
        self, connection: GateConnection, link: Link, token: PassReady, near: Transport, far: Transport, seconds: float
    ) -> None:
        self._connection: Final = connection
        self._link: Final = link
        self._near: Final = near
        self._counts: Final = Counts()
        record = connection.record
        record.blind = True
        connection.hold()
        if connection.transcript is not None:
            connection.transcript.blind("the client speaks TLS with the server behind", link.server)
        logs.event(
            "gate.blind",
            severity="info",
            connection=connection.origin.connection,
            listener=connection.port.name,
            server=link.server,
        )
        passing = pass_on(token, near, far, idle_seconds=seconds, counts=self._counts)
        self._task: Final = connection.port.loop.create_task(passing)
        self._task.add_done_callback(self._ended)

    @property
    def alive(self) -> bool:
        """There is nobody to answer: not us."""
        return False

    def drain(self) -> None:
        """Nobody here knows what is under way: what moves goes on, and what stands still is ended."""
        self._look(-1)

    def _look(self, before: int) -> None:
        if self._task.done():
            return
        moved = self._counts.from_near + self._counts.from_far
        if moved == before:
            self._connection.outcome = "drained"
            self._task.cancel()
        else:
            self._connection.port.loop.call_later(STILL_SECONDS, self._look, moved)

    def expire(self) -> None:
        self._near.abort()

    def _ended(self, task: asyncio.Task[Counts]) -> None:
        connection, counts, tally = self._connection, self._counts, self._connection.port.tally
        self._link.close()  # what the server has not taken yet is on its way
        connection.record.bytes += counts.from_near + counts.from_far
        if connection.transcript is not None:
            connection.transcript.octets("client", counts.from_near)
            connection.transcript.octets("server", counts.from_far)
        tally.add(tally.octets_in, counts.from_near)
        tally.add(tally.octets_out, counts.from_far)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, PlaintextAfterUpgrade):
            if error.role is Role.SERVER:
                connection.plaintext_found(error.residue)
            else:
                plaintext_of_server(connection, self._link.server, error)
        elif error is not None:
            logs.failure("gate.failed", error, connection=connection.origin.connection)
        connection.outcome = connection.outcome or ("timeout (passing)" if counts.ending == "idle" else counts.ending)
        if self._near.closed:
            connection.ended()
        else:  # it takes our last octets
            self._near.receive_with(Gone(connection))
