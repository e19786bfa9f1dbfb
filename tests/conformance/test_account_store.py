"""What every backend of ``AccountStore`` promises. Add a backend by adding a row to ``BACKENDS``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest

from gatepost.store.accounts import NO_ENTRY, AccountStore, Entry, PasswordRecord
from gatepost.store.sqlite.accounts import LOGIN_RESOLUTION, SQLiteAccountStore
from gatepost.wire.sasl.scram import Verifier

ALICE, BOB = "alice@example.org", "bob@example.org"
RECORD = PasswordRecord("$argon2id$one", Verifier(b"salt", 4096, b"stored", b"server"))
OTHER = PasswordRecord("$argon2id$two", Verifier(b"tlas", 8192, b"derots", b"revres"))


class Opener(Protocol):
    """Opens the same store again, as another process would."""

    def __call__(self) -> AccountStore: ...


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def sqlite(folder: Path, clock: Clock) -> AccountStore:
    return SQLiteAccountStore(folder / "accounts.db", clock=clock)


BACKENDS: dict[str, Callable[[Path, Clock], AccountStore]] = {"sqlite": sqlite}


@pytest.fixture
def clock() -> Clock:
    """The time of the store."""
    return Clock()


@pytest.fixture(params=list(BACKENDS))
def opener(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Opener]:
    """Opens the backend's store, as often as asked."""
    opened: list[AccountStore] = []

    def open_again() -> AccountStore:
        opened.append(BACKENDS[request.param](tmp_path, clock))
        return opened[-1]

    yield open_again
    for store in opened:
        store.close()


@pytest.fixture
def store(opener: Opener) -> AccountStore:
    """An empty store."""
    return opener()


def test_created_user_is_there_with_all_it_was_given(store: AccountStore) -> None:
    """Nothing is lost on the way in."""
    assert store.create(ALICE, RECORD)
    account = store.account(ALICE)
    assert account is not None
    assert (account.address, account.created_at, account.password_set_at) == (ALICE, 1000.0, 1000.0)
    assert (account.disabled, account.last_login) == (False, None)
    assert store.password_record(ALICE) == RECORD


def test_second_user_of_an_address_is_refused_and_changes_nothing(store: AccountStore) -> None:
    """Two operators who add the same user do not overwrite each other's password."""
    store.create(ALICE, RECORD)
    assert not store.create(ALICE, OTHER)
    assert store.password_record(ALICE) == RECORD


def test_absent_user_is_absent_everywhere(store: AccountStore) -> None:
    """No method makes a user by the way."""
    assert store.account(ALICE) is None
    assert store.password_record(ALICE) is None
    assert not store.replace_password(ALICE, RECORD)
    assert not store.set_disabled(ALICE, True)
    assert not store.delete(ALICE)
    assert not store.delete_alias(ALICE)
    assert store.entry(ALICE) == NO_ENTRY
    store.record_login(ALICE)
    assert store.accounts() == []


def test_users_are_listed_by_domain_then_name(store: AccountStore) -> None:
    """The order people look for them in."""
    for address in ("b@example.org", "a@example.org", "z@example.net"):
        store.create(address, RECORD)
    assert [account.address for account in store.accounts()] == ["z@example.net", "a@example.org", "b@example.org"]


def test_password_is_replaced_whole(store: AccountStore, clock: Clock) -> None:
    """All verifiers change together, and the time of the change is kept."""
    store.create(ALICE, RECORD)
    clock.now = 2000.0
    assert store.replace_password(ALICE, OTHER)
    assert store.password_record(ALICE) == OTHER
    account = store.account(ALICE)
    assert account is not None
    assert (account.created_at, account.password_set_at) == (1000.0, 2000.0)


def test_rehash_replaces_only_what_it_was_made_from(store: AccountStore, clock: Clock) -> None:
    """A rehash that comes too late does nothing; one in time does not count as a new password."""
    store.create(ALICE, RECORD)
    clock.now = 2000.0
    third = replace(OTHER, argon2id="$argon2id$three")
    assert not store.replace_password(ALICE, third, replacing=OTHER)
    assert store.password_record(ALICE) == RECORD
    assert store.replace_password(ALICE, third, replacing=RECORD)
    account = store.account(ALICE)
    assert account is not None
    assert account.password_set_at == 1000.0


def test_disabled_user_shows_no_verifiers(store: AccountStore) -> None:
    """A backend cannot forget to look at the switch: there is nothing to log in with."""
    store.create(ALICE, RECORD)
    assert store.set_disabled(ALICE, True)
    assert store.password_record(ALICE) is None
    assert store.entry(ALICE) == Entry(True)
    assert store.replace_password(ALICE, OTHER)
    assert store.password_record(ALICE) is None
    assert store.set_disabled(ALICE, False)
    assert store.password_record(ALICE) == OTHER


