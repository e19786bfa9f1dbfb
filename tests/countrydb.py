"""Writes small databases in MaxMind's format, for tests: networks with their countries.

The format is https://maxmind.github.io/MaxMind-DB/: a binary tree of 24-bit records over the bits of an IPv6 address,
IPv4 below ``::/96``; 16 zero octets; the data that leaves point to; and the metadata behind a marker.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_MARKER = b"\xab\xcd\xefMaxMind.com"
_SEPARATOR = 16


def write_countries(path: Path, countries: Mapping[str, str], *, record: str = "country") -> Path:
    """Write a database.

    :param countries: network to ISO 3166 code; networks do not overlap.
    :param record: where a record has its code: ``country`` or ``registered_country``, as MaxMind has it, or
        ``country_code``, as others do.
    """
    data, offsets = b"", {}
    for code in dict.fromkeys(countries.values()):
        offsets[code] = len(data)
        data += _encode({record: code} if record == "country_code" else {record: {"iso_code": code}})
    nodes: list[list[int | str | None]] = [[None, None]]
    for network, code in countries.items():
        _insert(nodes, ipaddress.ip_network(network), code)
    tree = b"".join(_record(side, len(nodes), offsets).to_bytes(3, "big") for node in nodes for side in node)
    metadata = _encode(
        {
            "node_count": len(nodes), "record_size": 24, "ip_version": 6, "database_type": "Test-Country",
            "languages": ["en"], "binary_format_major_version": 2, "binary_format_minor_version": 0,
            "build_epoch": 1_700_000_000, "description": {"en": "made by a test"},
        }
    )  # fmt: skip
    fresh = path.with_suffix(".new")
    fresh.write_bytes(tree + bytes(_SEPARATOR) + data + _MARKER + metadata)
    fresh.rename(path)
    return path


def _insert(
    nodes: list[list[int | str | None]], network: ipaddress.IPv4Network | ipaddress.IPv6Network, code: str
) -> None:
    length = network.prefixlen + (96 if network.version == 4 else 0)
    bits = f"{int(network.network_address):0128b}"[:length]
    at = 0
    for bit in bits[:-1]:
        following = nodes[at][int(bit)]
        if not isinstance(following, int):
            nodes.append([None, None])
            following = nodes[at][int(bit)] = len(nodes) - 1
        at = following
    nodes[at][int(bits[-1])] = code


def _record(side: int | str | None, count: int, offsets: Mapping[str, int]) -> int:
    if side is None:
        return count  # nothing is known of it
    return side if isinstance(side, int) else count + _SEPARATOR + offsets[side]


def _encode(value: str | int | list[str] | dict[str, Any]) -> bytes:
    """One value of the data section, its type and size in front."""
    if isinstance(value, str):
        octets = value.encode()
        return _control(2, len(octets)) + octets
    if isinstance(value, dict):
        return _control(7, len(value)) + b"".join(_encode(key) + _encode(each) for key, each in value.items())
    if isinstance(value, list):
        return _control(11, len(value)) + b"".join(map(_encode, value))
    octets = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return _control(6, len(octets)) + octets  # unsigned, 32 bits


def _control(kind: int, size: int) -> bytes:
    assert size < 29
    return bytes([kind << 5 | size]) if kind < 8 else bytes([size, kind - 7])
