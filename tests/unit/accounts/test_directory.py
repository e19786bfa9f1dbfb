"""Who has an address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gatepost.accounts.directory import Directory
from gatepost.accounts.expansion import DEPTH_LIMIT, TARGET_LIMIT
from gatepost.accounts.resolution import Broken, Found, NotOurs, Unknown
from gatepost.errors import ConfigError
from gatepost.store.accounts import PasswordRecord
from gatepost.store.sqlite.accounts import SQLiteAccountStore
from gatepost.wire.sasl.scram import Verifier

RECORD = PasswordRecord("$argon2id$", Verifier(b"salt", 4096, b"k", b"k"))
DOMAINS = ("example.org", "example.net")


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def directory(
    store: SQLiteAccountStore,
    aliases: Mapping[str, Sequence[str]] | None = None,
    users: Sequence[str] = ("alice", "bob"),
) -> Directory:
    for user in users:
        store.create(user if "@" in user else f"{user}@example.org", RECORD)
    return Directory(store, DOMAINS, aliases or {}, freshness=0.0)


def mailbox(*names: str) -> Found:
    return Found(tuple(f"{name}@example.org" for name in names))


@pytest.mark.parametrize("local", ["alice", "Alice", "ALICE", "alice+lists", "Alice+A+B", "alice+"])
@pytest.mark.parametrize("domain", ["example.org", "EXAMPLE.org", "example.org."])
def test_user_is_found_in_any_case_and_with_any_detail(store: SQLiteAccountStore, local: str, domain: str) -> None:
    """A sender's spelling does not decide whether the mail arrives."""
    assert directory(store).find(local, domain) == mailbox("alice")


@pytest.mark.parametrize("local", ["carol", "carol+x", "", "+alice", "+", "alice-x", "a" * 400, "ali\0ce", "a\udcff"])
def test_unknown_name_in_our_domain_is_unknown(store: SQLiteAccountStore, local: str) -> None:
    """Nobody's address is refused inside the session, whatever it holds."""
    assert directory(store).find(local, "example.org") == Unknown()


@pytest.mark.parametrize("domain", ["example.com", "", "sub.example.org", "[127.0.0.1]", "example.org.."])
def test_other_domains_are_not_ours(store: SQLiteAccountStore, domain: str) -> None:
    """What to do with strangers' domains is a question of relay, not of accounts."""
    assert directory(store).find("alice", domain) == NotOurs()


def test_user_of_one_domain_is_unknown_in_another(store: SQLiteAccountStore) -> None:
    """Domains do not share users by themselves."""
    assert directory(store).find("alice", "example.net") == Unknown()


@pytest.mark.parametrize("local", ["postmaster", "Postmaster", "POSTMASTER", "postmaster+x"])
@pytest.mark.parametrize("domain", ["example.org", "example.net", ""])
def test_postmaster_is_always_deliverable(store: SQLiteAccountStore, local: str, domain: str) -> None:
    """RFC 5321 §4.5.1: in every domain of ours, and without one, though no such user exists."""
    assert directory(store).find(local, domain) == mailbox("postmaster")


@pytest.mark.parametrize(
    "aliases", [{"postmaster": ["nobody"]}, {"postmaster": ["nobody"], "@example.org": ["postmaster"]}]
)
def test_postmaster_is_deliverable_though_its_aliases_lead_nowhere(
    store: SQLiteAccountStore, aliases: dict[str, list[str]]
) -> None:
    """A mistake in the aliases must not silence the address that mistakes are reported to."""
    assert directory(store, aliases).find("postmaster", "example.org") == mailbox("postmaster")


def test_postmaster_may_be_an_alias(store: SQLiteAccountStore) -> None:
    """The operator reads it where he likes."""
    assert directory(store, {"postmaster": ["alice"]}).find("Postmaster", "") == mailbox("alice")


