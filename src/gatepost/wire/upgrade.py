"""The only door between the clear and the private world.

Theory
------
Every known STARTTLS weakness is one mistake: something learned in the clear is still believed after the handshake. So
the plaintext engine is never reset. It is *spent*, and a new engine is built on the far side from exactly two values:

* ``Origin``: what the kernel and our own configuration know;
* ``TLSEvidence``: what the handshake proved.

``UpgradeReady`` is the token that a spent plaintext engine leaves behind. It has no field for bytes, so plaintext has
nowhere to travel. What was read together with the upgrade line is judged here and nowhere else:

* on the server, bytes that begin as a ClientHello record (RFC 8446 §5.1, an eager client) become an ``EarlyHello``,
  which only the TLS engine can open;
* anything else raises ``PlaintextAfterUpgrade``, carrying the bytes as evidence;
* a client refuses every byte behind the go-ahead (RFC 3207 §4.2, CVE-2011-0411 and its many relatives).

A gate may let a client's own TLS through to a server behind it. That is an upgrade too, of both its sides at once, and
it goes through the same door: ``pass_upgrade`` takes the tokens of both spent engines and gives a ``PassReady``, which
judges the first octets of either side. What goes on to the server begins as a ClientHello; what comes back begins after
it.

``TLSEvidence``, ``UpgradeReady`` and ``PassReady`` have closed constructors: each asks for a mint that is private to
this module. ``tls.evidence`` is the one module that may call ``_mint_evidence``; the import rules name that exception.
"""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field
from enum import Enum
from typing import Final, final

from gatepost.errors import LocalProtocolError, RemoteProtocolError

# What a TLS 1.0 to 1.3 ClientHello record begins with (RFC 8446 §5.1 and §4): content type 22, version 3.x,
# two octets of length, handshake type 1. Each position holds the octets that may stand there; None is any octet.
_CLIENT_HELLO_PREFIX: Final[tuple[frozenset[int] | None, ...]] = (
    frozenset({22}),
    frozenset({3}),
    frozenset({0, 1, 2, 3, 4}),
    None,
    None,
    frozenset({1}),
)
EMAIL_PREFIX: Final = "email:"
"""Begins the names of a ``Verification`` that are mail addresses."""

_RECORD_LENGTH_LIMIT: Final = 16384  # RFC 8446 §5.1: the fragment of a plaintext record


@final
class _Mint:
    """Held by this module alone: who holds it may construct what only this module may construct."""

    __slots__ = ()


_MINT: Final = _Mint()


@final
@dataclass(frozen=True, slots=True)
class Origin:
    """Where a connection came from: facts of the kernel and of our configuration, never a claim of the peer.

    :param peer: the peer's address and port; for a local socket ``("local", 0)``.
    :param local: our own address and port on this connection.
    :param listener: the name of the listener that accepted it, or of the dialer that opened it.
    :param accepted_at: when, in seconds since the Unix epoch.
    :param connection: our identifier of this connection, in every log line and transcript.
    :param uid: the peer's user id on a local socket (SO_PEERCRED), else None.
    :param proxy: the address of the proxy that our configuration believes, and that named the peer; empty for a peer
        that came by itself.
    """

    peer: tuple[str, int]
    local: tuple[str, int]
    listener: str
    accepted_at: float
    connection: str
    uid: int | None = None
    proxy: str = ""


UNCHECKED: Final = "revocation-unknown"
"""What the reason begins with when a revocation list is missing or out of date, and nothing else is wrong."""


@final
@dataclass(frozen=True, slots=True)
class Verification:
    """What was proved about the peer's certificate.

    :param status: ``none`` (it showed none), ``untrusted`` (no chain to a trusted authority, or another fault),
        ``trusted`` (the chain is good, no name was asked for), ``verified`` (chain and name are good), ``pinned`` (the
        certificate or its key is one that was named by its fingerprint; nothing else was asked).
    :param reason: for ``untrusted``, what failed, in words; otherwise empty.
    :param names: the DNS names, addresses and mailboxes (``email:a@b``) that the certificate carries.
    """

    status: str
    reason: str = ""
    names: tuple[str, ...] = ()

    @property
    def identity(self) -> str:
        """The peer in one word: its first mail address, or its first name; empty when there is none. No more than a
        claim where the status says ``untrusted``."""
        if not self.names:
            return ""
        named = next((name for name in self.names if name.startswith(EMAIL_PREFIX)), self.names[0])
        return named.removeprefix(EMAIL_PREFIX)

    @property
    def unchecked(self) -> bool:
        """Whether nothing is wrong but that a revocation list is missing or out of date."""
        return self.reason.startswith(UNCHECKED)


