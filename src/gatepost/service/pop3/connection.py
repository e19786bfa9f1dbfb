"""One POP3 client: its terms, its sessions, its summary line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from gatepost.net.channel import PlainChannel, SecureChannel
from gatepost.net.transport import Transport
from gatepost.observe import logs
from gatepost.service import connection
from gatepost.service.limits import Refusal
from gatepost.service.pop3.plain import PlainSession
from gatepost.service.pop3.port import Port
from gatepost.service.pop3.secure import SecureSession
from gatepost.service.terms import Terms
from gatepost.wire.pop3.profile import ServerProfile
from gatepost.wire.pop3.reply import TOO_MANY_CONNECTIONS
from gatepost.wire.upgrade import Origin


class Record:
    """What the summary line of a connection says. Written by sessions, read by the log alone."""

    __slots__ = ("bytes", "deleted", "errors", "messages", "retrieved", "user")

    def __init__(self) -> None:
        self.user = ""
        self.messages = 0  # in the maildrop
        self.retrieved = 0
        self.deleted = 0
        self.bytes = 0
        self.errors = 0


class POP3Connection(connection.Connection):
    """One client.

    :param port: the listener it came to.
    :param closed: called once, when it is gone.
    """

    __slots__ = ("port", "record", "terms")

    def __init__(self, port: Port, transport: Transport, origin: Origin, closed: Callable[[Any], None]) -> None:
        self.port: Final = port
        self.terms: Final[Terms[ServerProfile]] = port.terms(origin.peer[0])
        self.record: Final = Record()
        super().__init__(port, transport, origin, self.terms.contexts, closed)
        self.last_call = port.now() + port.login_seconds

    def plain_session(self, channel: PlainChannel) -> PlainSession:
        return PlainSession(self, channel)

    def secure_session(self, channel: SecureChannel) -> SecureSession:
        return SecureSession(self, channel)

    def refusal(self) -> str:
        return self.terms.refusal

    def last_words(self, refusal: Refusal) -> bytes:
        return TOO_MANY_CONNECTIONS.octets

    def tell(self, facts: Mapping[str, object], ending: Mapping[str, object]) -> None:
        record = self.record
        fields: dict[str, Any] = {
            **facts,
            **self.terms.facts,
            "user": record.user,
            "messages": record.messages,
            "retrieved": record.retrieved,
            "deleted": record.deleted,
            "bytes": record.bytes,
            "errors": record.errors,
            **ending,
        }
        logs.event("pop3.session", **fields)
