"""A conversation in the clear that never becomes private and passes logins on.

It exists for one place: a gate whose operator has decided that its clients are not to use TLS, in front of a server
that takes logins in the clear. Everywhere else logins are heard inside TLS alone: ``PlainServer`` cannot hear them.
STARTTLS is in none of its states, so nothing that was said here can reach a private session.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final, final

from gatepost.wire.smtp.engine import Handler
from gatepost.wire.smtp.login import LoginEngine
from gatepost.wire.smtp.profile import ServerProfile
from gatepost.wire.smtp.states import Rulebook, Trigger, unprotected_rules
from gatepost.wire.upgrade import Origin

_RULES: Final[Rulebook] = unprotected_rules()


@final
class UnprotectedServer(LoginEngine):
    """A conversation in the clear, with logins.

    :param origin: where the connection came from.
    :param profile: how the listener speaks. What it says of STARTTLS is not looked at: there is none.
    """

    __slots__ = ()

    def __init__(self, origin: Origin, profile: ServerProfile) -> None:
        super().__init__(
            origin,
            profile,
            _RULES,
            profile.unprotected_capabilities,
            profile.plain_extensions,
            profile.auth_mechanisms,
        )

    def _offer(self, profile: ServerProfile) -> None:
        super()._offer(profile)
        self._capabilities = profile.unprotected_capabilities
        self._extensions = profile.plain_extensions
        self._mechanisms = profile.auth_mechanisms

    _handlers: ClassVar[Mapping[Trigger, Handler]] = LoginEngine._handlers
