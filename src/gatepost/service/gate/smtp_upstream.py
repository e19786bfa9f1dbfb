"""The SMTP conversation with the server behind, for one session of a client.

It is opened by the client engines of ``wire.smtp`` and goes on command by command (``wire.smtp.relaying``). Whatever
breaks it off is one exception with what the client is told; whatever a server says before it was asked breaks it off.
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Callable
from typing import Final, Literal, TypeAlias, TypeVar, final

from gatepost.errors import GatepostError, LocalProtocolError, RemoteProtocolError
from gatepost.observe import logs
from gatepost.service.gate import smtp_words as words
from gatepost.service.gate.backends import BackendUnavailable, Client, Link, Pool
from gatepost.service.gate.lost import ServerLost
from gatepost.service.gate.smtp_offer import Abilities, abilities
from gatepost.wire.dialogue import Dialogue
from gatepost.wire.smtp import xclient
from gatepost.wire.smtp.capabilities import Capabilities
from gatepost.wire.smtp.client import HELLO_NAME, PlainClient, SecureClient, converse_starttls
from gatepost.wire.smtp.refusals import Refused, StartTLSRefused, UnexpectedReply
from gatepost.wire.smtp.relaying import Relaying
from gatepost.wire.smtp.reply import Reply
from gatepost.wire.smtp.timeouts import ClientTimeouts
from gatepost.wire.smtp.xclient import Told
from gatepost.wire.upgrade import Origin, PlaintextAfterUpgrade, TLSEvidence, UpgradeReady

T = TypeVar("T")
Dialect: TypeAlias = Literal["SMTP", "LMTP"]

QUIT_SECONDS: Final = 5.0


@functools.lru_cache(64)
def timeouts_of(seconds: float) -> ClientTimeouts:
    """The same bound for every answer of a server."""
    return ClientTimeouts(
        greeting=seconds, hello=seconds, starttls=seconds, authenticate=seconds, mail=seconds, recipient=seconds,
        data=seconds, final=seconds, reset=seconds, quit=QUIT_SECONDS,
    )  # fmt: skip


def opening(
    origin: Origin, evidence: TLSEvidence | None, tls: str, *, hostname: str, timeouts: ClientTimeouts, dialect: Dialect
) -> Dialogue[PlainClient | SecureClient]:
    """From a fresh connection to a client engine that has said hello, inside TLS where the backend asks for it.

    :param evidence: of a handshake that came before anything else; None when there was none.
    :param tls: of the backend.
    """
    if evidence is not None:
        secure = SecureClient(origin, evidence, hostname=hostname, timeouts=timeouts, dialect=dialect)
        yield from secure.greeting()
        yield from secure.hello()
        return secure
    if tls == "starttls":
        return (yield from converse_starttls(origin, hostname=hostname, timeouts=timeouts, dialect=dialect))
    plain = PlainClient(origin, hostname=hostname, timeouts=timeouts, dialect=dialect)
    yield from plain.greeting()
    yield from plain.hello(helo_fallback=True)
    return plain


def hello_name(claimed: str, hostname: str) -> str:
    """The name to say hello with: the client's own where it can stand there, so that the server sees what it would."""
    return claimed if HELLO_NAME.fullmatch(claimed) else hostname


