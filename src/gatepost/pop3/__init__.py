"""POP3 for programs: the clients. Names are loaded when first used, so importing this is cheap.

``Client`` is on asyncio, ``BlockingClient`` without a loop; ``docs/library.md`` is the tutorial.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from gatepost.pop3.blocking import BlockingClient
    from gatepost.pop3.client import Client
    from gatepost.wire.pop3.capabilities import Capabilities
    from gatepost.wire.pop3.client import Maildrop
    from gatepost.wire.pop3.refusals import AuthenticationRefused, Refused, StartTLSRefused
    from gatepost.wire.pop3.reply import Reply
    from gatepost.wire.sasl.outcome import AuthenticationError
    from gatepost.wire.sasl.secret import Secret

__all__ = [
    "AuthenticationError",
    "AuthenticationRefused",
    "BlockingClient",
    "Capabilities",
    "Client",
    "Maildrop",
    "Refused",
    "Reply",
    "Secret",
    "StartTLSRefused",
]

_HOMES: Final = {
    "pop3.blocking": ("BlockingClient",),
    "pop3.client": ("Client",),
    "wire.pop3.capabilities": ("Capabilities",),
    "wire.pop3.client": ("Maildrop",),
    "wire.pop3.refusals": ("AuthenticationRefused", "Refused", "StartTLSRefused"),
    "wire.pop3.reply": ("Reply",),
    "wire.sasl.outcome": ("AuthenticationError",),
    "wire.sasl.secret": ("Secret",),
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
