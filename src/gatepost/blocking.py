"""``gatepost.blocking.connect``: ``gatepost.connect`` without a loop.

    with gatepost.blocking.connect("mail.example.org", 587) as plain:
        secure = plain.upgrade("smtp")
        secure.send(b"EHLO me\\r\\n")
        line = secure.readline()

The same rules hold, word for word (see ``gatepost.connecting``): ``upgrade`` spends the plain connection, what was not
read by then is refused, every operation has a deadline, and one that is exceeded closes the connection. An object is
used by one thread at a time. How long the system takes to look up a name is not in any deadline.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from types import TracebackType
from typing import Final, Literal, TypeVar, final, overload

from gatepost.errors import DeadlineExceeded, LocalProtocolError
from gatepost.net.blocking import BlockingWire
from gatepost.net.ownname import own_name
from gatepost.net.trace import also
from gatepost.net.trace import trace as Trace  # noqa: N812  # the argument has its name
from gatepost.tls.clientsettings import CertificateFiles, FilePath, client_settings
from gatepost.tls.contexts import Level
from gatepost.tls.names import reference_name
from gatepost.tls.sessions import SessionCache
from gatepost.wire.dialogue import Dialogue
from gatepost.wire.inbox import LINE_LIMIT, READ_LIMIT, Inbox, Standing, patience, upgrading
from gatepost.wire.recipes.recipe import ClientTerms, Recipe
from gatepost.wire.upgrade import Origin, TLSEvidence

__all__ = ["PlainConnection", "SecureConnection", "connect"]

T = TypeVar("T")
S = TypeVar("S", bound="_Connection")

_SECONDS: Final = 30.0
_CLOSED: Final = "this connection is closed"
_SPENT: Final = "this connection was upgraded: use the one that upgrade returned"


class _Connection:
    """What both kinds can do. Private: a caller holds one of the two."""

    __slots__ = ("_inbox", "_seconds", "_standing", "_wire")

    def __init__(self, wire: BlockingWire, seconds: float) -> None:
        self._wire = wire
        self._seconds = seconds
        self._inbox: Final = Inbox()
        self._standing: Final = Standing()

    def __enter__(self: S) -> S:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def origin(self) -> Origin:
        """Where the connection leads: addresses, and an identifier for logs."""
        return self._wire.origin

    def send(self, data: bytes, *, timeout: float | None = None) -> None:
        """Send octets.

        :raises DeadlineExceeded: when the peer takes them too slowly; the connection is closed.
        :raises OSError: when the connection is lost.
        :raises LocalProtocolError: when the connection was upgraded or closed.
        """
        with self._standing.reading():
            self._wire.send(data, patience(timeout, self._seconds))

    def read(self, limit: int = READ_LIMIT, *, timeout: float | None = None) -> bytes:
        """Wait for octets; at least one and at most ``limit``, or ``b""`` at the end of the stream.

        :raises DeadlineExceeded: when none come in time; the connection is closed.
        :raises OSError: when the connection is lost.
        :raises LocalProtocolError: when the connection was upgraded or closed.
        """
        return self._run(self._inbox.read(limit, math.inf), patience(timeout, self._seconds))

    def read_exactly(self, count: int, *, timeout: float | None = None) -> bytes:
        """Wait for exactly ``count`` octets.

        :raises RemoteProtocolError: when the stream ends before them. Otherwise as ``read``.
        """
        return self._run(self._inbox.read_exactly(count, math.inf), patience(timeout, self._seconds))

    def readline(self, limit: int = LINE_LIMIT, *, timeout: float | None = None) -> bytes:
        """Wait for a line; it is returned with its end, CRLF or LF, as it came; ``b""`` at the end of the stream.

        :param limit: octets, its end counted.
        :raises RemoteProtocolError: for a longer line, and when the stream ends inside one. Otherwise as ``read``.
        """
        return self._run(self._inbox.readline(limit, math.inf), patience(timeout, self._seconds))

    def ready(self, timeout: float | None = None) -> bool:
        """Wait until something can be read, and take nothing; False when ``timeout`` seconds pass without.

        True also at the end of the stream: the next read returns ``b""`` at once, or raises what ended it.
        """
        with self._standing.reading():
            return bool(self._inbox) or self._wire.ready(patience(timeout, self._seconds))

    def poll(self) -> bool:
        """Whether something can be read now; ``ready`` without waiting. Inside TLS, whether anything is decrypted."""
        return self.ready(0.0)

    def run(self, dialogue: Dialogue[T], *, timeout: float | None = None) -> T:
        """Run a conversation (see ``gatepost.wire.dialogue``) and return its value. It may not upgrade.

        :param timeout: for all of it; by default each of its steps has its own deadline and no more.
        :raises LocalProtocolError: when the connection was upgraded or closed.
        """
        return self._run(self._inbox.feed(dialogue), math.inf if timeout is None else patience(timeout, 0))

    def close(self) -> None:
        """Close, inside TLS with a close alert. Twice is once."""
        self._standing.end(_CLOSED)
        self._wire.close()

    def _run(self, dialogue: Dialogue[T], seconds: float) -> T:
        with self._standing.reading():
            try:
                return self._wire.run(dialogue, seconds=seconds)
            except (DeadlineExceeded, OSError):
                self._wire.close()
                raise


@final
class SecureConnection(_Connection):
    """A connection inside TLS. Made by ``upgrade``, or by ``connect`` with ``implicit``."""

    __slots__ = ("evidence",)

    def __init__(self, wire: BlockingWire, seconds: float) -> None:
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

    def __init__(self, wire: BlockingWire, seconds: float, terms: ClientTerms) -> None:
        super().__init__(wire, seconds)
        self._terms: Final = terms

    def upgrade(self, recipe: str | Recipe, *, timeout: float | None = None) -> SecureConnection:
        """Become private. This object is spent, whatever happens; when it fails, the connection is closed.

        :param recipe: a protocol (``smtp``, ``pop3``, ``imap``, …), whose greeting is still to come and whose words up
            to the go-ahead are then said; a ``Recipe``; or ``raw``, when you have said the words yourself.
        :param timeout: for the words and the handshake together.
        :return: the connection inside TLS.

        It raises what ``gatepost.connecting.PlainConnection.upgrade`` raises.
        """
        from gatepost.wire.recipes.table import recipe as recipe_named  # all protocols: loaded when one is asked for

        chosen = recipe if isinstance(recipe, Recipe) else recipe_named(recipe)
        seconds = patience(timeout, self._seconds)
        with self._standing.reading():
            self._standing.end(_SPENT)
            half = chosen.client(self.origin, self._terms)
            try:
                self._wire.run(upgrading(self._inbox, self.origin, half), seconds=seconds)
                secure = SecureConnection(self._wire, self._seconds)
            except BaseException:
                self._wire.close()
                raise
            self._standing.heir = secure._standing
            return secure


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
    timeout: float = _SECONDS,
    implicit: Literal[False] = False,
    hostname: str | None = None,
    trace: Trace | None = None,
) -> PlainConnection: ...


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
    timeout: float = _SECONDS,
    implicit: Literal[True],
    hostname: str | None = None,
    trace: Trace | None = None,
) -> SecureConnection: ...


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
    timeout: float = _SECONDS,
    implicit: bool = False,
    hostname: str | None = None,
    trace: Trace | None = None,
) -> PlainConnection | SecureConnection:
    """Open a connection at once, in the clear; or, with ``implicit``, inside TLS from the first octet.

    The parameters are those of ``gatepost.connect``.

    :return: a context manager that closes the connection at its end.
    :raises LocalProtocolError: for arguments that are wrong or would not be looked at.
    :raises CertificateError: when a file cannot be read or used.
    :raises DeadlineExceeded: when nobody can be reached in time; ``OSError`` when nobody can be reached at all.

    With ``implicit`` it raises what ``upgrade`` raises, too.
    """
    with also(trace) as watched:
        tls = client_settings(
            host, level=level, ca_file=ca_file, server_name=server_name, names=names, pins=pins,
            client_certificate=client_certificate, alpn=alpn, sessions=sessions, observable=watched == "handshake",
        )  # fmt: skip
    timeout = patience(timeout, timeout)
    target = host if host.isascii() else reference_name(host)
    with also(trace):
        wire = BlockingWire(target, port, tls=tls, connect_seconds=timeout, handshake_seconds=timeout)
    if not implicit:
        return PlainConnection(wire, timeout, ClientTerms(hostname or own_name(), server_name or host, timeout))
    try:
        wire.handshake()
        return SecureConnection(wire, timeout)
    except BaseException:
        wire.close()
        raise
