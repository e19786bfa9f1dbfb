"""Making, disabling and deleting users."""

from __future__ import annotations

import pytest

from gatepost.accounts.directory import Directory
from gatepost.accounts.errors import AccountError
from gatepost.accounts.passwords import Strength
from gatepost.accounts.resolution import Found
from gatepost.accounts.users import Users
from gatepost.accounts.verifiers import Verifiers
from gatepost.store.sqlite.accounts import SQLiteAccountStore
from gatepost.wire.sasl.secret import Secret

DOMAINS = ("example.org", "example.net")


@pytest.fixture
def users(store: SQLiteAccountStore, weak: Strength) -> Users:
    """The users of an empty store."""
    return Users(store, DOMAINS, strength=weak)


def test_added_user_can_log_in_and_gets_mail(users: Users, store: SQLiteAccountStore, weak: Strength) -> None:
    """One command is enough."""
    account = users.add("Alice@Example.NET", Secret("pass"))
    assert (account.address, account.created_at, account.disabled) == ("alice@example.net", 1000.0, False)
    assert Verifiers(store, DOMAINS, strength=weak).verify_password("alice@example.net", Secret("pass"))
    assert Directory(store, DOMAINS, {}).find("alice", "example.net") == Found(("alice@example.net",))


def test_bare_name_is_one_of_the_first_domain(users: Users) -> None:
    """`gatepost user add alice` does what one expects."""
    assert users.add("alice", Secret("x")).address == "alice@example.org"


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("alice@example.com", "domain"),
        ("alice+x@example.org", "address"),
        ("../../x@example.org", "address"),
        ("a\0b", "address"),
        ("", "address"),
        ("@example.org", "address"),
        ("a b@example.org", "address"),
        ("x" * 65, "address"),
        ("alice@", "address"),
        ("alice@exa\nmple.org", "address"),
        ("a\udcff@example.org", "address"),
        ("existing", "exists"),
        ("EXISTING@example.org", "exists"),
        ("team", "exists"),
    ],
)
def test_address_that_cannot_be_a_user_is_refused(
    users: Users, store: SQLiteAccountStore, address: str, reason: str
) -> None:
    """The refusal says why, in one printable line, and changes nothing."""
    users.add("existing", Secret("old"))
    store.set_alias("team@example.org", ["existing@example.org"])
    with pytest.raises(AccountError) as caught:
        users.add(address, Secret("x"))
    assert caught.value.reason == reason
    assert str(caught.value).isprintable()
    assert caught.value.hint
    assert [account.address for account in users.list()] == ["existing@example.org"]


def test_user_with_an_unusable_password_is_not_made(users: Users) -> None:
    """No user without a password."""
    with pytest.raises(AccountError):
        users.add("alice", Secret(""))
    assert users.list() == []


def test_password_of_a_user_is_replaced(users: Users, store: SQLiteAccountStore, weak: Strength) -> None:
    """`gatepost user passwd`."""
    users.add("alice", Secret("old"))
    users.set_password("alice", Secret("new"))
    assert Verifiers(store, DOMAINS, strength=weak).verify_password("alice", Secret("new"))


def test_deleted_user_is_gone(users: Users, store: SQLiteAccountStore) -> None:
    """No login, no mail, no verifiers left."""
    users.add("alice", Secret("x"))
    users.delete("ALICE")
    assert users.find("alice") is None
    assert store.password_record("alice@example.org") is None
    with pytest.raises(AccountError) as caught:
        users.delete("alice")
    assert caught.value.reason == "missing"


def test_disabled_user_keeps_its_mail_and_can_be_enabled(users: Users, store: SQLiteAccountStore) -> None:
    """Disabling stops logins, not mail."""
    users.add("alice", Secret("x"))
    users.set_disabled("alice", True)
    account = users.find("alice")
    assert account is not None
    assert account.disabled
    assert store.password_record("alice@example.org") is None
    assert Directory(store, DOMAINS, {}).find("alice", "example.org") == Found(("alice@example.org",))
    users.set_disabled("alice", False)
    assert store.password_record("alice@example.org") is not None
    with pytest.raises(AccountError):
        users.set_disabled("bob", True)
