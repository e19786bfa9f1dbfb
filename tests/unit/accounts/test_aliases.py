"""Aliases made while the server runs."""

from __future__ import annotations

import pytest

from gatepost.accounts.aliases import AliasBook
from gatepost.accounts.errors import AccountError
from gatepost.accounts.expansion import TARGET_LIMIT
from gatepost.errors import ConfigError
from gatepost.store.sqlite.accounts import SQLiteAccountStore

DOMAINS = ("example.org", "example.net")


def test_alias_is_written_in_canonical_form(store: SQLiteAccountStore) -> None:
    """Names here are canonical, addresses elsewhere keep their local part's case, doubles go."""
    book = AliasBook(store, DOMAINS, {})
    book.set("Team", ["Alice", "Bob@EXAMPLE.com", "Bob@example.com"])
    book.set("@example.net", ["alice"])
    assert book.list() == {
        "@example.net": ("alice@example.org",),
        "team@example.org": ("Alice@example.org", "Bob@example.com"),
    }


def test_alias_is_replaced_and_deleted(store: SQLiteAccountStore) -> None:
    """The last write stands; deleting what is not there is refused."""
    book = AliasBook(store, DOMAINS, {})
    book.set("team", ["a", "b"])
    book.set("team", ["c"])
    assert book.list() == {"team@example.org": ("c@example.org",)}
    book.delete("TEAM@example.org")
    assert book.list() == {}
    with pytest.raises(AccountError) as caught:
        book.delete("team")
    assert caught.value.reason == "missing"


@pytest.mark.parametrize(
    ("name", "targets", "reason"),
    [
        ("team@example.com", ["alice"], "domain"),
        ("te am", ["alice"], "address"),
        ("", ["alice"], "address"),
        ("team", [], "alias"),
        ("team", ["x\r\nDATA"], "address"),
        ("team", ["|prog -x"], "address"),
        ("team", ["/dev/null/ x"], "address"),
        ("team", [":include:/etc/passwd"], "address"),
        ("team", ["a@b@c"], "address"),
        ("team", ["x"] * (TARGET_LIMIT + 1), "alias"),
        ("info", ["alice"], "exists"),
        ("info@example.net", ["alice"], "exists"),
        ("b", ["a"], "alias"),
        ("a", ["b"], "alias"),
    ],
)
def test_bad_alias_is_refused(store: SQLiteAccountStore, name: str, targets: list[str], reason: str) -> None:
    """D9: a target is an address and nothing else; loops and shadows of the configuration are refused too."""
    book = AliasBook(store, DOMAINS, {"info": ["alice"], "x": ["b"], "y": ["a"]})
    store.set_alias(
        "a@example.org" if name == "b" else "b@example.org", ["b@example.org" if name == "b" else "a@example.org"]
    )
    before = book.list()
    with pytest.raises(AccountError) as caught:
        book.set(name, targets)
    assert caught.value.reason == reason
    assert str(caught.value).isprintable()
    assert book.list() == before


def test_loop_in_the_configuration_is_refused(store: SQLiteAccountStore) -> None:
    """The same check as at the start of the server."""
    with pytest.raises(ConfigError):
        AliasBook(store, DOMAINS, {"a": ["b"], "b": ["a"]})
