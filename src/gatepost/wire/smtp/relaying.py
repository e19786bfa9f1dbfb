"""A client that passes on what another client says: one dialogue for each command, and the server's answer as it is.

``client`` submits whole messages and knows what should become of them; here nobody knows more than the next command. So
a refusal is a value, not an exception. Only what cannot answer the command that was sent is an error, and ends the
conversation: nobody knows any more then which reply belongs to what.

What goes out was read by the grammar of ``wire.smtp`` and is spelled anew: no octet of the other client's command lines
is copied.
"""

from __future__ import annotations

import binascii
import re
from typing import Final, final

from gatepost.errors import LocalProtocolError
from gatepost.wire.auth_lines import AUTH_LINE_LIMIT, auth_command
from gatepost.wire.dialogue import Dialogue, Send
from gatepost.wire.smtp.capabilities import Capabilities
from gatepost.wire.smtp.envelope import xtext
from gatepost.wire.smtp.events import Mail, Recipient
from gatepost.wire.smtp.exchange import Exchange, command
from gatepost.wire.smtp.refusals import UnexpectedReply
from gatepost.wire.smtp.reply import Reply
from gatepost.wire.smtp.stuffing import END_OF_DATA, Stuffer
from gatepost.wire.smtp.timeouts import ClientTimeouts

_VERB: Final = re.compile(r"[A-Z]{3,12}")


def mail_command(mail: Mail, listed: Capabilities) -> str:
    """MAIL as it was understood.

    SIZE, and BODY where it says nothing, are left out where the server does not list them: they announce, and ask for
    nothing. Everything else is said, whatever is listed: a server that cannot do it refuses, and so the client learns.
    """
    given = mail.params
    words = [f"MAIL FROM:<{mail.sender if mail.sender is not None else ''}>"]
    if given.size is not None and listed.size_offered:
        words.append(f"SIZE={given.size}")
    if given.body != "7BIT":
        words.append(f"BODY={given.body}")
    if given.smtputf8:
        words.append("SMTPUTF8")
    if given.ret is not None:
        words.append(f"RET={given.ret}")
    if given.envid is not None:
        words.append(f"ENVID={xtext(given.envid)}")
    if given.auth is not None:
        words.append(f"AUTH={xtext(given.auth)}")
    return " ".join(words)


def rcpt_command(recipient: Recipient) -> str:
    """RCPT as it was understood."""
    given = recipient.params
    words = [f"RCPT TO:<{recipient.mailbox}>"]
    if given.notify is not None:
        words.append(f"NOTIFY={','.join(sorted(given.notify))}")
    if given.orcpt is not None:
        kind, _, address = given.orcpt.partition(";")
        # RFC 6533 §3: an address of the type utf-8 has an encoding of its own, and was not decoded
        words.append(f"ORCPT={kind};{address if kind == 'utf-8' else xtext(address)}")
    return " ".join(words)


