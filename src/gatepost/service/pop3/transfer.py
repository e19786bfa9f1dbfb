"""Long answers, at the pace at which the peer takes them: one piece in memory, whatever the message or the maildrop.

A piece is read from the disk by a thread, written, and the next one is read when the peer has taken nearly all of it.
A peer that takes nothing for ``stall_seconds`` is cut off.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias, final

from gatepost.errors import GatepostError, StoreError
from gatepost.mailbox.content import MessageReader
from gatepost.mailbox.maildrop import Maildrop, MessageGone
from gatepost.net.channel import SecureChannel
from gatepost.observe import logs
from gatepost.wire.pop3 import reply
from gatepost.wire.pop3.multiline import top_filter
from gatepost.wire.pop3.reply import Reply
from gatepost.wire.pop3.server import SecureServer

if TYPE_CHECKING:
    from gatepost.service.pop3.connection import POP3Connection

Line: TypeAlias = Callable[[int], str]

_UNSENT: Final = 1 << 16  # octets that the peer has not taken, at most, before the next piece is read
_LINES: Final = 512  # of a listing that are made at a time
_GONE: Final = Reply(False, "That message is gone: another program removed it")


@final
class Broken(GatepostError):
    """An answer cannot be completed: the peer is gone, or the message is not what it was."""


class Outlet(NamedTuple):
    """Where an answer goes."""

    connection: POP3Connection
    engine: SecureServer
    channel: SecureChannel

    async def flush(self) -> None:
        """Write what the engine has, and wait until the peer has taken nearly all.

        :raises Broken: when it is gone.
        """
        transport = self.channel.transport
        if transport.closed or (self.connection.session is None or not self.connection.session.alive):
            raise Broken("the peer is gone")
        self.channel.send(self.engine.outgoing())
        if transport.unsent > _UNSENT:
            self.connection.wait(self.connection.port.stall_seconds, "data")
            await transport.drain(_UNSENT)
            self.connection.hold()
        if transport.closed:
            raise Broken("the peer is gone")


async def send_lines(outlet: Outlet, drop: Maildrop, line: Line) -> None:
    """Complete a listing that was begun.

    :param line: the line of one message, by its number.
    """
    engine, total = outlet.engine, len(drop)
    for first in range(1, total + 1, _LINES):
        numbers = range(first, min(first + _LINES, total + 1))
        engine.multiline("".join(line(number) for number in numbers if number in drop).encode("ascii"))
        if first + _LINES <= total:
            await outlet.flush()
            await asyncio.sleep(0)  # others have their turn
    engine.end_multiline()


async def send_message(outlet: Outlet, drop: Maildrop, number: int, lines: int | None) -> None:
    """Answer RETR or TOP.

    :param lines: how many lines of the body; None for the whole message.
    """
    connection, engine = outlet.connection, outlet.engine
    disk = connection.port.services.disk
    try:
        opened = await disk.run(lambda: _opened(drop, number, lines))
    except MessageGone:
        engine.answer(_GONE)
        return
    except StoreError as error:
        logs.event("store.failed", severity="error", reason=str(error), connection=connection.origin.connection)
        engine.answer(reply.SYSTEM_TEMPORARY)
        return
    try:
        engine.begin_multiline(f"{drop.size(number)} octets" if lines is None else "")
        engine.multiline(opened.head)
        if opened.rest is not None:
            await _send_rest(outlet, opened.rest)
    except OSError as error:
        raise Broken(f"the message cannot be read: {error.strerror}") from error
    finally:
        opened.reader.close()
    if lines is None:
        if opened.reader.octets != drop.file_size(number):
            raise Broken("the message was changed while it was sent")  # without an end, so that nobody keeps it
        _count(connection, engine.end_multiline(), drop.size(number))
    else:
        engine.end_multiline()


class _Opened(NamedTuple):
    """A message whose first piece was read."""

    reader: MessageReader
    head: bytes
    rest: Iterator[bytes] | None


def _opened(drop: Maildrop, number: int, lines: int | None) -> _Opened:
    """In a thread: open a message, and read the first piece, or all of one that is no longer than a piece.

    :raises StoreError: see ``Maildrop.open``.
    """
    reader = drop.open(number)
    pieces = iter(reader) if lines is None else top_filter(reader, lines)
    try:
        if drop.file_size(number) <= reader.piece:
            return _Opened(reader, b"".join(pieces), None)
        return _Opened(reader, next(pieces, b""), pieces)
    except OSError as error:
        reader.close()
        raise StoreError(f"message {number} of {drop.root}: {error.strerror}") from error


async def _send_rest(outlet: Outlet, pieces: Iterator[bytes]) -> None:
    disk = outlet.connection.port.services.disk
    while True:
        await outlet.flush()
        piece = await disk.run(lambda: next(pieces, b""))
        if not piece:
            return
        outlet.engine.multiline(piece)


def _count(connection: POP3Connection, sent: int, promised: int) -> None:
    record, tally = connection.record, connection.port.tally
    record.retrieved += 1
    record.bytes += sent
    tally.add(tally.retrieved)
    tally.add(tally.retrieved_octets, sent)
    if sent != promised:  # another program wrote a wrong ``W=`` into the file's name
        logs.event(
            "pop3.size-differs",
            severity="warning",
            connection=connection.origin.connection,
            sent=sent,
            promised=promised,
        )
