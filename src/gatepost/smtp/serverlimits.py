"""What a peer may use of a server, and how long it may take. Every peer is hostile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from gatepost.errors import LocalProtocolError
from gatepost.wire.smtp.profile import COMMAND_LIMIT


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """Limits of a ``Server``. Times are in seconds.

    :param handshake: for the whole handshake.
    :param command: for the next command (RFC 5321 §4.5.3.2.7 asks for 300).
    :param data: for some progress in the content.
    :param session: for everything, 0 for no limit.
    :param hook: for one call of a hook; that of ``on_message`` begins with the content.
    :param message_size: octets of a message.
    :param recipients: accepted recipients of a message.
    :param messages: messages of a session, 0 for no limit.
    :param line: octets of a command line.
    :param errors: protocol errors, and refusals, of a session; the next one ends it.
    :param connections: at once.
    :param connections_per_address: at once, 0 for no limit.
    :param logins: failed logins of a session; the last one ends it.
    :param login_delay: before a failed login is answered.
    :param drain: for what is under way when the server stops.
    """

    handshake: float = 60.0
    command: float = 300.0
    data: float = 180.0
    session: float = 0.0
    hook: float = 300.0
    message_size: int = 52428800
    recipients: int = 1000
    messages: int = 0
    line: int = COMMAND_LIMIT
    errors: int = 10
    connections: int = 1000
    connections_per_address: int = 100
    logins: int = 3
    login_delay: float = 1.0
    drain: float = 10.0

    def __post_init__(self) -> None:
        positive = (self.handshake, self.command, self.data, self.hook, self.connections, self.logins)
        others = (self.session, self.messages, self.connections_per_address, self.login_delay, self.drain)
        if min(positive) <= 0 or min(others) < 0:
            raise LocalProtocolError("a limit below zero, or a zero where that would refuse everybody")