@final
class Relaying:
    """One conversation, command by command. Made by ``relaying()`` of a client that has said hello.

    Every dialogue raises ``UnexpectedReply``, ``MalformedReply``, ``ConnectionLost``, ``DeadlineExceeded`` or
    ``OSError`` when the conversation is over.

    :param exchange: the client's.
    :param capabilities: of its last EHLO.
    :param timeouts: how long to wait for each reply.
    :param lmtp: whether a message is answered once for each accepted recipient (RFC 2033 §4.2).
    """

    __slots__ = ("_exchange", "_lmtp", "_stuffer", "_timeouts", "accepted", "capabilities")

    def __init__(self, exchange: Exchange, capabilities: Capabilities, timeouts: ClientTimeouts, *, lmtp: bool) -> None:
        self._exchange: Final = exchange
        self._timeouts: Final = timeouts
        self._lmtp: Final = lmtp
        self._stuffer = Stuffer()
        self.capabilities: Final = capabilities
        self.accepted = 0
        """Recipients that the server took in the open transaction."""

    def mail(self, mail: Mail) -> Dialogue[Reply]:
        """MAIL: taken or refused."""
        self.accepted = 0
        line = command(mail_command(mail, self.capabilities))
        return (yield from self._settled(line, self._timeouts.mail, "MAIL"))

    def recipient(self, recipient: Recipient) -> Dialogue[Reply]:
        """RCPT: taken or refused."""
        line = command(rcpt_command(recipient))
        reply = yield from self._settled(line, self._timeouts.recipient, "RCPT")
        self.accepted += reply.code < 300
        return reply

    def data(self) -> Dialogue[Reply]:
        """DATA: 354, and ``content`` and ``end`` follow; or a refusal."""
        reply = yield from self._exchange.ask(b"DATA\r\n", self._timeouts.data, "reply to DATA")
        if reply.code < 400 and reply.code != 354:
            raise UnexpectedReply("the reply to DATA is not 354", reply)
        self._stuffer = Stuffer()
        return reply

    def content(self, piece: bytes) -> Dialogue[None]:
        """A piece of the content behind DATA; its dots are stuffed here.

        :raises LocalProtocolError: when a CR or LF stands alone in it: close the connection, nothing was ended.
        """
        if octets := self._stuffer.stuff(piece):
            yield Send(octets)

    def end(self, piece: bytes = b"") -> Dialogue[tuple[Reply, ...]]:
        """The final dot, and the server's verdict: one, or in LMTP one for each recipient that it took.

        :param piece: the last of the content; it goes out together with the dot.
        :raises LocalProtocolError: as ``content``.
        """
        self._exchange.expect_quiet("the message ended")
        yield Send(self._stuffer.stuff(piece) + self._stuffer.finish() + END_OF_DATA)
        return (yield from self._verdicts())

    def chunk(self, octets: bytes) -> Dialogue[Reply]:
        """A chunk that is not the last (RFC 3030 §2): taken or refused."""
        line = b"BDAT %d\r\n" % len(octets)
        return (yield from self._settled(line + octets, self._timeouts.final, "BDAT"))

    def last_chunk(self, octets: bytes = b"") -> Dialogue[tuple[Reply, ...]]:
        """The last chunk, and the server's verdict as of ``end``."""
        self._exchange.expect_quiet("the message ended")
        yield Send(b"BDAT %d LAST\r\n" % len(octets) + octets)
        return (yield from self._verdicts())

    def say(self, verb: str, argument: str = "") -> Dialogue[Reply]:
        """RSET, NOOP, VRFY, HELP and the like: done or refused.

        :param argument: printable, as it was sent.
        :raises LocalProtocolError: for what may not stand in a command.
        """
        if not _VERB.fullmatch(verb):
            raise LocalProtocolError("a command word is made of letters")
        if verb == "RSET":
            self.accepted = 0
        line = command(f"{verb} {argument}" if argument else verb)
        return (yield from self._settled(line, self._timeouts.reset, verb))

    def authenticate(self, mechanism: str, initial: bytes | None) -> Dialogue[Reply]:
        """AUTH: 334 for more, 235, or a refusal.

        :param initial: the initial response, decoded; None when there is none.
        """
        return (yield from self._auth(auth_command(mechanism, initial)))

    def respond(self, response: bytes) -> Dialogue[Reply]:
        """The answer to a challenge: as ``authenticate``."""
        return (yield from self._auth(binascii.b2a_base64(response, newline=False) + b"\r\n"))

    def cancel(self) -> Dialogue[Reply]:
        """``*`` in place of an answer: the refusal that it is answered with (RFC 4954 §4)."""
        reply = yield from self._auth(b"*\r\n")
        if reply.code < 400:
            raise UnexpectedReply("an exchange that was cancelled goes on", reply)
        return reply

    def xclient(self, words: str) -> Dialogue[Reply]:
        """XCLIENT: 220, which is the greeting of a session that begins anew, or a refusal.

        :param words: see ``wire.smtp.xclient``.
        """
        return (yield from self._settled(command(f"XCLIENT {words}"), self._timeouts.greeting, "XCLIENT"))

    def heard(self) -> Dialogue[Reply]:
        """A reply that nobody asked for, when octets have come."""
        return (yield from self._exchange.reply(self._timeouts.reset, "rest of a reply"))

    def _settled(self, line: bytes, seconds: float, verb: str) -> Dialogue[Reply]:
        """Ask what is answered with yes or no."""
        reply = yield from self._exchange.ask(line, seconds, f"reply to {verb}")
        if 300 <= reply.code < 400:
            raise UnexpectedReply(f"the reply to {verb} makes no sense", reply)
        return reply

    def _auth(self, line: bytes) -> Dialogue[Reply]:
        if len(line) > AUTH_LINE_LIMIT + 2:
            raise LocalProtocolError("a line of an AUTH exchange is longer than it may be (RFC 4954 §4)")
        reply = yield from self._exchange.ask(line, self._timeouts.authenticate, "reply to AUTH", secret=True)
        if reply.code < 400 and reply.code not in (235, 334):
            raise UnexpectedReply("the reply to AUTH is neither 235, 334 nor a refusal", reply)
        return reply

    def _verdicts(self) -> Dialogue[tuple[Reply, ...]]:
        """What stands behind the verdict is not looked at before the next command: it takes nothing back."""
        verdicts: list[Reply] = []
        for at in range(self.accepted if self._lmtp else 1):
            step = "reply to the end of the message" + (f" for recipient {at + 1}" if self._lmtp else "")
            reply = yield from self._exchange.reply(self._timeouts.final, step)
            if 300 <= reply.code < 400:
                raise UnexpectedReply("the reply to the end of the message makes no sense", reply)
            verdicts.append(reply)
            if reply.code == 421:  # RFC 5321 §3.8: and so for all that are left
                verdicts += [reply] * (self.accepted - at - 1 if self._lmtp else 0)
                break
        self.accepted = 0
        return tuple(verdicts)


def challenge(reply: Reply) -> bytes:
    """The octets of a 334.

    :raises UnexpectedReply: when it has several lines, or is no base64.
    """
    if not isinstance(reply.text, str):
        raise UnexpectedReply("a challenge has several lines")
    try:
        return binascii.a2b_base64(reply.text, strict_mode=True) if reply.text else b""
    except (binascii.Error, ValueError):
        raise UnexpectedReply("a challenge is no base64") from None
