"""What a client is offered at a listener, and which rule says so. It follows from the connection's origin alone."""

from __future__ import annotations

from typing import Final, final

from gatepost.policy.inbound import Asked
from gatepost.policy.relay import RelayPolicy
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
    :param asked: whether the client is asked for a certificate: ``none``, ``ask`` or ``require``.
    :param relaying: the rules that a certificate is held against; None where none could make a difference.
    :param external: the profile for a session that may log in by its certificate, at submission.
    :param refusal: why the connection is closed before anything is said; usually empty.
    """

    __slots__ = ("asked", "contexts", "external", "profile", "refusal", "relay", "relaying", "rule", "wanted")

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
        relaying: RelayPolicy | None = None,
        external: ServerProfile | None = None,
    ) -> None:
        self.profile: Final = profile
        self.contexts: Final = contexts
        self.wanted: Final = wanted
        self.rule: Final = rule
        self.relay: Final = relay
        self.refusal: Final = refusal
        self.asked: Final = asked
        self.relaying: Final = relaying
        self.external: Final = external
