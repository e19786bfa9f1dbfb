"""What a recipe is: the two halves of a protocol's way into TLS, as dialogues.

The client half says what must be said up to the go-ahead and hands over; the server half hears what must be heard, and
hands over. Both end with the token that ``wire.upgrade`` gave them, and with nothing else: no word of the peer goes
further than the half that heard it. A half that cannot end so raises, and the connection is over.

====================== ===================================================================================
``UpgradeRefused``     the server does not offer TLS, or refused it, within its protocol
``PlaintextAfterUpgrade`` octets stood where the handshake was due (see ``wire.upgrade``)
``UnexpectedWords``    the peer said what may not be said there, or more than there is room for
``PeerLeft``           the peer closed the connection, or said goodbye, before anything was upgraded
====================== ===================================================================================

All of them are ``RemoteProtocolError``. What else a driver throws into a dialogue passes through.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias, final

from gatepost.errors import LocalProtocolError, RemoteProtocolError
from gatepost.wire.dialogue import Dialogue
from gatepost.wire.smtp.replies import printable
from gatepost.wire.upgrade import EarlyHello, Origin, UpgradeReady

_SHOWN: Final = 200  # octets of the peer's words that an error carries
_NAME: Final = re.compile(
    r"[A-Za-z0-9._:\[\]-]{1,255}"
)  # a host name or an address; nothing that a protocol would read


@final
@dataclass(frozen=True, slots=True)
class ClientTerms:
    """What a client half is told by our own side.

    :param hostname: our own name, for protocols that say hello with one (EHLO).
    :param server_name: the name of the service that is asked for (the ``to`` of an XMPP stream).
    :param seconds: how long to wait for each reply.
    """

    hostname: str = "localhost"
    server_name: str = ""
    seconds: float = 60.0


@final
@dataclass(frozen=True, slots=True)
class ServerTerms:
    """What a server half is told by our own side.

    :param hostname: our own name, for greetings.
    :param seconds: how long a client may take until it asks for TLS, for everything that it says together.
    :param challenge: the 20 octets of a MySQL greeting, none of them 0, for whoever goes on inside TLS and has to know
        them. Without it they are the same every time, and the login inside must begin with a challenge of its own.
    :raises LocalProtocolError: for a name that is no host name, or another challenge.
    """

    hostname: str = "localhost"
    seconds: float = 60.0
    challenge: bytes = b""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.hostname):
            raise LocalProtocolError(f"{self.hostname!a} cannot stand in a greeting")
        if self.challenge and (len(self.challenge) != 20 or 0 in self.challenge):
            raise LocalProtocolError("the challenge of a MySQL greeting is 20 octets, none of them 0")


@final
@dataclass(frozen=True, slots=True)
class Granted:
    """What a server half leaves: the driver writes the go-ahead and begins the handshake.

    :param ready: the token.
    :param early: the beginning of the client's hello, when it came together with the request.
    :param go_ahead: the last words in the clear; empty where the protocol has none.
    """

    ready: UpgradeReady
    early: EarlyHello | None
    go_ahead: bytes


ClientHalf: TypeAlias = Callable[[Origin, ClientTerms], Dialogue[UpgradeReady]]
ServerHalf: TypeAlias = Callable[[Origin, ServerTerms], Dialogue[Granted]]


@final
@dataclass(frozen=True, slots=True)
class Greeting:
    """What a server says first, once: in the clear, or inside TLS where that comes first, and not again after an
    upgrade. A gate needs it, which greets its clients before it knows the server behind.

    :param hear: hears a server's greeting, given the seconds it may take, and returns what was read behind it.
    :param say: a greeting of ours, given our own name.
    """

    hear: Callable[[float], Dialogue[bytes]]
    say: Callable[[str], bytes]


@final
@dataclass(frozen=True, slots=True)
class Recipe:
    """A protocol's way into TLS.

    :param name: what users call it.
    :param port: where it is spoken in the clear; 0 where there is no such port.
    :param implicit_port: where it is spoken inside TLS from the first octet, or None.
    :param client: see ``ClientHalf``.
    :param server: see ``ServerHalf``.
    :param alpn: the names that are registered for it (RFC 7301 §6). A server takes a client that offers one of them, or
        none; a client offers them only when its caller says so.
    :param greeting: what its server says first; None where it says nothing, or says it again inside TLS.
    :param settled: what a client says first inside TLS to end what its half began in the clear.
    :param summary: one line for users: what it speaks, and who speaks first inside TLS where that is not the client.
    """

    name: str
    port: int
    implicit_port: int | None
    client: ClientHalf
    server: ServerHalf
    alpn: tuple[str, ...] = ()
    summary: str = ""
    greeting: Greeting | None = None
    settled: bytes = b""


class UpgradeRefused(RemoteProtocolError):
    """The server does not offer the upgrade, or refused it, in the words of its protocol. Nothing was upgraded.

    :param words: the server's own words, printable, at most 200 octets of them; empty when it was not even asked.
    """

    def __init__(self, message: str, words: bytes = b"", *, temporary: bool | None = None) -> None:
        self.words: str = printable(words[:_SHOWN])
        super().__init__(
            f"{message}: {self.words}" if words else message,
            hint="something between the two sides may have removed or refused it",
            temporary=temporary,
        )


class UnexpectedWords(RemoteProtocolError):
    """The peer said what may not be said at this point, or broke a limit. The connection is over.

    :param words: what it said, as evidence: at most 200 octets.
    """

    def __init__(self, message: str, words: bytes = b"") -> None:
        self.words: bytes = words[:_SHOWN]
        super().__init__(f"{message}: {printable(self.words)}" if words else message)


class PeerLeft(RemoteProtocolError):
    """The peer closed the connection, or said goodbye, before anything was upgraded."""

    temporary = True
