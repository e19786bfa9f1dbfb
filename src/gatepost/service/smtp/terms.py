"""What a client is offered at an SMTP listener: beside TLS and logins, whether it may relay."""

from __future__ import annotations

from typing import Final, final

from gatepost.policy.inbound import Asked
from gatepost.policy.relay import RelayPolicy
from gatepost.service import terms
from gatepost.tls.contexts import ServerContexts
from gatepost.wire.smtp.profile import ServerProfile


@final
class Terms(terms.Terms[ServerProfile]):
    """The terms of a connection; see ``service.terms``.

    :param relay: the rule by which the client may relay without a login; empty when it may not.
    :param relaying: the rules that a certificate is held against; None where none could make a difference.
    """

    __slots__ = ("relay", "relaying")

    def __init__(
        self,
        profile: ServerProfile,
        contexts: ServerContexts | None,
        wanted: str,
        rule: str = "listener",
        relay: str = "",
        refusal: str = "",
        *,
        asked: Asked = "none",
        asked_by: str = "",
        relaying: RelayPolicy | None = None,
        external: ServerProfile | None = None,
    ) -> None:
        super().__init__(profile, contexts, wanted, rule, refusal, asked=asked, asked_by=asked_by, external=external)
        self.relay: Final = relay
        self.relaying: Final = relaying
