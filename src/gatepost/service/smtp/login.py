"""One AUTH exchange: a SASL mechanism, the accounts that it asks for, and what failing costs.

A password check takes 64 MiB and tens of milliseconds (argon2id), so it runs on a small pool with a bounded queue; the
loop serves others meanwhile. A failed login is logged in one line with ``rip=`` and the answer is delayed, by address,
longer every time.
"""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final, Protocol

from gatepost.accounts.verifiers import PasswordCheck
from gatepost.errors import GatepostError, StoreError
from gatepost.observe import logs
from gatepost.service.smtp import refusals
from gatepost.service.smtp.port import EXTERNAL, MECHANISMS
from gatepost.wire.sasl.external import ServerExternal
from gatepost.wire.sasl.mechanisms import offer, serve
from gatepost.wire.sasl.outcome import (
    Challenge,
    Failure,
    FailureKind,
    NeedPassword,
    NeedScram,
    ServerMechanism,
    ServerStep,
    Success,
    bindings_of,
)  # fmt: skip
from gatepost.wire.sasl.secret import Secret
from gatepost.wire.smtp.reply import AUTH_MECHANISM, Reply
from gatepost.wire.upgrade import TLSEvidence

if TYPE_CHECKING:
    from gatepost.service.smtp.connection import Connection

FAILURES_A_SESSION: Final = 3


class Client(Protocol):
    """The session that logs in."""

    @property
    def alive(self) -> bool: ...
    def challenge(self, data: bytes) -> None: ...
    def logged_in(self, user: str) -> None: ...
    def login_failed(self, answer: Reply) -> None: ...
    def resume(self) -> None: ...


class Login:
    """One exchange.

    :param client: the session that is told what to say.
    :param evidence: what the handshake proved, for channel bindings.
    :param mechanism: its name, in upper case.
    :param certified: the user that the client's certificate proves it to be; empty when it is nobody's.
    """

    __slots__ = ("_client", "_connection", "_mechanism", "_name", "_user")

    def __init__(
        self, client: Client, connection: Connection, evidence: TLSEvidence, mechanism: str, certified: str = ""
    ) -> None:
        bindings = bindings_of(evidence)
        self._client = client
        self._connection = connection
        self._name = mechanism
        self._user = ""
        nonce = b64encode(os.urandom(18)).decode()
        self._mechanism: ServerMechanism | None
        if mechanism == EXTERNAL and certified:
            self._user = certified
            self._mechanism = ServerExternal(certified)
        else:
            self._mechanism = serve(mechanism, offer(MECHANISMS, bindings), bindings, nonce=nonce)

    def step(self, data: bytes | None) -> None:
        """Take what the client sent."""
        if self._mechanism is None:
            self._client.login_failed(AUTH_MECHANISM)
        else:
            self._act(self._mechanism.step(data))

    def _act(self, step: ServerStep) -> None:
        mechanism = self._mechanism
        assert mechanism is not None
        try:
            match step:
                case Challenge(data):
                    self._client.challenge(data)
                case NeedScram(user):
                    self._user = user
                    self._act(mechanism.supply(self._connection.port.services.verifiers.scram(user)))
                case NeedPassword(user, password):
                    self._user = user
                    self._check(user, password)
                case Success(identity):
                    self._succeeded(identity)
                case Failure():
                    self._failed(step)
        except StoreError as error:
            logs.event(
                "store.failed", severity="error", reason=str(error), connection=self._connection.origin.connection
            )
            self._count("temporary")
            self._client.login_failed(refusals.LOGIN_BUSY)

    def _check(self, user: str, password: Secret) -> None:
        services = self._connection.port.services
        check = services.verifiers.password_check(user)

        def checked(future: Future[bool]) -> None:
            services.loop.call_soon_threadsafe(self._checked, check, future)

        if services.checks.submit(lambda: check.run(password), checked):
            self._connection.hold()
            return
        self._count("temporary")
        self._client.login_failed(refusals.LOGIN_BUSY)

    def _checked(self, check: PasswordCheck, future: Future[bool]) -> None:
        if not self._client.alive:
            return
        mechanism = self._mechanism
        assert mechanism is not None
        error = future.exception()
        if error is not None:
            reason = str(error) if isinstance(error, GatepostError) else repr(error)
            logs.event("auth.unavailable", severity="error", reason=reason)
            self._count("temporary")
            self._client.login_failed(refusals.LOGIN_BUSY)
        else:
            right = future.result()
            if right:
                self._remember(lambda: self._connection.port.services.verifiers.accepted(check))
            self._act(mechanism.verified(right))
        self._client.resume()

    def _remember(self, write: Callable[[], None]) -> None:
        """Write down a login. It is as good as before when that fails."""
        try:
            write()
        except StoreError as error:
            logs.event("store.failed", severity="error", reason=str(error))

    def _succeeded(self, identity: str) -> None:
        services, origin = self._connection.port.services, self._connection.origin
        self._count("success")
        user = services.verifiers.identity(identity)
        if self._name == EXTERNAL or self._name.startswith("SCRAM"):
            self._remember(lambda: services.verifiers.record_login(identity))
        logs.event("auth.succeeded", connection=origin.connection, rip=origin.peer[0], user=user, mechanism=self._name)
        self._client.logged_in(user)

    def _failed(self, failure: Failure) -> None:
        connection = self._connection
        origin, services = connection.origin, connection.port.services
        self._count("failure")
        services.counters.count("auth_failures_total", mechanism=self._name)
        delay = services.limits.login_failed(origin.peer[0])
        logs.event(
            "auth.failed",
            severity="notice",
            connection=origin.connection,
            rip=origin.peer[0],
            listener=connection.port.listener.name,
            user=failure.user or self._user,
            mechanism=self._name,
            reason=failure.reason,
            delay=delay,
        )
        malformed = failure.kind is FailureKind.MALFORMED
        answer = refusals.LOGIN_MALFORMED if malformed else refusals.LOGIN_FAILED
        if delay and not malformed:
            connection.hold()
            services.loop.call_later(delay, self._answer_late, answer)
        else:
            self._client.login_failed(answer)

    def _answer_late(self, answer: Reply) -> None:
        if self._client.alive:
            self._client.login_failed(answer)
            self._client.resume()

    def _count(self, result: str) -> None:
        self._connection.port.services.counters.count("auth_attempts_total", mechanism=self._name, result=result)
