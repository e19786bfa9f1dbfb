"""Passwords that were right a short while ago."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatepost.accounts.passwords import Strength
from gatepost.accounts.recent import RecentPasswords
from gatepost.accounts.users import Users
from gatepost.accounts.verifiers import Verifiers
from gatepost.store.sqlite.accounts import SQLiteAccountStore
from gatepost.wire.sasl.secret import Secret

QUICK = Strength(memory=8, passes=1, lanes=1, iterations=4096)
ALICE, RIGHT, WRONG = "alice@example.org", Secret("wonderland"), Secret("looking-glass")


class Desk:
    """Two users, and a clock that stands still."""

    def __init__(self, path: Path) -> None:
        self.store = SQLiteAccountStore(path)
        self.users = Users(self.store, ["example.org"], strength=QUICK)
        self.verifiers = Verifiers(self.store, ["example.org"], strength=QUICK)
        for name in ("alice", "bob"):
            self.users.add(name, RIGHT)
        self.now = 0.0
        self.recent = RecentPasswords(600, capacity=3, clock=lambda: self.now)

    def log_in(self, user: str = ALICE, password: Secret = RIGHT) -> bool:
        """As a service does: whether the costly check was spared."""
        check = self.verifiers.password_check(user)
        if self.recent.holds(check, password):
            return True
        if check.run(password):
            self.recent.remember(check, password)
        return False


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "accounts.db")


def test_right_password_is_checked_once(desk: Desk) -> None:
    """The next poll of the mail reader costs an HMAC."""
    assert [desk.log_in(), desk.log_in()] == [False, True]


def test_wrong_password_is_never_remembered(desk: Desk) -> None:
    """Guessing costs the full price each time, before and after a right login."""
    assert not any(desk.log_in(password=WRONG) for _ in range(3))
    desk.log_in()
    assert not desk.log_in(password=WRONG)


def test_memory_ends_with_its_time(desk: Desk) -> None:
    """Counted from the full check, not from the last use."""
    desk.log_in()
    desk.now = 599
    assert desk.log_in()
    desk.now = 600
    assert not desk.log_in()
    assert desk.log_in()


def test_changed_password_ends_it_at_once(desk: Desk) -> None:
    """Also when it is set to the same password again: what is stored is another."""
    desk.log_in()
    desk.users.set_password(ALICE, RIGHT)
    assert not desk.log_in()
    desk.users.set_password(ALICE, WRONG)
    assert not desk.recent.holds(desk.verifiers.password_check(ALICE), RIGHT)


def test_disabled_or_deleted_account_ends_it_at_once(desk: Desk) -> None:
    """A login that is not allowed is not found in memory."""
    desk.log_in()
    desk.users.set_disabled(ALICE, True)
    assert not desk.recent.holds(desk.verifiers.password_check(ALICE), RIGHT)
    desk.users.set_disabled(ALICE, False)
    desk.users.delete(ALICE)
    assert not desk.recent.holds(desk.verifiers.password_check(ALICE), RIGHT)


def test_password_of_one_account_opens_no_other(desk: Desk) -> None:
    """Bob has the same password; that Alice logged in says nothing about him."""
    desk.log_in()
    assert not desk.log_in("bob@example.org")


def test_memory_is_bounded(desk: Desk) -> None:
    """The oldest go first."""
    desk.log_in()
    check = desk.verifiers.password_check(ALICE)
    for number in range(3):
        desk.recent.remember(check, Secret(f"other {number}"))
    assert not desk.log_in()


def test_no_memory_is_kept_when_it_is_switched_off(desk: Desk) -> None:
    """``password_memory = 0``."""
    desk.recent = RecentPasswords(0)
    assert [desk.log_in(), desk.log_in()] == [False, False]
