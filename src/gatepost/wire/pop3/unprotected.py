"""A conversation in the clear that never becomes private and passes logins on.

It exists for one place: a gate whose operator has decided that its clients are not to use TLS, in front of a server
that takes logins in the clear. Everywhere else logins are heard inside TLS alone: ``PlainServer`` cannot hear them.
STLS is in none of its states, so nothing that was said here can reach a private session.
"""

from __future__ import annotations

from typing import Final, final

from gatepost.wire.pop3.maildrop import MaildropEngine
from gatepost.wire.pop3.profile import ServerProfile
from gatepost.wire.pop3.states import Rulebook, unprotected_rules
from gatepost.wire.upgrade import Origin

_RULES: Final[Rulebook] = unprotected_rules()


@final
class UnprotectedServer(MaildropEngine):
    """A conversation in the clear, with logins.

    :param origin: where the connection came from.
    :param profile: how the listener speaks. What it says of STLS is not looked at: there is none.
    """

    __slots__ = ()

    def __init__(self, origin: Origin, profile: ServerProfile) -> None:
        super().__init__(origin, profile, _RULES, *self._offered(profile))

    def _offered(self, profile: ServerProfile) -> tuple[bytes, tuple[str, ...]]:
        unbound = tuple(name for name in profile.auth_mechanisms if not name.endswith("-PLUS"))
        return profile.unbound_capabilities, unbound
