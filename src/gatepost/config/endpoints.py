"""Addresses with a port: ``127.0.0.1:25``, ``[::1]:25``, ``mx.test:25``."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

from gatepost.config.names import check_domain


def parse_endpoint(text: str, *, default_port: int | None = None) -> tuple[str, int]:
    """Read ``host:port``, where host is a name or an address and an IPv6 address stands in brackets.

    :param default_port: the port when none is written; None makes the port obligatory.
    :returns: the host without brackets, and the port (0 to 65535).
    :raises ValueError: saying what is wrong and how to write it.
    """
    host, port = _split(text, default_port)
    if address_of(host) is None:
        check_domain(host)
    return host, port


def parse_bind(text: str) -> tuple[str, int]:
    """Read where to listen: ``127.0.0.1:25``, ``[::]:25``, ``localhost:25``. A name other than localhost is refused.

    :returns: the address without brackets, and the port (0 lets the kernel choose).
    :raises ValueError: saying what is wrong and how to write it.
    """
    host, port = _split(text, None)
    if host != "localhost" and address_of(host) is None:
        raise ValueError(f'"{host[:80]}" is not an address; write an address of this machine, 0.0.0.0 or [::]')
    return host, port


def parse_nameserver(text: str) -> tuple[str, int]:
    """Read a name server: an address, or an address with a port; the port is otherwise 53.

    :raises ValueError: saying what is wrong and how to write it.
    """
    if address_of(text) is not None:
        return text, 53
    host, port = _split(text, 53)
    if address_of(host) is None:
        raise ValueError(f'"{text[:80]}" is not the address of a name server')
    return host, port


def address_of(text: str) -> IPv4Address | IPv6Address | None:
    """The address that the text is, or None."""
    try:
        return ip_address(text)
    except ValueError:
        return None


def format_endpoint(host: str, port: int) -> str:
    """Write host and port the way ``parse_endpoint`` reads them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _split(text: str, default_port: int | None) -> tuple[str, int]:
    form = 'write "address:port", an IPv6 address as "[address]:port"'
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or not isinstance(address_of(host), IPv6Address):
            raise ValueError(f'"{text[:80]}" has no IPv6 address between brackets; {form}')
        colon, port = rest[:1], rest[1:]
        if rest and colon != ":":
            raise ValueError(f'"{text[:80]}" is not an address with a port; {form}')
    else:
        host, colon, port = text.partition(":")
        if ":" in port:
            raise ValueError(f'"{text[:80]}" needs brackets around its IPv6 address; {form}')
    if not host:
        raise ValueError(f'"{text[:80]}" has no address; {form}, 0.0.0.0 or [::] for every address')
    if not colon:
        if default_port is None:
            raise ValueError(f'"{text[:80]}" has no port; {form}')
        return host, default_port
    if not (port.isascii() and port.isdecimal() and len(port) <= 5 and int(port) <= 65535):
        raise ValueError(f'"{port[:20]}" is not a port; write a number from 0 to 65535')
    return host, int(port)
