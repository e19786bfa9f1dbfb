"""Reading a ClientHello before any TLS object exists (RFC 8446 §4.1.2, RFC 5246 §7.4.1.2). Pure: bytes in, facts out.

The engine owns the first bytes of a handshake. It reads the server name (RFC 6066 §3) and the ALPN list (RFC 7301 §3.1)
here, chooses the certificate, refuses a foreign protocol, and only then makes the TLS object and gives it the very same
bytes. So no callback runs inside OpenSSL, and nothing is chosen after the object exists.

Limits: ``HELLO_LIMIT`` octets and ``FRAGMENT_LIMIT`` records, so neither memory nor time grows with a hostile peer.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

from gatepost.errors import HandshakeError
from gatepost.tls.alerts import ALERT_NAMES, DECODE_ERROR

HELLO_LIMIT: Final = 65536
FRAGMENT_LIMIT: Final = 32

_HANDSHAKE_RECORD: Final = 22
_CLIENT_HELLO: Final = 1
_RECORD_LIMIT: Final = 16384  # RFC 8446 §5.1
_SERVER_NAME: Final = 0
_ALPN: Final = 16
_NAME_OCTETS: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-._")
_NAME_LIMIT: Final = 255
_two_numbers = Struct(">HH").unpack_from


class ClientHello(NamedTuple):
    """What a client asks for. All of it is a claim: it selects a certificate and is checked again by OpenSSL.

    :param server_name: the SNI host name in lower case, or None when absent or not a host name at all.
    :param alpn: the protocols the client offers, in its order; None when it did not send the extension.
    :param session_id: the legacy session id.
    """

    server_name: str | None
    alpn: tuple[bytes, ...] | None
    session_id: bytes


class HelloRefused(HandshakeError):
    """What came is no ClientHello.

    :param number: the alert to answer with (RFC 8446 §6), or None when the peer does not speak TLS.
    """

    def __init__(self, message: str, *, number: int | None = DECODE_ERROR, plaintext: bool = False) -> None:
        hint = "the peer sent text where its handshake was due: a broken client, or an injection" if plaintext else ""
        alert = ALERT_NAMES[number] if number is not None else ""
        super().__init__(message, alert=alert, plaintext=plaintext, hint=hint)
        self.number = number


def is_foreign(octet: int) -> bool:
    """Whether a record that begins with ``octet`` is not TLS but something like text (RFC 8446 §5.1: types 20 to 23).

    SSL 2.0 records, which begin with the high bit set, are an old protocol and not text.
    """
    return octet < 128 and not 20 <= octet <= 23


def read_client_hello(data: bytes | bytearray) -> ClientHello | None:
    """Read the ClientHello at the beginning of ``data``.

    :param data: everything received since the handshake began.
    :return: what it asks for, or None while it is incomplete.
    :raises HelloRefused: when it cannot become one, with the alert to send.
    """
    if not data:
        return None
    if data[0] != _HANDSHAKE_RECORD or (len(data) > 1 and data[1] != 3):
        if is_foreign(data[0]) or data[0] == _HANDSHAKE_RECORD:
            raise HelloRefused("plaintext arrived where the TLS handshake was due", number=None, plaintext=True)
        raise HelloRefused("the first record is not a TLS handshake", number=10)
    if len(data) < 5:
        return None
    end = 5 + (data[3] << 8 | data[4])
    if len(data) < end:
        _check_record_length(end - 5)
        return None
    if end >= 9 and data[5] == _CLIENT_HELLO:
        stop = 9 + (data[6] << 16 | data[7] << 8 | data[8])
        if stop <= end:
            _check_record_length(end - 5)
            return _parse(data, 9, stop)
    message = _defragment(data)
    return None if message is None else _parse(message, 4, len(message))


def _check_record_length(length: int) -> None:
    if not 0 < length <= _RECORD_LIMIT:
        raise HelloRefused(f"a handshake record of {length} octets", number=22 if length else 10)


def _defragment(data: bytes | bytearray) -> bytes | None:
    """Join a ClientHello that spans records; None while it is incomplete."""
    message = bytearray()
    at = 0
    for _ in range(FRAGMENT_LIMIT):
        if len(data) < at + 5:
            break
        if data[at] != _HANDSHAKE_RECORD or data[at + 1] != 3:
            plaintext = is_foreign(data[at])
            raise HelloRefused(
                "something else stood in the middle of a ClientHello",
                number=None if plaintext else 10,
                plaintext=plaintext,
            )
        length = data[at + 3] << 8 | data[at + 4]
        _check_record_length(length)
        if len(data) < at + 5 + length:
            break
        message += data[at + 5 : at + 5 + length]
        at += 5 + length
        if message[0] != _CLIENT_HELLO:
            raise HelloRefused("the first handshake message is not a ClientHello", number=10)
        if len(message) >= 4:
            end = 4 + (message[1] << 16 | message[2] << 8 | message[3])
            if end > HELLO_LIMIT:
                raise HelloRefused(f"a ClientHello of {end} octets", number=47)
            if len(message) >= end:
                return bytes(message[:end])
    else:
        raise HelloRefused(f"a ClientHello in more than {FRAGMENT_LIMIT} records", number=47)
    if len(data) > HELLO_LIMIT:
        raise HelloRefused(f"no whole ClientHello in {len(data)} octets", number=47)
    return None


def _parse(data: bytes | bytearray, at: int, end: int) -> ClientHello:
    """Read the message's body, which lies in ``data[at:end]``: every length is checked against ``end``."""
    at += 34  # legacy version and random
    if at >= end:
        raise HelloRefused("the ClientHello is cut short")
    id_end = at + 1 + data[at]
    if id_end - at > 33 or id_end + 2 > end:
        raise HelloRefused("the ClientHello's session id does not fit")
    session_id = bytes(data[at + 1 : id_end])
    at = id_end + 2 + (data[id_end] << 8 | data[id_end + 1])  # behind the cipher suites
    if at >= end or at + 1 + data[at] > end:
        raise HelloRefused("the ClientHello's cipher suites do not fit")
    at += 1 + data[at]  # behind the compression methods
    if at == end:
        return ClientHello(None, None, session_id)  # TLS 1.2 without extensions
    if at + 2 > end or at + 2 + (data[at] << 8 | data[at + 1]) != end:
        raise HelloRefused("the ClientHello's extensions do not fit")
    at += 2
    server_name: str | None = None
    alpn: tuple[bytes, ...] | None = None
    while at < end:
        if at + 4 > end:
            raise HelloRefused("a ClientHello extension is cut short")
        kind, length = _two_numbers(data, at)
        start = at + 4
        at = start + length
        if at > end:
            raise HelloRefused("a ClientHello extension does not fit")
        if kind == _SERVER_NAME:
            server_name = _server_name(bytes(data[start:at]))
        elif kind == _ALPN:
            alpn = _protocols(bytes(data[start:at]))
    return ClientHello(server_name, alpn, session_id)


def _server_name(body: bytes) -> str | None:
    """The host name of RFC 6066 §3. A name that no certificate can carry counts as none, so it gets the default."""
    if len(body) < 5 or int.from_bytes(body[:2]) != len(body) - 2:
        raise HelloRefused("the server name extension does not fit")
    length = int.from_bytes(body[3:5])
    if 5 + length > len(body):
        raise HelloRefused("the server name does not fit")
    if body[2] != 0 or not 0 < length <= _NAME_LIMIT:
        return None
    name = body[5 : 5 + length].lower()
    return name.decode("ascii").removesuffix(".") or None if _NAME_OCTETS.issuperset(name) else None


def _protocols(body: bytes) -> tuple[bytes, ...]:
    """The protocol names of RFC 7301 §3.1."""
    if len(body) < 4 or int.from_bytes(body[:2]) != len(body) - 2:
        raise HelloRefused("the ALPN extension does not fit")
    names: list[bytes] = []
    at = 2
    while at < len(body):
        end = at + 1 + body[at]
        if end == at + 1 or end > len(body):
            raise HelloRefused("an ALPN name does not fit")
        names.append(body[at + 1 : end])
        at = end
    return tuple(names)
