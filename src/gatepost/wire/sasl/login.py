"""LOGIN (draft-murchison-sasl-login): two questions, two answers. Obsolete, still used; exists only inside TLS."""

from __future__ import annotations

from typing import Final, final

from gatepost.errors import LocalProtocolError
from gatepost.wire.sasl.outcome import AuthenticationError, Challenge, Credentials, Failure, FailureKind, ServerStep
from gatepost.wire.sasl.plain import PasswordVerdict, judge_password, prepared_pair
from gatepost.wire.sasl.prep import LENGTH_LIMIT
from gatepost.wire.sasl.secret import Secret

USER_QUESTION: Final = Challenge(b"Username:")
PASSWORD_QUESTION: Final = Challenge(b"Password:")


@final
class ServerLogin(PasswordVerdict):
    """The server's half of LOGIN. An initial response is taken as the user name, as several clients send it."""

    __slots__ = ("_state", "_user")
    name = "LOGIN"

    def __init__(self) -> None:
        super().__init__()
        self._state = "start"
        self._user = ""

    def step(self, data: bytes | None) -> ServerStep:
        """Take the next answer."""
        if self._state == "over" or (self._state != "start" and data is None):
            raise LocalProtocolError("this exchange is over")
        if data is None:
            self._state = "user"
            return USER_QUESTION
        text = self._text(data)
        if isinstance(text, Failure):
            self._state = "over"
            return text
        if self._state == "password":
            self._state = "over"
            return self._ask(judge_password(self._user, text))
        self._state, self._user = "password", text
        return PASSWORD_QUESTION

    def _text(self, data: bytes) -> str | Failure:
        if len(data) > 4 * LENGTH_LIMIT:
            return Failure(FailureKind.MALFORMED, "the answer is too long")
        if b"\0" in data:
            return Failure(FailureKind.MALFORMED, "NUL in the answer")
        if not data and self._state != "password":
            return Failure(FailureKind.MALFORMED, "the user name is empty")
        try:
            return data.decode()
        except UnicodeDecodeError:
            return Failure(FailureKind.MALFORMED, "the answer is not UTF-8")


@final
class ClientLogin:
    """The client's half of LOGIN: the first answer is the user name, the second the password, whatever is asked."""

    __slots__ = ("_answers",)
    name = "LOGIN"

    def __init__(self, credentials: Credentials) -> None:
        user, password = prepared_pair(credentials)
        self._answers = [Secret(password), Secret(user)]

    def initial(self) -> bytes | None:
        """None: the server asks first."""
        return None

    def respond(self, challenge: bytes) -> bytes:
        """The next answer; the wording of the question means nothing."""
        if not self._answers:
            raise AuthenticationError("the server asks LOGIN for a third answer")
        return self._answers.pop().reveal()

    @property
    def complete(self) -> bool:
        """Whether both answers were given."""
        return not self._answers
