"""The POP3 conversation with the server behind, for one session of a client.

It is opened by the client engines of ``wire.pop3`` and goes on command by command (``wire.pop3.relaying``). Whatever
breaks it off is one exception with what the client is told; whatever a server says before it was asked breaks it off.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Final, TypeVar, final

from gatepost.errors import GatepostError
from gatepost.service.gate import pop3_words as words
from gatepost.service.gate.backends import BackendUnavailable, Client, Link, Pool
from gatepost.service.gate.lost import ServerLost
from gatepost.service.gate.pop3_offer import Abilities, abilities
from gatepost.wire.dialogue import Dialogue
from gatepost.wire.pop3.client import PlainClient, SecureClient, converse_implicit, converse_stls
from gatepost.wire.pop3.refusals import Refused, UnexpectedReply
from gatepost.wire.pop3.relaying import Relaying
from gatepost.wire.pop3.reply import Reply
from gatepost.wire.pop3.timeouts import ClientTimeouts
from gatepost.wire.upgrade import Origin, TLSEvidence

T = TypeVar("T")

QUIT_SECONDS: Final = 5.0  # for a goodbye that deletes nothing


def timeouts_of(seconds: float) -> ClientTimeouts:
    """The same bound for every answer of a server."""
    return ClientTimeouts(*[seconds] * len(dataclasses.fields(ClientTimeouts)))


def opening(
    origin: Origin, evidence: TLSEvidence | None, tls: str, timeouts: ClientTimeouts
) -> Dialogue[PlainClient | SecureClient]:
    """From a fresh connection to a client engine that knows what the server can, inside TLS where the backend has it.

    :param evidence: of a handshake that came before anything else; None when there was none.
    :param tls: of the backend.
    """
    if evidence is not None:
        return (yield from converse_implicit(origin, evidence, timeouts=timeouts))
    if tls == "starttls":
        return (yield from converse_stls(origin, timeouts=timeouts))
    plain = PlainClient(origin, timeouts=timeouts)
    yield from plain.greeting()
    yield from plain.capabilities()
    return plain


@final
class Upstream:
    """One conversation with a server. Made by ``reach``.

    :param link: the connection, this session's alone.
    :param relaying: what is said on it.
    :param abilities: what the server listed.
    """

    __slots__ = ("_relaying", "abilities", "link")

    def __init__(self, link: Link, relaying: Relaying, abilities: Abilities) -> None:
        self.link: Final = link
        self._relaying: Final = relaying
        self.abilities: Final = abilities

    @property
    def relaying(self) -> Relaying:
        """What may be said next: the server is quiet.

        :raises ServerLost: when it said something, or went, while nothing was asked of it.
        """
        if self.link.wire.poll():
            gone = self.link.closed
            raise self._lost(UnexpectedReply("the server went" if gone else "the server spoke before it was asked"))
        return self._relaying

    async def ask(self, dialogue: Dialogue[T]) -> T:
        """Run one dialogue of ``relaying``.

        :raises ServerLost: when the server is gone, or said what it may not say; the connection is closed.
        """
        try:
            return await self.link.ask(dialogue)
        except (GatepostError, OSError) as error:
            raise self._lost(error) from error

    async def piece(self) -> bytes:
        """The next octets of an answer of several lines; empty behind its end.

        :raises ServerLost: as ``ask``: what was given is then no answer.
        """
        return await self.ask(self._relaying.piece())

    def leave(self) -> None:
        """Say QUIT where nobody is logged in, and close when the server has answered, or has not for a moment."""
        try:
            goodbye = self.relaying.quit()
        except ServerLost:
            return
        self.link.leave(goodbye, QUIT_SECONDS)

    def abort(self) -> None:
        """Close now: nothing is deleted (RFC 1939 §6)."""
        self.link.abort()

    def _lost(self, error: GatepostError | OSError) -> ServerLost[Reply]:
        self.abort()
        return ServerLost(f"{self.link.server}: {error}", words.SERVER_LOST)


async def opened(pool: Pool, client: Client, first: Callable[[Link], Dialogue[T]]) -> tuple[Link, T]:
    """Dial a server and open the conversation.

    :param client: whom the connection is for.
    :param first: what is said first; the server's refusal to serve is passed on.
    :raises ServerLost: when no server can be had; its refusal to serve is the reply, as it is.
    """

    async def begin(link: Link) -> tuple[Link, T]:
        try:
            return link, await link.ask(first(link))
        except Refused as refused:
            # Too many connections, as a rule: it says so to this client, and may serve the next.
            if refused.step == "service" and refused.reply is not None:
                raise ServerLost(f"{link.server}: {refused}", refused.reply) from refused
            raise

    try:
        return await pool.open(client, begin)
    except BackendUnavailable as error:
        raise ServerLost(str(error), words.NO_SERVER) from error


async def reach(pool: Pool, client: Client) -> Upstream:
    """Dial a server, and ask it what it can.

    :param client: whom the connection is for.
    :raises ServerLost: when no server can be had, as ``opened``, or it lists no way to log in that passes the gate.
    """
    settings = pool.settings
    timeouts = timeouts_of(settings.reply_timeout)
    link, engine = await opened(pool, client, lambda link: opening(link.wire.origin, link.tls, settings.tls, timeouts))
    listed = engine.listed
    assert listed is not None
    able = abilities(listed)
    if not able.logins:
        link.abort()
        hint = "" if link.tls is not None else ' in the clear: it may want tls = "starttls" of the backend'
        raise ServerLost(f"{link.server} lists no way to log in{hint}", words.NO_LOGINS)
    return Upstream(link, engine.relaying(), able)


def greeted(link: Link, timeouts: ClientTimeouts) -> Dialogue[PlainClient]:
    """Up to the server's greeting, in the clear."""
    plain = PlainClient(link.wire.origin, timeouts=timeouts)
    yield from plain.greeting()
    return plain
