"""What the high-level clients of all protocols share: whom to call and how, the opening, the turns, the end.

A client is a ``Talk`` (what one protocol says, as dialogues) and a caller that drives it. ``Caller`` drives on asyncio,
``BlockingCaller`` on a socket that waits; neither knows the protocol.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterable
from types import TracebackType
from typing import Final, Generic, Literal, Protocol, TypeAlias, TypeVar, final

from gatepost.errors import LocalProtocolError
from gatepost.net.blocking import BlockingWire
from gatepost.net.dial import dial
from gatepost.net.drive import Wire
from gatepost.net.ownname import own_name
from gatepost.net.trace import also
from gatepost.tls.clientsettings import CertificateFiles, FilePath, client_settings
from gatepost.tls.contexts import Level
from gatepost.tls.names import reference_name
from gatepost.tls.sessions import SessionCache
from gatepost.wire.dialogue import Dialogue
from gatepost.wire.inbox import patience
from gatepost.wire.upgrade import Origin, TLSEvidence

T = TypeVar("T")
S = TypeVar("S")

StartTLS: TypeAlias = Literal["require", "may", "never"]
SECONDS: Final = 30.0


class Talk(Protocol):
    """What one protocol's client says."""

    @property
    def evidence(self) -> TLSEvidence | None:
        """What the handshake proved; None in the clear."""

    @property
    def usable(self) -> bool:
        """Whether another dialogue may be begun."""

    def open(self) -> Dialogue[object]:
        """From a fresh connection to a client that is ready, in private or not, as ``starttls`` says."""

    def open_inside(self, evidence: TLSEvidence) -> Dialogue[object]:
        """From a handshake that came first to a client that is ready."""

    def quit(self) -> Dialogue[object]:
        """Say goodbye; raises nothing but what a driver raises."""


K = TypeVar("K", bound=Talk)


@final
class Call:
    """Whom a client calls, and how.

    :param starttls: ``require``: nothing is said in the clear but the request; ``may``: goes on in the clear when the
        server does not offer it; ``never``.
    :param implicit: TLS from the first octet (RFC 8314 §3); then there is nothing for ``starttls`` to say.
    :param timeout: seconds for connecting, for the handshake and for each reply.
    :param hostname: our own name, for greetings; by default this machine's.

    The other parameters are those of ``gatepost.connect``.

    :raises LocalProtocolError: for arguments that are wrong or contradict each other.
    :raises CertificateError: when a file cannot be read or used.
    """

    __slots__ = ("host", "hostname", "implicit", "port", "seconds", "starttls", "tls")

    def __init__(
        self,
        host: str,
        port: int,
        *,
        starttls: StartTLS = "require",
        implicit: bool = False,
        level: Level | None = None,
        ca_file: FilePath | None = None,
        server_name: str | None = None,
        client_certificate: CertificateFiles | None = None,
        pins: Iterable[str] = (),
        sessions: SessionCache | None = None,
        timeout: float = SECONDS,
        hostname: str | None = None,
    ) -> None:
        if starttls not in ("require", "may", "never"):
            raise LocalProtocolError(f"starttls is require, may or never, not {starttls!a}")
        if implicit and starttls != "require":
            raise LocalProtocolError("implicit TLS leaves nothing for starttls to say")
        with also(None) as watched:
            self.tls: Final = client_settings(
                host, level=level, ca_file=ca_file, server_name=server_name, client_certificate=client_certificate,
                pins=pins, sessions=sessions, observable=watched == "handshake",
            )  # fmt: skip
        self.host: Final = host if host.isascii() else reference_name(host)
        self.port: Final = port
        self.starttls: Final[StartTLS] = starttls
        self.implicit: Final = implicit
        self.seconds: Final = patience(timeout, timeout)
        self.hostname: Final = hostname or own_name()

    async def dial(self) -> Wire:
        """Connect, on the running loop."""
        return await dial(
            self.host, self.port, dialer="client", tls=self.tls,
            connect_seconds=self.seconds, handshake_seconds=self.seconds,
        )  # fmt: skip

    def wait(self) -> BlockingWire:
        """Connect, and wait for it."""
        return BlockingWire(
            self.host, self.port, tls=self.tls, connect_seconds=self.seconds, handshake_seconds=self.seconds
        )


