"""A session inside TLS: made from origin and evidence, and the only one that knows a login."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gatepost.errors import StoreError
from gatepost.net.channel import SecureChannel
from gatepost.service.certified import refusal_of, shown, user_of
from gatepost.service.login import FAILURES_A_SESSION, Login, Refused
from gatepost.service.smtp import refusals
from gatepost.service.smtp.session import Session
from gatepost.service.smtp.transaction import Transaction
from gatepost.wire.smtp import events
from gatepost.wire.smtp.address import AddressSyntaxError, Mailbox, parse_mailbox
from gatepost.wire.smtp.reply import AUTH_MECHANISM, Reply
from gatepost.wire.smtp.server import SecureServer
from gatepost.wire.upgrade import Origin, TLSEvidence

if TYPE_CHECKING:
    from gatepost.service.smtp.connection import Connection

_REFUSALS: Final = {
    Refused.CREDENTIALS: refusals.LOGIN_FAILED,
    Refused.MALFORMED: refusals.LOGIN_MALFORMED,
    Refused.MECHANISM: AUTH_MECHANISM,
    Refused.BUSY: refusals.LOGIN_BUSY,
}


class SecureSession(Session):
    """A session inside TLS: made from the secure channel, that is from origin and evidence, and nothing else."""

    __slots__ = ("_certified", "_failures", "_login", "_shown", "_unproved")

    def __init__(self, connection: Connection, channel: SecureChannel) -> None:
        origin, evidence, terms = channel.origin, channel.evidence, connection.terms
        self._shown: Final = shown(evidence.peer_chain, evidence.verification)
        # RFC 3207 §4.1 has 554 for a handshake that did not reach what the policy asks for.
        self._unproved: Final = refusal_of(
            terms.asked, evidence.verification, refusals.NO_CERTIFICATE, refusals.CERTIFICATE_UNCHECKED
        )
        self._certified = ""
        profile = terms.profile
        if terms.external is not None and self._shown.status == "trusted":
            self._certified = user_of(self._shown, connection.port.services.desk.verifiers, origin)
            if self._certified:
                profile = terms.external
        super().__init__(connection, channel, SecureServer(origin, evidence, profile))
        self._login: Login | None = None
        self._failures = 0

    def _evidence(self) -> TLSEvidence | None:
        channel = self._channel
        return channel.evidence if isinstance(channel, SecureChannel) else None

    def _may_relay(self) -> bool:
        return bool(self._user) or super()._may_relay()

    def _relay_rule(self) -> str:
        origin, rules = self._connection.origin, self._connection.terms.relaying
        if rules is None:
            return super()._relay_rule()
        return rules.decide(origin.peer[0], origin.listener, self._shown).rule

    def _no_relay(self) -> Reply:
        """Where a list of ours has expired, the certificate might let it relay: the mail should come again."""
        if self._shown.unchecked and self._connection.terms.relaying is not None:
            return refusals.CERTIFICATE_UNCHECKED
        return super()._no_relay()

    def _judge_sender(self, sender: Mailbox | None) -> Reply | None:
        """A login sends as itself (RFC 6409 §6.1). The null path is for reports that its programs send."""
        if self._unproved is not None:
            return self._unproved
        if not self._connection.port.submission or sender is None:
            return None
        try:
            directory = self._connection.port.services.directory
            allowed = directory.may_send_as(self._user, sender.local, sender.ascii_domain)
        except StoreError as error:
            self._log_store_error(error)
            return refusals.CANNOT_LOOK_UP
        return None if allowed else refusals.NOT_YOUR_ADDRESS

    def _judge_content(self, transaction: Transaction) -> Reply | None:
        if not self._connection.port.submission:
            return None
        authors = transaction.authors
        if authors is None:
            return refusals.UNREADABLE_FROM
        directory = self._connection.port.services.directory
        for author in authors:
            try:
                mailbox = parse_mailbox(author)
                if not directory.may_send_as(self._user, mailbox.local, mailbox.ascii_domain):
                    return refusals.NOT_YOUR_AUTHOR
            except StoreError as error:
                self._log_store_error(error)
                return refusals.CANNOT_LOOK_UP
            except AddressSyntaxError:
                return refusals.UNREADABLE_FROM
        return None

    def _on_auth(self, event: events.AuthRequested) -> None:
        evidence = self._evidence()
        assert evidence is not None
        if self._unproved is not None:
            self._refuse(self._unproved)
            return
        port = self._connection.port
        login = self._login = Login(self, port.services.desk, port.name)
        login.begin(event.mechanism, event.initial, evidence, self._certified)

    def _on_auth_response(self, event: events.AuthResponse) -> None:
        if self._login is not None:
            self._login.step(event.data)

    def _on_auth_cancelled(self, event: events.AuthCancelled) -> None:
        self._login = None

    # service.login.Client

    @property
    def origin(self) -> Origin:
        """Where the connection came from."""
        return self._connection.origin

    def hold(self) -> None:
        """The answer comes later: the peer's clock stands still."""
        self._connection.hold()

    def challenge(self, data: bytes) -> None:
        """Ask the client for more."""
        assert isinstance(self._engine, SecureServer)
        self._engine.challenge(data)

    def logged_in(self, user: str) -> None:
        """The login succeeded."""
        assert isinstance(self._engine, SecureServer)
        if self._login is not None:
            self._decided("login", "accept", self._login.told[0], subject=user)
        self._login = None
        self._user = self._connection.record.user = user
        self._traces.clear()
        self._connection.last_call = float("inf")
        self._engine.authenticated(user)

    def login_failed(self, why: Refused) -> None:
        """The login failed; after a few of them the connection ends."""
        if self._login is not None:
            mechanism, claimed = self._login.told
            self._decided("login", "refuse", mechanism, why.value, claimed)
        self._login = None
        self._failures += 1
        self._engine.answer(_REFUSALS[why])
        if self._failures >= FAILURES_A_SESSION:
            self._connection.outcome = "too many failed logins"
            self.hang_up(refusals.TOO_MANY_LOGINS)

    def resume(self) -> None:
        """A login's answer came later: go on."""
        self._resume()


SecureSession._handlers = {
    **Session._handlers,
    events.AuthRequested: SecureSession._on_auth,
    events.AuthResponse: SecureSession._on_auth_response,
    events.AuthCancelled: SecureSession._on_auth_cancelled,
}
