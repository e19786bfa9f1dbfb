"""Hooks: what the user of a ``Server`` writes.

A handler is made anew for each side of each connection, by the factory that the server was given: one when a client
connects, another when the upgrade has completed. What a plaintext handler kept on itself is therefore not there inside
TLS, without anybody having to clear it. What all handlers share (a store, a database) is given to them by the factory.

Every hook is optional, may be a coroutine function or a plain one, and returns None to go on or a ``Reply`` to refuse.
A reply of 421 ends the session. A hook that raises is logged and answered with 451; one that takes longer than
``ServerLimits.hook`` is cancelled, with the same answer. It is cancelled, too, when the connection is lost; not when
the client closed its own side alone, since it may still read the answer.
"""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, final

from gatepost.errors import LocalProtocolError
from gatepost.smtp.incoming import IncomingMessage
from gatepost.smtp.session import PlainSession, SecureSession, Session
from gatepost.wire.smtp.address import Mailbox
from gatepost.wire.smtp.events import MailParameters, RcptParameters
from gatepost.wire.smtp.reply import Reply
from gatepost.wire.upgrade import Origin, TLSEvidence

Verdict: TypeAlias = Reply | None


@final
@dataclass(frozen=True, slots=True)
class UpgradeFailure:
    """Why a connection did not become private. It is over.

    :param origin: where it came from.
    :param reason: in words.
    :param alert: the name of the TLS alert that was sent or received, or an empty string.
    :param injected: whether there was plaintext where the handshake was due: an injection, or a broken client.
    :param residue: the octets that stood behind STARTTLS in its own segment; what comes in a later one is refused by
        the TLS engine, and not kept.
    """

    origin: Origin
    reason: str
    alert: str = ""
    injected: bool = False
    residue: bytes = field(default=b"", repr=False)


class Handler:
    """The hooks, each doing nothing. Subclassing is optional: any object that has some of them will do."""

    async def on_connect(self, session: PlainSession) -> Verdict:
        """A client has connected; nothing was said. Extensions may be registered. Not called where TLS comes first."""
        return None

    async def on_secure(self, session: SecureSession, evidence: TLSEvidence) -> Verdict:
        """TLS is up: this handler and this session are new. Extensions and a login may be registered.

        A refusal is what every further command is answered with (RFC 3207 §4.1).
        """
        return None

    async def on_hello(self, session: Session, name: str) -> Verdict:
        """EHLO, HELO or LHLO. ``name`` is a claim."""
        return None

    async def on_login(self, session: SecureSession, user: str, mechanism: str) -> Verdict:
        """The credentials were right. ``session.user`` is set when this returns None."""
        return None

    async def on_mail(self, session: Session, sender: Mailbox | None, parameters: MailParameters) -> Verdict:
        """MAIL. ``sender`` is None for the null path."""
        return None

    async def on_rcpt(self, session: Session, recipient: Mailbox, parameters: RcptParameters) -> Verdict:
        """RCPT. ``session.sender`` and ``session.recipients`` say what was accepted before."""
        return None

    async def on_message(self, session: Session, message: IncomingMessage) -> Verdict | Sequence[Verdict]:
        """The content begins to arrive. When this returns None, and the content is complete, the client is told 250.

        Whoever returns None has taken the message: store it before. A positive reply may carry a text of your own; in
        LMTP a sequence answers for each recipient. This hook is required.
        """
        raise NotImplementedError("a handler needs on_message: whoever takes a message has to put it somewhere")

    async def on_close(self, session: Session, reason: str) -> None:
        """This side is over: ``upgraded``, ``quit``, ``connection lost``, ``timeout (command)``, …"""

    async def on_failure(self, failure: UpgradeFailure) -> None:
        """The upgrade failed; nothing is served afterwards. ``on_close`` follows."""


Hook: TypeAlias = Callable[..., Awaitable[Any] | Any]
HandlerFactory: TypeAlias = Callable[[], object]
HOOKS: Final = tuple(name for name in vars(Handler) if name.startswith("on_"))


@final
class Hooks:
    """The hooks that a handler really has."""

    __slots__ = ("_hooks", "handler")

    def __init__(self, handler: object) -> None:
        self.handler: Final = handler
        self._hooks: dict[str, Hook] = {}
        for name in HOOKS:
            hook = getattr(handler, name, None)
            if hook is not None and getattr(hook, "__func__", None) is not getattr(Handler, name):
                self._hooks[name] = hook

    def get(self, name: str) -> Hook | None:
        """A hook, or None where there is nothing to call."""
        return self._hooks.get(name)


def check_handler(kind: type) -> None:
    """Look for mistakes in a handler's class.

    :raises LocalProtocolError: for a name that is nearly a hook's, and for one without ``on_message``.
    """
    if getattr(kind, "on_message", Handler.on_message) is Handler.on_message:
        raise LocalProtocolError(
            f"{kind.__name__} has no on_message: mail would be taken and lost",
            hint="give the server a class with that hook, or a function that makes an object of one",
        )
    for name in dir(kind):
        if name.startswith("on_") and name not in HOOKS:
            nearest = difflib.get_close_matches(name, HOOKS, 1, 0.4)
            raise LocalProtocolError(
                f"{kind.__name__}.{name} is no hook",
                hint=f"did you mean {nearest[0]}?" if nearest else f"hooks are {', '.join(HOOKS)}",
            )