def test_abuse_is_postmaster_unless_it_is_defined(store: SQLiteAccountStore) -> None:
    """RFC 2142 §2 asks for both in every domain."""
    assert directory(store, {"postmaster": ["alice"]}).find("abuse", "example.net") == mailbox("alice")
    assert directory(store, {"abuse": ["bob"]}).find("abuse", "example.net") == mailbox("bob")


def test_bare_alias_holds_in_every_domain_of_ours(store: SQLiteAccountStore) -> None:
    """`sales = "alice"` needs no line for each domain; the bare target is in the first."""
    aliases = {"Sales": ["Alice"]}
    for domain in DOMAINS:
        assert directory(store, aliases).find("sales+x", domain) == mailbox("alice")


def test_alias_leads_to_mailboxes_and_elsewhere(store: SQLiteAccountStore) -> None:
    """One alias may do both; addresses elsewhere keep their case, and each target counts once."""
    aliases = {"team@example.org": ["alice", "BOB@example.org", "Carol@Example.com", "alice"]}
    found = directory(store, aliases).find("team", "example.org")
    assert found == Found(("alice@example.org", "bob@example.org"), ("Carol@Example.com",))


def test_full_alias_goes_before_a_bare_one(store: SQLiteAccountStore) -> None:
    """The more exact line decides."""
    found = directory(store, {"info": ["alice"], "info@example.net": ["bob"]})
    assert found.find("info", "example.net") == mailbox("bob")
    assert found.find("info", "example.org") == mailbox("alice")


def test_alias_that_names_itself_keeps_a_copy(store: SQLiteAccountStore) -> None:
    """`alice = ["alice", …]` is a user who also forwards."""
    found = directory(store, {"alice": ["alice", "alice@example.com"]})
    assert found.find("Alice+x", "example.org") == Found(("alice@example.org",), ("alice@example.com",))


def test_catch_all_takes_what_nobody_else_has(store: SQLiteAccountStore) -> None:
    """Users, aliases, postmaster and abuse go before `@domain`."""
    found = directory(store, {"@example.org": ["bob"], "x": ["alice"]})
    for local, expected in {"carol": "bob", "alice": "alice", "x": "alice", "postmaster": "postmaster"}.items():
        assert found.find(local, "example.org") == mailbox(expected)
    assert found.find("carol", "example.net") == Unknown()


def test_stored_aliases_work_like_configured_ones(store: SQLiteAccountStore) -> None:
    """Aliases made while the server runs follow the same rules; the configuration goes first."""
    store.set_alias("team@example.org", ["alice", "x@example.com"])
    store.set_alias("@example.net", ["bob@example.org"])
    store.set_alias("info@example.org", ["bob@example.org"])
    found = directory(store, {"info": ["alice"]})
    assert found.find("team+a", "example.org") == Found(("alice@example.org",), ("x@example.com",))
    assert found.find("whoever", "example.net") == mailbox("bob")
    assert found.find("info", "example.org") == mailbox("alice")


def test_missing_targets_are_named_and_do_not_stop_the_others(store: SQLiteAccountStore) -> None:
    """An alias with a deleted member still serves the rest, and says who is missing."""
    found = directory(store, {"team": ["alice", "gone"], "dead": ["gone"]})
    assert found.find("team", "example.org") == Found(("alice@example.org",), (), ("gone@example.org",))
    assert found.find("dead", "example.org") == Unknown()


@pytest.mark.parametrize(
    "aliases",
    [
        {"a": ["b"], "b": ["a"]},
        {"a@example.org": ["b@example.net"], "b": ["c"], "c": ["x@example.com", "a"]},
        {"a": ["b"], "b": ["b2"], "b2": ["b3"], "b3": ["b"]},
    ],
)
def test_loop_of_aliases_is_refused_at_the_start(store: SQLiteAccountStore, aliases: dict[str, list[str]]) -> None:
    """A loop in the configuration stops the start, and the message shows the way round."""
    with pytest.raises(ConfigError, match="loop") as caught:
        directory(store, aliases)
    assert all(problem.startswith("aliases: alias ") for problem in caught.value.problems)


