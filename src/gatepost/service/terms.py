"""What a client is offered at a listener, and which rule says so. It follows from the connection's origin alone."""

from __future__ import annotations

from typing import Final, Generic, TypeVar

from gatepost.policy.inbound import Asked
from gatepost.tls.contexts import ServerContexts

Profile = TypeVar("Profile")


class Terms(Generic[Profile]):
    """The terms of a connection, whatever it speaks; many connections share them, and nobody changes them.

    :param profile: for the engines.
    :param contexts: for the handshake; None where TLS is not to be had.
    :param wanted: ``offer``, ``require``, ``deny`` or ``implicit``, for the log.
    :param rule: what decided that, for the log.
    :param refusal: why the connection is closed before anything is said; usually empty.
    :param asked: whether the client is asked for a certificate: ``none``, ``ask`` or ``require``.
    :param asked_by: what decided that, for the log; empty where nobody asks.
    :param external: the profile for a session that may log in by its certificate.
    """

    __slots__ = ("asked", "asked_by", "contexts", "external", "profile", "refusal", "rule", "wanted")

    def __init__(
        self,
        profile: Profile,
        contexts: ServerContexts | None,
        wanted: str,
        rule: str = "listener",
        refusal: str = "",
        *,
        asked: Asked = "none",
        asked_by: str = "",
        external: Profile | None = None,
    ) -> None:
        self.profile: Final = profile
        self.contexts: Final = contexts
        self.wanted: Final = wanted
        self.rule: Final = rule
        self.refusal: Final = refusal
        self.asked: Final = asked
        self.asked_by: Final = asked_by
        self.external: Final = external

    @property
    def facts(self) -> dict[str, str]:
        """What the log says: by which ``rule`` TLS is ``wanted``, and a certificate ``asked_by`` which."""
        asked = "" if self.asked == "none" or not self.asked_by else self.asked
        return {"wanted": self.wanted, "rule": self.rule, "asked": asked, "asked_by": self.asked_by}
