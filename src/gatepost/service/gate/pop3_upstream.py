"""The POP3 conversation with the server behind, for one session of a client.

It is opened by the client engines of ``wire.pop3`` and goes on command by command (``wire.pop3.relaying``). Whatever
breaks it off is one exception with what the client is told; whatever a server says before it was asked breaks it off.
"""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Final, TypeVar, final

from gatepost.errors import GatepostError
from gatepost.service.gate import pop3_words as words
from gatepost.service.gate.backends import BackendUnavailable, Client, Link, Pool
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


class ServerLost(GatepostError):
    """There is no server, or no more: ``reply`` is what the client is told in place of an answer of it."""

    temporary = True

    def __init__(self, reason: str, reply: Reply) -> None:
        super().__init__(reason)
        self.reply: Final = reply


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
            return await self.link.run(dialogue)
        except (GatepostError, OSError) as error:
            raise self._lost(error) from error

    async def piece(self) -> bytes:
        """The next octets of an answer of several lines; empty behind its end.

        :raises ServerLost: as ``ask``: what was given is then no answer.
        """
        return await self.ask(self._relaying.piece())

    async def leave(self) -> None:
        """Say QUIT where nobody is logged in, wait a moment for the answer, and close."""
        try:
            with contextlib.suppress(GatepostError, OSError):
                await self.link.run(self.relaying.quit(), QUIT_SECONDS)
        finally:
            self.link.close()

    def abort(self) -> None:
        """Close now: nothing is deleted (RFC 1939 §6)."""
        self.link.abort()

    def _lost(self, error: GatepostError | OSError) -> ServerLost:
        self.abort()
        return ServerLost(f"{self.link.server}: {error}", words.SERVER_LOST)


async def connect(pool: Pool, client: Client) -> Link:
    """Dial a server.

    :raises ServerLost: when none can be had.
    """
    try:
        return await pool.dial(client)
    except BackendUnavailable as error:
        raise ServerLost(str(error), words.NO_SERVER) from error


async def reach(pool: Pool, client: Client) -> Upstream:
    """Dial a server and open the conversation.

    :param client: whom the connection is for.
    :raises ServerLost: when no server can be had; its refusal to serve is the reply, as it is.
    """
    link = await connect(pool, client)
    settings = pool.settings
    try:
        engine = await link.run(opening(link.wire.origin, link.tls, settings.tls, timeouts_of(settings.reply_timeout)))
    except (GatepostError, OSError) as error:
        raise refused_by(link, error) from error
    except BaseException:
        link.abort()
        raise
    listed = engine.listed
    assert listed is not None
    return Upstream(link, engine.relaying(), abilities(listed))


def refused_by(link: Link, error: GatepostError | OSError) -> ServerLost:
    """What it means to the client that a server could not be opened a conversation with."""
    reply = error.reply if isinstance(error, Refused) and error.step == "service" else None
    if reply is not None:  # too many connections, as a rule: it says so to this client, and may serve the next
        link.abort()
    else:
        link.condemn(str(error))
    return ServerLost(f"{link.server}: {error}", reply or words.NO_SERVER)