@final
class Upstream:
    """One conversation with a server. Made by ``reach``.

    :param link: the connection, this session's alone.
    :param engine: that has said hello.
    """

    __slots__ = ("_engine", "_left", "dirty", "link", "relaying")

    def __init__(self, link: Link, engine: PlainClient | SecureClient) -> None:
        self.link: Final = link
        self._engine: Final = engine
        self._left = False
        self.relaying: Relaying = engine.relaying()
        self.dirty = False
        """Whether the server may hold a transaction that the client knows nothing of: RSET comes before the next."""

    @property
    def abilities(self) -> Abilities:
        """What it listed last."""
        return abilities(self.relaying.capabilities)

    @property
    def plain(self) -> PlainClient | None:
        """The engine where the conversation is in the clear, and could become private."""
        return self._engine if isinstance(self._engine, PlainClient) else None

    @property
    def usable(self) -> bool:
        """Whether anything can still be said."""
        return not self._left and not self.link.closed

    @property
    def spoke(self) -> bool:
        """Whether the server said something, or went, while nothing was asked of it."""
        return self.link.wire.poll()

    async def ask(self, dialogue: Dialogue[T], *, known: bool = False) -> T:
        """Run one dialogue of ``relaying``.

        :param known: whether it is known that the server is quiet, or what it may say now.
        :raises ServerLost: when the server is gone, or said what it may not say; the connection is closed.
        """
        if not known and self.spoke:
            dialogue.close()
            raise self._lost(await self._unasked())
        try:
            return await self.link.ask(dialogue)
        except PlaintextAfterUpgrade:
            self.abort()
            raise
        except (GatepostError, OSError) as error:
            raise self._lost(error) from error

    def checked(self, read: Callable[[Reply], T], reply: Reply) -> T:
        """Read what a reply holds.

        :raises ServerLost: when it cannot be read; the connection is closed.
        """
        try:
            return read(reply)
        except GatepostError as error:
            raise self._lost(error) from error

    async def early(self) -> Reply:
        """What the server said before it was asked, while content is sent to it: its refusal, as a rule.

        :raises ServerLost: when it is no reply, or none that refuses.
        """
        reply = await self.ask(self.relaying.heard(), known=True)
        if reply.code < 400:
            raise self._lost(UnexpectedReply("the server answers a message before its end", reply))
        return reply

    async def hello_again(self) -> None:
        """Say hello again, as the client does.

        :raises ServerLost: as ``ask``; with the server's refusal where it refuses.
        """
        if self.spoke:
            raise self._lost(await self._unasked())
        try:
            await self.hello()
        except Refused as refused:
            self.abort()
            raise ServerLost(f"{self.link.server}: {refused}", refused.reply or words.SERVER_LOST) from refused

    async def hello(self) -> None:
        """Say hello: whatever was open on the server is dropped.

        :raises Refused: when it refuses.
        :raises ServerLost: when the conversation is broken.
        """
        try:
            await self.link.ask(self._engine.hello())
        except Refused as refused:
            raise refused
        except (GatepostError, OSError) as error:
            raise self._lost(error) from error
        self.relaying = self._engine.relaying()
        self.dirty = False

    async def start_tls(self, engine: PlainClient) -> UpgradeReady:
        """Ask for TLS, of which the client is to be the other end.

        :param engine: ``plain``.
        :raises StartTLSRefused: when the server refuses, or does not list it: the conversation goes on.
        :raises PlaintextAfterUpgrade: when octets stood behind its go-ahead; the connection is closed.
        :raises ServerLost: as ``ask``.
        """
        if self.spoke:
            raise self._lost(await self._unasked())
        try:
            return await self.link.ask(engine.start_tls())
        except StartTLSRefused as refused:
            if engine.usable:
                raise
            raise self._lost(refused) from refused
        except PlaintextAfterUpgrade:
            self.abort()
            raise
        except (GatepostError, OSError) as error:
            raise self._lost(error) from error

    async def clean(self) -> None:
        """Drop a transaction that is only the server's.

        :raises ServerLost: when it does not.
        """
        if self.dirty:
            reply = await self.ask(self.relaying.say("RSET"))
            if reply.code >= 400:
                raise self._lost(UnexpectedReply("the server does not reset", reply))
            self.dirty = False

    def leave(self) -> None:
        """Say QUIT, and close when the server has answered, or has not for a moment."""
        usable, self._left = self.usable and self._engine.usable, True
        if usable:
            self.link.leave(self._engine.quit(), QUIT_SECONDS)
        else:
            self.link.close()

    def abort(self) -> None:
        """Close now: what the server has not got to its end, it has not got."""
        self._left = True
        self.link.abort()

    async def _unasked(self) -> GatepostError | OSError:
        """What is wrong with a server that spoke, or went."""
        try:
            reply = await self.link.ask(self.relaying.heard())
        except (GatepostError, OSError) as error:
            return error
        return UnexpectedReply("the server spoke before it was asked", reply)

    def _lost(self, error: GatepostError | OSError) -> ServerLost[Reply]:
        self.abort()
        reply = getattr(error, "reply", None)
        if not isinstance(reply, Reply) or reply.code != 421:
            reply = words.SERVER_LOST
        return ServerLost(f"{self.link.server}: {error}", reply)


