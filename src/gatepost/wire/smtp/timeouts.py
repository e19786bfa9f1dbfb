"""How long a client waits for each reply: the upper bounds of RFC 5321 §4.5.3.2, which a configuration may shorten."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final


@final
@dataclass(frozen=True, slots=True)
class ClientTimeouts:
    """Seconds for one whole reply each; a peer that drips octets does not stretch them."""

    greeting: float = 300.0
    hello: float = 300.0
    starttls: float = 120.0
    authenticate: float = 120.0
    mail: float = 300.0
    recipient: float = 300.0
    data: float = 120.0
    final: float = 600.0
    reset: float = 60.0
    quit: float = 10.0


DEFAULT_TIMEOUTS: Final = ClientTimeouts()
