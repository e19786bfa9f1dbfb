"""One client of a gate: its terms, its sessions, its summary line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, final

from gatepost.net.channel import PlainChannel, SecureChannel
from gatepost.net.transport import Transport
from gatepost.observe import logs
from gatepost.service import connection
from gatepost.service.connection import Session
from gatepost.service.gate.link import Link
from gatepost.service.gate.port import GatePort, GateTerms
from gatepost.service.gate.protocols import Faces, faces
from gatepost.service.limits import Refusal
from gatepost.wire.upgrade import Origin


@final
class GateRecord:
    """What the summary line of a connection says. Written by sessions, read by the log alone.

    ``backend_tls`` is the version spoken with the server, empty in the clear; ``blind`` whether the client's TLS went
    through to the server, so that nothing behind it was read; ``bytes`` what clients sent of messages, or, of what is
    not read, octets both ways.
    """

    __slots__ = (
        "backend_tls", "blind", "bytes", "errors", "helo", "messages", "recipients", "refused", "server", "user",
    )  # fmt: skip

    def __init__(self) -> None:
        self.messages = 0
        self.recipients = 0
        self.bytes = 0
        self.refused = 0
        self.errors = 0
        self.helo = ""
        self.user = ""
        self.server = ""
        self.backend_tls = ""
        self.blind = False


@final
class GateConnection(connection.Connection):
    """One client.

    :param port: the gate it came to.
    :param transport: its socket.
    :param origin: where it came from.
    :param closed: called once, when it is gone.
    """

    __slots__ = ("_faces", "command_seconds", "data_seconds", "port", "record", "terms")

    side = "gate"

    def __init__(self, port: GatePort, transport: Transport, origin: Origin, closed: Callable[[Any], None]) -> None:
        self.port: Final = port
        self.terms: GateTerms = port.terms(origin.peer[0])
        self.record: Final = GateRecord()
        self.transcript: Any = None
        """What is written down of the session; None when nothing is."""
        super().__init__(port, transport, origin, self.terms.contexts, closed)
        self.command_seconds = port.command_seconds
        self.data_seconds = port.data_seconds
        self._faces: Final[Faces] = faces(port.settings.protocol, spliced=port.spliced)

    def start(self) -> None:
        if self.port.spliced and not self.refusal():
            tally = self.port.tally
            tally.add(tally.connections)
            tally.add(tally.open)
            self.record_from_here()
            channel = PlainChannel(self.transport, self.origin)
            session = self.session = self._faces.plain(self, channel)
            self.show(session)
            channel.start(session)
            session.greet()
            return
        super().start()

    def plain_session(self, channel: PlainChannel) -> Session:
        return self._faces.plain(self, channel)

    def secure_session(self, channel: SecureChannel) -> Session:
        self.wait(self.command_seconds, "command")
        return self._faces.secure(self, channel)

    def reached(self, link: Link) -> None:
        """A server was reached for this client, and says what it will: write down which."""
        self.record.server = link.server
        self.record.backend_tls = "" if link.tls is None else link.tls.version
        if link.tls is not None and self.transcript is not None:
            self.transcript.upgrade("backend", link.tls, link.server)

    def refusal(self) -> str:
        return self.terms.refusal

    def last_words(self, refusal: Refusal) -> bytes:
        return self._faces.last_words(refusal)

    def tell(self, facts: Mapping[str, object], ending: Mapping[str, object]) -> None:
        record, terms, settings = self.record, self.terms, self.port.settings
        fields: dict[str, Any] = {
            **facts,
            "via": self.origin.proxy,
            "protocol": settings.protocol,
            "mode": settings.mode,
            "wanted": terms.wanted,
            "rule": terms.rule,
            "asked": terms.asked if terms.asked_by else "",
            "asked_by": terms.asked_by,
            "backend": settings.backend,
            "server": record.server,
            "backend_tls": record.backend_tls,
            "blind": record.blind,
            "user": record.user,
            "helo": record.helo,
            "messages": record.messages,
            "recipients": record.recipients,
            "bytes": record.bytes,
            "refused": record.refused,
            "errors": record.errors,
            **ending,
        }
        logs.event("gate.session", **fields)
