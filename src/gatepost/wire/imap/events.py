"""What is read from the two streams, and what the engines report.

From a client's stream (``commands.CommandReader``), in this order for each command::

    CommandLine  (LiteralData* ArgumentLine)*  AnswerLine*

A line that announces a literal says so, and one that does not is the last of its command; ``LiteralData`` comes in
pieces, as the stream was cut. Together the octets of all of them are the stream, whole and unchanged. ``Malformed``
ends it: nothing behind it is read.

From a server's stream (``responses.ResponseReader``) come ``Tagged``, ``Untagged``, ``Listed`` and ``Continue``, each a
whole line, and ``Passing`` for everything else, in pieces.

``hidden`` is where, in the octets of an event, a credential may begin: nothing from there on may be shown to anybody.
None means that all may be shown.

An engine reports ``StartTLSRequested``, ``UpgradeAgreed``, ``LoggedIn``, ``LoginFailed``, ``Fault`` and ``Ended``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias, final

from gatepost.wire.imap.grammar import Literal


@final
@dataclass(frozen=True, slots=True)
class CommandLine:
    """The first line of a command (RFC 9051 §2.2.1).

    :param octets: the line, its CRLF included.
    :param tag: ``*`` where it has none.
    :param verb: in upper case; empty for a line that is no command.
    :param arguments: what stands behind the verb, without the CRLF.
    :param literal: the literal that follows it; None where the command ends.
    """

    octets: bytes = field(repr=False)
    tag: bytes
    verb: str
    arguments: bytes = field(repr=False)
    literal: Literal | None
    hidden: int | None


@final
@dataclass(frozen=True, slots=True)
class ArgumentLine:
    """A line behind a literal: the command goes on, or ends."""

    octets: bytes = field(repr=False)
    literal: Literal | None
    hidden: int | None


@final
@dataclass(frozen=True, slots=True)
class LiteralData:
    """A piece of a literal."""

    octets: bytes = field(repr=False)
    hidden: int | None


@final
@dataclass(frozen=True, slots=True)
class AnswerLine:
    """What a client says to a server's ``+``: the response of an AUTHENTICATE exchange, or DONE."""

    octets: bytes = field(repr=False)
    verb: str
    hidden: int | None


@final
@dataclass(frozen=True, slots=True)
class Malformed:
    """The stream cannot be told apart any more, and is not read any further.

    :param reason: stable words for logs and counters.
    :param tag: of the command that it happened in, or ``*``.
    :param line: the beginning of the offending line; credentials appear as ``***``.
    """

    reason: str
    tag: bytes
    line: bytes


ClientPiece: TypeAlias = CommandLine | ArgumentLine | LiteralData | AnswerLine | Malformed


@final
@dataclass(frozen=True, slots=True)
class Tagged:
    """A command was completed (RFC 9051 §7.1).

    :param status: ``OK``, ``NO`` or ``BAD``.
    """

    octets: bytes
    tag: bytes
    status: str


@final
@dataclass(frozen=True, slots=True)
class Untagged:
    """A status that answers no command: ``OK``, ``NO``, ``BAD``, ``BYE`` or ``PREAUTH`` (RFC 9051 §7.1)."""

    octets: bytes
    status: str


@final
@dataclass(frozen=True, slots=True)
class Listed:
    """An untagged CAPABILITY response (RFC 9051 §7.2.2)."""

    octets: bytes


@final
@dataclass(frozen=True, slots=True)
class Continue:
    """The server asks for more (RFC 9051 §7.6)."""

    octets: bytes = field(repr=False)


@final
@dataclass(frozen=True, slots=True)
class Passing:
    """Other responses, their literals included: whole ones, or a piece of one."""

    octets: bytes = field(repr=False)


@final
@dataclass(frozen=True, slots=True)
class Broken:
    """The server breaks the protocol, or a limit; its stream is not read any further."""

    reason: str


ServerPiece: TypeAlias = Tagged | Untagged | Listed | Continue | Passing | Broken


@final
@dataclass(frozen=True, slots=True)
class StartTLSRequested:
    """STARTTLS, where we grant it: ``grant_upgrade()``, or ``refuse_upgrade()``."""


@final
@dataclass(frozen=True, slots=True)
class UpgradeAgreed:
    """The server behind has agreed to a STARTTLS that was passed on; its words wait: ``pass_upgrade()``."""


@final
@dataclass(frozen=True, slots=True)
class LoggedIn:
    """The server accepted a login.

    :param user: the name that the client gave, where that could be read: for logs.
    :param mechanism: the SASL mechanism, or ``LOGIN``.
    """

    user: str
    mechanism: str


@final
@dataclass(frozen=True, slots=True)
class LoginFailed:
    """The server refused a login; its answer is outgoing. For the fields see ``LoggedIn``."""

    user: str
    mechanism: str


@final
@dataclass(frozen=True, slots=True)
class Fault:
    """The client broke the protocol, and the engine has answered.

    :param reason: stable words.
    :param line: the beginning of the offending line, unescaped; credentials appear as ``***``.
    """

    reason: str
    line: bytes


@final
@dataclass(frozen=True, slots=True)
class Ended:
    """The engine is finished: flush what is outgoing and close. ``reason`` in stable words: ``logout``."""

    reason: str


Event: TypeAlias = StartTLSRequested | UpgradeAgreed | LoggedIn | LoginFailed | Fault | Ended