class _Base(ABC, Generic[K]):
    def __init__(self, call: Call) -> None:
        self._call = call
        self._opened: K | None = None

    @property
    def evidence(self) -> TLSEvidence | None:
        """What the handshake proved; None in the clear."""
        return self._talk.evidence

    @property
    def _talk(self) -> K:
        if self._opened is None:
            raise LocalProtocolError("this client is not connected")
        return self._opened

    @abstractmethod
    def _begin(self, origin: Origin) -> K:
        """The protocol's side of a new connection."""


class Caller(_Base[K]):
    """A client on asyncio. Its calls take turns: several tasks may share it."""

    def __init__(self, call: Call) -> None:
        super().__init__(call)
        self._wire: Wire | None = None
        self._turn = asyncio.Lock()

    async def connect(self) -> None:
        """Open the connection; ``async with`` does it by itself.

        :raises LocalProtocolError: when it is open.
        :raises OSError: when nobody can be reached; ``DeadlineExceeded`` when not in time.
        :raises UpgradeError: when it does not become private (``HandshakeError``, ``VerificationError``).
        :raises RemoteProtocolError: when the server refuses, or breaks the protocol.
        """
        if self._wire is not None:
            raise LocalProtocolError("this client is connected")
        wire = await self._call.dial()
        talk = self._begin(wire.origin)
        try:
            if self._call.implicit:
                await wire.run(talk.open_inside(await wire.handshake()))
            else:
                await wire.run(talk.open())
        except BaseException:
            wire.abort()
            raise
        self._wire, self._opened = wire, talk

    async def close(self) -> None:
        """Close without a goodbye. ``quit`` says it; leaving ``async with`` does, too. Twice is once."""
        wire, self._wire, self._opened = self._wire, None, None
        if wire is not None:
            await wire.finish(self._call.seconds)

    async def quit(self) -> None:
        """Say goodbye and close."""
        try:
            if self._wire is not None and self._talk.usable:
                await self._run(self._talk.quit())
        finally:
            await self.close()

    async def _run(self, dialogue: Dialogue[T]) -> T:
        """Run a dialogue when it is its turn. One that is broken off takes the connection with it."""
        async with self._turn:
            wire, talk = self._wire, self._opened
            if wire is None or talk is None:
                raise LocalProtocolError("this client is not connected")
            try:
                return await wire.run(dialogue)
            finally:
                if not talk.usable:
                    wire.close()

    async def __aenter__(self: S) -> S:
        await self.connect()  # type: ignore[attr-defined]  # each client has its own
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if kind is None:
            await self.quit()
        else:
            await self.close()


class BlockingCaller(_Base[K]):
    """A client that waits. It is used by one thread at a time."""

    def __init__(self, call: Call) -> None:
        super().__init__(call)
        self._wire: BlockingWire | None = None

    def connect(self) -> None:
        """Open the connection; ``with`` does it by itself. Raises what ``Caller.connect`` raises."""
        if self._wire is not None:
            raise LocalProtocolError("this client is connected")
        wire = self._call.wait()
        talk = self._begin(wire.origin)
        try:
            if self._call.implicit:
                wire.run(talk.open_inside(wire.handshake()))
            else:
                wire.run(talk.open())
        except BaseException:
            wire.close()
            raise
        self._wire, self._opened = wire, talk

    def close(self) -> None:
        """Close without a goodbye. ``quit`` says it; leaving ``with`` does, too. Twice is once."""
        wire, self._wire, self._opened = self._wire, None, None
        if wire is not None:
            wire.close()

    def quit(self) -> None:
        """Say goodbye and close."""
        try:
            if self._wire is not None and self._talk.usable:
                self._run(self._talk.quit())
        finally:
            self.close()

    def _run(self, dialogue: Dialogue[T]) -> T:
        """Run a dialogue. One that is broken off takes the connection with it."""
        wire, talk = self._wire, self._opened
        if wire is None or talk is None:
            raise LocalProtocolError("this client is not connected")
        try:
            return wire.run(dialogue)
        finally:
            if not talk.usable:
                wire.close()

    def __enter__(self: S) -> S:
        self.connect()  # type: ignore[attr-defined]  # each client has its own
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            self.quit()
        else:
            self.close()