async def reach(
    pool: Pool, client: Client, told: Told, *, hostname: str, dialect: Dialect, timeouts: ClientTimeouts
) -> Upstream:
    """Dial a server and say hello, and who the client is where the backend asks for that.

    :param client: whom the connection is for.
    :param told: the same as XCLIENT says it.
    :raises ServerLost: when no server can be had; its refusal of us is the reply, as it is.
    """
    settings = pool.settings
    name = hello_name(client.helo, hostname)

    async def begin(link: Link) -> Upstream:
        try:
            engine = await link.ask(
                opening(link.wire.origin, link.tls, settings.tls, hostname=name, timeouts=timeouts, dialect=dialect)
            )
            upstream = Upstream(link, engine)
            if settings.client == "xclient":
                await _introduce(upstream, told)
        except Refused as refused:  # to talk to us: passed on, where it is a reply
            if refused.reply is None or refused.step == "STARTTLS":
                raise
            raise ServerLost(f"{link.server}: {refused}", refused.reply) from refused
        return upstream

    try:
        return await pool.open(client, begin)
    except BackendUnavailable as error:
        raise ServerLost(str(error), words.NO_SERVER) from error


def takes_xclient(capabilities: Capabilities) -> list[str]:
    """The attributes of XCLIENT that a server lists.

    :raises RemoteProtocolError: when it does not list XCLIENT.
    """
    takes = capabilities.keywords.get("XCLIENT")
    if takes is None:
        raise RemoteProtocolError('it does not list XCLIENT to the gate, and the backend has client = "xclient"')
    return takes.upper().split()


async def _introduce(upstream: Upstream, told: Told) -> None:
    """XCLIENT, and hello again, since it begins the session anew.

    Without it the server would take every client for the gate, and may trust that more: so there is no going on
    without.

    :raises RemoteProtocolError: when the server does not list it.
    :raises ServerLost: when the server does not take it.
    """
    takes = takes_xclient(upstream.relaying.capabilities)
    try:
        line = xclient.words("XCLIENT", told, takes)
    except LocalProtocolError as error:
        raise ServerLost(f"{upstream.link.server}: {error}", words.NOT_TOLD) from error
    reply = await upstream.ask(upstream.relaying.xclient(line))
    if reply.code >= 400:
        # The session that XCLIENT began is the client's: what it is greeted with is meant for it.
        raise ServerLost(f"{upstream.link.server} refuses XCLIENT: {reply}", reply)
    await upstream.hello()


async def forward(upstream: Upstream, told: Told) -> None:
    """XFORWARD, before a message, where the server takes it: it is for the server's log, so a refusal stops nothing.

    :raises ServerLost: as ``Upstream.ask``.
    """
    takes = upstream.relaying.capabilities.keywords.get("XFORWARD")
    if takes is None:
        return
    try:
        line = xclient.words("XFORWARD", told, takes.upper().split())
    except LocalProtocolError:
        return
    if not line:
        return
    reply = await upstream.ask(upstream.relaying.say("XFORWARD", line))
    if reply.code >= 400:
        logs.event("gate.xforward-refused", "notice", server=upstream.link.server, reply=str(reply))


def bare_address(address: str) -> str:
    """An address as it is told: without a scope, and IPv4 as such; empty for a local socket."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)
