"""The client's side of POP3, as dialogues (RFC 1939, 2449, 2595, 5034, 6856).

Two engines, and one door between them. ``PlainClient`` speaks in the clear: it has no ``login``, no ``authenticate``.
After ``start_tls`` it is spent, with everything that it was told; ``SecureClient`` is made from the origin and the
evidence of the handshake and knows nothing else, so it asks CAPA again before it believes in anything.

Whatever is not the answer that a step can have ends the conversation: an exception other than ``Refused`` leaves the
engine in a state in which nothing can be begun, and the caller closes the connection. Nothing is deleted then
(RFC 1939 §6).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple, final

from gatepost.errors import GatepostError, LocalProtocolError, RemoteProtocolError
from gatepost.wire.auth_lines import auth_command, response_line
from gatepost.wire.dialogue import Dialogue, Send, upgrade
from gatepost.wire.machine import Table
from gatepost.wire.pop3.capabilities import Capabilities
from gatepost.wire.pop3.client_states import PLAIN_TABLE, SECURE_TABLE, Phase, Trigger
from gatepost.wire.pop3.exchange import (
    COMMAND_LIMIT,
    Exchange,
    Sink,
    challenge_of,
    checked_number,
)
from gatepost.wire.pop3.refusals import (
    AuthenticationRefused,
    MalformedReply,
    Refused,
    StartTLSRefused,
    UnexpectedReply,
)
from gatepost.wire.pop3.relaying import Relaying
from gatepost.wire.pop3.reply import Reply
from gatepost.wire.pop3.timeouts import DEFAULT_TIMEOUTS, ClientTimeouts
from gatepost.wire.sasl.secret import Secret
from gatepost.wire.smtp.exchange import command
from gatepost.wire.smtp.replies import printable
from gatepost.wire.upgrade import Origin, TLSEvidence, UpgradeReady, hand_over_client

if TYPE_CHECKING:
    from gatepost.wire.sasl.outcome import ClientMechanism

MESSAGES_LIMIT: Final = 1_000_000  # lines of a listing, unless the caller says otherwise
SIZE_LIMIT: Final = 1 << 28  # octets of a message, unless the caller says otherwise
_CAPABILITIES: Final = (256, 65536)  # lines and octets of an answer to CAPA
_LISTING_LINE: Final = 128  # octets of a line of a listing, on average at most
_AUTH_COMMAND_LIMIT: Final = 255  # RFC 5034 §4: the octets of AUTH with its initial response, CRLF counted
_AUTH_ROUNDS: Final = 8  # no mechanism of ours asks for more than two
_STAT: Final = re.compile(r"([0-9]{1,10}) ([0-9]{1,18})(?: .*)?")
_LIST: Final = re.compile(rb"([0-9]{1,10}) ([0-9]{1,18})(?: .*)?")
# RFC 1939 §7: a unique-id is 1 to 70 characters from 0x21 to 0x7E
_UIDL: Final = re.compile(rb"([0-9]{1,10}) ([!-~]{1,70})(?: .*)?")


class Maildrop(NamedTuple):
    """What STAT says: messages that are not marked as deleted, and their octets."""

    messages: int
    octets: int


class _Client:
    """What both engines do. Private: a caller holds one of the two, never the base."""

    __slots__ = ("_exchange", "_listed", "_phase", "_timeouts", "origin")

    _table: ClassVar[Table[Phase, Trigger]]

    def __init__(self, origin: Origin, *, timeouts: ClientTimeouts = DEFAULT_TIMEOUTS) -> None:
        self.origin: Final = origin
        self._timeouts: Final = timeouts
        self._exchange = Exchange()
        self._phase = self._table.initial
        self._listed: Capabilities | None = None

    @property
    def listed(self) -> Capabilities | None:
        """What the last CAPA of *this* engine listed; None before it, and once the engine is spent."""
        return self._listed

    @property
    def usable(self) -> bool:
        """Whether anything but the end can be begun."""
        return self._table.next(self._phase, Trigger.QUIT) is not None

    def greeting(self) -> Dialogue[Reply]:
        """Hear the server's greeting. A timestamp in it, an offer of APOP, means nothing to us.

        :raises Refused: when it refuses service.
        :raises UnexpectedReply: when more than a greeting was said.
        """
        after = self._enter(Trigger.GREETING)
        reply = yield from self._exchange.status(self._timeouts.greeting, "greeting")
        self._exchange.expect_quiet("a command was sent")
        if not reply.positive:
            self._phase = Phase.CLOSED
            raise Refused("service", reply)
        self._phase = after
        return reply

    def capabilities(self) -> Dialogue[Capabilities]:
        """Ask CAPA. A server that does not know it lists nothing.

        :raises MalformedReply: when the answer is longer than its limits.
        """
        after = self._enter(Trigger.CAPA)
        self._listed = None
        yield from self._exchange.begin(b"CAPA\r\n")
        reply = yield from self._exchange.status(self._timeouts.reply, "reply to CAPA")
        if reply.positive:
            lines = yield from self._exchange.listing(*_CAPABILITIES, self._timeouts.reply, "answer to CAPA")
            listed = Capabilities(printable(line) for line in lines)
        else:
            self._exchange.expect_quiet("the next command was sent")
            listed = Capabilities((), known=False)
        self._listed = listed
        self._phase = after
        return listed

    def relaying(self) -> Relaying:
        """Give the conversation to a gate, which passes on what its client says. This engine is spent.

        :raises LocalProtocolError: when there was no greeting yet, or somebody is logged in.
        """
        self._phase = self._enter(Trigger.RELAY)
        exchange, self._exchange = self._exchange, Exchange()
        return Relaying(exchange, self._timeouts)

    def quit(self) -> Dialogue[Reply | None]:
        """Say QUIT and hear the answer. Logged in, this is what deletes (RFC 1939 §6).

        :return: the answer; None when nobody was logged in and there is none.
        :raises Refused: when messages that were marked were not all deleted.
        :raises ConnectionLost: when the answer to a QUIT that deletes did not come; likewise ``DeadlineExceeded``. It
            is not known then what was deleted.
        """
        deletes = self._phase is Phase.LOGGED_IN
        self._enter(Trigger.QUIT)
        self._phase = Phase.CLOSED
        try:
            yield from self._exchange.begin(b"QUIT\r\n")
            reply = yield from self._exchange.status(self._timeouts.quit, "reply to QUIT")
        except (GatepostError, OSError):
            if deletes:
                raise
            return None
        if deletes and not reply.positive:
            raise Refused("QUIT", reply)
        return reply

    def _ask(self, trigger: Trigger, line: bytes, seconds: float | None = None) -> Dialogue[Reply]:
        """One command with one line for an answer, which is positive.

        :raises Refused: when it is not; the engine stays usable.
        """
        before, after = self._phase, self._enter(trigger)
        step = f"reply to {trigger.value}"
        reply = yield from self._exchange.ask(line, self._timeouts.reply if seconds is None else seconds, step)
        self._phase = after if reply.positive else before
        if not reply.positive:
            raise Refused(trigger.value, reply)
        return reply

    def _enter(self, trigger: Trigger) -> Phase:
        """Begin a dialogue; where it leads when it ends well. Until then the engine is busy, or was broken off."""
        after = self._table.next(self._phase, trigger)
        if after is None:
            raise LocalProtocolError(f"{trigger.value} cannot be begun: this client is {self._phase.value}")
        self._phase = Phase.BUSY
        return after


@final
class PlainClient(_Client):
    """A client in the clear: it can hear a greeting, ask CAPA, start TLS, and leave.

    :param origin: where the connection leads.
    :param timeouts: how long to wait for each answer.
    """

    __slots__ = ()
    _table = PLAIN_TABLE

    def start_tls(self) -> Dialogue[UpgradeReady]:
        """Ask for TLS. Three things can happen (RFC 2595 §4):

        * the go-ahead with nothing behind it: the token is returned, and this engine is spent;
        * a refusal, or CAPA was answered without STLS: ``StartTLSRefused``; the connection is still in the clear;
        * anything else: an error that ends the connection, in the clear and otherwise.

        :raises StartTLSRefused: see above.
        :raises PlaintextAfterUpgrade: when bytes stood behind the go-ahead; the engine is spent.
        :raises MalformedReply: for an answer that is neither.
        """
        before, after = self._phase, self._enter(Trigger.STLS)
        if self._listed is not None and self._listed.known and not self._listed.stls:
            self._phase = before
            raise StartTLSRefused(None)
        exchange = self._exchange
        yield from exchange.begin(b"STLS\r\n")
        reply = yield from exchange.status(self._timeouts.reply, "reply to STLS")
        if reply.positive:
            residue = exchange.take()
            self._exchange = Exchange()
            self._listed = None
            self._phase = after
            return hand_over_client(self.origin, residue)
        exchange.expect_quiet("the next command was sent")
        self._phase = before
        raise StartTLSRefused(reply)


@final
class SecureClient(_Client):
    """A client inside TLS. After STLS begin with ``capabilities``; after an implicit handshake with ``greeting``.

    :param origin: where the connection leads.
    :param evidence: what the handshake proved.
    :param timeouts: how long to wait for each answer.
    :raises LocalProtocolError: for evidence that is none.
    """

    __slots__ = ("evidence",)
    _table = SECURE_TABLE

    def __init__(self, origin: Origin, evidence: TLSEvidence, *, timeouts: ClientTimeouts = DEFAULT_TIMEOUTS) -> None:
        if not isinstance(evidence, TLSEvidence):
            raise LocalProtocolError("a secure client is made from the evidence of a handshake")
        super().__init__(origin, timeouts=timeouts)
        self.evidence: Final = evidence

    # -- before the login

    def utf8(self) -> Dialogue[Reply]:
        """UTF8: say that this client reads UTF-8 in headers (RFC 6856 §2).

        :raises Refused: when the server does not know it.
        """
        return (yield from self._ask(Trigger.UTF8, b"UTF8\r\n"))

    def login(self, user: str, password: Secret | str) -> Dialogue[Reply]:
        """USER and PASS (RFC 1939 §7).

        :raises LocalProtocolError: for a name or a password that no line can carry; nothing was sent.
        :raises AuthenticationRefused: when the server refuses either; another login may be tried.
        """
        try:
            words = password.reveal().decode() if isinstance(password, Secret) else password
        except UnicodeDecodeError:
            raise LocalProtocolError("the password is not UTF-8") from None
        if not user or user != user.strip(" ") or not words:
            raise LocalProtocolError("the user name or the password is empty, or the name begins or ends with a space")
        lines = (
            ("USER", command(f"USER {user}", limit=COMMAND_LIMIT)),
            ("PASS", command(f"PASS {words}", limit=COMMAND_LIMIT)),
        )
        before, after = self._phase, self._enter(Trigger.LOGIN)
        for verb, line in lines:
            secret = verb == "PASS"
            reply = yield from self._exchange.ask(line, self._timeouts.login, f"reply to {verb}", secret=secret)
            if not reply.positive:
                self._phase = before
                raise AuthenticationRefused(reply)
        self._phase = after
        return reply

    def authenticate(self, mechanism: ClientMechanism) -> Dialogue[Reply]:
        """Log in by SASL (RFC 5034). ``sasl.choose`` makes the mechanism from ``listed.sasl``.

        :raises AuthenticationRefused: when the server refuses; another mechanism may be tried.
        :raises AuthenticationError: when the server breaks the mechanism or does not prove itself; the connection is
            over, and the password was not sent where the mechanism is SCRAM.
        """
        before, after = self._phase, self._enter(Trigger.AUTH)
        held = mechanism.initial()  # until it is sent
        line = auth_command(mechanism.name, held)
        # RFC 5034 §3, §4: no initial response where SASL is not listed, and none that makes the line too long.
        if len(line) > _AUTH_COMMAND_LIMIT or (self._listed is not None and not self._listed.sasl):
            line = auth_command(mechanism.name, None)
        else:
            held = None
        answer = yield from self._auth(line)
        for _ in range(_AUTH_ROUNDS):
            if isinstance(answer, Reply):
                break
            try:
                challenge = challenge_of(answer)
                if held is None:
                    response = mechanism.respond(challenge)
                elif challenge:
                    raise UnexpectedReply("the server asks before it was told")
                else:
                    response, held = held, None
            except RemoteProtocolError:
                yield Send(b"*\r\n")  # RFC 5034 §4: what cannot be answered is cancelled
                raise
            answer = yield from self._auth(response_line(response))
        if not isinstance(answer, Reply):
            raise UnexpectedReply("the server does not stop asking")
        if not answer.positive:
            self._phase = before
            raise AuthenticationRefused(answer)
        if held is not None or not mechanism.complete:
            raise UnexpectedReply("the server says that we are logged in before it proved itself", answer)
        self._phase = after
        return answer

    def _auth(self, line: bytes) -> Dialogue[Reply | bytes]:
        """One line of an exchange: the server's verdict, or its next challenge, still encoded."""
        yield from self._exchange.begin(line, secret=True)
        return (yield from self._exchange.verdict(self._timeouts.login))

    # -- logged in

    def stat(self) -> Dialogue[Maildrop]:
        """STAT.

        :raises Refused: when the server does.
        :raises MalformedReply: when the answer holds no two numbers.
        """
        reply = yield from self._ask(Trigger.STAT, b"STAT\r\n")
        match = _STAT.fullmatch(reply.text)
        if match is None:
            self._phase = Phase.BUSY
            raise MalformedReply(f"the reply to STAT holds no two numbers: {reply.text[:80]}")
        return Maildrop(int(match[1]), int(match[2]))

    def list(self, *, limit: int = MESSAGES_LIMIT) -> Dialogue[dict[int, int]]:
        """LIST: the octets of each message, by its number.

        :param limit: how many messages are taken.
        :raises Refused: when the server refuses.
        :raises MalformedReply: when the listing is longer, or is none.
        """
        found = yield from self._listing(Trigger.LIST, _LIST, limit)
        return {number: int(value) for number, value in found.items()}

    def uidl(self, *, limit: int = MESSAGES_LIMIT) -> Dialogue[dict[int, str]]:
        """UIDL: the unique-id of each message, by its number. For ``limit`` and errors see ``list``."""
        found = yield from self._listing(Trigger.UIDL, _UIDL, limit)
        return {number: value.decode("ascii") for number, value in found.items()}

    def retrieve(self, number: int, sink: Sink, *, limit: int = SIZE_LIMIT) -> Dialogue[int]:
        """RETR: a message, piece by piece, with CRLF line ends, as it comes.

        :param sink: is given each piece; what it was given is a message only once this returns.
        :param limit: the longest message taken, in octets.
        :return: the octets of the message.
        :raises Refused: when the server refuses.
        :raises ConnectionLost: when the server closed before the end; likewise ``DeadlineExceeded`` when it stalls.
        :raises MalformedReply: when the message is longer than ``limit``.
        """
        line = b"RETR %d\r\n" % checked_number(number)
        return (yield from self._content(Trigger.RETR, line, sink, limit, f"message {number}"))

    def top(self, number: int, lines: int, sink: Sink, *, limit: int = SIZE_LIMIT) -> Dialogue[int]:
        """TOP: the header of a message and the first lines of its body. Like ``retrieve``."""
        line = b"TOP %d %d\r\n" % (checked_number(number), checked_number(lines, 0))
        return (yield from self._content(Trigger.TOP, line, sink, limit, f"top of message {number}"))

    def delete(self, number: int) -> Dialogue[Reply]:
        """DELE: mark a message. It is deleted by ``quit``, and by nothing else.

        :raises Refused: when the server refuses.
        """
        return (yield from self._ask(Trigger.DELE, b"DELE %d\r\n" % checked_number(number)))

    def reset(self) -> Dialogue[Reply]:
        """RSET: take all marks off.

        :raises Refused: when the server refuses.
        """
        return (yield from self._ask(Trigger.RSET, b"RSET\r\n"))

    def noop(self) -> Dialogue[Reply]:
        """NOOP.

        :raises Refused: when the server does not like it.
        """
        return (yield from self._ask(Trigger.NOOP, b"NOOP\r\n"))

    def _begin(self, trigger: Trigger, line: bytes) -> Dialogue[Phase]:
        """A command whose positive answer has several lines; where its dialogue leads."""
        before, after = self._phase, self._enter(trigger)
        yield from self._exchange.begin(line)
        reply = yield from self._exchange.status(self._timeouts.reply, f"reply to {trigger.value}")
        if not reply.positive:
            self._exchange.expect_quiet("the next command was sent")
            self._phase = before
            raise Refused(trigger.value, reply)
        return after

    def _listing(self, trigger: Trigger, pattern: re.Pattern[bytes], limit: int) -> Dialogue[dict[int, bytes]]:
        after = yield from self._begin(trigger, f"{trigger.value}\r\n".encode("ascii"))
        step = f"answer to {trigger.value}"
        lines = yield from self._exchange.listing(limit, limit * _LISTING_LINE, self._timeouts.reply, step)
        found: dict[int, bytes] = {}
        for line in lines:
            match = pattern.fullmatch(line)
            if match is None or int(match[1]) < 1 or int(match[1]) in found:
                raise MalformedReply(f"a line of the {step} makes no sense: {printable(line[:80])}")
            found[int(match[1])] = match[2]
        self._phase = after
        return found

    def _content(self, trigger: Trigger, line: bytes, sink: Sink, limit: int, step: str) -> Dialogue[int]:
        after = yield from self._begin(trigger, line)
        octets = yield from self._exchange.content(sink, limit, self._timeouts.content, step)
        self._phase = after
        return octets


def converse_stls(origin: Origin, *, timeouts: ClientTimeouts = DEFAULT_TIMEOUTS) -> Dialogue[SecureClient]:
    """From a fresh connection to a client that may log in: greeting, CAPA, STLS, handshake, CAPA again (RFC 2595 §4).

    :raises StartTLSRefused: when the server will not.
    """
    plain = PlainClient(origin, timeouts=timeouts)
    yield from plain.greeting()
    yield from plain.capabilities()
    ready = yield from plain.start_tls()
    evidence = yield from upgrade(ready)
    secure = SecureClient(origin, evidence, timeouts=timeouts)
    yield from secure.capabilities()
    return secure


def converse_implicit(
    origin: Origin, evidence: TLSEvidence, *, timeouts: ClientTimeouts = DEFAULT_TIMEOUTS
) -> Dialogue[SecureClient]:
    """From a fresh connection on which TLS came first (RFC 8314 §3.3) to a client that may log in.

    :param evidence: what the handshake proved.
    """
    secure = SecureClient(origin, evidence, timeouts=timeouts)
    yield from secure.greeting()
    yield from secure.capabilities()
    return secure
