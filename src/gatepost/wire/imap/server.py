"""Before TLS: the conversation that a gate has by itself, where STARTTLS is offered.

It answers CAPABILITY, NOOP, ID and LOGOUT, and STARTTLS is the way on. There is no server behind it, no login and no
way to one: not as a setting, but as code that is not there. ``grant_upgrade`` spends the engine; what comes inside TLS
is a ``relay.SecureServer``, made from the origin and the evidence, and from nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, TypeAlias, final

from gatepost.errors import LocalProtocolError
from gatepost.wire.imap.engine import PRIVACY_REQUIRED, Engine
from gatepost.wire.imap.events import CommandLine, Ended, Malformed, StartTLSRequested
from gatepost.wire.imap.profile import Profile
from gatepost.wire.imap.states import PLAIN, State, Trigger
from gatepost.wire.upgrade import EarlyHello, Origin, PlaintextAfterUpgrade, UpgradeReady, hand_over_server

Handler: TypeAlias = Callable[[Any, CommandLine], None]

_TLS_FIRST: Final = b"%b BAD TLS first: STARTTLS\r\n"
_NO_ARGUMENTS: Final = b"%b BAD That command has no arguments\r\n"


@final
class PlainServer(Engine):
    """A conversation in the clear.

    :param origin: where the connection came from.
    :param profile: how the gate speaks.
    """

    __slots__ = ("_asked",)

    def __init__(self, origin: Origin, profile: Profile) -> None:
        super().__init__(origin, profile, PLAIN)
        self._asked = b""  # the tag of the STARTTLS that waits for its answer

    def greet(self) -> None:
        """Queue the greeting.

        :raises LocalProtocolError: when something was said already.
        """
        if not self._move(Trigger.GREET):
            raise LocalProtocolError("the time for a greeting has passed")
        self._say(self.profile.greeting(self.profile.plain_capabilities))

    def grant_upgrade(self) -> tuple[UpgradeReady, EarlyHello | None]:
        """Grant STARTTLS: queue the tagged OK and spend this engine (RFC 9051 §6.2.1).

        Whatever was received behind the STARTTLS line, in its segment or since, is judged by ``wire.upgrade``; no
        parser of ours sees it.

        :return: the token for the TLS engine, and the beginning of the client's hello when it was eager.
        :raises PlaintextAfterUpgrade: when anything else stood there. A tagged BAD is queued in place of the OK, and
            the engine is over: flush and close.
        :raises LocalProtocolError: when no STARTTLS waits for an answer.
        """
        tag = self._take_asked()
        residue = self._reader.take()
        try:
            handed = hand_over_server(self.origin, residue)
        except PlaintextAfterUpgrade:
            self._say(b"%b BAD Octets stood behind STARTTLS\r\n" % tag)
            self._end(b"* BYE Closing\r\n", "plaintext behind STARTTLS")
            raise
        self._say(b"%b OK Begin TLS now\r\n" % tag)
        self._move(Trigger.STARTTLS)
        return handed

    def refuse_upgrade(self) -> None:
        """TLS cannot be had now.

        :raises LocalProtocolError: when no STARTTLS waits for an answer.
        """
        self._say(b"%b NO [UNAVAILABLE] TLS is not available now\r\n" % self._take_asked())

    def _take_asked(self) -> bytes:
        tag, self._asked = self._asked, b""
        if not tag:
            raise LocalProtocolError("no STARTTLS waits for an answer")
        return tag

    def _advance(self) -> bool:
        if self._asked or self.state is not State.NOT_AUTHENTICATED:
            return False
        piece = self._reader.next()
        if piece is None:
            if not self._eof:
                return False
            self._end(b"", "connection lost")
        elif isinstance(piece, Malformed):
            self._malformed(piece)
        elif isinstance(piece, CommandLine):
            self._command(piece)
        else:
            self._discard(piece)
        return True

    def _command(self, command: CommandLine) -> None:
        if not command.verb:
            self._no_command(command)
            return
        handler = self._handlers.get(command.verb)
        if handler is None:
            self._answer(command, _TLS_FIRST % command.tag, "misplaced command")
        else:
            handler(self, command)

    def _bare(self, command: CommandLine) -> bool:
        """Whether a command that has no arguments has none; otherwise it is answered."""
        if command.octets.count(b" ") == 1 and command.literal is None:
            return True
        self._answer(command, _NO_ARGUMENTS % command.tag, f"malformed {command.verb}")
        return False

    def _capability(self, command: CommandLine) -> None:
        if self._bare(command):
            listed = self.profile.plain_capabilities
            self._say(b"* CAPABILITY %b\r\n%b OK Capability completed\r\n" % (listed, command.tag))

    def _noop(self, command: CommandLine) -> None:
        if self._bare(command):
            self._say(b"%b OK Noop completed\r\n" % command.tag)

    def _id(self, command: CommandLine) -> None:
        """RFC 2971 §3.1: what a client says of itself in the clear is heard by nobody."""
        if command.literal is not None and command.literal.sync:
            self._answer(command, _TLS_FIRST % command.tag, "misplaced command")
        else:
            self._answer(command, b"* ID NIL\r\n%b OK Id completed\r\n" % command.tag)

    def _logout(self, command: CommandLine) -> None:
        """Behind LOGOUT nothing is read, pipelined or not."""
        if self._bare(command):
            self._say(b"* BYE Logging out\r\n%b OK Logout completed\r\n" % command.tag)
            self._reader.take()
            self._move(Trigger.LOGOUT)
            self._events.append(Ended("logout"))

    def _login(self, command: CommandLine) -> None:
        """RFC 9051 §6.2.3: refused before anything is known of whom it is for."""
        self._answer(command, PRIVACY_REQUIRED % command.tag, "login in the clear")

    def _starttls(self, command: CommandLine) -> None:
        if self._bare(command):
            self._asked = command.tag
            self._events.append(StartTLSRequested())

    _handlers: ClassVar[Mapping[str, Handler]] = {
        "CAPABILITY": _capability,
        "NOOP": _noop,
        "ID": _id,
        "LOGOUT": _logout,
        "LOGIN": _login,
        "AUTHENTICATE": _login,
        "STARTTLS": _starttls,
    }
