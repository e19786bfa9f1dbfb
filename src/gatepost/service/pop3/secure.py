"""A session inside TLS: made from origin and evidence, and the only one that knows a login and a maildrop.

What touches the disk is done by a thread, one call at a time, while the engine waits; the session's maildrop is closed
behind the last of them, so that no thread ever works on a mailbox that is not locked any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final

from gatepost.errors import StoreError
from gatepost.mailbox.lock import MaildropInUse
from gatepost.mailbox.maildrop import Maildrop, Updated, open_maildrop
from gatepost.net.channel import SecureChannel
from gatepost.observe import logs
from gatepost.service.certified import refusal_of, shown, user_of
from gatepost.service.login import FAILURES_A_SESSION, Login, Refused
from gatepost.service.pop3 import transfer
from gatepost.service.pop3.session import Session
from gatepost.wire.pop3 import events, reply
from gatepost.wire.pop3.reply import Reply
from gatepost.wire.pop3.server import SecureServer
from gatepost.wire.upgrade import Origin

if TYPE_CHECKING:
    from gatepost.service.pop3.connection import POP3Connection

_REFUSALS: Final = {
    Refused.CREDENTIALS: reply.AUTH_FAILED,
    Refused.MALFORMED: Reply(False, "The authentication response is malformed"),
    Refused.MECHANISM: reply.AUTH_MECHANISM,
    Refused.BUSY: reply.SYSTEM_TEMPORARY,
}
_NO_CERTIFICATE: Final = Reply(False, "A client certificate that is trusted here is required", "AUTH")
_UNCHECKED: Final = Reply(False, "Client certificates cannot be checked now", "SYS/TEMP")
_TOO_MANY_LOGINS: Final = Reply(False, "Too many failed logins", "AUTH")


class SecureSession(Session):
    """A session inside TLS: made from the secure channel, that is from origin and evidence, and nothing else."""

    __slots__ = ("_certified", "_drop", "_failures", "_login", "_lost", "_task", "_unlimited", "_unproved")

    def __init__(self, connection: POP3Connection, channel: SecureChannel) -> None:
        evidence, terms = channel.evidence, connection.terms
        self._drop: Maildrop | None = None
        self._unlimited = False  # logged in: the clock of RFC 1939 runs
        self._unproved: Final = refusal_of(terms.asked, evidence.verification, _NO_CERTIFICATE, _UNCHECKED)
        self._certified = ""
        if terms.external is not None:
            who = shown(evidence.peer_chain, evidence.verification)
            self._certified = user_of(who, connection.port.services.desk.verifiers, channel.origin)
        profile = terms.external if self._certified and terms.external is not None else terms.profile
        super().__init__(connection, channel, SecureServer(channel.origin, evidence, profile))
        self._failures = 0
        self._login: Login | None = None
        self._lost = False
        self._task: asyncio.Task[None] | None = None

    def await_command(self) -> None:
        port = self._connection.port
        self._connection.wait(port.idle_seconds if self._unlimited else port.login_seconds, "command")

    def expire(self) -> None:
        if self._task is None:
            super().expire()
        else:  # it does not take what we send
            self._connection.transport.abort()

    def connection_lost(self, error: OSError | None) -> None:
        self._channel = None
        self._lost = True
        if self._task is None:
            self._finish()

    def _finish(self) -> None:
        """Nobody is there and nothing is under way any more."""
        drop, self._drop = self._drop, None
        if drop is not None:
            self._connection.port.services.disk.later(drop.close)
        if self._lost:
            self._connection.ended()

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Answer the event that waits, and take time for it."""
        self.hold()
        task = self._task = self._connection.port.services.loop.create_task(work)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._task = None
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, transfer.Broken):
            logs.failure("pop3.failed", error, connection=self.origin.connection)
        if error is not None and self.alive:
            self._connection.outcome = "failed"
            self.hang_up(reply.SYSTEM_TEMPORARY)
        if self.alive:
            self._resume()
        else:
            self._finish()

    # service.login.Client

    @property
    def origin(self) -> Origin:
        """Where the connection came from."""
        return self._connection.origin

    def hold(self) -> None:
        """We are working: the peer's clock stands still."""
        self._connection.hold()

    def challenge(self, data: bytes) -> None:
        """Ask the client for more."""
        self._secure.challenge(data)

    def logged_in(self, user: str) -> None:
        """The login succeeded: open the maildrop, and only then say so (RFC 1939 §4)."""
        if self._login is not None and self._connection.transcript is not None:
            self._connection.transcript.decision("login", "accept", self._login.told[0], subject=user)
        self._login = None
        self._begin(self._open(user))

    def login_failed(self, why: Refused) -> None:
        """The login failed; after a few of them the connection ends."""
        if self._login is not None and self._connection.transcript is not None:
            mechanism, claimed = self._login.told
            self._connection.transcript.decision("login", "refuse", mechanism, why.value, claimed)
        self._login = None
        self._failures += 1
        self._engine.answer(_REFUSALS[why])
        if self._failures >= FAILURES_A_SESSION:
            self._connection.outcome = "too many failed logins"
            self.hang_up(_TOO_MANY_LOGINS)

    def resume(self) -> None:
        """A login's answer came later: go on."""
        self._resume()

    @property
    def _secure(self) -> SecureServer:
        engine = self._engine
        assert isinstance(engine, SecureServer)
        return engine

    async def _open(self, user: str) -> None:
        connection = self._connection
        root = connection.port.maildrop(user)
        try:
            drop = self._drop = await connection.port.services.disk.run(lambda: open_maildrop(root))
        except MaildropInUse:
            connection.port.tally.count("pop3_maildrops_total", result="in_use")
            logs.event("pop3.in-use", severity="notice", connection=self.origin.connection, user=user)
            self._engine.answer(reply.IN_USE)
            return
        except StoreError as error:
            connection.port.tally.count("pop3_maildrops_total", result="failed")
            self._log(error)
            self._engine.answer(reply.SYSTEM_TEMPORARY)
            return
        connection.port.tally.count("pop3_maildrops_total", result="opened")
        if self.alive:
            connection.record.user, connection.record.messages = user, drop.count
            connection.last_call = float("inf")
            self._unlimited = True
            self._secure.authenticated(user, Reply(True, f"{drop.count} messages, {drop.octets} octets"))

    def _log(self, error: StoreError) -> None:
        logs.event("store.failed", severity="error", reason=str(error), connection=self.origin.connection)

    # Logins

    def _on_login(self, event: events.LoginRequested) -> None:
        port = self._connection.port
        if self._unproved is not None:
            self._engine.answer(self._unproved)
        else:
            login = self._login = Login(self, port.services.desk, port.name)
            login.check(event.user, event.password)

    def _on_auth(self, event: events.AuthRequested) -> None:
        port, channel = self._connection.port, self._channel
        assert isinstance(channel, SecureChannel)
        if self._unproved is not None:
            self._engine.answer(self._unproved)
            return
        login = self._login = Login(self, port.services.desk, port.name)
        login.begin(event.mechanism, event.initial, channel.evidence, self._certified)

    def _on_auth_response(self, event: events.AuthResponse) -> None:
        if self._login is not None:
            self._login.step(event.data)

    def _on_auth_cancelled(self, event: events.AuthCancelled) -> None:
        self._login = None

    # The maildrop

    @property
    def _maildrop(self) -> Maildrop:
        drop = self._drop
        assert drop is not None, "the engine lets nothing through that needs one"
        return drop

    def _missing(self, number: int) -> Reply | None:
        """Why there is no such message; None when there is."""
        if number in self._maildrop:
            return None
        return reply.ALREADY_DELETED if number <= len(self._maildrop) else reply.NO_SUCH_MESSAGE

    def _on_stat(self, event: events.StatAsked) -> None:
        self._engine.answer(Reply(True, f"{self._maildrop.count} {self._maildrop.octets}"))

    def _on_list(self, event: events.ListAsked) -> None:
        drop, number = self._maildrop, event.number
        if number is not None:
            self._engine.answer(self._missing(number) or Reply(True, f"{number} {drop.size(number)}"))
            return
        self._list(f"{drop.count} messages, {drop.octets} octets", lambda number: f"{number} {drop.size(number)}\r\n")

    def _on_uidl(self, event: events.UidlAsked) -> None:
        drop, number = self._maildrop, event.number
        if number is not None:
            self._engine.answer(self._missing(number) or Reply(True, f"{number} {drop.unique_id(number)}"))
            return
        self._list("", lambda number: f"{number} {drop.unique_id(number)}\r\n")

    def _list(self, text: str, line: transfer.Line) -> None:
        self._engine.begin_multiline(text)
        self._begin(transfer.send_lines(self._outlet(), self._maildrop, line))

    def _on_retrieve(self, event: events.Retrieve) -> None:
        self._send(event.number, None)

    def _on_top(self, event: events.Top) -> None:
        self._send(event.number, event.lines)

    def _send(self, number: int, lines: int | None) -> None:
        refusal = self._missing(number)
        if refusal is not None:
            self._engine.answer(refusal)
        else:
            self._begin(transfer.send_message(self._outlet(), self._maildrop, number, lines))

    def _outlet(self) -> transfer.Outlet:
        channel = self._channel
        assert isinstance(channel, SecureChannel)
        return transfer.Outlet(self._connection, self._secure, channel)

    def _on_delete(self, event: events.Delete) -> None:
        refusal = self._missing(event.number)
        if refusal is None:
            self._maildrop.delete(event.number)
        self._engine.answer(refusal or Reply(True, f"Message {event.number} deleted"))

    def _on_undelete(self, event: events.Undelete) -> None:
        drop = self._maildrop
        drop.undelete()
        self._engine.answer(Reply(True, f"{drop.count} messages, {drop.octets} octets"))

    def _on_quit(self, event: events.Quit) -> None:
        super()._on_quit(event)
        if event.update:
            self._begin(self._update())

    async def _update(self) -> None:
        """Delete what is marked, let go of the lock, and only then answer (RFC 1939 §6)."""
        connection, drop, self._drop = self._connection, self._maildrop, None
        marked = drop.marked

        def work() -> Updated:
            try:
                return drop.update() if marked else Updated(0, 0)
            finally:
                drop.close()

        try:
            updated = await connection.port.services.disk.run(work)
        except StoreError as error:
            self._log(error)
            updated = Updated(0, marked)
        connection.record.deleted = updated.removed
        connection.port.tally.add(connection.port.tally.deleted, updated.removed)
        if updated.failed:
            logs.event("pop3.not-removed", severity="error", connection=self.origin.connection, messages=updated.failed)
        if self.alive:
            self._engine.answer(reply.NOT_ALL_REMOVED if updated.failed else reply.BYE)


SecureSession._handlers = {
    **Session._handlers,
    events.LoginRequested: SecureSession._on_login,
    events.AuthRequested: SecureSession._on_auth,
    events.AuthResponse: SecureSession._on_auth_response,
    events.AuthCancelled: SecureSession._on_auth_cancelled,
    events.StatAsked: SecureSession._on_stat,
    events.ListAsked: SecureSession._on_list,
    events.UidlAsked: SecureSession._on_uidl,
    events.Retrieve: SecureSession._on_retrieve,
    events.Top: SecureSession._on_top,
    events.Delete: SecureSession._on_delete,
    events.Undelete: SecureSession._on_undelete,
    events.Quit: SecureSession._on_quit,
}
