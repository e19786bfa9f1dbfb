"""One mail transaction from the client's side: MAIL, RCPT, DATA, content (RFC 5321 §3.3, RFC 2920, RFC 2033).

How mixed answers are handled
-----------------------------
Where the server lists PIPELINING, ``MAIL RCPT… DATA`` go out as one group, and their replies come in order:

=========  ==============  =======  =====================================================================
MAIL       RCPT            DATA     then
=========  ==============  =======  =====================================================================
taken      some taken      354      content, final reply: it decides for those that were taken
taken      some taken      refused  that refusal decides; the next transaction begins with RSET
taken      none taken      354      a lone dot and its reply, which decides nothing (RFC 2920 §3.1)
taken      none taken      refused  each RCPT's own refusal stands; RSET next
refused    (any)           354      the same lone dot
refused    (any)           refused  MAIL's refusal decides for all
=========  ==============  =======  =====================================================================

A 421 anywhere decides for all that are undecided, and the connection is over (RFC 5321 §3.8). Any other reply that
cannot answer its command raises: nothing is known then, so whoever is undecided stays in the queue. ``decided`` says
who was not.

Long groups are cut into windows, so that neither side can fill both directions' buffers (RFC 2920 §3.1).

The next message's group may go out with the end of the content (RFC 2920 §3.1 allows it by name): a connection that is
used again then waits once a message. Whatever the content's reply is, that transaction has ended, so the next one
begins without RSET; only a 421, or the loss of the connection, takes both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, TypeAlias, final

from gatepost.errors import DeadlineExceeded, RemoteProtocolError
from gatepost.wire.dialogue import Dialogue, Send
from gatepost.wire.smtp.capabilities import Capabilities
from gatepost.wire.smtp.envelope import Envelope, Stage, Submission, without_u_labels
from gatepost.wire.smtp.exchange import Exchange, command
from gatepost.wire.smtp.refusals import UnexpectedReply
from gatepost.wire.smtp.reply import Reply
from gatepost.wire.smtp.stuffing import END_OF_DATA, stuffed
from gatepost.wire.smtp.timeouts import ClientTimeouts

WINDOW: Final = 100  # commands in flight
_DATA: Final = b"DATA\r\n"
_RSET: Final = b"RSET\r\n"

_NO_SMTPUTF8: Final = Reply(553, "5.6.7", "The next server does not take internationalized mail (SMTPUTF8)")
_NO_8BITMIME: Final = Reply(554, "5.6.3", "The next server takes no 8-bit content, and it is not converted here")
_TOO_BIG: Final = Reply(552, "5.3.4", "The message is larger than the next server takes")


Following: TypeAlias = "Callable[[], Transaction | None]"


class _Closing(Exception):
    """The server said 421."""

    def __init__(self, reply: Reply, stage: Stage) -> None:
        self.reply = reply
        self.stage: Stage = stage


def local_verdict(envelope: Envelope, capabilities: Capabilities) -> Reply | None:
    """The refusal that a server's own list implies, so that it need not be asked; None when it may be asked.

    We never convert content: without SMTPUTF8 or 8BITMIME such a message cannot go there (RFC 6531 §3.5, RFC 6152 §3).
    """
    if not capabilities.smtputf8 and (envelope.smtputf8 or not (envelope.ascii or _ascii_locals(envelope))):
        return _NO_SMTPUTF8
    if envelope.body == "8BITMIME" and not capabilities.eightbitmime:
        return _NO_8BITMIME
    if envelope.size is not None and capabilities.size is not None and envelope.size > capabilities.size:
        return _TOO_BIG  # RFC 1870 §6.1
    return None


def _ascii_locals(envelope: Envelope) -> bool:
    """Whether only domains go beyond ASCII, which have an ASCII form."""
    return all(path.rpartition("@")[0].isascii() for path in (envelope.path, *(r.path for r in envelope.recipients)))


@final
class Transaction:
    """One attempt at one message. What can be judged without the server is judged when it is made.

    :param exchange: the connection's exchange.
    :param capabilities: of the last EHLO.
    :param chunks: the content in CRLF lines. The first is read here, so that a short bad message costs no connection.
    :param lmtp: whether each recipient gets its own final reply (RFC 2033 §4.2).
    :raises LocalProtocolError: for content with a bare CR or LF; see ``stuffing``.
    """

    __slots__ = (
        "_accepted", "_capabilities", "_commands", "_envelope", "_exchange", "_first", "_lmtp", "_pieces", "_timeouts",
        "ahead", "begun", "closing", "decided", "ended", "following", "reset", "stages",
    )  # fmt: skip

    def __init__(
        self,
        exchange: Exchange,
        capabilities: Capabilities,
        envelope: Envelope,
        chunks: Iterable[bytes],
        timeouts: ClientTimeouts,
        *,
        lmtp: bool,
    ) -> None:
        self._exchange: Final = exchange
        self._capabilities: Final = capabilities
        self._envelope: Final = envelope
        self._timeouts: Final = timeouts
        self._lmtp: Final = lmtp
        self._accepted: list[int] = []
        self._commands: list[bytes] = []
        self._pieces: Iterator[bytes] = iter(())
        self._first = b""
        self.reset = False  # whether an earlier transaction may be open on the server
        self.begun = False  # whether anything was sent
        self.ahead = False  # whether its group was sent, with the end of the message before it
        self.ended = False  # whether the final dot was sent, or its sending was begun
        self.closing = False
        self.following: Transaction | None = None  # whose group was sent with the end of this one
        self.decided: list[Reply | None] = [None] * len(envelope.recipients)
        self.stages: list[Stage] = ["local"] * len(envelope.recipients)
        if verdict := local_verdict(envelope, capabilities):
            self._decide_rest(verdict, "local")
            return
        self._commands = self._spell()
        self._pieces = stuffed(chunks)
        self._first = next(self._pieces, b"")

    def run(self, following: Following) -> Dialogue[Submission]:
        """Carry it out.

        :param following: asked for the next transaction of this connection at the moment when it could go ahead.
        """
        commands = self._commands
        if not commands:
            return self._submission(None)
        self.begun = True
        final: Reply | None = None
        try:
            if self._capabilities.pipelining:
                go_ahead = yield from self._grouped(commands)
            else:
                go_ahead = yield from self._one_by_one(commands)
            if go_ahead and self._accepted:
                final = yield from self._content(following)
            elif go_ahead:
                yield from self._lone_dot()
        except _Closing as closing:
            self.closing = True
            self._decide_rest(closing.reply, closing.stage)
            final = closing.reply if closing.stage == "content" else None
        return self._submission(final)

    def go_ahead(self) -> bytes:
        """The whole group, to be sent before the reply to the message before it; nothing where that is not possible."""
        if not self._capabilities.pipelining or not 0 < len(self._commands) <= WINDOW:
            return b""
        self.begun = self.ahead = True
        return b"".join((*self._commands, _DATA))

    # What is said

    def _spell(self) -> list[bytes]:
        """MAIL and every RCPT, with the parameters that the server takes."""
        envelope, listed = self._envelope, self._capabilities
        spell = str if listed.smtputf8 or envelope.ascii else without_u_labels
        words = f"MAIL FROM:<{spell(envelope.path)}>"
        if envelope.size is not None and listed.size_offered:
            words += f" SIZE={envelope.size}"
        if listed.eightbitmime and envelope.body == "8BITMIME":
            words += " BODY=8BITMIME"
        if listed.smtputf8 and (envelope.smtputf8 or not envelope.ascii):
            words += " SMTPUTF8"
        if not listed.dsn:
            return [command(words), *[command(f"RCPT TO:<{spell(r.path)}>") for r in envelope.recipients]]
        return [
            command(words + envelope.dsn()),
            *[command(f"RCPT TO:<{spell(r.path)}>{r.dsn()}") for r in envelope.recipients],
        ]

    def _grouped(self, commands: Sequence[bytes]) -> Dialogue[bool]:
        """Send everything up to DATA in windows; whether the server wants content."""
        exchange, timeouts = self._exchange, self._timeouts
        next_reply = exchange.reader.next_reply
        reset, mail_taken = self.reset, False
        for start in range(0, len(commands), WINDOW):
            window = commands[start : start + WINDOW]
            last = start + WINDOW >= len(commands)
            if not self.ahead:
                exchange.expect_quiet("MAIL was sent" if not start else "RCPT was sent")
                yield Send(b"".join([_RSET if reset and not start else b"", *window, _DATA if last else b""]))
            if not start:
                if reset:
                    self._judge_reset(next_reply() or (yield from exchange.reply(timeouts.reset, "reply to RSET")))
                mail_taken = self._judge_mail(
                    next_reply() or (yield from exchange.reply(timeouts.mail, "reply to MAIL"))
                )
            for index in range(max(start - 1, 0), start + len(window) - 1):
                reply = next_reply()
                if reply is None:
                    reply = yield from exchange.reply(timeouts.recipient, f"reply to RCPT {index + 1}")
                self._judge_recipient(index, reply, mail_taken=mail_taken)
            if not last and not mail_taken:
                return False
        reply = next_reply() or (yield from exchange.reply(timeouts.data, "reply to DATA"))
        return self._judge_data(reply, mail_taken=mail_taken)

    def _one_by_one(self, commands: Sequence[bytes]) -> Dialogue[bool]:
        """Send each command by itself; whether the server wants content."""
        exchange, timeouts = self._exchange, self._timeouts
        if self.reset:
            self._judge_reset((yield from exchange.ask(_RSET, timeouts.reset, "reply to RSET")))
        if not self._judge_mail((yield from exchange.ask(commands[0], timeouts.mail, "reply to MAIL"))):
            return False
        for index, line in enumerate(commands[1:]):
            reply = yield from exchange.ask(line, timeouts.recipient, f"reply to RCPT {index + 1}")
            self._judge_recipient(index, reply, mail_taken=True)
        if not self._accepted:
            return False
        return self._judge_data((yield from exchange.ask(_DATA, timeouts.data, "reply to DATA")), mail_taken=True)

    def _content(self, following: Following) -> Dialogue[Reply]:
        """Send the content; a fault found in it leaves by exception, and the final dot is never sent."""
        held, pieces = self._first, self._pieces
        while not self.ended:
            piece = next(pieces, None)  # content that is bad, or cannot be read, leaves here
            if piece is None:
                held += END_OF_DATA + self._group_of(following())
                self.ended = True
            try:
                yield Send(held)
            except OSError:
                # It may have refused and gone (552, 421) while we were still sending: what it said is worth more.
                reply = yield from self._exchange.reply(self._timeouts.final, "reply to the content")
                if reply.code < 400:
                    raise
                self._decide_rest(reply, "content")
                self.closing = True
                return reply
            held = piece or b""
        return (yield from self._final_replies())

    def _group_of(self, following: Transaction | None) -> bytes:
        """The group that goes out with the end of the content, perhaps none."""
        group = following.go_ahead() if following is not None else b""
        if group:
            self.following = following
        return group

    def _lone_dot(self) -> Dialogue[None]:
        """RFC 2920 §3.1: DATA was taken although no recipient was; end it with no content at all.

        Everybody is decided by now, so a server that does not answer costs the connection and nothing else.
        """
        if self._lmtp:  # RFC 2033 §4.2: as many replies as recipients, so none will come; nobody can tell
            raise UnexpectedReply("the server takes content for nobody")
        try:
            yield Send(END_OF_DATA)
            reply = yield from self._exchange.reply(self._timeouts.reset, "reply to the end of the message")
        except (RemoteProtocolError, DeadlineExceeded, OSError):
            self.closing = True
            return
        self.closing = reply.code == 421
        self.reset = False

    # What is heard. Replies mostly come several at a time, so the reader is asked first, and a generator is made only
    # where one must be waited for.

    def _judge_reset(self, reply: Reply) -> None:
        if reply.code == 421:
            raise _Closing(reply, "MAIL")
        if reply.code // 100 != 2:
            raise UnexpectedReply("the server does not reset", reply)  # RFC 5321 §4.1.1.5: it must
        self.reset = False

    def _judge_mail(self, reply: Reply) -> bool:
        if reply.code < 300:
            self.reset = True  # from now on the server may hold a transaction
            return True
        if reply.code < 400:
            raise UnexpectedReply("the reply to MAIL makes no sense", reply)
        if reply.code == 421:
            raise _Closing(reply, "MAIL")
        self._decide_rest(reply, "MAIL")
        return False

    def _judge_recipient(self, index: int, reply: Reply, *, mail_taken: bool) -> None:
        if 300 <= reply.code < 400:
            raise UnexpectedReply("the reply to RCPT makes no sense", reply)
        if reply.code == 421:
            raise _Closing(reply, "RCPT")
        if not mail_taken:
            return
        if reply.code < 300:
            self._accepted.append(index)
            return
        if reply.code == 552 and reply.enhanced in ("", "5.5.3"):
            reply = Reply(452, "4.5.3", reply.text)  # RFC 5321 §4.5.3.1.10: too many recipients, not too much mail
        self._decide(index, reply, "RCPT")

    def _judge_data(self, reply: Reply, *, mail_taken: bool) -> bool:
        if reply.code == 354:
            self._exchange.expect_quiet("the content was sent")
            return True
        if reply.code < 400:
            raise UnexpectedReply("the reply to DATA is not 354", reply)
        if reply.code == 421:
            raise _Closing(reply, "DATA")
        if mail_taken:
            self._decide_rest(reply, "DATA")
        return False

    def _final_replies(self) -> Dialogue[Reply]:
        """The verdict on the content: one for all, or one for each that was taken (RFC 2033 §4.2)."""
        exchange, seconds = self._exchange, self._timeouts.final
        for index in self._accepted if self._lmtp else (None,):
            step = "reply to the end of the message"
            if index is not None:
                step += f" for recipient {index + 1}"
            verdict = self._judge_content(exchange.reader.next_reply() or (yield from exchange.reply(seconds, step)))
            if index is None:
                self._decide_rest(verdict, "content")
            else:
                self._decide(index, verdict, "content")
        self.reset = False
        return verdict

    def _judge_content(self, reply: Reply) -> Reply:
        if 300 <= reply.code < 400:
            raise UnexpectedReply("the reply to the end of the message makes no sense", reply)
        if reply.code == 421:
            raise _Closing(reply, "content")
        return reply

    # What it means

    def _decide(self, index: int, reply: Reply, stage: Stage) -> None:
        self.decided[index] = reply
        self.stages[index] = stage

    def _decide_rest(self, reply: Reply, stage: Stage) -> None:
        for index, decided in enumerate(self.decided):
            if decided is None:
                self._decide(index, reply, stage)

    def _submission(self, final: Reply | None) -> Submission:
        replies = tuple(filter(None, self.decided))
        assert len(replies) == len(self.decided)
        return Submission(replies, tuple(self.stages), final)
