"""What a client raises when a server says no, and when it says what may not be said."""

from __future__ import annotations

from gatepost.errors import RemoteProtocolError
from gatepost.wire.smtp.reply import Reply


class Refused(RemoteProtocolError):
    """The server refused a step, within the protocol. ``temporary`` follows the reply (RFC 5321 §4.2.1).

    :param step: what was refused: ``greeting``, ``EHLO``, …
    :param reply: the refusal.
    """

    def __init__(self, step: str, reply: Reply, *, hint: str = "") -> None:
        super().__init__(
            f"the server refused {step}: {reply}",
            code=reply.code,
            enhanced=reply.enhanced,
            temporary=reply.code < 500,
            hint=hint,
        )
        self.step = step
        self.reply: Reply | None = reply


class StartTLSRefused(Refused):
    """The server will not start TLS. The connection is still in the clear; a policy that requires TLS ends it here.

    :param reply: the refusal, or None when STARTTLS was not listed and therefore not asked for.
    """

    def __init__(self, reply: Reply | None) -> None:
        hint = "something between the two sides may have removed or refused it; a policy of 'may' goes on without"
        if reply is None:
            RemoteProtocolError.__init__(self, "the server does not list STARTTLS", hint=hint, temporary=True)
            self.step = "STARTTLS"
            self.reply = None
        else:
            super().__init__("STARTTLS", reply, hint=hint)


class AuthenticationRefused(Refused):
    """The server took neither the credentials nor, perhaps, the mechanism (RFC 4954 §6)."""

    def __init__(self, reply: Reply) -> None:
        super().__init__("AUTH", reply, hint="check the user name and the password")


class UnexpectedReply(RemoteProtocolError):
    """The server answered what the step cannot mean, or spoke before it was asked. The connection is over.

    Nothing is known about the message that was under way, so it is kept: ``temporary`` is true.

    :param reply: the reply in question, when one could be read.
    """

    temporary = True

    def __init__(self, message: str, reply: Reply | None = None) -> None:
        super().__init__(f"{message}: {reply}" if reply is not None else message)
        self.reply = reply


class ConnectionLost(RemoteProtocolError):
    """The server closed the connection before its reply was complete; half a reply says nothing (RFC 5321 §3.8)."""

    temporary = True
