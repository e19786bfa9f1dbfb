"""The public SMTP clients and servers of the library. Names are loaded when first used, so importing this is cheap.

The clients: ``Client`` on asyncio and ``BlockingClient`` without a loop. ``docs/library.md`` is the tutorial.

The server: give ``Server`` a handler class and a certificate. ``docs/library-server.md`` is the tutorial.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from gatepost.smtp.blocking import BlockingClient
    from gatepost.smtp.client import Client
    from gatepost.smtp.extensions import Extension
    from gatepost.smtp.handler import Handler, UpgradeFailure
    from gatepost.smtp.incoming import IncomingMessage, MessageAborted, MessageTooLong
    from gatepost.smtp.logins import Auth
    from gatepost.smtp.outcome import MessageRefused, Outcome
    from gatepost.smtp.server import Server
    from gatepost.smtp.serverlimits import ServerLimits
    from gatepost.smtp.session import PlainSession, SecureSession, Session
    from gatepost.wire.sasl.mechanisms import NoMechanism
    from gatepost.wire.sasl.outcome import AuthenticationError
    from gatepost.wire.sasl.secret import Secret
    from gatepost.wire.smtp.address import Mailbox
    from gatepost.wire.smtp.capabilities import Capabilities
    from gatepost.wire.smtp.envelope import Envelope, EnvelopeRecipient, Submission
    from gatepost.wire.smtp.events import MailParameters, RcptParameters
    from gatepost.wire.smtp.refusals import (
        AuthenticationRefused,
        ConnectionLost,
        Refused,
        StartTLSRefused,
        UnexpectedReply,
    )
    from gatepost.wire.smtp.reply import Reply

__all__ = [
    "Auth",
    "AuthenticationError",
    "AuthenticationRefused",
    "BlockingClient",
    "Capabilities",
    "Client",
    "ConnectionLost",
    "Envelope",
    "EnvelopeRecipient",
    "Extension",
    "Handler",
    "IncomingMessage",
    "MailParameters",
    "Mailbox",
    "MessageAborted",
    "MessageRefused",
    "MessageTooLong",
    "NoMechanism",
    "Outcome",
    "PlainSession",
    "RcptParameters",
    "Refused",
    "Reply",
    "Secret",
    "SecureSession",
    "Server",
    "ServerLimits",
    "Session",
    "StartTLSRefused",
    "Submission",
    "UnexpectedReply",
    "UpgradeFailure",
]

_HOMES: Final = {
    "smtp.blocking": ("BlockingClient",),
    "smtp.client": ("Client",),
    "smtp.extensions": ("Extension",),
    "smtp.handler": ("Handler", "UpgradeFailure"),
    "smtp.incoming": ("IncomingMessage", "MessageAborted", "MessageTooLong"),
    "smtp.logins": ("Auth",),
    "smtp.outcome": ("MessageRefused", "Outcome"),
    "smtp.server": ("Server",),
    "smtp.serverlimits": ("ServerLimits",),
    "smtp.session": ("PlainSession", "SecureSession", "Session"),
    "wire.sasl.mechanisms": ("NoMechanism",),
    "wire.sasl.outcome": ("AuthenticationError",),
    "wire.sasl.secret": ("Secret",),
    "wire.smtp.address": ("Mailbox",),
    "wire.smtp.events": ("MailParameters", "RcptParameters"),
    "wire.smtp.capabilities": ("Capabilities",),
    "wire.smtp.envelope": ("Envelope", "EnvelopeRecipient", "Submission"),
    "wire.smtp.refusals": (
        "AuthenticationRefused",
        "ConnectionLost",
        "Refused",
        "StartTLSRefused",
        "UnexpectedReply",
    ),
    "wire.smtp.reply": ("Reply",),
}
_HOME_OF: Final = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:  # PEP 562
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"gatepost.{home}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
