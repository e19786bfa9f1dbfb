"""One login, whatever protocol it came by: a SASL mechanism or a name with a password, the accounts that it asks for,
and what failing costs.

A password check takes 64 MiB and tens of milliseconds (argon2id), so it runs on a small pool with a bounded queue; the
loop serves others meanwhile. A failed login is logged in one line with ``rip=`` and the answer is delayed, by address,
longer every time.
"""

from __future__ import annotations

import asyncio
import os
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol, final

from gatepost.accounts.recent import RecentPasswords
from gatepost.accounts.verifiers import PasswordCheck, Verifiers
from gatepost.errors import GatepostError, StoreError
from gatepost.observe import logs
from gatepost.observe.metrics import Counters
from gatepost.service.limits import Limits
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
)
from gatepost.wire.sasl.plain import PasswordVerdict, judge_password
from gatepost.wire.sasl.secret import Secret
from gatepost.wire.upgrade import Origin, TLSEvidence

FAILURES_A_SESSION: Final = 3
EXTERNAL: Final = "EXTERNAL"  # for a client whose certificate is a user's

_PLAIN_NAME: Final = "USER"  # for logs and counters: a name and a password without SASL


class Refused(Enum):
    """Why a login is refused, as far as the client is told."""

    CREDENTIALS = "wrong user or password"
    MALFORMED = "what was sent is no message of the mechanism"
    MECHANISM = "no such mechanism"
    BUSY = "it cannot be checked now"


class Client(Protocol):
    """The session that logs in."""

    @property
    def alive(self) -> bool: ...
    @property
    def origin(self) -> Origin: ...
    def hold(self) -> None:
        """The answer comes later: the peer's clock stands still until ``resume``."""

    def challenge(self, data: bytes) -> None: ...
    def logged_in(self, user: str) -> None: ...
    def login_failed(self, why: Refused) -> None: ...
    def resume(self) -> None: ...


class Pool(Protocol):
    """Runs password checks."""

    def submit(self, check: Callable[[], bool], done: Callable[[Future[bool]], None]) -> bool: ...
    def close(self) -> None: ...


@final
@dataclass(frozen=True, slots=True)
class Desk:
    """What the logins of one process share.

    :param mechanisms: the SASL mechanisms that are offered, best first.
    :param recent: passwords that were right a short while ago.
    """

    loop: asyncio.AbstractEventLoop
    verifiers: Verifiers
    checks: Pool
    limits: Limits
    counters: Counters
    recent: RecentPasswords
    mechanisms: tuple[str, ...]


class _NameAndPassword(PasswordVerdict):
    """USER and PASS: judged as PLAIN is, without its message."""

    __slots__ = ()

    def ask(self, user: str, password: Secret) -> NeedPassword | Failure:
        """Prepare what the client claims."""
        return self._ask(judge_password(user, password.reveal().decode()))