def test_login_is_recorded_at_most_once_a_minute(store: AccountStore, clock: Clock) -> None:
    """A client that polls does not write at every poll; a clock that was set back does not stop the record."""
    store.create(ALICE, RECORD)
    seen: list[float | None] = []
    for now in (1000.0, 1000.0 + LOGIN_RESOLUTION - 1, 1000.0 + LOGIN_RESOLUTION, 500.0):
        clock.now = now
        store.record_login(ALICE)
        account = store.account(ALICE)
        assert account is not None
        seen.append(account.last_login)
    assert seen == [1000.0, 1000.0, 1000.0 + LOGIN_RESOLUTION, 500.0]


def test_entry_shows_user_and_alias_of_one_address(store: AccountStore) -> None:
    """Both may stand under the same address; targets keep their order."""
    store.create(ALICE, RECORD)
    store.set_alias(ALICE, ["z@example.com", "a@example.com"])
    store.set_alias("@example.org", [ALICE])
    assert store.entry(ALICE) == Entry(True, ("z@example.com", "a@example.com"))
    assert store.entry("@example.org") == Entry(False, (ALICE,))
    store.delete(ALICE)
    assert store.entry(ALICE) == Entry(False, ("z@example.com", "a@example.com"))


def test_alias_is_replaced_whole_and_deleted_whole(store: AccountStore) -> None:
    """No target of an earlier alias survives."""
    store.set_alias(BOB, ["a@x.example", "b@x.example"])
    store.set_alias(BOB, ["c@x.example"])
    store.set_alias(ALICE, ["d@x.example"])
    assert list(store.aliases().items()) == [(ALICE, ("d@x.example",)), (BOB, ("c@x.example",))]
    assert store.delete_alias(BOB)
    assert store.entry(BOB) == NO_ENTRY


def test_addresses_are_compared_octet_by_octet(store: AccountStore) -> None:
    """Canonical form is the business of the floor above; wildcards and quotes mean nothing."""
    store.create(ALICE, RECORD)
    for address in ("ALICE@example.org", "alice@example.org ", "%", "_lice@example.org", "' OR 1=1 --", "a\0"):
        assert store.entry(address) == NO_ENTRY
        assert store.account(address) is None


@pytest.mark.parametrize("who", ["same", "other"])
def test_generation_moves_when_an_entry_may_have_changed(opener: Opener, who: str) -> None:
    """Whoever caches entries sees every change, its own and other processes'."""
    store = opener()
    writer = store if who == "same" else opener()
    seen = [store.generation()]
    changes: list[Callable[[], object]] = [
        lambda: writer.create(ALICE, RECORD),
        lambda: writer.set_alias(BOB, [ALICE]),
        lambda: writer.set_alias(BOB, [ALICE, "x@example.com"]),
        lambda: writer.delete_alias(BOB),
        lambda: writer.delete(ALICE),
    ]
    for change in changes:
        change()
        seen.append(store.generation())
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize("who", ["same", "other"])
def test_generation_stays_when_no_entry_changed(opener: Opener, who: str) -> None:
    """Logins, passwords and failed changes empty no cache."""
    store = opener()
    writer = store if who == "same" else opener()
    writer.create(ALICE, RECORD)
    before = store.generation()
    writer.record_login(ALICE)
    writer.replace_password(ALICE, OTHER)
    writer.set_disabled(ALICE, True)
    writer.create(ALICE, RECORD)
    writer.delete(BOB)
    assert store.generation() == before


def test_secret_is_made_once_and_kept(opener: Opener) -> None:
    """Decoys stay the same over restarts and in every process."""
    first, second = opener(), opener()
    secret = first.secret()
    assert len(secret) == 32
    assert second.secret() == secret
    assert secret != bytes(32)


def test_store_opens_again_after_it_was_closed(store: AccountStore) -> None:
    """What was written is there afterwards."""
    store.create(ALICE, RECORD)
    store.close()
    store.close()
    assert store.password_record(ALICE) == RECORD


def test_backup_is_a_store_of_its_own(store: AccountStore, tmp_path: Path, clock: Clock) -> None:
    """A copy made while the store is in use can be put in its place."""
    store.create(ALICE, RECORD)
    secret = store.secret()
    target = tmp_path / "copy" / "accounts.db"
    target.parent.mkdir()
    store.backup_to(target)
    store.delete(ALICE)
    copy = SQLiteAccountStore(target, clock=clock)
    assert copy.password_record(ALICE) == RECORD
    assert copy.secret() == secret
    copy.close()
