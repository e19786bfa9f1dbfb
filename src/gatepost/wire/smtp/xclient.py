"""XCLIENT and XFORWARD: how a program in front of a mail server tells it whom it speaks for.

Both are Postfix's (https://www.postfix.org/XCLIENT_README.html, XFORWARD_README.html): ``attribute=value`` pairs, the
values in xtext (RFC 3461 §4), ``[UNAVAILABLE]`` and ``[TEMPUNAVAIL]`` for what is not known. With XCLIENT the session
begins anew as the client's own; XFORWARD only says where the next message came from.

Who says so is believed or not by address; that is not decided here. What is said is read strictly either way: an
address that is none, or a name that could break a log line, is an error.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias, final

from gatepost.errors import LocalProtocolError
from gatepost.wire.smtp import reply
from gatepost.wire.smtp.envelope import xtext
from gatepost.wire.smtp.grammar import HELLO_LIMIT
from gatepost.wire.smtp.parameters import CommandSyntaxError, decode_xtext

Command: TypeAlias = Literal["XCLIENT", "XFORWARD"]

ATTRIBUTES: Final[Mapping[Command, tuple[str, ...]]] = {
    "XCLIENT": ("NAME", "ADDR", "PORT", "PROTO", "HELO", "LOGIN"),
    "XFORWARD": ("NAME", "ADDR", "PORT", "PROTO", "HELO", "SOURCE"),
}
"""What we say and what we list, in this order."""

_IGNORED: Final[Mapping[Command, frozenset[str]]] = {
    "XCLIENT": frozenset({"DESTADDR", "DESTPORT"}),
    "XFORWARD": frozenset({"IDENT"}),
}
UNAVAILABLE: Final = "[UNAVAILABLE]"
_UNKNOWN: Final = frozenset({UNAVAILABLE, "[TEMPUNAVAIL]"})
_VALUE_LIMIT: Final = 255
_PORT_DIGITS: Final = 5


@final
@dataclass(frozen=True, slots=True)
class Told:
    """Whom somebody speaks for. Empty and 0 for what was not said or is not known.

    :param address: IPv4 or IPv6, as text without a scope.
    :param port: of the client's end.
    :param name: the client's name in the DNS.
    :param protocol: ``SMTP`` or ``ESMTP``.
    :param helo: what the client called itself.
    :param login: whom it logged in as; XCLIENT only.
    :param source: ``LOCAL`` or ``REMOTE``; XFORWARD only.
    """

    address: str = ""
    port: int = 0
    name: str = ""
    protocol: str = ""
    helo: str = ""
    login: str = ""
    source: str = ""


NOTHING_TOLD: Final = Told()


def listed(command: Command) -> str:
    """The line of the answer to EHLO."""
    return " ".join((command, *ATTRIBUTES[command]))


def parse(command: Command, argument: str, before: Told = NOTHING_TOLD) -> Told:
    """What stands behind the command.

    :param argument: printable, as it was sent.
    :param before: what was told already; attributes that are not named stay as they were.
    :raises CommandSyntaxError: 501, for an attribute that is unknown or named twice, and for a value that cannot be.
    """
    words = argument.split()
    if not words:
        raise CommandSyntaxError(reply.SYNTAX)
    values: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        name = name.upper()
        known = name in ATTRIBUTES[command] or name in _IGNORED[command]
        if not known or not equals or not value or "=" in value or name in values:
            raise CommandSyntaxError(reply.SYNTAX)
        text = decode_xtext(value)
        if len(text) > _VALUE_LIMIT:
            raise CommandSyntaxError(reply.SYNTAX)
        values[name] = "" if text.upper() in _UNKNOWN else text
    return _merged(before, values)


def _merged(before: Told, values: Mapping[str, str]) -> Told:
    told = before
    if (address := values.get("ADDR")) is not None:
        told = replace(told, address=_address(address))
    if (port := values.get("PORT")) is not None:
        told = replace(told, port=_port(port))
    if (protocol := values.get("PROTO")) is not None:
        told = replace(told, protocol=_word(protocol, ("SMTP", "ESMTP")))
    if (source := values.get("SOURCE")) is not None:
        told = replace(told, source=_word(source, ("LOCAL", "REMOTE")))
    if (name := values.get("NAME")) is not None:
        told = replace(told, name=_spaceless(name))
    if (helo := values.get("HELO")) is not None:
        told = replace(told, helo=_spaceless(helo))
    if (login := values.get("LOGIN")) is not None:
        told = replace(told, login=login)
    return told


def words(command: Command, told: Told, takes: Collection[str]) -> str:
    """What stands behind the command when we say it.

    :param takes: the attributes that the server lists, in upper case. Of those every one is said, also what is not
        known: the server would take our own for it.
    :raises LocalProtocolError: for what may not stand there.
    """
    values = {
        "NAME": told.name,
        "ADDR": f"IPV6:{told.address}" if ":" in told.address else told.address,
        "PORT": str(told.port) if told.port else "",
        "PROTO": told.protocol,
        "HELO": told.helo,
        "LOGIN": told.login,
        "SOURCE": told.source,
    }
    pairs = []
    for name in ATTRIBUTES[command]:
        if name in takes:
            value = values[name]
            if not (value.isascii() and (value.isprintable() or not value)):
                raise LocalProtocolError(f"{name} of a client holds what {command} cannot say")
            pairs.append(f"{name}={xtext(value) if value else UNAVAILABLE}")
    return " ".join(pairs)


def _address(text: str) -> str:
    if not text:
        return ""
    try:
        if text[:5].upper() == "IPV6:":
            parsed = ipaddress.IPv6Address(_scopeless(text[5:]))
            return str(parsed.ipv4_mapped or parsed)  # IPv4 in IPv6 is IPv4, or rules would not find it
        return str(ipaddress.IPv4Address(text))
    except ValueError as error:
        raise CommandSyntaxError(reply.SYNTAX) from error


def _scopeless(text: str) -> str:
    if "%" in text:
        raise ValueError("an address of another machine has no scope here")
    return text


def _port(text: str) -> int:
    if not text:
        return 0
    if len(text) > _PORT_DIGITS or not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise CommandSyntaxError(reply.SYNTAX)
    return int(text)


def _word(text: str, words: Collection[str]) -> str:
    upper = text.upper()
    if upper and upper not in words:
        raise CommandSyntaxError(reply.SYNTAX)
    return upper


def _spaceless(text: str) -> str:
    if " " in text or len(text) > HELLO_LIMIT:
        raise CommandSyntaxError(reply.SYNTAX)
    return text
