"""What a POP3 gate offers a client: what both it and the server behind can do. Pure.

A capability is listed when the server lists it and the gate can keep its promise. PIPELINING and RESP-CODES are the
gate's own: it reads ahead whatever the server does, and its own refusals have codes. STLS is as the mode says, and
never inside TLS. Left out are

* every SASL mechanism with ``-PLUS``: a channel binding names the handshake that the login travels in, and the one with
  the client is not the one with the server;
* EXTERNAL: the certificate that the server saw is the gate's;
* APOP, which needs the greeting of the very server that hears it: no second greeting comes after STLS (RFC 2595 §4),
  and each session has a server of its own;
* UTF8 and LANG, which change what is said from then on, XTND, and whatever is not known.
"""

from __future__ import annotations

import functools
from typing import Final, NamedTuple

from gatepost.service.gate.mechanisms import passing
from gatepost.wire.pop3.capabilities import Capabilities
from gatepost.wire.pop3.profile import ServerProfile

_MECHANISMS_LIMIT: Final = 32
_OWN: Final = ("RESP-CODES", "PIPELINING")
_PASSED: Final = ("TOP", "UIDL", "AUTH-RESP-CODE", "EXPIRE", "LOGIN-DELAY", "IMPLEMENTATION")
_TAG_LIMIT: Final = 510  # RFC 2449 §4: octets of a line without its CRLF


class Abilities(NamedTuple):
    """What a server listed, as far as a gate can pass it on.

    :param listed: lines for CAPA, without logins and STLS.
    """

    stls: bool = False
    user: bool = True
    mechanisms: tuple[str, ...] = ()
    listed: tuple[str, ...] = _OWN

    @property
    def logins(self) -> bool:
        """Whether there is any way to log in that passes this gate."""
        return self.user or bool(self.mechanisms)


NO_ABILITIES: Final = Abilities()
"""Of a server that was not asked yet, or does not know CAPA."""


def abilities(server: Capabilities) -> Abilities:
    """What a server's list comes to."""
    mechanisms = passing(server.sasl)
    lines = (" ".join((tag, *server.tags[tag])) for tag in _PASSED if tag in server.tags)
    return Abilities(
        stls=server.stls,
        user=server.user or not server.tags,  # who does not know CAPA is asked, and answers for itself
        mechanisms=mechanisms[:_MECHANISMS_LIMIT],
        listed=(*_OWN, *(line for line in lines if len(line) <= _TAG_LIMIT)),
    )


@functools.lru_cache(256)
def offer(hostname: str, server: Abilities, *, stls: bool, max_errors: int) -> ServerProfile:
    """The settings of the engine towards the client.

    :param stls: whether it is listed and heard, in the clear.
    """
    return ServerProfile(
        hostname=hostname,
        starttls=stls,
        user_pass=server.user,
        auth_mechanisms=server.mechanisms,
        max_errors=max_errors,
        utf8=False,
        listed=server.listed,
        relayed=True,
    )
