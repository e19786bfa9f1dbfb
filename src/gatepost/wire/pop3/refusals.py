"""What a POP3 client raises when a server says no, and when it says what may not be said."""

from __future__ import annotations

from gatepost.errors import RemoteProtocolError
from gatepost.wire.pop3.reply import Reply


class Refused(RemoteProtocolError):
    """The server refused a step, within the protocol. ``temporary`` follows the response code (RFC 2449 §8, RFC 3206).

    :param step: what was refused: ``greeting``, ``RETR``, …
    :param reply: the refusal.
    """

    def __init__(self, step: str, reply: Reply, *, hint: str = "") -> None:
        super().__init__(f"the server refused {step}: {reply}", temporary=reply.temporary, hint=hint)
        self.step = step
        self.reply: Reply | None = reply


class StartTLSRefused(Refused):
    """The server will not start TLS. The connection is still in the clear, and a login is not possible on it.

    :param reply: the refusal, or None when STLS was not listed and therefore not asked for.
    """

    def __init__(self, reply: Reply | None) -> None:
        hint = "something between the two sides may have removed or refused it"
        if reply is None:
            RemoteProtocolError.__init__(self, "the server does not list STLS", hint=hint, temporary=True)
            self.step = "STLS"
            self.reply = None
        else:
            super().__init__("STLS", reply, hint=hint)


class AuthenticationRefused(Refused):
    """The server did not let us in: credentials, mechanism, or a mailbox that is in use. ``reply.code`` may tell."""

    def __init__(self, reply: Reply) -> None:
        hint = "" if reply.temporary else "check the user name and the password"
        super().__init__("the login", reply, hint=hint)


class UnexpectedReply(RemoteProtocolError):
    """The server answered what the step cannot mean, or spoke before it was asked. The connection is over."""

    temporary = True

    def __init__(self, message: str, reply: Reply | None = None) -> None:
        super().__init__(f"{message}: {reply}" if reply is not None else message)
        self.reply = reply


class MalformedReply(RemoteProtocolError):
    """A reply breaks RFC 1939 §3, or is longer than its limit. The connection is over."""

    temporary = True


class ConnectionLost(RemoteProtocolError):
    """The server closed before its answer was complete: half a listing, or half a message, is none."""

    temporary = True
