"""Logins."""

from __future__ import annotations

import threading
from unittest import mock

import pytest

from gatepost.accounts.errors import AccountError
from gatepost.accounts.passwords import Passwords, Strength
from gatepost.accounts.users import Users
from gatepost.accounts.verifiers import Verifiers
from gatepost.store.sqlite.accounts import SQLiteAccountStore
from gatepost.wire.sasl.secret import Secret

DOMAINS = ("example.org", "example.net")


@pytest.fixture
def verifiers(store: SQLiteAccountStore, weak: Strength) -> Verifiers:
    """Verifiers of a store with one user, alice."""
    Users(store, DOMAINS, strength=weak).add("alice", Secret("pass"))
    return Verifiers(store, DOMAINS, strength=weak)


@pytest.mark.parametrize("user", ["alice", "Alice", "alice@example.org", "ALICE@Example.Org"])
def test_right_password_is_accepted_under_every_spelling_of_the_name(verifiers: Verifiers, user: str) -> None:
    """Clients send the name with or without the domain."""
    assert verifiers.verify_password(user, Secret("pass"))
    assert verifiers.identity(user) == "alice@example.org"


@pytest.mark.parametrize("user", ["bob", "alice@example.net", "alice+x", "", "@", "alice\0", "a\udcff", "x" * 5000])
def test_unknown_user_is_refused(verifiers: Verifiers, user: str) -> None:
    """Nobody logs in by a name that no user has, and none of them breaks anything."""
    assert not verifiers.verify_password(user, Secret("pass"))
    assert verifiers.scram(user).iterations == verifiers.scram("alice").iterations


def test_unknown_disabled_and_wrong_all_cost_one_full_check(verifiers: Verifiers, store: SQLiteAccountStore) -> None:
    """D3: from outside, the three cannot be told apart by time: each hashes exactly once at the same cost."""
    costs: list[str] = []
    matches = Passwords.matches

    def record(self: Passwords, encoded: str, password: Secret) -> bool:
        costs.append(encoded.rsplit("$", 2)[0])
        return matches(self, encoded, password)

    with mock.patch.object(Passwords, "matches", record):
        assert not verifiers.verify_password("alice", Secret("wrong"))
        assert not verifiers.verify_password("nobody", Secret("wrong"))
        store.set_disabled("alice@example.org", True)
        assert not verifiers.verify_password("alice", Secret("pass"))
    assert costs == [costs[0]] * 3


def test_disabled_user_gets_a_decoy_for_scram(verifiers: Verifiers, store: SQLiteAccountStore) -> None:
    """Its real verifier would let it in."""
    real = verifiers.scram("alice")
    store.set_disabled("alice@example.org", True)
    assert verifiers.scram("alice") != real
    assert verifiers.scram("alice") == verifiers.scram("ALICE@example.org")


def test_new_password_replaces_every_verifier(verifiers: Verifiers) -> None:
    """After a change, the old password opens nothing, by any mechanism."""
    before = verifiers.scram("alice")
    verifiers.set_password("Alice", Secret("new"))
    assert verifiers.verify_password("alice", Secret("new"))
    assert not verifiers.verify_password("alice", Secret("pass"))
    after = verifiers.scram("alice")
    assert (after.salt, after.stored_key, after.server_key) != (before.salt, before.stored_key, before.server_key)


def test_password_of_nobody_cannot_be_set(verifiers: Verifiers) -> None:
    """The error says which name, safely printed."""
    with pytest.raises(AccountError, match=r"there is no user bob\\n@example\.org") as caught:
        verifiers.set_password("bob\n", Secret("x"))
    assert caught.value.reason == "missing"


def test_refused_password_leaves_the_old_one(verifiers: Verifiers) -> None:
    """A password that cannot be used changes nothing."""
    with pytest.raises(AccountError):
        verifiers.set_password("alice", Secret(""))
    assert verifiers.verify_password("alice", Secret("pass"))


def test_check_runs_in_another_thread_without_the_store(verifiers: Verifiers, store: SQLiteAccountStore) -> None:
    """The slow half touches nothing but its own values."""
    check = verifiers.password_check("alice")
    store.close()
    results: list[bool] = []
    thread = threading.Thread(target=lambda: results.append(check.run(Secret("pass"))))
    with mock.patch.object(SQLiteAccountStore, "_open", side_effect=AssertionError("the store was used")):
        thread.start()
        thread.join()
    assert results == [True]


def test_login_is_remembered_only_when_it_succeeded(verifiers: Verifiers, store: SQLiteAccountStore) -> None:
    """`last_login` is what the operator believes."""
    verifiers.verify_password("alice", Secret("wrong"))
    before = store.account("alice@example.org")
    assert before is not None
    assert before.last_login is None
    verifiers.verify_password("alice", Secret("pass"))
    after = store.account("alice@example.org")
    assert after is not None
    assert after.last_login == 1000.0


def test_scram_login_is_remembered_when_told(verifiers: Verifiers, store: SQLiteAccountStore) -> None:
    """SCRAM proves the password to the mechanism, so the service reports the login."""
    verifiers.record_login("ALICE")
    account = store.account("alice@example.org")
    assert account is not None
    assert account.last_login == 1000.0


def test_verifiers_are_remade_when_the_strength_changed(verifiers: Verifiers, store: SQLiteAccountStore) -> None:
    """The next right password brings an old record up to date; the password stays."""
    stronger = Verifiers(store, DOMAINS, strength=Strength(128, 1, 1, 5000))
    assert not stronger.verify_password("alice", Secret("wrong"))
    assert verifiers.scram("alice").iterations == 4096
    assert stronger.verify_password("alice", Secret("pass"))
    record = store.password_record("alice@example.org")
    assert record is not None
    assert "m=128" in record.argon2id
    assert record.scram.iterations == 5000
    assert stronger.verify_password("alice", Secret("pass"))


def test_remade_verifiers_never_undo_a_change_of_password(verifiers: Verifiers, store: SQLiteAccountStore) -> None:
    """A password set while an old one was being checked stays set."""
    stronger = Verifiers(store, DOMAINS, strength=Strength(128, 1, 1, 4096))
    check = stronger.password_check("alice")
    assert check.run(Secret("pass"))
    assert check.improved is not None
    verifiers.set_password("alice", Secret("new"))
    stronger.accepted(check)
    assert verifiers.verify_password("alice", Secret("new"))
    assert not verifiers.verify_password("alice", Secret("pass"))
