"""PLAIN (RFC 4616): one message, ``[authzid] NUL authcid NUL password``. Exists only inside TLS."""

from __future__ import annotations

from typing import Final, final

from gatepost.errors import LocalProtocolError
from gatepost.wire.sasl.outcome import (
    AuthenticationError,
    Challenge,
    Credentials,
    Failure,
    FailureKind,
    NeedPassword,
    ScramVerifier,
    ServerStep,
    Success,
)
from gatepost.wire.sasl.prep import LENGTH_LIMIT, PreparationError, saslprep
from gatepost.wire.sasl.secret import Secret

MESSAGE_LIMIT: Final = 3 * 4 * LENGTH_LIMIT + 2  # octets: three UTF-8 strings and two NULs


def _malformed(reason: str) -> Failure:
    return Failure(FailureKind.MALFORMED, reason)


def judge_password(user: str, password: str, authzid: str = "") -> NeedPassword | Failure:
    """Prepare what a client claims.

    :param authzid: whom the client wants to act as; anyone but itself is refused (RFC 4616 §2 leaves that to us).
    """
    try:
        prepared_user = saslprep(user)
        prepared_password = saslprep(password)
        prepared_authzid = saslprep(authzid)
    except PreparationError as error:
        return Failure(FailureKind.REFUSED, f"user or password cannot be prepared: {error}")
    if not prepared_user:
        return _malformed("the user name is empty")
    if not prepared_password:
        return Failure(FailureKind.REFUSED, "the password is empty", prepared_user)
    if prepared_authzid and prepared_authzid != prepared_user:
        return Failure(FailureKind.REFUSED, "an authorization identity of somebody else", prepared_user)
    return NeedPassword(prepared_user, Secret(prepared_password))


class PasswordVerdict:
    """The end that PLAIN and LOGIN share: a password is asked for once and judged once."""

    __slots__ = ("_asked",)

    def __init__(self) -> None:
        self._asked = ""

    def _ask(self, judged: NeedPassword | Failure) -> NeedPassword | Failure:
        if isinstance(judged, NeedPassword):
            self._asked = judged.user
        return judged

    def verified(self, ok: bool) -> ServerStep:
        """Answer ``NeedPassword``."""
        user, self._asked = self._asked, ""
        if not user:
            raise LocalProtocolError("no password was asked for")
        if ok is not True:
            return Failure(FailureKind.REFUSED, "wrong user or password", user)
        return Success(user)

    def supply(self, verifier: ScramVerifier) -> ServerStep:
        """Never asked for."""
        raise LocalProtocolError("this mechanism asks for a password, not for a SCRAM verifier")


@final
class ServerPlain(PasswordVerdict):
    """The server's half of PLAIN."""

    __slots__ = ("_state",)
    name = "PLAIN"

    def __init__(self) -> None:
        super().__init__()
        self._state = 0

    def step(self, data: bytes | None) -> ServerStep:
        """Take the one message, with or without having been asked for it by an empty challenge."""
        if self._state == 2 or (self._state == 1 and data is None):
            raise LocalProtocolError("this exchange is over")
        if data is None:
            self._state = 1
            return Challenge(b"")
        self._state = 2
        if len(data) > MESSAGE_LIMIT:
            return _malformed("the message is too long")
        parts = data.split(b"\0")
        if len(parts) != 3:
            return _malformed(f"{len(parts) - 1} NULs in place of two")
        try:
            authzid, user, password = (part.decode() for part in parts)
        except UnicodeDecodeError:
            return _malformed("the message is not UTF-8")
        return self._ask(judge_password(user, password, authzid))


@final
class ClientPlain:
    """The client's half of PLAIN.

    :raises PreparationError: when the user name or password cannot be prepared (RFC 4013).
    :raises LocalProtocolError: when either is empty.
    """

    __slots__ = ("_message", "complete")
    name = "PLAIN"

    def __init__(self, credentials: Credentials) -> None:
        user, password = prepared_pair(credentials)
        self._message: Secret | None = Secret(f"\0{user}\0{password}")
        self.complete = False

    def initial(self) -> bytes | None:
        """The whole message."""
        return self._take()

    def respond(self, challenge: bytes) -> bytes:
        """Answer the empty challenge of a server that took no initial response."""
        if challenge:
            raise AuthenticationError("the server put a question to PLAIN, which has none")
        return self._take()

    def _take(self) -> bytes:
        if self._message is None:
            raise AuthenticationError("the server asks PLAIN for a second message")
        message, self._message = self._message, None
        self.complete = True
        return message.reveal()


def prepared_pair(credentials: Credentials) -> tuple[str, str]:
    """A client's user name and password, prepared.

    :raises LocalProtocolError: when one is empty, or the password is not text.
    :raises PreparationError: see ``saslprep``.
    """
    try:
        user, password = saslprep(credentials.user), saslprep(credentials.password.reveal().decode())
    except UnicodeDecodeError:
        raise LocalProtocolError("the password is not UTF-8") from None
    if not user or not password:
        raise LocalProtocolError("the user name or the password is empty")
    return user, password