@final
class Login:
    """One exchange. Begin it with ``begin`` or with ``check``.

    :param client: the session that is told what to say.
    :param listener: its listener's name.
    """

    __slots__ = ("_client", "_desk", "_listener", "_mechanism", "_name", "_password", "_user")

    def __init__(self, client: Client, desk: Desk, listener: str) -> None:
        self._client = client
        self._desk = desk
        self._listener = listener
        self._name = _PLAIN_NAME
        self._user = ""
        self._mechanism: ServerMechanism | _NameAndPassword | None = None
        self._password: Secret | None = None

    @property
    def told(self) -> tuple[str, str]:
        """For a transcript: the mechanism, and whom the client claims to be; no more than that."""
        return self._name, self._user

    def begin(self, mechanism: str, initial: bytes | None, evidence: TLSEvidence, certified: str = "") -> None:
        """Begin a SASL exchange.

        :param mechanism: its name, in upper case.
        :param initial: the initial response, or None.
        :param evidence: what the handshake proved, for channel bindings.
        :param certified: the user that the client's certificate proves it to be; empty when it is nobody's.
        """
        bindings = bindings_of(evidence)
        nonce = b64encode(os.urandom(18)).decode()
        self._name = mechanism
        if mechanism == ServerExternal.name and certified:
            self._user = certified
            self._mechanism = ServerExternal(certified)
        else:
            self._mechanism = serve(mechanism, offer(self._desk.mechanisms, bindings), bindings, nonce=nonce)
        self.step(initial)

    def check(self, user: str, password: Secret) -> None:
        """Check a name with a password."""
        self._mechanism = mechanism = _NameAndPassword()
        self._act(mechanism.ask(user, password))

    def step(self, data: bytes | None) -> None:
        """Take what the client sent in a SASL exchange."""
        mechanism = self._mechanism
        if mechanism is None or isinstance(mechanism, _NameAndPassword):
            self._client.login_failed(Refused.MECHANISM)
        else:
            self._act(mechanism.step(data))

    def _act(self, step: ServerStep) -> None:
        mechanism = self._mechanism
        assert mechanism is not None
        try:
            match step:
                case Challenge(data):
                    self._client.challenge(data)
                case NeedScram(user):
                    self._user = user
                    self._act(mechanism.supply(self._desk.verifiers.scram(user)))
                case NeedPassword(user, password):
                    self._user = user
                    self._check(user, password)
                case Success(identity):
                    self._succeeded(identity)
                case Failure():
                    self._failed(step)
        except StoreError as error:
            logs.event("store.failed", severity="error", reason=str(error), connection=self._client.origin.connection)
            self._busy()

    def _check(self, user: str, password: Secret) -> None:
        desk = self._desk
        check = desk.verifiers.password_check(user)
        if desk.recent.holds(check, password):
            self._accepted(check)
            return

        def checked(future: Future[bool]) -> None:
            desk.loop.call_soon_threadsafe(self._checked, check, future)

        self._password = password
        if desk.checks.submit(lambda: check.run(password), checked):
            self._client.hold()
        else:
            self._busy()

    def _checked(self, check: PasswordCheck, future: Future[bool]) -> None:
        password, self._password = self._password, None
        if not self._client.alive:
            return
        error = future.exception()
        if error is not None:
            reason = str(error) if isinstance(error, GatepostError) else repr(error)
            logs.event("auth.unavailable", severity="error", reason=reason)
            self._busy()
        elif future.result():
            if password is not None:
                self._desk.recent.remember(check, password)
            self._accepted(check)
        else:
            assert self._mechanism is not None
            self._act(self._mechanism.verified(False))
        self._client.resume()

    def _accepted(self, check: PasswordCheck) -> None:
        self._remember(lambda: self._desk.verifiers.accepted(check))
        assert self._mechanism is not None
        self._act(self._mechanism.verified(True))

    def _remember(self, write: Callable[[], None]) -> None:
        """Write down a login. It is as good as before when that fails."""
        try:
            write()
        except StoreError as error:
            logs.event("store.failed", severity="error", reason=str(error))

    def _succeeded(self, identity: str) -> None:
        verifiers, origin = self._desk.verifiers, self._client.origin
        self._count("success")
        user = verifiers.identity(identity)
        if self._name.startswith(("SCRAM", ServerExternal.name)):
            self._remember(lambda: verifiers.record_login(identity))
        logs.event("auth.succeeded", connection=origin.connection, rip=origin.peer[0], user=user, mechanism=self._name)
        self._client.logged_in(user)

    def _failed(self, failure: Failure) -> None:
        origin, desk = self._client.origin, self._desk
        self._count("failure")
        desk.counters.count("auth_failures_total", mechanism=self._name)
        delay = desk.limits.login_failed(origin.peer[0])
        logs.event(
            "auth.failed",
            severity="notice",
            connection=origin.connection,
            rip=origin.peer[0],
            listener=self._listener,
            user=failure.user or self._user,
            mechanism=self._name,
            reason=failure.reason,
            delay=delay,
        )
        if failure.kind is FailureKind.MALFORMED:
            self._client.login_failed(Refused.MALFORMED)
        elif delay:
            self._client.hold()
            desk.loop.call_later(delay, self._answer_late)
        else:
            self._client.login_failed(Refused.CREDENTIALS)

    def _answer_late(self) -> None:
        if self._client.alive:
            self._client.login_failed(Refused.CREDENTIALS)
            self._client.resume()

    def _busy(self) -> None:
        self._count("temporary")
        self._client.login_failed(Refused.BUSY)

    def _count(self, result: str) -> None:
        self._desk.counters.count("auth_attempts_total", mechanism=self._name, result=result)
