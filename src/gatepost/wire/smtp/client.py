"""The client's side of SMTP and LMTP, as dialogues (RFC 5321, 2033, 2920, 3207, 4954).

Two engines, and one door between them. ``PlainClient`` speaks in the clear: it has no ``authenticate``. After
``start_tls`` it is spent, with everything that it was told; ``SecureClient`` is made from the origin and the evidence
of the handshake and knows nothing else, so it says EHLO again before it believes in any extension.

Whatever is not the answer that a step can have ends the conversation: an exception leaves the engine in a state in
which nothing can be begun, and the caller closes the connection.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, ClassVar, Final, Literal, final, overload

from gatepost.errors import GatepostError, LocalProtocolError
from gatepost.wire.auth_lines import auth_command, response_line
from gatepost.wire.dialogue import Dialogue, Send, upgrade
from gatepost.wire.machine import Table
from gatepost.wire.smtp.capabilities import Capabilities, listed
from gatepost.wire.smtp.client_states import PLAIN_TABLE, SECURE_TABLE, Phase, Trigger
from gatepost.wire.smtp.envelope import Envelope, Submission
from gatepost.wire.smtp.exchange import Exchange, command
from gatepost.wire.smtp.refusals import AuthenticationRefused, Refused, StartTLSRefused, UnexpectedReply
from gatepost.wire.smtp.relaying import Relaying, challenge
from gatepost.wire.smtp.reply import Reply
from gatepost.wire.smtp.timeouts import DEFAULT_TIMEOUTS, ClientTimeouts
from gatepost.wire.smtp.transaction import Transaction
from gatepost.wire.upgrade import Origin, TLSEvidence, UpgradeReady, hand_over_client

if TYPE_CHECKING:
    from gatepost.wire.sasl.outcome import ClientMechanism

# RFC 5321 §4.1.1.1: EHLO's argument is a Domain or an address-literal
HELLO_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,253}[A-Za-z0-9])?|\[[A-Za-z0-9.:]{1,60}\]")
_QUIT: Final = b"QUIT\r\n"
_STARTTLS: Final = b"STARTTLS\r\n"
_INITIAL_LIMIT: Final = 360  # octets that still fit, in base64, on a command line of 512 (RFC 4954 §4)
_AUTH_ROUNDS: Final = 8  # no mechanism of ours asks for more than two


class _Client:
    """What both engines do. Private: a caller holds one of the two, never the base."""

    __slots__ = (
        "_ahead", "_capabilities", "_dialect", "_exchange", "_hostname", "_phase", "_reset", "_timeouts",
        "_transaction", "origin",
    )  # fmt: skip

    _table: ClassVar[Table[Phase, Trigger]]

    def __init__(
        self,
        origin: Origin,
        *,
        hostname: str,
        timeouts: ClientTimeouts = DEFAULT_TIMEOUTS,
        dialect: Literal["SMTP", "LMTP"] = "SMTP",
    ) -> None:
        if not HELLO_NAME.fullmatch(hostname):
            raise LocalProtocolError("the name to say hello with is no domain and no address literal")
        if dialect not in ("SMTP", "LMTP"):
            raise LocalProtocolError("the dialect is SMTP or LMTP")
        self.origin: Final = origin
        self._hostname: Final = hostname
        self._timeouts: Final = timeouts
        self._dialect: Final = dialect
        self._exchange = Exchange()
        self._phase = self._table.initial
        self._capabilities: Capabilities | None = None
        self._reset = False  # whether the server may hold an unfinished transaction
        self._transaction: Transaction | None = None
        self._ahead: Transaction | None = None  # whose group the server has: nothing else can be begun

    @property
    def capabilities(self) -> Capabilities:
        """What the last EHLO of *this* engine listed.

        :raises LocalProtocolError: before it, and once the engine is spent.
        """
        if self._capabilities is None:
            raise LocalProtocolError("nothing was listed to this engine")
        return self._capabilities

    @property
    def usable(self) -> bool:
        """Whether another message may be submitted on this connection."""
        return self._table.next(self._phase, Trigger.SUBMIT) is not None

    @property
    def decided(self) -> tuple[Reply | None, ...]:
        """What the last ``submit`` had learned, recipient by recipient, also when it ended by an exception.

        None for whom nothing is known: such a recipient stays queued. (In LMTP some may have been delivered to before
        the connection was lost.)
        """
        return tuple(self._transaction.decided) if self._transaction is not None else ()

    def greeting(self) -> Dialogue[Reply]:
        """Hear the server's greeting.

        :raises Refused: when it refuses service; only ``quit`` is left then (RFC 5321 §3.1).
        :raises UnexpectedReply: for anything but 220, or more than a greeting.
        """
        after = self._enter(Trigger.GREETING)
        reply = yield from self._exchange.reply(self._timeouts.greeting, "greeting")
        self._exchange.expect_quiet("EHLO was sent")
        if reply.code >= 400:
            self._phase = Phase.CLOSED if reply.code == 421 else Phase.REFUSED
            raise Refused("service", reply)
        if reply.code != 220:
            raise UnexpectedReply("the greeting is not 220", reply)
        self._phase = after
        return reply

    def _hello(self, *, fallback: bool) -> Dialogue[Capabilities]:
        before, after = self._phase, self._enter(Trigger.HELLO)
        self._capabilities, self._reset = None, False  # RFC 5321 §4.1.4: EHLO resets
        verb = "LHLO" if self._dialect == "LMTP" else "EHLO"
        reply = yield from self._ask(command(f"{verb} {self._hostname}"), self._timeouts.hello, f"reply to {verb}")
        extended = True
        if fallback and verb == "EHLO" and reply.code in (500, 501, 502, 504, 550, 554):  # RFC 5321 §3.2
            extended = False
            verb = "HELO"
            reply = yield from self._ask(command(f"HELO {self._hostname}"), self._timeouts.hello, "reply to HELO")
        if reply.code >= 400:
            self._leave(before if before is Phase.GREETED else Phase.REFUSED, reply)
            raise Refused(verb, reply)
        if reply.code != 250:
            raise UnexpectedReply(f"the reply to {verb} is not 250", reply)
        self._capabilities = listed(reply, extended=extended)
        self._phase = after
        return self._capabilities

    def submit(self, envelope: Envelope, chunks: Iterable[bytes]) -> Dialogue[Submission]:
        """Submit one message.

        :param chunks: its content in CRLF lines, cut anywhere. It is streamed: one chunk is held at a time.
        :return: what became of it, for each recipient. A refusal is a value here, not an exception.
        :raises LocalProtocolError: for content with a CR or LF that stands alone. Found in the first chunk, nothing was
            sent and the engine stays usable; found later, the connection must be closed: the final dot is never sent.
        :raises RemoteProtocolError: when the server broke the protocol or closed; the message's fate is unknown where
            ``decided`` does not tell it.
        """
        return (yield from self.carry_out(self.prepare(envelope, chunks)))

    def prepare(self, envelope: Envelope, chunks: Iterable[bytes]) -> Transaction:
        """Make a message ready for ``carry_out``, as far as the server need not be asked.

        :raises LocalProtocolError: for content whose first chunk holds a CR or LF that stands alone.
        """
        lmtp = self._dialect == "LMTP"
        return Transaction(self._exchange, self.capabilities, envelope, chunks, self._timeouts, lmtp=lmtp)

    def carry_out(
        self, transaction: Transaction, following: Callable[[], Transaction | None] = lambda: None
    ) -> Dialogue[Submission]:
        """``submit``, with what ``prepare`` made.

        :param following: asked, when the end of the content goes out, for the transaction that is carried out next.
            Where the server takes groups of commands, its envelope goes out with it: then this connection waits once a
            message. ``begun`` says of a transaction that it did; nothing but that transaction can be begun then.
        """
        if self._ahead is transaction:
            self._ahead = None
        after = self._enter(Trigger.SUBMIT)
        self._transaction = transaction
        transaction.reset = self._reset
        try:
            submission = yield from transaction.run(following)
        finally:
            if not transaction.begun:
                self._phase = after
        self._reset, self._ahead = transaction.reset, transaction.following
        self._phase = Phase.CLOSED if transaction.closing else after
        return submission

    def relaying(self) -> Relaying:
        """The same conversation command by command, for who passes on what another client says.

        The dialogues of this engine may be run beside it while no transaction is open there; ``start_tls`` and another
        ``hello`` end it: ask for a new one.

        :raises LocalProtocolError: where no message may be submitted.
        """
        if not self.usable or self._ahead is not None:
            raise LocalProtocolError(f"nothing can be relayed: this client is {self._phase.value}")
        return Relaying(self._exchange, self.capabilities, self._timeouts, lmtp=self._dialect == "LMTP")

    def reset(self) -> Dialogue[Reply]:
        """RSET. ``submit`` does it by itself where it is needed.

        :raises Refused: when the server does not.
        """
        reply = yield from self._simple(Trigger.RESET, b"RSET\r\n")
        self._reset = False
        return reply

    def noop(self) -> Dialogue[Reply]:
        """NOOP, to find out whether an idle connection still lives.

        :raises Refused: when the server does not like it.
        """
        return (yield from self._simple(Trigger.NOOP, b"NOOP\r\n"))

    def quit(self) -> Dialogue[Reply | None]:
        """Say QUIT and hear the answer; None when there is none.

        What was delivered stays delivered, so no failure of this step is raised (RFC 5321 §4.1.1.10).
        """
        self._enter(Trigger.QUIT)
        self._phase = Phase.CLOSED
        try:
            yield Send(_QUIT)
            return (yield from self._exchange.reply(self._timeouts.quit, "reply to QUIT"))
        except (GatepostError, OSError):
            return None

    def _simple(self, trigger: Trigger, line: bytes) -> Dialogue[Reply]:
        after = self._enter(trigger)
        reply = yield from self._ask(line, self._timeouts.reset, f"reply to {trigger.value}")
        if reply.code >= 400:
            self._leave(after, reply)
            raise Refused(trigger.value, reply)
        if reply.code >= 300:
            raise UnexpectedReply(f"the reply to {trigger.value} makes no sense", reply)
        self._phase = after
        return reply

    def _ask(self, line: bytes, seconds: float, step: str) -> Dialogue[Reply]:
        return (yield from self._exchange.ask(line, seconds, step))

    def _enter(self, trigger: Trigger) -> Phase:
        """Begin a dialogue; where it leads when it ends well. Until then the engine is busy, or was broken off."""
        after = self._table.next(self._phase, trigger)
        if after is None:
            raise LocalProtocolError(f"{trigger.value} cannot be begun: this client is {self._phase.value}")
        if self._ahead is not None:
            raise LocalProtocolError(f"{trigger.value} cannot be begun: the next message's envelope was sent ahead")
        self._phase = Phase.BUSY
        return after

    def _leave(self, phase: Phase, reply: Reply) -> None:
        """End a dialogue with a refusal; 421 says that the server closes (RFC 5321 §3.8)."""
        self._phase = Phase.CLOSED if reply.code == 421 else phase


@final
class PlainClient(_Client):
    """A client in the clear.

    :param origin: where the connection leads.
    :param hostname: the name to say hello with.
    :param timeouts: how long to wait for each reply.
    :param dialect: ``SMTP`` or ``LMTP``.
    :raises LocalProtocolError: for a name that is no domain and no address literal.
    """

    __slots__ = ()
    _table = PLAIN_TABLE

    def hello(self, *, helo_fallback: bool = False) -> Dialogue[Capabilities]:
        """Say EHLO (LHLO), and hear what the server can do in the clear.

        :param helo_fallback: say HELO where EHLO is not understood. Then no extension is known, STARTTLS included, so
            this is for policies that do not require TLS.
        :raises Refused: when the server refuses.
        """
        return (yield from self._hello(fallback=helo_fallback))

    def start_tls(self) -> Dialogue[UpgradeReady]:
        """Ask for TLS. Three things can happen (RFC 3207 §4):

        * the go-ahead with nothing behind it: the token is returned, and this engine is spent;
        * a refusal, or STARTTLS is not listed: ``StartTLSRefused``; the connection is still in the clear;
        * anything else: an error that ends the connection, in the clear and otherwise.

        :raises StartTLSRefused: see above; ``temporary`` tells 4xx from 5xx.
        :raises PlaintextAfterUpgrade: when bytes stood behind the go-ahead; the engine is spent.
        :raises UnexpectedReply: for an answer that is neither.
        """
        after = self._enter(Trigger.STARTTLS)
        if not self.capabilities.starttls:
            self._phase = Phase.READY
            raise StartTLSRefused(None)
        exchange = self._exchange
        exchange.expect_quiet("STARTTLS was sent")
        yield Send(_STARTTLS)
        reply = yield from exchange.reply(self._timeouts.starttls, "reply to STARTTLS")
        if reply.code == 220:
            residue = exchange.reader.take()
            exchange.spend()
            self._exchange = Exchange()
            self._capabilities, self._transaction = None, None
            self._phase = after
            return hand_over_client(self.origin, residue)
        exchange.expect_quiet("the next command was sent")
        if reply.code < 400:
            raise UnexpectedReply("the reply to STARTTLS is neither a go-ahead nor a refusal", reply)
        self._leave(Phase.READY, reply)
        raise StartTLSRefused(reply)


@final
class SecureClient(_Client):
    """A client inside TLS. After STARTTLS begin with ``hello``; after an implicit handshake with ``greeting``.

    :param origin: where the connection leads.
    :param evidence: what the handshake proved.
    :param hostname: the name to say hello with.
    :param timeouts: how long to wait for each reply.
    :param dialect: ``SMTP`` or ``LMTP``.
    :raises LocalProtocolError: for evidence that is none, or a name that is no domain and no address literal.
    """

    __slots__ = ("evidence",)
    _table = SECURE_TABLE

    def __init__(
        self,
        origin: Origin,
        evidence: TLSEvidence,
        *,
        hostname: str,
        timeouts: ClientTimeouts = DEFAULT_TIMEOUTS,
        dialect: Literal["SMTP", "LMTP"] = "SMTP",
    ) -> None:
        if not isinstance(evidence, TLSEvidence):
            raise LocalProtocolError("a secure client is made from the evidence of a handshake")
        super().__init__(origin, hostname=hostname, timeouts=timeouts, dialect=dialect)
        self.evidence: Final = evidence

    def hello(self) -> Dialogue[Capabilities]:
        """Say EHLO (LHLO), and hear what the server can do inside TLS. There is no falling back to HELO here.

        :raises Refused: when the server refuses.
        """
        return (yield from self._hello(fallback=False))

    def authenticate(self, mechanism: ClientMechanism) -> Dialogue[None]:
        """Log in (RFC 4954). ``sasl.choose`` makes the mechanism from ``capabilities.auth``.

        :raises AuthenticationRefused: when the server refuses; another mechanism may be tried.
        :raises AuthenticationError: when the server breaks the mechanism or does not prove itself; the connection is
            over, and the password was not sent where the mechanism is SCRAM.
        """
        after = self._enter(Trigger.AUTH)
        initial = mechanism.initial()
        withheld = initial if initial is not None and len(initial) > _INITIAL_LIMIT else None
        reply = yield from self._auth_line(auth_command(mechanism.name, initial if withheld is None else None))
        if withheld is not None and reply.code == 334:
            if reply.text != "":
                raise UnexpectedReply("the server asks before it was told")
            reply = yield from self._auth_line(response_line(withheld))
        rounds = 0
        while reply.code == 334:
            rounds += 1
            if rounds > _AUTH_ROUNDS:
                raise UnexpectedReply("the server does not stop asking")
            reply = yield from self._auth_line(response_line(mechanism.respond(challenge(reply))))
        if reply.code >= 400:
            self._leave(Phase.READY, reply)
            raise AuthenticationRefused(reply)
        if reply.code != 235:
            raise UnexpectedReply("the reply to AUTH is neither 235, 334 nor a refusal", reply)
        if not mechanism.complete:
            raise UnexpectedReply("the server says that we are logged in before it proved itself", reply)
        self._phase = after

    def _auth_line(self, line: bytes) -> Dialogue[Reply]:
        return (yield from self._exchange.ask(line, self._timeouts.authenticate, "reply to AUTH", secret=True))


@overload
def converse_starttls(
    origin: Origin,
    *,
    hostname: str,
    required: Literal[True] = True,
    timeouts: ClientTimeouts = DEFAULT_TIMEOUTS,
    dialect: Literal["SMTP", "LMTP"] = "SMTP",
) -> Dialogue[SecureClient]: ...


@overload
def converse_starttls(
    origin: Origin,
    *,
    hostname: str,
    required: bool,
    timeouts: ClientTimeouts = DEFAULT_TIMEOUTS,
    dialect: Literal["SMTP", "LMTP"] = "SMTP",
) -> Dialogue[SecureClient | PlainClient]: ...


def converse_starttls(
    origin: Origin,
    *,
    hostname: str,
    required: bool = True,
    timeouts: ClientTimeouts = DEFAULT_TIMEOUTS,
    dialect: Literal["SMTP", "LMTP"] = "SMTP",
) -> Dialogue[SecureClient | PlainClient]:
    """From a fresh connection to a client that is ready for a message.

    :param required: whether the conversation must become private. When it need not, and the server does not list
        STARTTLS or refuses it, the client returned is a ``PlainClient``. A handshake that fails ends it either way.
    :raises StartTLSRefused: when TLS is required and the server will not.
    """
    plain = PlainClient(origin, hostname=hostname, timeouts=timeouts, dialect=dialect)
    yield from plain.greeting()
    yield from plain.hello(helo_fallback=not required)
    try:
        ready = yield from plain.start_tls()
    except StartTLSRefused:
        if required or not plain.usable:
            raise
        return plain
    evidence = yield from upgrade(ready)
    secure = SecureClient(origin, evidence, hostname=hostname, timeouts=timeouts, dialect=dialect)
    yield from secure.hello()
    return secure