def test_too_long_a_chain_is_refused_at_the_start(store: SQLiteAccountStore) -> None:
    """Chains are bounded."""
    chain = {f"a{i}": [f"a{i + 1}"] for i in range(DEPTH_LIMIT + 1)}
    with pytest.raises(ConfigError, match="in a chain"):
        directory(store, chain)
    del chain["a0"]
    assert directory(store, chain, [f"a{DEPTH_LIMIT + 1}"]).find("a1", "example.org") == mailbox(f"a{DEPTH_LIMIT + 1}")


def test_expansion_that_multiplies_is_bounded(store: SQLiteAccountStore) -> None:
    """Aliases of aliases that double at each step stop at the limit, in linear work."""
    aliases = {f"a{i}": [f"a{i + 1}"] * 10 for i in range(DEPTH_LIMIT - 1)}
    with pytest.raises(ConfigError, match=f"more than {TARGET_LIMIT} targets"):
        directory(store, aliases)


def test_loop_through_the_store_is_temporary(store: SQLiteAccountStore) -> None:
    """A loop that came about while running loses no mail: it is answered 4xx until the operator mends it."""
    store.set_alias("b@example.org", ["a@example.org"])
    found = directory(store, {"a": ["b"]}).find("a", "example.org")
    assert isinstance(found, Broken)
    assert "a -> b@example.org -> a" in found.reason


def test_catch_all_that_leads_to_nobody_is_a_loop(store: SQLiteAccountStore) -> None:
    """`@domain` whose own target is unknown there comes back to itself."""
    assert isinstance(directory(store, {"@example.org": ["nobody"]}).find("x", "example.org"), Broken)


def test_answer_is_kept_until_another_process_changes_something(tmp_path: Path) -> None:
    """The cache is as good as the store: a user added or deleted elsewhere is seen when the freshness has passed."""
    clock, path = Clock(), tmp_path / "accounts.db"
    here, elsewhere = SQLiteAccountStore(path), SQLiteAccountStore(path)
    elsewhere.create("alice@example.org", RECORD)
    found = Directory(here, DOMAINS, {}, clock=clock, freshness=0.02)
    assert found.find("alice", "example.org") == mailbox("alice")
    assert found.find("bob", "example.org") == Unknown()
    elsewhere.delete("alice@example.org")
    elsewhere.create("bob@example.org", RECORD)
    clock.now = 0.01
    assert found.find("alice", "example.org") == mailbox("alice")
    clock.now = 0.02
    assert found.find("alice", "example.org") == Unknown()
    assert found.find("bob", "example.org") == mailbox("bob")
    here.close()
    elsewhere.close()


