"""One SMTP client: its terms, its sessions, its summary line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from gatepost.net.channel import PlainChannel, SecureChannel
from gatepost.net.transport import Transport
from gatepost.observe import logs
from gatepost.service import connection
from gatepost.service.limits import Refusal
from gatepost.service.smtp.local import LocalSession
from gatepost.service.smtp.plain import PlainSession
from gatepost.service.smtp.port import Port
from gatepost.service.smtp.secure import SecureSession
from gatepost.wire.smtp.server import PlainServer
from gatepost.wire.upgrade import Origin


class Record:
    """What the summary line of a connection says. Written by sessions, read by the log alone."""

    __slots__ = ("bytes", "errors", "helo", "messages", "recipients", "refused", "relay", "user")

    def __init__(self) -> None:
        self.messages = 0
        self.recipients = 0
        self.bytes = 0
        self.refused = 0
        self.errors = 0
        self.helo = ""
        self.relay = ""
        self.user = ""


class Connection(connection.Connection):
    """One client.

    :param port: the listener it came to.
    :param transport: its socket.
    :param origin: where it came from.
    :param closed: called once, when it is gone.
    """

    __slots__ = ("command_seconds", "data_seconds", "port", "record", "terms", "upgradable")

    def __init__(self, port: Port, transport: Transport, origin: Origin, closed: Callable[[Any], None]) -> None:
        self.port: Final = port
        self.terms: Final = port.terms(origin.peer[0])
        self.record: Final = Record()
        super().__init__(port, transport, origin, self.terms.contexts, closed)
        self.command_seconds = port.command_seconds
        self.data_seconds = port.data_seconds
        # False where rules contradict each other since a list has changed.
        self.upgradable = self.terms.contexts is not None
        if port.submission:
            self.last_call = port.now() + port.services.config.limits.session_timeout_before_auth

    def plain_session(self, channel: PlainChannel) -> PlainSession:
        kind = LocalSession if self.port.local else PlainSession
        return kind(self, channel, PlainServer(self.origin, self.terms.profile))

    def secure_session(self, channel: SecureChannel) -> SecureSession:
        self.wait(self.command_seconds, "command")
        return SecureSession(self, channel)

    def refusal(self) -> str:
        return self.terms.refusal

    def last_words(self, refusal: Refusal) -> bytes:
        return refusal.reply.octets

    def tell(self, facts: Mapping[str, object], ending: Mapping[str, object]) -> None:
        record = self.record
        fields: dict[str, Any] = {
            **facts,
            **self.terms.facts,
            "relay": record.relay,
            "user": record.user,
            "helo": record.helo,
            "messages": record.messages,
            "recipients": record.recipients,
            "bytes": record.bytes,
            "refused": record.refused,
            "errors": record.errors,
            **ending,
        }
        logs.event("smtp.session", **fields)