@final
@dataclass(frozen=True, slots=True)
class TLSEvidence:
    """What a completed handshake proved. Nothing else constructs it.

    :param version: protocol version, ``TLSv1.2`` or ``TLSv1.3``.
    :param cipher: the cipher suite's name as OpenSSL writes it.
    :param bits: the cipher's secret bits.
    :param group: the key-exchange group, or None when the engine does not know it.
    :param server_name: the SNI host name that the client sent (RFC 6066 §3), or None.
    :param alpn: the protocol chosen by ALPN (RFC 7301), or None.
    :param peer_chain: the peer's certificates as DER, leaf first; empty when it showed none.
    :param verification: what was proved about them.
    :param resumed: whether an earlier session was resumed.
    :param tls_exporter: the ``tls-exporter`` channel binding (RFC 9266), or None where it is not defined.
    :param tls_server_end_point: the ``tls-server-end-point`` binding (RFC 5929 §4), or None where it is not known.
    """

    version: str
    cipher: str
    bits: int
    group: str | None
    server_name: str | None
    alpn: str | None
    peer_chain: tuple[bytes, ...] = field(repr=False)
    verification: Verification
    resumed: bool
    tls_exporter: bytes | None = field(repr=False)
    tls_server_end_point: bytes | None = field(repr=False)
    _mint: InitVar[_Mint] = field(kw_only=True)

    def __post_init__(self, _mint: _Mint) -> None:
        if _mint is not _MINT:
            raise LocalProtocolError("TLSEvidence is minted by a completed handshake, never constructed")

    @property
    def peer_names(self) -> tuple[str, ...]:
        """The names that the peer's certificate carries, proved or not: ``verification`` says which."""
        return self.verification.names


def _mint_evidence(
    *,
    version: str,
    cipher: str,
    bits: int,
    group: str | None,
    server_name: str | None,
    alpn: str | None,
    peer_chain: tuple[bytes, ...],
    verification: Verification,
    resumed: bool,
    tls_exporter: bytes | None,
    tls_server_end_point: bytes | None,
) -> TLSEvidence:
    """Mint the evidence of a handshake that has completed. Called by ``tls.evidence`` and by nothing else."""
    return TLSEvidence(
        version, cipher, bits, group, server_name, alpn, peer_chain, verification, resumed,
        tls_exporter, tls_server_end_point, _mint=_MINT,
    )  # fmt: skip


class Role(Enum):
    """Which side of the upgrade we are."""

    SERVER = "server"
    CLIENT = "client"


@final
class UpgradeReady:
    """A plaintext engine was spent and a handshake may begin. It has no field for bytes; it can be spent once."""

    __slots__ = ("_origin", "_spent", "role")

    def __init__(self, origin: Origin, role: Role, *, _mint: _Mint) -> None:
        if _mint is not _MINT:
            raise LocalProtocolError("UpgradeReady is handed over by a plaintext engine, never constructed")
        self._origin = origin
        self.role: Final = role
        self._spent = False

    def spend(self) -> Origin:
        """Give up the origin, once, to whoever starts the handshake.

        :raises LocalProtocolError: when it was spent before.
        """
        if self._spent:
            raise LocalProtocolError("this upgrade was already spent: a connection is upgraded once")
        self._spent = True
        return self._origin


@final
class EarlyHello:
    """The beginning of a ClientHello that came in the same segment as the upgrade line.

    It is not plaintext and never reaches a parser: only ``tls.engine`` opens it, or ``PassReady``, for another one's.
    """

    __slots__ = ("_record",)

    def __init__(self, record: bytes, *, _mint: _Mint) -> None:
        if _mint is not _MINT:
            raise LocalProtocolError("EarlyHello is split off by the upgrade, never constructed")
        self._record = record

    def open(self) -> bytes:
        """Return the octets and forget them."""
        record, self._record = self._record, b""
        return record


class PlaintextAfterUpgrade(RemoteProtocolError):
    """Bytes stood behind the upgrade line or the go-ahead: an injection, or a peer that breaks RFC 3207 §4.

    :param residue: the bytes, kept as evidence; no parser has seen them.
    """

    def __init__(self, residue: bytes, role: Role) -> None:
        where = "the upgrade command" if role is Role.SERVER else "the go-ahead"
        super().__init__(
            f"{len(residue)} bytes stood behind {where}",
            code=554,
            enhanced="5.5.0",
            hint="something between the two sides, or the peer itself, put plaintext behind the upgrade; see its bytes",
        )
        self.residue = residue
        self.role = role