def test_logins_and_passwords_do_not_empty_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy submission service does not slow the mx down."""
    here, elsewhere = SQLiteAccountStore(tmp_path / "accounts.db"), SQLiteAccountStore(tmp_path / "accounts.db")
    found = directory(here)
    kept = found.find("alice", "example.org")
    elsewhere.record_login("alice@example.org")
    elsewhere.replace_password("alice@example.org", RECORD)
    assert found.find("alice", "example.org") is kept
    elsewhere.delete("bob@example.org")
    assert found.find("alice", "example.org") is not kept
    here.close()
    elsewhere.close()


def test_cache_is_bounded_and_forgets_what_was_not_asked_for(store: SQLiteAccountStore) -> None:
    """A stranger who tries a million names fills no memory, and does not push out the addresses in use."""
    directory(store)
    found = Directory(store, DOMAINS, {}, freshness=0.0, capacity=10)
    kept = found.find("alice", "example.org")
    for number in range(100):
        found.find(f"guess{number}", "example.org")
        found.find("x", f"guess{number}.example")
        assert found.find("alice", "example.org") is kept
    assert len(found._cache) == 10


def test_store_is_opened_by_the_first_question(tmp_path: Path) -> None:
    """A directory made before a fork holds no open database."""
    path = tmp_path / "accounts.db"
    store = SQLiteAccountStore(path)
    found = Directory(store, DOMAINS, {})
    assert not path.exists()
    found.find("alice", "example.org")
    assert path.exists()
    store.close()


@pytest.mark.parametrize(
    ("local", "domain"),
    [
        ("alice", "example.org"),
        ("Alice+x", "EXAMPLE.ORG"),
        ("team", "example.org"),
        ("team+x", "example.net"),
        ("indirect", "example.org"),
        ("whoever", "example.net"),
    ],
)
def test_user_may_send_as_itself_and_as_its_aliases(store: SQLiteAccountStore, local: str, domain: str) -> None:
    """Own address, with detail, and every alias that leads to the mailbox."""
    found = directory(store, {"team": ["alice", "bob"], "indirect": ["team"], "@example.net": ["alice"]})
    for user in ("alice", "ALICE@example.org"):
        assert found.may_send_as(user, local, domain)


@pytest.mark.parametrize(
    ("local", "domain"),
    [
        ("bob", "example.org"),
        ("alice", "example.com"),
        ("alice", "example.net"),
        ("away", "example.org"),
        ("nobody", "example.org"),
        ("postmaster", "example.org"),
        ("", "example.org"),
        ("alice@example.org", ""),
        ("alice\udcff", "example.org"),
    ],
)
def test_user_may_not_send_as_anybody_else(store: SQLiteAccountStore, local: str, domain: str) -> None:
    """A login is no licence to speak for others, nor for an address elsewhere that an alias leads to."""
    found = directory(store, {"away": ["alice@example.com"]})
    assert not found.may_send_as("alice@example.org", local, domain)


def test_user_keeps_its_own_address_though_its_mail_is_redirected(store: SQLiteAccountStore) -> None:
    """An alias over a user's address moves the incoming mail, not the right to send."""
    found = directory(store, {"alice": ["bob"]})
    assert found.may_send_as("alice", "alice", "example.org")
    assert found.may_send_as("bob", "alice", "example.org")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.text(max_size=30), st.sampled_from(["example.org", "EXAMPLE.NET", "", "other.example"]) | st.text(max_size=30)
)
def test_no_address_breaks_the_directory(store: SQLiteAccountStore, local: str, domain: str) -> None:
    """Whatever a stranger asks for, the answer is a value, and the same in capitals for ASCII names."""
    found = directory(store, {"team": ["alice", "x@example.com"]})
    answer = found.find(local, domain)
    assert isinstance(answer, Found | Unknown | NotOurs)
    if local.isascii() and domain.isascii():
        assert found.find(local.upper(), domain.upper()) == answer
    assert not found.may_send_as("mallory", local, domain) or local.lower().startswith("mallory")


def test_reflector_takes_mail_though_it_is_no_user(store: SQLiteAccountStore) -> None:
    """In any case, with a detail, by an alias; an alias of that very name counts first."""
    for aliases in ({}, {"echo": ["ping"]}):
        found = Directory(store, DOMAINS, aliases, reflector="Ping@Example.NET", freshness=0.0)
        assert found.reflector == "ping@example.net"
        assert found.find("PING+x", "example.net") == Found(("ping@example.net",))
        assert found.find("ping", "example.org") == Unknown()
    found = Directory(store, DOMAINS, {"echo": ["ping@example.net"]}, reflector="ping@example.net", freshness=0.0)
    assert found.find("echo", "example.org") == Found(("ping@example.net",))
    store.create("alice@example.org", RECORD)
    found = Directory(store, DOMAINS, {"ping@example.net": ["alice"]}, reflector="ping@example.net", freshness=0.0)
    assert found.find("ping", "example.net") == mailbox("alice")
