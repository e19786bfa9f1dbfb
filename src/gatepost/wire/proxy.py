"""The PROXY protocol, versions 1 and 2: a proxy's word on whom it speaks for, before anything else is said.

Sections are those of HAProxy's ``doc/proxy-protocol.txt``. Both versions are told apart by their first octet, each is
bounded, and what does not match exactly is no header: there is no guessing whether one is there (§2). The octets behind
the header belong to the next layer, which may be a ClientHello, and are handed on untouched.

Where a header names no client (``LOCAL``, ``UNKNOWN``, or a family other than TCP over IP) the connection is the
proxy's own, and its real addresses count (§2.1, §2.2).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_address
from types import MappingProxyType
from typing import Final, TypeAlias, final

from gatepost.errors import LocalProtocolError, RemoteProtocolError

Address: TypeAlias = tuple[str, int]

V1_LIMIT: Final = 107
"""Octets of the longest header of version 1, with its CRLF (§2.1)."""
V2_LIMIT: Final = 4096
"""Octets of the longest header of version 2 that is read: 16 and what its length says. One that is sent fits into the
smallest segment, 536 octets (§2), but for the names of long certificates."""

_V1_BEGIN: Final = b"PROXY "
V2_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"  # §2.2
_V2_FIXED: Final = struct.Struct("!12sBBH")
_VERSION_2: Final = 0x20
_LOCAL, _PROXY = 0x0, 0x1

# §2.1: "The receiver must not tolerate a single CR or LF character to end the line".
_V1_LINE: Final = re.compile(
    rb"PROXY (TCP4|TCP6) ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) (0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4})"
)
_V1_UNKNOWN: Final = re.compile(rb"PROXY UNKNOWN(?: [^\r\n]*)?")

TCP4, TCP6 = 0x11, 0x21
# §2.2: how many octets of addresses stand in each family; those that we do not speak count as unspecified.
_ADDRESSES: Final[Mapping[int, int]] = MappingProxyType(
    {0x00: 0, TCP4: 12, 0x12: 12, TCP6: 36, 0x22: 36, 0x31: 216, 0x32: 216}
)
_FAMILIES: Final[Mapping[int, tuple[type[IPv4Address] | type[IPv6Address], int]]] = MappingProxyType(
    {TCP4: (IPv4Address, 4), TCP6: (IPv6Address, 16)}
)
CRC32C: Final = 0x03  # §2.2.3


class ProxyHeaderInvalid(RemoteProtocolError):
    """What stands where a PROXY header must stand is none. The connection is dropped without a word (§2)."""


@final
@dataclass(frozen=True, slots=True)
class Told:
    """What a header says.

    :param version: 1 or 2.
    :param source: the client's address and port; None when the connection is the proxy's own.
    :param destination: the address and port that the client came to; None as well then.
    """

    version: int
    source: Address | None = None
    destination: Address | None = None


@final
class HeaderReader:
    """Reads one header, in whatever pieces it comes.

    ``feed`` returns what the header says once all of it is there; ``rest`` is what stood behind it then. Nothing is
    kept beyond the limits, and a header that cannot become one any more is refused with its first wrong octet.
    """

    __slots__ = ("_data", "rest")

    def __init__(self) -> None:
        self._data = b""
        self.rest = b""

    @property
    def begun(self) -> bool:
        """Whether anything came at all."""
        return bool(self._data)

    def feed(self, data: bytes) -> Told | None:
        """Take octets.

        :return: what the header says; None while it is not complete.
        :raises ProxyHeaderInvalid: when they are no header.
        """
        self._data += data
        have = self._data
        if not have:
            return None
        read, begin = (_read_v2, V2_SIGNATURE) if have[0] == V2_SIGNATURE[0] else (_read_v1, _V1_BEGIN)
        if not have.startswith(begin[: len(have)]):
            raise ProxyHeaderInvalid("it does not begin as one")
        found = read(have)
        if found is None:
            return None
        told, length = found
        self._data, self.rest = b"", have[length:]
        return told


def _read_v1(data: bytes) -> tuple[Told, int] | None:
    """§2.1."""
    line, crlf, _ = data[:V1_LIMIT].partition(b"\r\n")
    if not crlf:
        # A CR at the end may be half of the line end.
        if len(data) >= V1_LIMIT or b"\n" in line or b"\r" in line[:-1]:
            raise ProxyHeaderInvalid(f"no line ends within {V1_LIMIT} octets")
        return None
    length = len(line) + 2
    if _V1_UNKNOWN.fullmatch(line):
        return Told(1), length
    match = _V1_LINE.fullmatch(line)
    if match is None:
        raise ProxyHeaderInvalid("its line says none of TCP4, TCP6 and UNKNOWN as it must")
    family, source, destination, *ports = (group.decode("ascii") for group in match.groups())
    parse = IPv4Address if family == "TCP4" else IPv6Address
    try:
        addresses = parse(source), parse(destination)
    except AddressValueError:
        raise ProxyHeaderInvalid(f"it has no {family} addresses") from None
    numbers = [int(port) for port in ports]
    if max(numbers) > 65535:
        raise ProxyHeaderInvalid("it has a port above 65535")
    return Told(1, (_plain(addresses[0]), numbers[0]), (_plain(addresses[1]), numbers[1])), length


def _read_v2(data: bytes) -> tuple[Told, int] | None:
    """§2.2."""
    if len(data) < _V2_FIXED.size:
        return None
    _, version_command, family, size = _V2_FIXED.unpack_from(data)
    command, length = version_command & 0x0F, _V2_FIXED.size + size
    if version_command & 0xF0 != _VERSION_2 or command not in (_LOCAL, _PROXY):
        raise ProxyHeaderInvalid("its version or its command does not exist")
    if length > V2_LIMIT:
        raise ProxyHeaderInvalid(f"it says that it has {length} octets, {V2_LIMIT} at most are read")
    if command == _PROXY and _ADDRESSES.get(family, V2_LIMIT) > size:
        raise ProxyHeaderInvalid("its family does not exist, or has no room for its addresses")
    if len(data) < length:
        return None
    if command == _LOCAL:
        return Told(2), length
    block = data[_V2_FIXED.size : length]
    _check_vectors(data[:length], _V2_FIXED.size + _ADDRESSES[family])
    if family not in _FAMILIES:
        return Told(2), length
    parse, width = _FAMILIES[family]
    ports = struct.unpack_from("!HH", block, 2 * width)
    addresses = parse(block[:width]), parse(block[width : 2 * width])
    return Told(2, (_plain(addresses[0]), ports[0]), (_plain(addresses[1]), ports[1])), length


def _plain(address: IPv4Address | IPv6Address) -> str:
    """An address as the rest of the program knows it: IPv4 in IPv6 is IPv4, or rules would not find it."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def _check_vectors(header: bytes, at: int) -> None:
    """§2.2: type, two octets of length, value. They are not believed, only well-formed; the checksum must be right."""
    for kind, begin, end in _vectors(header, at):
        if kind != CRC32C:
            continue
        if end - begin != 4:
            raise ProxyHeaderInvalid("its checksum has not four octets")
        if crc32c(header[:begin] + bytes(4) + header[end:]) != int.from_bytes(header[begin:end]):
            raise ProxyHeaderInvalid("its checksum is wrong")


