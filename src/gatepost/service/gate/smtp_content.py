"""The content of one message on its way to the server: behind DATA, or in chunks where the client sends chunks and the
server takes them (RFC 3030). The chunks are cut anew: what counts is their sum, and the answer to the last.

A short piece waits for what follows it, so that a short message leaves together with its end.
"""

from __future__ import annotations

from typing import Final, final

from gatepost.service.gate.smtp_upstream import Upstream
from gatepost.wire.smtp import reply
from gatepost.wire.smtp.reply import Reply

HELD_LIMIT: Final = 1 << 16  # octets of a piece that waits


@final
class Delivery:
    """See the module.

    :param upstream: with an open transaction.
    :param chunked: whether it goes in chunks.
    """

    __slots__ = ("_begun", "_chunked", "_held", "_upstream")

    def __init__(self, upstream: Upstream, *, chunked: bool) -> None:
        self._upstream: Final = upstream
        self._chunked: Final = chunked
        self._begun = False
        self._held = b""

    async def begin(self) -> Reply:
        """Whether the server wants the content: 354, or its refusal.

        :raises ServerLost: as ``Upstream.ask``; so do the others.
        """
        if self._chunked:
            return reply.DATA_GO_AHEAD  # the first chunk asks
        answer = await self._upstream.ask(self._upstream.relaying.data())
        self._begun = answer.positive
        return answer

    def hold(self, piece: bytes) -> bool:
        """Whether a piece waits for what follows it, nothing being waited for; else it is for ``content``."""
        if self._held or len(piece) > HELD_LIMIT:
            return False
        self._held = piece
        return True

    async def content(self, piece: bytes) -> Reply | None:
        """A piece. What is returned is the server's refusal of it all: nothing more may be sent."""
        held, self._held = self._held, b""
        refusal = await self._send(held) if held else None
        if refusal is None and len(piece) > HELD_LIMIT:
            return await self._send(piece)
        self._held = piece
        return refusal

    async def _send(self, piece: bytes) -> Reply | None:
        upstream = self._upstream
        if self._chunked:
            answer = await upstream.ask(upstream.relaying.chunk(piece))
            return None if answer.positive else _of_message(answer)
        if upstream.spoke:
            return _of_message(await upstream.early())
        await upstream.ask(upstream.relaying.content(piece), known=True)
        return None

    async def end(self) -> tuple[Reply, ...]:
        """All has come: the server's answer to the message, one for each recipient in LMTP."""
        upstream = self._upstream
        held, self._held = self._held, b""
        if self._chunked:
            return await upstream.ask(upstream.relaying.last_chunk(held))
        if upstream.spoke:
            refusal = _of_message(await upstream.early())
            upstream.abort()
            return (refusal,)
        self._begun = False
        return await upstream.ask(upstream.relaying.end(held), known=True)

    def leave(self) -> bool:
        """Whether the connection can be kept though the message does not come to its end."""
        return not self._begun


def _of_message(answer: Reply) -> Reply:
    """A refusal in the middle of content. A server that closes has refused this message for now."""
    return Reply(451, "4.3.2", answer.text) if answer.code == 421 else answer
