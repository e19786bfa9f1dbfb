"""EXTERNAL (RFC 4422 appendix A): who somebody is was settled below, by a certificate or a local socket."""

from __future__ import annotations

from typing import final

from gatepost.errors import LocalProtocolError
from gatepost.wire.sasl.outcome import (
    AuthenticationError,
    Challenge,
    Failure,
    FailureKind,
    ScramVerifier,
    ServerStep,
    Success,
)
from gatepost.wire.sasl.prep import PreparationError, saslprep


@final
class ServerExternal:
    """The server's half of EXTERNAL.

    :param identity: whom the layer below proved; empty when nobody.
    """

    __slots__ = ("_identity", "_state")
    name = "EXTERNAL"

    def __init__(self, identity: str) -> None:
        self._identity = identity
        self._state = 0

    def step(self, data: bytes | None) -> ServerStep:
        """Take the authorization identity: empty, or the proved identity itself."""
        if self._state == 2 or (self._state == 1 and data is None):
            raise LocalProtocolError("this exchange is over")
        if data is None:
            self._state = 1
            return Challenge(b"")
        self._state = 2
        if not self._identity:
            return Failure(FailureKind.REFUSED, "nothing below proved who this is")
        try:
            wanted = saslprep(data.decode())
        except (UnicodeDecodeError, PreparationError):
            return Failure(FailureKind.MALFORMED, "the authorization identity cannot be prepared")
        if wanted and wanted != self._identity:
            return Failure(FailureKind.REFUSED, "an authorization identity of somebody else", self._identity)
        return Success(self._identity)

    def verified(self, ok: bool) -> ServerStep:
        """Never asked for."""
        raise LocalProtocolError("EXTERNAL asks for no password")

    def supply(self, verifier: ScramVerifier) -> ServerStep:
        """Never asked for."""
        raise LocalProtocolError("EXTERNAL asks for no verifier")


@final
class ClientExternal:
    """The client's half of EXTERNAL: it asks to be what the layer below says."""

    __slots__ = ("complete",)
    name = "EXTERNAL"

    def __init__(self) -> None:
        self.complete = False

    def initial(self) -> bytes | None:
        """The empty authorization identity (sent as ``=``, RFC 4954 §4)."""
        self.complete = True
        return b""

    def respond(self, challenge: bytes) -> bytes:
        """Answer the empty challenge of a server that took no initial response."""
        if challenge or self.complete:
            raise AuthenticationError("the server put a question to EXTERNAL, which has none")
        self.complete = True
        return b""