def _vectors(header: bytes, at: int) -> Iterator[tuple[int, int, int]]:
    """Each vector's type, and where its value begins and ends."""
    while at < len(header):
        if len(header) - at < 3:
            raise ProxyHeaderInvalid("a vector in it is cut off")
        end = at + 3 + int.from_bytes(header[at + 1 : at + 3])
        if end > len(header):
            raise ProxyHeaderInvalid("a vector in it is longer than it is")
        yield header[at], at + 3, end
        at = end


def crc32c(data: bytes) -> int:
    """The checksum of RFC 9260, appendix A (Castagnoli), octet by octet: headers are short."""
    register = 0xFFFFFFFF
    for octet in data:
        register ^= octet
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


def header_v1(source: Address, destination: Address) -> bytes:
    """A header of version 1.

    :param source: the client's address and port.
    :param destination: the address and port that it came to; where one of both is IPv6, both are written so.
    :raises LocalProtocolError: when an address is none, or a port is out of range.
    """
    name, (first, second) = _family(source, destination)
    line = f"PROXY TCP{name} {first} {second} {_port(source)} {_port(destination)}\r\n"
    return line.encode("ascii")


def header_v2(source: Address, destination: Address, vectors: bytes = b"") -> bytes:
    """A header of version 2.

    :param source: as for ``header_v1``; likewise ``destination``.
    :param vectors: what else is told, from ``wire.proxy_vectors``.
    :raises LocalProtocolError: as ``header_v1``, and when it grows longer than others read.
    """
    name, (first, second) = _family(source, destination)
    block = first.packed + second.packed + struct.pack("!HH", _port(source), _port(destination)) + vectors
    if _V2_FIXED.size + len(block) > V2_LIMIT:
        raise LocalProtocolError("a PROXY header cannot tell so much")
    return _V2_FIXED.pack(V2_SIGNATURE, _VERSION_2 | _PROXY, TCP4 if name == 4 else TCP6, len(block)) + block


LOCAL_V2: Final = _V2_FIXED.pack(V2_SIGNATURE, _VERSION_2 | _LOCAL, 0, 0)
"""The header of a connection of our own: a health check (§2.2)."""
UNKNOWN_V1: Final = b"PROXY UNKNOWN\r\n"
"""The header for a client that has no address (§2.1)."""

_IP: TypeAlias = IPv4Address | IPv6Address


def _family(source: Address, destination: Address) -> tuple[int, tuple[_IP, _IP]]:
    try:
        first, second = ip_address(source[0].partition("%")[0]), ip_address(destination[0].partition("%")[0])
    except ValueError as error:
        raise LocalProtocolError(f"a PROXY header names addresses: {error}") from None
    if first.version == second.version:
        return first.version, (first, second)
    return 6, (_as_v6(first), _as_v6(second))


def _as_v6(address: _IP) -> IPv6Address:
    return address if isinstance(address, IPv6Address) else IPv6Address(bytes(10) + b"\xff\xff" + address.packed)


def _port(address: Address) -> int:
    if not 0 <= address[1] <= 65535:
        raise LocalProtocolError(f"{address[1]} is no port")
    return address[1]
