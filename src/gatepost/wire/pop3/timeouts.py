"""How long a client waits. RFC 1939 names no bounds for it; these are those of patient clients in the field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final


@final
@dataclass(frozen=True, slots=True)
class ClientTimeouts:
    """Seconds for one whole reply each; a peer that drips octets does not stretch them.

    :param greeting: for the greeting.
    :param reply: for the answer to a command, one line or a listing.
    :param login: for each answer of a login; a server may look at a large mailbox before it gives the last one.
    :param content: for each 16 KiB of a message.
    :param quit: for the answer to QUIT, before which the server deletes.
    """

    greeting: float = 60.0
    reply: float = 60.0
    login: float = 120.0
    content: float = 60.0
    quit: float = 60.0


DEFAULT_TIMEOUTS: Final = ClientTimeouts()
