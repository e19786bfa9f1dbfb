"""What a client is offered at a listener, and which rule says so. It follows from the connection's origin alone."""

from __future__ import annotations

from typing import Final, final

from gatepost.tls.contexts import ServerContexts
from gatepost.wire.smtp.profile import ServerProfile


@final
class Terms:
    """The terms of a connection; many connections share them, and nobody changes them.

    :param profile: for the engines.
    :param contexts: for the handshake; None where TLS is not to be had.
    :param wanted: ``offer``, ``require``, ``deny`` or ``implicit``, for the log.
    :param rule: what decided that, for the log.
    :param relay: the rule by which the client may relay without a login; empty when it may not.
    :param refusal: why the connection is closed before anything is said; usually empty.
    """

    __slots__ = ("contexts", "profile", "refusal", "relay", "rule", "wanted")

    def __init__(
        self,
        profile: ServerProfile,
        contexts: ServerContexts | None,
        wanted: str,
        rule: str = "listener",
        relay: str = "",
        refusal: str = "",
    ) -> None:
        self.profile: Final = profile
        self.contexts: Final = contexts
        self.wanted: Final = wanted
        self.rule: Final = rule
        self.relay: Final = relay
        self.refusal: Final = refusal
