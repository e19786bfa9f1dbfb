"""A message on its way in: its envelope, and its content as it arrives.

The content streams. Whoever reads slowly slows the sender: beyond a bound nothing more is read from the socket. A
message that will not be completed raises ``MessageAborted`` in whoever reads it, so half a message is never taken for a
whole one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import SMTP, SMTPUTF8
from email.utils import formatdate
from typing import Final, final

from gatepost.errors import GatepostError, LocalProtocolError
from gatepost.smtp.session import SecureSession, Session
from gatepost.wire.smtp.address import Mailbox
from gatepost.wire.smtp.events import MailParameters, RcptParameters
from gatepost.wire.smtp.received import Received, protocol_keyword

HIGH_WATER: Final = 1 << 18  # octets that wait unread before the sender is slowed
READ_LIMIT: Final = 1 << 26  # of ``read``, where no other is given


class MessageAborted(GatepostError):
    """The message will not be completed: the peer went away, or its content broke a rule. Drop what came so far."""

    temporary = True


class MessageTooLong(GatepostError):
    """The content is longer than the limit that was given to ``read``."""


@final
class IncomingMessage:
    """One message. ``on_message`` gets it as soon as the client begins to send it.

    Read it once, whole, with ``read``, or piece by piece with ``async for``. Its lines end with CRLF and its dots are
    unstuffed. The client is answered when the hook has returned *and* the content is complete.

    :param session: where it came from.
    :param id: our identifier of it.
    :param mail: the parameters of MAIL.
    :param rcpt: the parameters of each RCPT, in the order of ``recipients``.
    :param hostname: our own name, for ``trace``.
    :param dialect: ``SMTP`` or ``LMTP``.
    """

    __slots__ = (
        "_buffered", "_dropped", "_ended", "_fault", "_flow", "_pieces", "_unread", "_waiter", "dialect", "hostname",
        "id", "mail", "rcpt", "recipients", "sender", "session", "size",
    )  # fmt: skip

    def __init__(
        self,
        session: Session,
        id: str,  # noqa: A002 - what it is called everywhere
        mail: MailParameters,
        rcpt: tuple[RcptParameters, ...],
        *,
        hostname: str,
        dialect: str,
    ) -> None:
        self.session: Final = session
        self.id: Final = id
        self.sender: Final[Mailbox | None] = session.sender
        """The reverse path; None is the null path ``<>``."""
        self.recipients: Final[tuple[Mailbox, ...]] = session.recipients
        self.mail: Final = mail
        self.rcpt: Final = rcpt
        self.hostname: Final = hostname
        self.dialect: Final = dialect
        self.size = 0
        """Octets that have arrived."""
        self._pieces: list[bytes] = []
        self._buffered = 0
        self._unread = True
        self._ended = False
        self._dropped = False
        self._fault: MessageAborted | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._flow: Callable[[], None] | None = None

    # For the hook

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The content as it arrives, in pieces of any size.

        :raises MessageAborted: when it will not be completed.
        :raises LocalProtocolError: when it was read before.
        """
        if not self._unread:
            raise LocalProtocolError("the content is read once")
        self._unread = False
        while True:
            if self._pieces:
                pieces, self._pieces = self._pieces, []
                self._buffered = 0
                self._let_flow()
                yield b"".join(pieces)
            elif self._fault is not None:
                raise self._fault
            elif self._ended:
                return
            else:
                self._waiter = asyncio.get_running_loop().create_future()
                await self._waiter

    async def read(self, limit: int = READ_LIMIT) -> bytes:
        """The whole content.

        :param limit: octets; by default 64 MiB.
        :raises MessageTooLong: when it is longer.
        :raises MessageAborted: when it will not be completed.
        """
        pieces: list[bytes] = []
        size = 0
        async for piece in self:
            size += len(piece)
            if size > limit:
                raise MessageTooLong(f"the message is longer than {limit} octets")
            pieces.append(piece)
        return b"".join(pieces)

    async def parsed(self, limit: int = READ_LIMIT) -> EmailMessage:
        """The whole content as an ``EmailMessage``; the same errors as ``read``."""
        return parse(await self.read(limit))

    def trace(self) -> bytes:
        """The ``Received:`` field that whoever takes a message puts on its top (RFC 5321 §4.4), its CRLF included."""
        session = self.session
        evidence = session.evidence if isinstance(session, SecureSession) else None
        user = session.user if isinstance(session, SecureSession) else None
        keyword = protocol_keyword(
            self.dialect,
            extended=session.extended,
            utf8=self.mail.smtputf8,
            tls=evidence is not None,
            authenticated=user is not None,
        )
        trace = Received(
            session.origin,
            evidence,
            hello=session.hello,
            protocol=keyword,
            hostname=self.hostname,
            identity=user,
        )
        only = str(self.recipients[0]) if len(self.recipients) == 1 else None
        return trace.field(self.id, formatdate(localtime=True), only)

    # For the conversation

    def feed(self, data: bytes) -> bool:
        """Take a piece. False when so much waits unread that no more should come."""
        self.size += len(data)
        if self._dropped:
            return True
        self._pieces.append(data)
        self._buffered += len(data)
        self._wake()
        return self._buffered < HIGH_WATER

    def finish(self) -> None:
        """The content is complete."""
        self._ended = True
        self._wake()

    def abort(self, reason: str) -> None:
        """It will not be completed."""
        if not self._ended and self._fault is None:
            self._pieces.clear()
            self._fault = MessageAborted(f"the message was not completed: {reason}")
            self._wake()

    def drop(self) -> None:
        """Nobody reads it any more: keep nothing."""
        self._dropped = True
        self._pieces.clear()
        self._buffered = 0
        self._let_flow()

    def when_read(self, flow: Callable[[], None]) -> None:
        """Call ``flow`` once, when what waits has been read."""
        self._flow = flow

    def _let_flow(self) -> None:
        flow, self._flow = self._flow, None
        if flow is not None:
            flow()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


def parse(content: bytes) -> EmailMessage:
    """Content as an ``EmailMessage``."""
    policy = SMTP if content.isascii() else SMTPUTF8
    return BytesParser(policy=policy).parsebytes(content)
