"""STARTTLS that is asked of the server behind: when it agrees, TLS is between it and the client."""

from __future__ import annotations

from typing import final

from gatepost.errors import LocalProtocolError
from gatepost.wire.imap.events import CommandLine, Tagged, UpgradeAgreed
from gatepost.wire.imap.profile import Profile
from gatepost.wire.imap.relay import Pending, Relay
from gatepost.wire.imap.states import PASSING_STARTTLS, State, Trigger
from gatepost.wire.upgrade import (
    EarlyHello,
    Origin,
    PlaintextAfterUpgrade,
    Role,
    UpgradeReady,
    hand_over_client,
    hand_over_server,
)


@final
class PassingServer(Relay):
    """In the clear, where STARTTLS is asked of the server behind: when it agrees, TLS is between it and the client.
    Logins wait for that.

    :param origin: where the connection came from.
    :param profile: how the gate speaks.
    """

    __slots__ = ("_asked", "_go_ahead")

    def __init__(self, origin: Origin, profile: Profile) -> None:
        super().__init__(origin, profile, PASSING_STARTTLS, starttls=True, logins=False)
        self._asked: CommandLine | None = None  # a STARTTLS that waits for the answers to what stands before it
        self._go_ahead = b""

    def hand_over(self, server: Origin) -> tuple[UpgradeReady, EarlyHello | None, UpgradeReady]:
        """Spend both sides of this engine, and queue the server's go-ahead for the client.

        :param server: where the connection to the server leads.
        :return: what ``wire.upgrade.pass_upgrade`` asks for: the client's side, its eager hello, the server's side.
        :raises PlaintextAfterUpgrade: when the client said anything but the beginning of a hello behind STARTTLS, or
            the server anything behind its go-ahead. The client is told in place of the go-ahead, and it is over.
        :raises LocalProtocolError: when the server has not agreed.
        """
        if not self._go_ahead:
            raise LocalProtocolError("the server has agreed to no STARTTLS")
        tag, go_ahead, self._go_ahead = self._reader.tag, self._go_ahead, b""
        residue, waiting = self._reader.take(), self._responses.take()
        try:
            near, early = hand_over_server(self.origin, residue)
            far = hand_over_client(server, waiting)
        except PlaintextAfterUpgrade as finding:
            whose = b"STARTTLS" if finding.role is Role.SERVER else b"the answer to STARTTLS"
            self._say(b"%b BAD Octets stood behind %b\r\n" % (tag, whose))
            self._end(b"* BYE Closing\r\n", "plaintext behind STARTTLS")
            raise
        self._outgoing.append(go_ahead)
        self._move(Trigger.AGREED)
        return near, early, far

    def _advance(self) -> bool:
        if self._go_ahead:
            return False  # both streams belong to somebody else
        if self._asked is not None and not self._pending and self.state is State.NOT_AUTHENTICATED:
            asked, self._asked = self._asked, None
            self._move(Trigger.STARTTLS)
            self._pass(asked)
            return True
        return super()._advance()

    def _blocked(self) -> bool:
        return super()._blocked() or (self._asked is not None and self._reader.between)

    def _command(self, command: CommandLine) -> None:
        if command.verb != "STARTTLS" or self.state is not State.NOT_AUTHENTICATED:
            super()._command(command)
        elif command.octets.count(b" ") != 1 or command.literal is not None:
            self._answer(command, b"%b BAD That command has no arguments\r\n" % command.tag, "malformed STARTTLS")
        else:
            self._asked = command

    def _act_on(self, command: Pending, reply: Tagged) -> None:
        if command.verb != "STARTTLS" or self.state is not State.UPGRADING:
            super()._act_on(command, reply)
        elif reply.status == "OK":
            self._go_ahead = reply.octets
            self._events.append(UpgradeAgreed())
        else:
            self._move(Trigger.REFUSED)
            self._tell(reply.octets)
