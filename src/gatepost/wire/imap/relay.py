"""With a server behind: two streams that are followed, and passed on octet for octet.

Theory
------
A gate that reads must see the conversation as both sides see it, or one of them can be made to take content for
commands. Three rules keep it so:

* Where the client's next octets mean what the server says they mean, nothing is read before the server has said it
  (``commands``). Its ``+`` is the server's own: we never ask for more than the server did.
* An answer counts only for a command that was passed on and is complete. A tagged answer to any other, an OK to half a
  command, a PREAUTH after the greeting: the server, or somebody before it, does not speak of this conversation, and it
  ends (CVE-2026-42246 is of this kind).
* Between a LOGIN and its answer no command is begun, so that what is allowed, and what a line may have, never depends
  on a guess.

Of what passes nothing is changed but lists of capabilities (``capabilities``) and fields of ID that speak for somebody
else (``identification``). Few commands do not pass: those that would take away what the three rules stand on.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NamedTuple, final

from gatepost.errors import LocalProtocolError
from gatepost.wire.imap.capabilities import Rewritten, kept, passes, rewrite, unasked_limit
from gatepost.wire.imap.claim import Claim
from gatepost.wire.imap.client import Opening
from gatepost.wire.imap.engine import PRIVACY_REQUIRED, Engine
from gatepost.wire.imap.events import (
    Broken,
    ClientPiece,
    CommandLine,
    Continue,
    LoggedIn,
    LoginFailed,
    Malformed,
    Passing,
    ServerPiece,
    Tagged,
    Untagged,
)
from gatepost.wire.imap.grammar import Literal
from gatepost.wire.imap.identification import own_fields
from gatepost.wire.imap.profile import PENDING_LIMIT, Profile
from gatepost.wire.imap.responses import ResponseReader
from gatepost.wire.imap.states import PASSING, SILENT, Reading, State, Trigger
from gatepost.wire.imap.witnessing import KNOWN, Bulk, Prompt
from gatepost.wire.machine import Table
from gatepost.wire.upgrade import Origin, TLSEvidence

LOGINS: Final = frozenset({"LOGIN", "AUTHENTICATE"})
"""The commands that carry credentials."""

SERVER_FAULT: Final = "server: "
"""What the reason of ``Ended`` begins with where the server broke the protocol."""
_NEVER: Final = {
    "COMPRESS": b"%b BAD No compression through this gate\r\n",
    "STARTTLS": b"%b BAD STARTTLS is not to be had here\r\n",
    "UNAUTHENTICATE": b"%b BAD Log out instead\r\n",
    "XCLIENT": b"%b BAD That is not for you to say\r\n",
}
_NO_ID: Final = b"%b BAD That is no list of fields, or has literals\r\n"
_MECHANISM: Final = b"%b NO [CANNOT] That mechanism does not pass this gate\r\n"
_TAG_IN_USE: Final = b"%b BAD That tag is in use\r\n"  # RFC 9051 §2.2.1: each command has its own
_TOO_LONG: Final = b"%b NO [TOOBIG] That literal is too long before a login\r\n"
_UNASKED: Final = b"%b BAD The server takes no such literal unasked\r\n"


class Pending(NamedTuple):
    """A command that the server has not completed."""

    tag: bytes
    verb: str


class Relay(Engine):
    """What is the same in the clear and inside TLS. See ``SecureServer`` and ``ClearServer``."""

    __slots__ = (
        "_bye", "_claim", "_literals", "_logins", "_own", "_pending", "_responses", "_starttls", "_to_server",
        "_unasked",
    )  # fmt: skip

    def __init__(
        self, origin: Origin, profile: Profile, table: Table[State, Trigger] = PASSING, *, starttls: bool = False,
        logins: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(origin, profile, table)
        self._responses: Final = ResponseReader()
        self._starttls: Final = starttls
        self._logins: Final = logins
        self._to_server: list[bytes] = []
        self._own: list[bytes] = []  # of ours, due where the server's response ends
        self._pending: list[Pending] = []
        self._claim: Claim | None = None
        self._literals = 0  # octets that the literals of this command announce
        self._unasked: int | None = 0  # the longest literal that the server takes unasked
        self._bye = False

    # -- the server

    def opened(self, opening: Opening, *, greet: bool) -> None:
        """The server is ready: read what the client has said meanwhile.

        :param greet: whether the client has heard no greeting yet.
        :raises LocalProtocolError: when that was said before.
        """
        if not self._move(Trigger.OPENED):
            raise LocalProtocolError("this conversation has its server already")
        self._unasked = unasked_limit(opening.listed)
        if greet:
            listed = b" ".join(kept(opening.capabilities, starttls=self._starttls, logins=self._logins))
            heard = self._rewritten(opening.greeting).octets if opening.greeting else b""
            self._outgoing.append(heard or self.profile.greeting(listed))
        self._responses.receive(opening.residue)

    def receive_from_server(self, data: bytes) -> None:
        """Take what the server sent."""
        if not self.over:
            self._responses.receive(data)

    def lost(self, reason: str) -> None:
        """The server will say nothing more. Call ``next_event`` until it returns None before.

        :param reason: in words, for the client; printable ASCII.
        """
        if self.over:
            return
        if self._bye:
            self._end(b"", "logout" if self.state is State.LEAVING else "closed by the server")
        else:
            self.shutdown(reason)

    def to_server(self) -> bytes:
        """Take all octets that are queued for the server."""
        data = b"".join(self._to_server)
        self._to_server.clear()
        return data

    @property
    def pending(self) -> int:
        """Commands that the server has not completed."""
        return len(self._pending)

    @property
    def idling(self) -> bool:
        """Whether the client is in IDLE (RFC 9051 §6.3.13)."""
        return self._reader.reading is Reading.ANSWER and self._reader.verb == "IDLE"

    @property
    def expects_client(self) -> bool:
        """Whether it is the client's turn: nothing is asked of the server, or the rest of a command is due."""
        if self.state is State.OPENING:
            return False
        return not self._pending or self._reader.reading in (Reading.ARGUMENTS, Reading.LITERAL, Reading.ANSWER)

    @property
    def halfway(self) -> bool:
        """Whether the server has the beginning of a command and not its end."""
        return self._reader.reading in (Reading.ASKED, Reading.LITERAL, Reading.ARGUMENTS) and self._refusal is None

    @property
    def farewell(self) -> bool:
        """Whether the server has said goodbye."""
        return self._bye

    @property
    def authenticated(self) -> bool:
        """Whether the server accepted a login."""
        return self.state is State.AUTHENTICATED

    # -- both

    def _advance(self) -> bool:
        if self.over:
            return False
        if self.state is not State.OPENING and (response := self._responses.next()) is not None:
            self._serve(response)
            self._say_own()
            return True
        if self._blocked():
            return self._ends_early()
        piece = self._reader.next()
        if piece is None:
            return self._ends_early()
        self._take(piece)
        return True

    def _blocked(self) -> bool:
        """Whether no command may be begun."""
        return self._reader.between and (self.state in SILENT or len(self._pending) >= PENDING_LIMIT)

    def _ends_early(self) -> bool:
        """The client says nothing more: what was asked is answered, then it is over."""
        if not self._eof or (self._pending and self._reader.between) or self.state is State.OPENING:
            return False
        done = self.state is State.LEAVING and not self._pending
        self._end(b"", "logout" if done else "connection lost")
        return True

    # -- what is said of our own

    def _say(self, line: bytes) -> None:
        if self._responses.between and not self._own:
            self._outgoing.append(line)
        else:
            self._own.append(line)

    def _say_own(self) -> None:
        if self._own and self._responses.between:
            self._outgoing += self._own
            self._own.clear()

    # -- what the client says

    def _take(self, piece: ClientPiece) -> None:
        if isinstance(piece, Malformed):
            self._malformed(piece)
        elif isinstance(piece, CommandLine):
            self._command(piece)
        elif self._refusal is not None:
            self._discard(piece)
        else:
            literal = getattr(piece, "literal", None)
            if literal is not None and (refusal := self._unfit(literal)):
                # The server has half of this command: there is no way back but the end.
                self._say(refusal % self._reader.tag)
                self._end(b"* BYE Closing\r\n", "literal refused")
                return
            if self._claim is not None:
                self._claim.take(piece)
            self._to_server.append(piece.octets)

    def _command(self, command: CommandLine) -> None:
        self._literals = 0
        if not command.verb:
            self._no_command(command)
        elif refusal := self._refused(command):
            self._answer(command, refusal % command.tag, f"refused {command.verb}")
        elif command.verb == "ID":
            self._identify(command)
        else:
            self._pass(command)

    def _identify(self, command: CommandLine) -> None:
        """RFC 2971: pass on what the client may say of itself."""
        fields = None if command.literal is not None else own_fields(command.arguments)
        if fields is None:
            self._answer(command, _NO_ID % command.tag, "malformed ID")
            return
        whole = len(command.octets) - len(command.arguments) - 2
        self._pass(replace(command, octets=command.octets[:whole] + fields + b"\r\n"))

    def _pass(self, command: CommandLine) -> None:
        if self.state is State.AUTHENTICATED:
            self._errors = 0  # they are counted in a row: such sessions last for days
        self._pending.append(Pending(command.tag, command.verb))
        self._to_server.append(command.octets)
        if command.verb == "LOGOUT":
            self._move(Trigger.LOGOUT)
        elif command.verb in LOGINS and self._move(Trigger.LOGIN):
            self._claim = Claim(command)

    def _refused(self, command: CommandLine) -> bytes:
        """What a command is answered with that does not pass; nothing for one that does."""
        if command.verb in _NEVER:
            return _NEVER[command.verb]
        if command.verb in LOGINS and not self._logins:
            return PRIVACY_REQUIRED
        if command.verb in LOGINS and any(each.tag == command.tag for each in self._pending):
            return _TAG_IN_USE  # another command's success must not be this one's
        if command.verb == "AUTHENTICATE":
            mechanism = command.arguments.partition(b" ")[0].strip(b'"')
            if not passes(b"AUTH=" + mechanism):
                return _MECHANISM
        return self._unfit(command.literal) if command.literal is not None else b""

    def _unfit(self, literal: Literal) -> bytes:
        """What a literal is refused with; nothing for one that passes."""
        self._literals += literal.size
        if self.state is not State.AUTHENTICATED and self._literals > self.profile.early_literal_limit:
            return _TOO_LONG
        if not literal.sync and self._unasked is not None and literal.size > self._unasked:
            return _UNASKED
        return b""

    # -- what the server says

    def _serve(self, piece: ServerPiece) -> None:
        if isinstance(piece, Passing):
            self._outgoing.append(piece.octets if self._reader.witnessing is None else Bulk(piece.octets))
        elif isinstance(piece, Broken):
            self._broken(piece.reason)
        elif isinstance(piece, Continue):
            # In a login it is a challenge; of a command that may not be shown nobody knows what it is.
            shown = self.state is not State.LOGGING_IN and self._reader.verb in KNOWN
            self._reader.go_ahead()
            self._outgoing.append(Prompt(piece.octets) if shown else piece.octets)
        elif isinstance(piece, Tagged):
            self._completed(piece)
        elif isinstance(piece, Untagged) and piece.status == "PREAUTH":
            self._broken("a PREAUTH that is no greeting")
        else:
            self._bye = self._bye or (isinstance(piece, Untagged) and piece.status == "BYE")
            self._tell(piece.octets)

    def _rewritten(self, line: bytes) -> Rewritten:
        return rewrite(line, starttls=self._starttls, logins=self._logins)

    def _tell(self, line: bytes) -> None:
        """Pass on a line that may list capabilities."""
        rewritten = self._rewritten(line)
        if rewritten.listed is not None:
            self._unasked = unasked_limit(rewritten.listed)
        self._outgoing.append(rewritten.octets)

    def _completed(self, reply: Tagged) -> None:
        command = next((each for each in self._pending if each.tag == reply.tag), None)
        if command is None:
            self._broken("an answer to what was not asked")
            return
        reader = self._reader
        if self.halfway and reader.tag == reply.tag and reply.status == "OK":
            self._broken("success of half a command")
            return
        self._pending.remove(command)
        reader.replied(reply.tag)
        self._act_on(command, reply)

    def _act_on(self, command: Pending, reply: Tagged) -> None:
        """A command was completed."""
        if command.verb in LOGINS and self.state is State.LOGGING_IN:
            self._login_ends(reply)
        self._tell(reply.octets)
        if command.verb == "LOGOUT" and self.state is State.LEAVING and not self._pending:
            self._end(b"", "logout")  # RFC 9051 §3.4: the server closes now, and so do we

    def _login_ends(self, reply: Tagged) -> None:
        claim, self._claim = self._claim, None
        assert claim is not None
        if reply.status == "OK":
            self._move(Trigger.LOGGED_IN)
            self._reader.take_lines_of(self.profile.line_limit)
            self._events.append(LoggedIn(claim.user, claim.mechanism))
            return
        self._move(Trigger.LOGIN_ENDS)
        if reply.status == "NO":
            self._events.append(LoginFailed(claim.user, claim.mechanism))

    def _broken(self, reason: str) -> None:
        """The server is not to be believed any more."""
        self._end(b"* BYE [UNAVAILABLE] The server behind broke the protocol\r\n", SERVER_FAULT + reason)


@final
class SecureServer(Relay):
    """Inside TLS.

    :param origin: where the connection came from.
    :param evidence: what the handshake proved.
    :param profile: how the gate speaks.
    """

    __slots__ = ("evidence",)

    def __init__(self, origin: Origin, evidence: TLSEvidence, profile: Profile) -> None:
        super().__init__(origin, profile)
        self.evidence: Final = evidence


@final
class ClearServer(Relay):
    """In the clear, where the operator has us offer no TLS.

    :param origin: where the connection came from.
    :param profile: how the gate speaks.
    :param logins: whether passwords pass in the clear.
    """

    __slots__ = ()

    def __init__(self, origin: Origin, profile: Profile, *, logins: bool) -> None:
        super().__init__(origin, profile, logins=logins)
