"""One login, whatever protocol it came by: what the client is told, what is counted, and what is remembered."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from gatepost.accounts.passwords import Strength
from gatepost.accounts.recent import RecentPasswords
from gatepost.accounts.users import Users
from gatepost.accounts.verifiers import Verifiers
from gatepost.config.schema import Limits as Settings
from gatepost.errors import StoreError
from gatepost.observe.metrics import Counters
from gatepost.observe.shared import new_shared
from gatepost.service import limits
from gatepost.service.login import Desk, Login, Refused
from gatepost.store.sqlite.accounts import SQLiteAccountStore
from gatepost.wire.sasl.secret import Secret
from gatepost.wire.upgrade import Origin

QUICK = Strength(memory=8, passes=1, lanes=1, iterations=4096)
ALICE, RIGHT, WRONG = "alice@example.org", Secret("wonderland"), Secret("looking-glass")
ORIGIN = Origin(("192.0.2.7", 4711), ("192.0.2.1", 995), "pop3s", 0.0, "c1")


class AtOnce:
    """Runs checks where they are asked for, and counts them."""

    def __init__(self) -> None:
        self.run = 0
        self.full = False

    def submit(self, check: Callable[[], bool], done: Callable[[Future[bool]], None]) -> bool:
        if self.full:
            return False
        self.run += 1
        future: Future[bool] = Future()
        try:
            future.set_result(check())
        except Exception as error:  # noqa: BLE001 - as a pool does
            future.set_exception(error)
        done(future)
        return True

    def close(self) -> None: ...


class Session:
    """A session that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.heard = asyncio.Event()
        self.alive = True
        self.origin = ORIGIN

    def hold(self) -> None:
        self.told.append("hold")

    def challenge(self, data: bytes) -> None:
        self.told.append(data)

    def logged_in(self, user: str) -> None:
        self.told.append(user)
        self.heard.set()

    def login_failed(self, why: Refused) -> None:
        self.told.append(why)
        self.heard.set()

    def resume(self) -> None:
        self.told.append("resume")


class Office:
    """A desk with one user."""

    def __init__(self, path: Path, **settings: object) -> None:
        self.store = SQLiteAccountStore(path)
        Users(self.store, ["example.org"], strength=QUICK).add("alice", RIGHT)
        self.checks = AtOnce()
        self.counters = Counters()
        self.settings = Settings.model_validate(settings)

    def desk(self) -> Desk:
        return Desk(
            loop=asyncio.get_running_loop(),
            verifiers=Verifiers(self.store, ["example.org"], strength=QUICK),
            checks=self.checks,
            limits=limits.Limits(self.settings, limits.region(new_shared()), 0),
            counters=self.counters,
            recent=RecentPasswords(600),
            mechanisms=("SCRAM-SHA-256", "PLAIN"),
        )


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path / "accounts.db")
    yield made
    made.store.close()


async def check(desk: Desk, password: Secret, user: str = ALICE) -> list[object]:
    """Log in by name and password, and wait for what is said."""
    session = Session()
    Login(session, desk, "pop3s").check(user, password)
    await session.heard.wait()
    await asyncio.sleep(0)
    return session.told


def test_right_password_logs_in_and_is_not_hashed_again(office: Office) -> None:
    """A mail reader's next poll costs no argon2, and is answered at once."""

    async def scenario() -> None:
        desk = office.desk()
        assert await check(desk, RIGHT) == ["hold", ALICE, "resume"]
        assert await check(desk, RIGHT) == [ALICE]
        assert office.checks.run == 1

    asyncio.run(scenario())


def test_wrong_password_is_hashed_each_time(office: Office) -> None:
    """Guessing costs its full price, also beside a right password that is remembered."""

    async def scenario() -> None:
        desk = office.desk()
        await check(desk, RIGHT)
        for _ in range(2):
            assert Refused.CREDENTIALS in await check(desk, WRONG)
        assert office.checks.run == 3

    asyncio.run(scenario())


def test_answer_to_many_failures_comes_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind the failures that an address is granted, the clock is held and the answer waits."""
    office = Office(tmp_path / "accounts.db", auth_failures=1)

    async def scenario() -> None:
        desk = office.desk()
        delays: list[float] = []
        later = desk.loop.call_later

        def sooner(delay: float, call: Callable[[], object]) -> asyncio.TimerHandle:
            delays.append(delay)
            return later(0, call)

        monkeypatch.setattr(desk.loop, "call_later", sooner)
        assert await check(desk, WRONG) == ["hold", "hold", "resume", Refused.CREDENTIALS, "resume"]
        assert delays == [1.0]

    asyncio.run(scenario())
    office.store.close()


def test_full_pool_is_a_temporary_failure(office: Office) -> None:
    """When too many checks wait, nobody is told that a password is wrong."""
    office.checks.full = True

    async def scenario() -> None:
        assert await check(office.desk(), RIGHT) == [Refused.BUSY]

    asyncio.run(scenario())


def test_accounts_that_cannot_be_asked_are_a_temporary_failure(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that fails refuses nobody for good."""

    def fails(*_arguments: object) -> None:
        raise StoreError("the disk is gone")

    async def scenario() -> None:
        desk = office.desk()
        monkeypatch.setattr(Verifiers, "password_check", fails)
        assert await check(desk, RIGHT) == [Refused.BUSY]

    asyncio.run(scenario())


def test_nobody_is_told_when_the_peer_is_gone(office: Office) -> None:
    """A check that ends behind its session says nothing, and a right password is not taken for a login."""

    async def scenario() -> None:
        session = Session()
        login = Login(session, office.desk(), "pop3s")
        login.check(ALICE, RIGHT)
        session.alive = False
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert session.told == ["hold"]

    asyncio.run(scenario())


def test_step_without_a_mechanism_is_refused(office: Office) -> None:
    """A response that no SASL exchange waits for is no login."""

    async def scenario() -> None:
        session = Session()
        Login(session, office.desk(), "pop3s").step(b64encode(b"\0alice\0wonderland"))
        assert session.told == [Refused.MECHANISM]

    asyncio.run(scenario())
