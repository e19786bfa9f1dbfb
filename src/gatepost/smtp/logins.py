"""Who may log in to a server, and how it is found out. AUTH exists inside TLS only.

``Auth`` holds what a user of the library knows: a password check, or SCRAM verifiers, or both. ``Exchange`` is one AUTH
exchange (RFC 4954) over the mechanisms of ``wire.sasl``; it asks ``Auth`` and nothing else.
"""

from __future__ import annotations

import hashlib
import hmac
import inspect
import os
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias, final

from gatepost.errors import LocalProtocolError
from gatepost.wire.sasl.mechanisms import offer, serve
from gatepost.wire.sasl.outcome import (
    Challenge,
    Failure,
    NeedPassword,
    NeedScram,
    ScramVerifier,
    ServerMechanism,
    ServerStep,
    Success,
    bindings_of,
)
from gatepost.wire.sasl.prep import saslprep
from gatepost.wire.sasl.scram import MINIMUM_ITERATIONS, Verifier, derive_verifier
from gatepost.wire.sasl.secret import Secret
from gatepost.wire.upgrade import TLSEvidence

PasswordCheck: TypeAlias = Callable[[str, Secret], Awaitable[bool] | bool]
VerifierLookup: TypeAlias = Callable[[str], Awaitable[ScramVerifier | None] | ScramVerifier | None]

PASSWORD_MECHANISMS: Final = ("PLAIN", "LOGIN")
SCRAM_MECHANISMS: Final = ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256")


@final
class Auth:
    """What logins are judged by.

    :param check: says whether a password is a user's; offers PLAIN and LOGIN. It may be a coroutine function. Both
        arguments are prepared (RFC 4013); compare in constant time (``Secret`` does).
    :param scram: what is stored of a user, or None for an unknown one; offers SCRAM-SHA-256, and with the channel
        bindings of the handshake (RFC 9266) SCRAM-SHA-256-PLUS.
    :param required: whether MAIL needs a login.
    :raises LocalProtocolError: when there is neither.
    """

    __slots__ = ("_check", "_decoys", "_scram", "mechanisms", "required")

    def __init__(
        self, *, check: PasswordCheck | None = None, scram: VerifierLookup | None = None, required: bool = False
    ) -> None:
        if check is None and scram is None:
            raise LocalProtocolError("a login needs a password check, SCRAM verifiers, or both")
        self._check = check
        self._scram = scram
        self._decoys: Final = os.urandom(16)
        self.required: Final = required
        self.mechanisms: Final = (SCRAM_MECHANISMS if scram else ()) + (PASSWORD_MECHANISMS if check else ())

    @classmethod
    def from_passwords(cls, passwords: Mapping[str, str], *, required: bool = False) -> Auth:
        """Logins from a table of names and passwords, with every mechanism: for tests and small tools."""
        secret = {saslprep(user): Secret(saslprep(password)) for user, password in passwords.items()}
        key = os.urandom(16)
        known: dict[str, Verifier] = {}

        def check(user: str, password: Secret) -> bool:
            return secret.get(user, Secret(b"")) == password and user in secret

        def scram(user: str) -> ScramVerifier | None:
            if user not in secret:
                return None
            if user not in known:
                known[user] = derive_verifier(
                    secret[user].reveal().decode(), salt=_salt(key, user), iterations=MINIMUM_ITERATIONS
                )
            return known[user]

        return cls(check=check, scram=scram, required=required)

    async def right(self, user: str, password: Secret) -> bool:
        """Whether a password is a user's."""
        if self._check is None:
            return False
        answer = self._check(user, password)
        return (await answer if inspect.isawaitable(answer) else answer) is True

    async def verifier(self, user: str) -> ScramVerifier:
        """What is stored of a user; for an unknown one what nobody can prove, with a salt that stays the same."""
        found: ScramVerifier | None = None
        if self._scram is not None:
            answer = self._scram(user)
            found = await answer if inspect.isawaitable(answer) else answer
        if found is not None:
            return found
        return Verifier(_salt(self._decoys, user), MINIMUM_ITERATIONS, secrets.token_bytes(32), secrets.token_bytes(32))


def _salt(key: bytes, user: str) -> bytes:
    return hmac.digest(key, user.encode(), hashlib.sha256)[:16]


@final
class Exchange:
    """One AUTH exchange.

    :param auth: who is asked.
    :param evidence: what the handshake proved, for channel bindings.
    :param name: the mechanism that the client chose, in upper case.
    """

    __slots__ = ("_auth", "_mechanism", "name")

    def __init__(self, auth: Auth, evidence: TLSEvidence, name: str) -> None:
        bindings = bindings_of(evidence)
        self.name: Final = name
        self._auth = auth
        self._mechanism: ServerMechanism | None = serve(
            name, offer(auth.mechanisms, bindings), bindings, nonce=secrets.token_urlsafe(24)
        )

    async def step(self, data: bytes | None) -> Challenge | Success | Failure | None:
        """Take what the client sent. None when the mechanism is not offered here after all."""
        mechanism = self._mechanism
        if mechanism is None:
            return None
        step: ServerStep = mechanism.step(data)
        while True:
            match step:
                case NeedPassword(user, password):
                    step = mechanism.verified(await self._auth.right(user, password))
                case NeedScram(user):
                    step = mechanism.supply(await self._auth.verifier(user))
                case _:
                    return step
