"""``gatepost.connect``: a connection that begins in the clear, or does not, on asyncio.

    async with gatepost.connect("mail.example.org", 587) as plain:
        secure = await plain.upgrade("smtp")
        print(secure.evidence.version, secure.evidence.group, secure.evidence.peer_names)
        await secure.send(b"EHLO me\\r\\n")
        line = await secure.readline()

``PlainConnection`` and ``SecureConnection`` are different things. ``upgrade`` spends the one and returns the other, or
raises and closes: there is no connection that is half of each. What came in the clear and was not read by then is
refused (``PlaintextAfterUpgrade``), and nothing that was read crosses.

Every operation has a deadline: ``timeout`` of ``connect``, or of the call. When it is exceeded, the connection is
closed; to wait without that risk, ask ``ready``. A task that is cancelled while it reads loses nothing, and the next
read goes on where it stood; one that is cancelled in ``upgrade`` or ``run`` leaves a closed connection.

``gatepost.blocking`` is the same without a loop.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Generator, Iterable
from typing import Final, Generic, Literal, TypeVar, final, overload

from gatepost.errors import LocalProtocolError
from gatepost.net.dial import dial
from gatepost.net.drive import Wire
from gatepost.net.ownname import own_name
from gatepost.net.trace import also
from gatepost.net.trace import trace as Trace  # noqa: N812  # the argument has its name
from gatepost.tls.clientsettings import CertificateFiles, FilePath, client_settings
from gatepost.tls.contexts import ClientTLS, Level
from gatepost.tls.names import reference_name
from gatepost.tls.sessions import SessionCache
from gatepost.wire.dialogue import Dialogue
from gatepost.wire.inbox import LINE_LIMIT, READ_LIMIT, Inbox, Standing, patience, upgrading
from gatepost.wire.recipes.recipe import ClientTerms, Recipe
from gatepost.wire.upgrade import Origin, TLSEvidence

T = TypeVar("T")

SECONDS: Final = 30.0
_CLOSED: Final = "this connection is closed"
_SPENT: Final = "this connection was upgraded: use the one that upgrade returned"


class _Connection:
    """What both kinds can do. Private: a caller holds one of the two."""

    __slots__ = ("_inbox", "_seconds", "_standing", "_wire")

    def __init__(self, wire: Wire, seconds: float) -> None:
        self._wire = wire
        self._seconds = seconds
        self._inbox: Final = Inbox()
        self._standing: Final = Standing()

    @property
    def origin(self) -> Origin:
        """Where the connection leads: addresses, and an identifier for logs."""
        return self._wire.origin

    async def send(self, data: bytes, *, timeout: float | None = None) -> None:
        """Send octets. May be called while another task reads.

        :raises DeadlineExceeded: when the peer takes them too slowly; the connection is closed.
        :raises OSError: when the connection is lost.
        :raises LocalProtocolError: when the connection was upgraded or closed.
        """
        self._standing.check()
        await self._wire.send(data, patience(timeout, self._seconds))

    async def read(self, limit: int = READ_LIMIT, *, timeout: float | None = None) -> bytes:
        """Wait for octets; at least one and at most ``limit``, or ``b""`` at the end of the stream.

        :raises DeadlineExceeded: when none come in time; the connection is closed.
        :raises OSError: when the connection is lost.
        :raises LocalProtocolError: when the connection was upgraded or closed, or another task reads.
        """
        return await self._read(self._inbox.read(limit, math.inf), timeout)

    async def read_exactly(self, count: int, *, timeout: float | None = None) -> bytes:
        """Wait for exactly ``count`` octets.

        :raises RemoteProtocolError: when the stream ends before them. Otherwise as ``read``.
        """
        return await self._read(self._inbox.read_exactly(count, math.inf), timeout)

    async def readline(self, limit: int = LINE_LIMIT, *, timeout: float | None = None) -> bytes:
        """Wait for a line; it is returned with its end, CRLF or LF, as it came; ``b""`` at the end of the stream.

        :param limit: octets, its end counted.
        :raises RemoteProtocolError: for a longer line, and when the stream ends inside one. Otherwise as ``read``.
        """
        return await self._read(self._inbox.readline(limit, math.inf), timeout)

    async def ready(self, timeout: float | None = None) -> bool:
        """Wait until something can be read, and take nothing; False when ``timeout`` seconds pass without.

        True also at the end of the stream: the next read returns ``b""`` at once, or raises what ended it.
        """
        with self._standing.reading():
            return bool(self._inbox) or await self._wire.ready(patience(timeout, self._seconds))

    def poll(self) -> bool:
        """Whether something can be read now; ``ready`` without waiting. Inside TLS, whether anything is decrypted."""
        self._standing.check()
        return bool(self._inbox) or self._wire.poll()

    async def run(self, dialogue: Dialogue[T], *, timeout: float | None = None) -> T:
        """Run a conversation (see ``gatepost.wire.dialogue``) and return its value. It may not upgrade.

        :param timeout: for all of it; by default each of its steps has its own deadline and no more.
        :raises LocalProtocolError: when the connection was upgraded or closed, or another task reads.
        """
        with self._standing.reading():
            try:
                return await self._wire.run(
                    self._inbox.feed(dialogue), seconds=math.inf if timeout is None else patience(timeout, 0)
                )
            except Exception:  # the dialogue is over, the connection is not
                raise
            except BaseException:  # broken off: nobody knows what the peer will say next, and to what
                self._abort()
                raise

    async def close(self) -> None:
        """Close; what was sent is still delivered, inside TLS with a close alert behind it. Twice is once."""
        self._standing.end(_CLOSED)
        await self._wire.finish(self._seconds)

    def _abort(self) -> None:
        self._standing.end(_CLOSED)
        self._wire.close()  # inside TLS says so, if that can be written at once
        self._wire.abort()

    async def _read(self, dialogue: Dialogue[bytes], timeout: float | None) -> bytes:
        taken = b""

        def reading() -> Dialogue[None]:
            nonlocal taken
            taken = yield from dialogue

        with self._standing.reading():
            try:
                await self._wire.run(reading(), seconds=patience(timeout, self._seconds))
            except asyncio.CancelledError:
                self._inbox.give_back(taken)  # it had come, and the reader was cancelled before he got it
                raise
        return taken


@final
class SecureConnection(_Connection):
    """A connection inside TLS. Made by ``upgrade``, or by ``connect`` with ``implicit``."""

    __slots__ = ("evidence",)

    def __init__(self, wire: Wire, seconds: float) -> None:
        evidence = wire.evidence
        if evidence is None:
            raise LocalProtocolError("a secure connection is made by a completed handshake")
        super().__init__(wire, seconds)
        self.evidence: Final[TLSEvidence] = evidence
        """What the handshake proved."""


@final
class PlainConnection(_Connection):
    """A connection in the clear, until ``upgrade``."""

    __slots__ = ("_terms",)

    def __init__(self, wire: Wire, seconds: float, terms: ClientTerms) -> None:
        super().__init__(wire, seconds)
        self._terms: Final = terms

    async def upgrade(self, recipe: str | Recipe, *, timeout: float | None = None) -> SecureConnection:
        """Become private. This object is spent, whatever happens; when it fails, the connection is closed.

        :param recipe: a protocol (``smtp``, ``pop3``, ``imap``, …), whose greeting is still to come and whose words up
            to the go-ahead are then said; a ``Recipe``; or ``raw``, when you have said the words yourself.
        :param timeout: for the words and the handshake together.
        :return: the connection inside TLS.
        :raises UpgradeRefused: when the server does not offer TLS, or refuses it.
        :raises PlaintextAfterUpgrade: when octets came that nobody read before the handshake: an injection.
        :raises HandshakeError: when the handshake fails; ``UpgradeError`` when the connection is lost in it.
        :raises VerificationError: when the certificate does not prove what the level asks for.
        :raises DeadlineExceeded: when it takes too long.
        :raises LocalProtocolError: when the connection was upgraded or closed before, or another task reads.
        """
        from gatepost.wire.recipes.table import recipe as recipe_named  # all protocols: loaded when one is asked for

        chosen = recipe if isinstance(recipe, Recipe) else recipe_named(recipe)
        seconds = patience(timeout, self._seconds)
        with self._standing.reading():
            self._standing.end(_SPENT)
            half = chosen.client(self.origin, self._terms)
            try:
                await self._wire.run(upgrading(self._inbox, self.origin, half), seconds=seconds)
                secure = SecureConnection(self._wire, self._seconds)
            except BaseException:
                self._wire.abort()
                raise
            self._standing.heir = secure._standing
            return secure


C = TypeVar("C", bound=_Connection)


@final
class Connecting(Generic[C]):
    """What ``connect`` returns: ``async with`` opens the connection and closes it; ``await`` only opens it."""

    __slots__ = ("_connection", "_open")

    def __init__(self, open_it: Callable[[], Awaitable[C]]) -> None:
        self._open: Final = open_it
        self._connection: C | None = None

    def __await__(self) -> Generator[object, None, C]:
        return self._open().__await__()

    async def __aenter__(self) -> C:
        self._connection = await self._open()
        return self._connection

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if kind is None:
            await connection.close()
        else:
            connection._abort()


@overload
def connect(
    host: str,
    port: int,
    *,
    level: Level | None = None,
    ca_file: FilePath | None = None,
    server_name: str | None = None,
    names: Iterable[str] = (),
    pins: Iterable[str] = (),
    client_certificate: CertificateFiles | None = None,
    alpn: Iterable[str] = (),
    sessions: SessionCache | None = None,
    timeout: float = SECONDS,
    implicit: Literal[False] = False,
    hostname: str | None = None,
    trace: Trace | None = None,
) -> Connecting[PlainConnection]: ...


@overload
def connect(
    host: str,
    port: int,
    *,
    level: Level | None = None,
    ca_file: FilePath | None = None,
    server_name: str | None = None,
    names: Iterable[str] = (),
    pins: Iterable[str] = (),
    client_certificate: CertificateFiles | None = None,
    alpn: Iterable[str] = (),
    sessions: SessionCache | None = None,
    timeout: float = SECONDS,
    implicit: Literal[True],
    hostname: str | None = None,
    trace: Trace | None = None,
) -> Connecting[SecureConnection]: ...


def connect(
    host: str,
    port: int,
    *,
    level: Level | None = None,
    ca_file: FilePath | None = None,
    server_name: str | None = None,
    names: Iterable[str] = (),
    pins: Iterable[str] = (),
    client_certificate: CertificateFiles | None = None,
    alpn: Iterable[str] = (),
    sessions: SessionCache | None = None,
    timeout: float = SECONDS,
    implicit: bool = False,
    hostname: str | None = None,
    trace: Trace | None = None,
) -> Connecting[PlainConnection] | Connecting[SecureConnection]:
    """Open a connection, in the clear; or, with ``implicit``, inside TLS from the first octet.

    The certificate is verified, unless ``level`` says otherwise, and the name in it must be ``host``.

    :param host: a name or an address; every address that a name has is tried in turn.
    :param port: the port.
    :param level: ``verify``: trusted chain and right name; ``fingerprint``: one of ``pins``; ``encrypt`` and ``may``:
        any certificate, and the verdict is in the evidence. By default ``verify``, or ``fingerprint`` with pins.
    :param ca_file: authorities to trust, PEM; by default the system's.
    :param server_name: the name to ask for (SNI) and to find in the certificate, when it is not ``host``.
    :param names: names to accept instead; ``.example.org`` is any name below that one.
    :param pins: SHA-256 of certificates or public keys, hexadecimal.
    :param client_certificate: our own certificate: a PEM file with chain and key, or the pair of two files.
    :param alpn: protocols to offer (RFC 7301), best first.
    :param sessions: give several connections the same ``SessionCache`` to resume sessions and read files once.
    :param timeout: seconds for connecting, and for each operation that is not given its own.
    :param implicit: whether TLS begins at once (RFC 8314 §3).
    :param hostname: our own name, for protocols that greet with one; by default this machine's.
    :param trace: a trace of this connection alone, besides those of ``with gatepost.trace(…)`` around it.
    :return: an asynchronous context manager; in it, a ``PlainConnection``, or a ``SecureConnection`` with ``implicit``.
    :raises LocalProtocolError: for arguments that are wrong or would not be looked at.
    :raises CertificateError: when a file cannot be read or used.

    Entering it raises ``DeadlineExceeded`` and ``OSError`` when nobody can be reached, and with ``implicit`` what
    ``upgrade`` raises.
    """
    with also(trace) as watched:
        tls = client_settings(
            host, level=level, ca_file=ca_file, server_name=server_name, names=names, pins=pins,
            client_certificate=client_certificate, alpn=alpn, sessions=sessions, observable=watched == "handshake",
        )  # fmt: skip
    timeout = patience(timeout, timeout)
    target = host if host.isascii() else reference_name(host)
    if implicit:
        return Connecting(lambda: _open_secure(target, port, tls, timeout, trace))
    terms = ClientTerms(hostname or own_name(), server_name or host, timeout)
    return Connecting(lambda: _open_plain(target, port, tls, timeout, terms, trace))


async def _open_plain(
    host: str, port: int, tls: ClientTLS, seconds: float, terms: ClientTerms, watch: Trace | None
) -> PlainConnection:
    with also(watch):
        wire = await dial(host, port, dialer="connect", tls=tls, connect_seconds=seconds, handshake_seconds=seconds)
    return PlainConnection(wire, seconds, terms)


async def _open_secure(host: str, port: int, tls: ClientTLS, seconds: float, watch: Trace | None) -> SecureConnection:
    with also(watch):
        wire = await dial(host, port, dialer="connect", tls=tls, connect_seconds=seconds, handshake_seconds=seconds)
    try:
        await wire.handshake()
        return SecureConnection(wire, seconds)
    except BaseException:
        wire.abort()
        raise