def _begins_as_client_hello(residue: bytes) -> bool:
    for octet, allowed in zip(residue, _CLIENT_HELLO_PREFIX, strict=False):
        if allowed is not None and octet not in allowed:
            return False
    return len(residue) < 5 or 0 < int.from_bytes(residue[3:5]) <= _RECORD_LENGTH_LIMIT


def hand_over_server(origin: Origin, residue: bytes) -> tuple[UpgradeReady, EarlyHello | None]:
    """Spend a server's plaintext engine.

    :param origin: what crosses.
    :param residue: everything that was read behind the upgrade line.
    :return: the token, and the beginning of the client's hello when it was eager.
    :raises PlaintextAfterUpgrade: when the residue is anything but the beginning of a ClientHello.
    """
    if not residue:
        return UpgradeReady(origin, Role.SERVER, _mint=_MINT), None
    if not _begins_as_client_hello(residue):
        raise PlaintextAfterUpgrade(residue, Role.SERVER)
    return UpgradeReady(origin, Role.SERVER, _mint=_MINT), EarlyHello(residue, _mint=_MINT)


def hand_over_client(origin: Origin, residue: bytes) -> UpgradeReady:
    """Spend a client's plaintext engine.

    :raises PlaintextAfterUpgrade: when a single byte stood behind the go-ahead: a server speaks next inside TLS.
    """
    if residue:
        raise PlaintextAfterUpgrade(residue, Role.CLIENT)
    return UpgradeReady(origin, Role.CLIENT, _mint=_MINT)


@final
class PassReady:
    """Both plaintext engines of a gate were spent: the client's TLS may go through to the server, and nothing else.

    It judges what comes first. The client's octets begin as a ClientHello does, or they are not passed on; the server
    says nothing before they came. What follows is between the two.
    """

    __slots__ = ("_begun", "_early", "_seen", "client", "server")

    def __init__(self, client: Origin, server: Origin, early: EarlyHello | None, *, _mint: _Mint) -> None:
        if _mint is not _MINT:
            raise LocalProtocolError("PassReady is made by the upgrade of both sides, never constructed")
        self.client: Final = client
        self.server: Final = server
        self._early = early
        self._begun = False
        self._seen = b""  # of the hello, as much as is judged

    @property
    def passed(self) -> bool:
        """Whether the client's octets began as a ClientHello, as far as that is judged."""
        return len(self._seen) >= len(_CLIENT_HELLO_PREFIX)

    def begin(self) -> bytes:
        """Give up the beginning of the client's hello, once, to whoever passes it on; empty when it was not eager.

        :raises LocalProtocolError: when it was begun before.
        """
        if self._begun:
            raise LocalProtocolError("this upgrade was already spent: a connection is upgraded once")
        self._begun = True
        early, self._early = self._early, None
        hello = b"" if early is None else early.open()
        self.judge_client(hello)
        return hello

    def judge_client(self, data: bytes) -> None:
        """Judge the next octets of the client, until they are known to be a hello.

        :raises PlaintextAfterUpgrade: when they are not; they must not be passed on.
        """
        if self.passed:
            return
        seen = self._seen + data[: len(_CLIENT_HELLO_PREFIX) - len(self._seen)]
        if not _begins_as_client_hello(seen):
            raise PlaintextAfterUpgrade(data, Role.SERVER)
        self._seen = seen

    def judge_server(self, data: bytes) -> None:
        """Judge the next octets of the server.

        :raises PlaintextAfterUpgrade: when the client's hello cannot have reached it yet: they must not be passed on.
        """
        if not self.passed:
            raise PlaintextAfterUpgrade(data, Role.CLIENT)


def pass_upgrade(
    client_side: UpgradeReady, early: EarlyHello | None, server_side: UpgradeReady, waiting: bytes
) -> PassReady:
    """Spend both sides of a gate, so that the client's TLS goes through to the server.

    :param client_side: what our server engine, which faces the client, left.
    :param early: the beginning of the client's hello, when it was eager.
    :param server_side: what our client engine, which faces the server, left.
    :param waiting: everything that was read from the server since its go-ahead.
    :raises PlaintextAfterUpgrade: when that is anything: a server speaks next inside TLS.
    :raises LocalProtocolError: when the tokens are of another side, or spent.
    """
    if client_side.role is not Role.SERVER or server_side.role is not Role.CLIENT:
        raise LocalProtocolError("a gate is the client's server and the server's client")
    if waiting:
        raise PlaintextAfterUpgrade(waiting, Role.CLIENT)
    return PassReady(client_side.spend(), server_side.spend(), early, _mint=_MINT)
