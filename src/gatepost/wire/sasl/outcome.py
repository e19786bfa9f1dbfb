"""What a server's half of a mechanism answers, and the interfaces of both halves.

A server mechanism is a sans-I/O machine: ``step`` takes what the client sent, decoded from base64, and returns one of
these values. It never sees a user table: it asks for what it must know (``NeedPassword``, ``NeedScram``) and is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Protocol, TypeAlias, final, runtime_checkable

from gatepost.errors import RemoteProtocolError
from gatepost.wire.sasl.secret import Secret

if TYPE_CHECKING:
    from gatepost.wire.upgrade import TLSEvidence


@final
@dataclass(frozen=True, slots=True)
class Challenge:
    """Send these octets (SMTP ``334``, base64) and pass the client's answer to ``step``."""

    data: bytes


@final
@dataclass(frozen=True, slots=True)
class NeedPassword:
    """Check this password, then tell the mechanism with ``verified``. Both are already prepared (RFC 4013)."""

    user: str
    password: Secret


@final
@dataclass(frozen=True, slots=True)
class NeedScram:
    """Look up what is stored for this user, then hand it over with ``supply``. An unknown user gets a made-up one."""

    user: str


@final
@dataclass(frozen=True, slots=True)
class Success:
    """The client proved to be this user. ``identity`` is prepared (RFC 4013)."""

    identity: str


class FailureKind(Enum):
    """What to reply (RFC 4954 §4 and §6)."""

    MALFORMED = "malformed"  # 501 5.5.2: the response is not what the mechanism's grammar allows
    REFUSED = "refused"  # 535 5.7.8: credentials, whatever was wrong with them


@final
@dataclass(frozen=True, slots=True)
class Failure:
    """The exchange failed and is over.

    :param reason: for the log only; the client gets one text for all of a kind, so that it learns nothing.
    :param user: who was tried, when that is known.
    """

    kind: FailureKind
    reason: str
    user: str = ""


NeedVerifier: TypeAlias = NeedPassword | NeedScram
ServerStep: TypeAlias = Challenge | NeedPassword | NeedScram | Success | Failure


@runtime_checkable
class ScramVerifier(Protocol):
    """What is stored of a user for SCRAM (RFC 5802 §3); ``scram.Verifier`` is one."""

    @property
    def salt(self) -> bytes: ...
    @property
    def iterations(self) -> int: ...
    @property
    def stored_key(self) -> bytes: ...
    @property
    def server_key(self) -> bytes: ...


class ServerMechanism(Protocol):
    """The server's half of a mechanism."""

    name: str

    def step(self, data: bytes | None) -> ServerStep:
        """Take the client's response; None on the first call when it sent no initial response (RFC 4954 §4)."""

    def verified(self, ok: bool) -> ServerStep:
        """Answer ``NeedPassword``. Mechanisms that never ask raise LocalProtocolError."""

    def supply(self, verifier: ScramVerifier) -> ServerStep:
        """Answer ``NeedScram``. Mechanisms that never ask raise LocalProtocolError."""


class ClientMechanism(Protocol):
    """The client's half of a mechanism."""

    name: str

    def initial(self) -> bytes | None:
        """The initial response, or None when the server speaks first."""

    def respond(self, challenge: bytes) -> bytes:
        """Answer a challenge.

        :raises AuthenticationError: when the server breaks the mechanism or fails to prove itself.
        """

    @property
    def complete(self) -> bool:
        """Whether the exchange has reached the point at which the server's success may be believed."""


class AuthenticationError(RemoteProtocolError):
    """A server broke the mechanism, asked for too much work, or did not prove that it knows the user."""


@final
@dataclass(frozen=True, slots=True)
class Credentials:
    """Whom a client wants to be.

    :param user: the authentication identity.
    :param password: its password.
    """

    user: str
    password: Secret = field(repr=False)


def bindings_of(evidence: TLSEvidence) -> Mapping[str, bytes]:
    """The channel bindings that a handshake proved, by their registered names, the preferred one first.

    ``tls-exporter`` (RFC 9266) exists for TLS 1.3, and for 1.2 with the extended master secret;
    ``tls-server-end-point`` (RFC 5929 §4) where the server's certificate is known. ``tls-unique`` is never used
    (RFC 9266 §3).
    """
    found: dict[str, bytes] = {}
    if evidence.tls_exporter:
        found["tls-exporter"] = evidence.tls_exporter
    if evidence.tls_server_end_point:
        found["tls-server-end-point"] = evidence.tls_server_end_point
    return found
