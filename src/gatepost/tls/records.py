"""Reading TLS records as they pass, without any key (RFC 8446 §5.1, RFC 5246 §6.2). Pure: bytes in, facts out.

A trace gives every octet of both directions to one ``RecordReader``. It names each record, and while they are in clear
the handshake messages and alerts in them. It decides nothing: what it cannot read it says so once and is silent.

Theory: what is in clear
------------------------
Records of type ``application_data`` are never read. In TLS 1.3 that covers everything that is protected. In TLS 1.2 a
direction is protected from its ChangeCipherSpec on, though its records keep their types. The ChangeCipherSpec of
TLS 1.3 means nothing (RFC 8446 §D.4): behind one a client may still send its second ClientHello in clear. Which of both
it is, the ServerHello says, and a client sends no ChangeCipherSpec before it. So one reader sees both directions.

Limits: two headers and ``KEPT_LIMIT`` octets of a message a direction, whatever a peer sends; all else is
counted, not kept. A record is at most 18 KiB, so it gives at most as many facts as it has room for message headers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, final

from gatepost.tls.alerts import ALERT_NAMES
from gatepost.tls.clienthello import HelloRefused, read_client_hello

Sender: TypeAlias = Literal["client", "server"]

RECORD_LIMIT: Final = 16384 + 2048  # RFC 5246 §6.2.3, the widest
KEPT_LIMIT: Final = 16000  # octets of a message that are kept for its details: a hello that fits one record

_HEADER: Final = 5
_MESSAGE_HEADER: Final = 4
_CHANGE_CIPHER_SPEC: Final = 20
_ALERT: Final = 21
_HANDSHAKE: Final = 22
_CLIENT_HELLO: Final = 1
_SERVER_HELLO: Final = 2
_SUPPORTED_VERSIONS: Final = 43
# RFC 8446 §4.1.3: SHA-256 of "HelloRetryRequest", in place of the server's random
_RETRY: Final = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")

RECORD_NAMES: Final = {
    _CHANGE_CIPHER_SPEC: "change_cipher_spec",
    _ALERT: "alert",
    _HANDSHAKE: "handshake",
    23: "application_data",
    24: "heartbeat",
}
VERSION_NAMES: Final = {0x0300: "SSLv3", 0x0301: "TLSv1", 0x0302: "TLSv1.1", 0x0303: "TLSv1.2", 0x0304: "TLSv1.3"}
# RFC 8446 §4 and §B.3, RFC 5246 §7.4, RFC 5077 §3.3, RFC 6066 §8
MESSAGE_NAMES: Final = {
    0: "HelloRequest", 1: "ClientHello", 2: "ServerHello", 4: "NewSessionTicket", 5: "EndOfEarlyData",
    8: "EncryptedExtensions", 11: "Certificate", 12: "ServerKeyExchange", 13: "CertificateRequest",
    14: "ServerHelloDone", 15: "CertificateVerify", 16: "ClientKeyExchange", 20: "Finished", 21: "CertificateURL",
    22: "CertificateStatus", 23: "SupplementalData", 24: "KeyUpdate", 25: "CompressedCertificate", 254: "MessageHash",
}  # fmt: skip
_LEVELS: Final = {1: "warning", 2: "fatal"}


@final
@dataclass(frozen=True, slots=True)
class Record:
    """One record.

    :param kind: its type by name; ``type N`` for one that has none.
    :param version: the version in its header, by name: TLS 1.3 says ``TLSv1.2`` here (RFC 8446 §5.1).
    :param length: octets behind the header.
    """

    sender: Sender
    kind: str
    version: str
    length: int


@final
@dataclass(frozen=True, slots=True)
class Message:
    """One handshake message that was in clear.

    :param length: octets, with its header of four.
    :param detail: of a hello, what it says about version, name and protocols; otherwise empty.
    """

    sender: Sender
    name: str
    length: int
    detail: str = ""


@final
@dataclass(frozen=True, slots=True)
class Alert:
    """One alert that was in clear.

    :param level: ``warning``, ``fatal``, or a number.
    :param name: as RFC 8446 §6 calls it, or ``alert N``.
    """

    sender: Sender
    level: str
    name: str


@final
@dataclass(frozen=True, slots=True)
class Foreign:
    """Where a record was due stands something else; nothing behind it is read.

    :param octets: how it begins.
    """

    sender: Sender
    octets: bytes


Fact: TypeAlias = Record | Message | Alert | Foreign


@final
class RecordReader:
    """Reads both directions of one connection, from the first octet of its handshake."""

    __slots__ = ("_sides", "_tls13")

    def __init__(self) -> None:
        self._sides: Final[dict[Sender, _Side]] = {"client": _Side(), "server": _Side()}
        self._tls13 = False

    def read(self, sender: Sender, data: bytes | bytearray | memoryview) -> list[Fact]:
        """Take what one side sent, cut anywhere; the facts that are complete with it, in their order."""
        side = self._sides[sender]
        facts: list[Fact] = []
        view = bytes(data)
        at = 0
        while at < len(view) and not side.lost:
            if not side.left:
                taken = view[at : at + _HEADER - len(side.header)]
                at += len(taken)
                side.header += taken
                if len(side.header) == _HEADER:
                    facts.append(self._begin(sender, side))
                continue
            piece = view[at : at + side.left]
            at += len(piece)
            side.left -= len(piece)
            if not side.opaque:
                self._inside(sender, side, piece, facts)
        return facts

    def _begin(self, sender: Sender, side: _Side) -> Fact:
        head = bytes(side.header)
        side.header.clear()
        kind, version, length = head[0], head[1] << 8 | head[2], head[3] << 8 | head[4]
        if kind not in RECORD_NAMES or head[1] != 3 or length > RECORD_LIMIT:
            side.lost = True
            return Foreign(sender, head)
        side.kind, side.left = kind, length
        protected = side.changed and not self._tls13
        side.opaque = protected or kind not in (_ALERT, _HANDSHAKE)
        if kind == _CHANGE_CIPHER_SPEC:
            side.changed = True
        if kind == _ALERT:
            side.alert.clear()
        return Record(sender, RECORD_NAMES[kind], VERSION_NAMES.get(version, f"0x{version:04x}"), length)

    def _inside(self, sender: Sender, side: _Side, piece: bytes, facts: list[Fact]) -> None:
        if side.kind == _ALERT:
            for octet in piece:
                side.alert.append(octet)
                if len(side.alert) == 2:
                    level, number = side.alert
                    side.alert.clear()
                    name = ALERT_NAMES.get(number, f"alert {number}")
                    facts.append(Alert(sender, _LEVELS.get(level, str(level)), name))
            return
        at = 0
        while at < len(piece):
            if len(side.message_head) < _MESSAGE_HEADER:
                taken = piece[at : at + _MESSAGE_HEADER - len(side.message_head)]
                side.message_head += taken
                if len(side.message_head) == _MESSAGE_HEADER:
                    side.message_left = int.from_bytes(side.message_head[1:])
            else:
                taken = piece[at : at + side.message_left]
                side.message_left -= len(taken)
                if len(side.kept) + len(taken) <= KEPT_LIMIT:
                    side.kept += taken
            at += len(taken)
            if len(side.message_head) == _MESSAGE_HEADER and not side.message_left:
                facts.append(self._complete(sender, side))

    def _complete(self, sender: Sender, side: _Side) -> Message:
        message, length = bytes(side.message_head + side.kept), int.from_bytes(side.message_head[1:]) + _MESSAGE_HEADER
        side.message_head.clear()
        side.kept.clear()
        kind = message[0]
        name, detail = MESSAGE_NAMES.get(kind, f"handshake message {kind}"), ""
        if len(message) == length:
            if kind == _CLIENT_HELLO:
                detail = _asked(message)
            elif kind == _SERVER_HELLO:
                detail = _chosen(message)
                self._tls13 = self._tls13 or detail == "TLSv1.3"
                name = "HelloRetryRequest" if message[6:38] == _RETRY else name
        return Message(sender, name, length, detail)


@final
class _Side:
    """Where one direction stands."""

    __slots__ = (
        "alert", "changed", "header", "kept", "kind", "left", "lost", "message_head", "message_left", "opaque",
    )  # fmt: skip

    def __init__(self) -> None:
        self.header = bytearray()
        self.kind = 0
        self.left = 0  # octets of the record that are still to come
        self.opaque = False
        self.changed = False  # a ChangeCipherSpec was sent
        self.lost = False
        self.alert = bytearray()
        self.message_head = bytearray()
        self.message_left = 0  # octets of the message's body that are still to come
        self.kept = bytearray()  # its body, as far as it is kept


def _asked(message: bytes) -> str:
    """What a ClientHello asks for, in words."""
    try:
        hello = read_client_hello(b"\x16\x03\x01" + len(message).to_bytes(2) + message)
    except HelloRefused:
        hello = None
    if hello is None:
        return ""
    words = [] if hello.server_name is None else [f"server_name {hello.server_name}"]
    if hello.alpn is not None:
        words.append("alpn " + ",".join(ascii(name.decode("latin-1"))[1:-1] for name in hello.alpn))
    return "; ".join(words)


def _chosen(message: bytes) -> str:
    """The version that a ServerHello chooses: the one in supported_versions, else its own (RFC 8446 §4.2.1)."""
    end = len(message)
    if end < 40:
        return ""
    version = int.from_bytes(message[4:6])
    at = 39 + message[38] + 5  # behind session id, cipher suite, compression, and the length of the extensions
    while at + 4 <= end:
        kind, length = int.from_bytes(message[at : at + 2]), int.from_bytes(message[at + 2 : at + 4])
        if kind == _SUPPORTED_VERSIONS and length == 2 and at + 6 <= end:
            version = int.from_bytes(message[at + 4 : at + 6])
        at += 4 + length
    return VERSION_NAMES.get(version, f"0x{version:04x}")
