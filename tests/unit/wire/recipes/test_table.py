"""The table of recipes, and what all of them keep to."""

from __future__ import annotations

import re

import pytest
from tests.unit.wire.recipes.halves import ORIGIN, served

from gatepost.errors import LocalProtocolError
from gatepost.testing.recipes import CLIENT_TERMS, SERVER_TERMS, meet
from gatepost.wire.recipes.recipe import Granted, ServerTerms, UnexpectedWords, UpgradeRefused
from gatepost.wire.recipes.table import ALIASES, RECIPES, recipe
from gatepost.wire.upgrade import UpgradeReady


@pytest.mark.parametrize("name", RECIPES)
def test_both_halves_of_a_recipe_meet_inside_tls(name: str) -> None:
    """The client half and the server half understand each other, and prove the same."""
    met = meet(RECIPES[name])
    assert met.client.version == met.server.version == "TLSv1.3"
    assert met.client.cipher == met.server.cipher
    assert met.client.tls_exporter == met.server.tls_exporter


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_says_what_it_is(name: str) -> None:
    """Its name, its ports, and a line for users."""
    found = RECIPES[name]
    assert found.name == name
    assert re.fullmatch(r"[a-z0-9-]+", name)
    assert 0 <= found.port < 65536
    assert found.summary and len(found.summary) < 90
    assert found.port or name == "raw"


def test_recipes_are_found_by_name_in_any_case_and_by_alias() -> None:
    """What people call it."""
    assert recipe("IMAP") is RECIPES["imap"]
    for alias, name in ALIASES.items():
        assert recipe(alias) is RECIPES[name]
        assert alias not in RECIPES


@pytest.mark.parametrize(
    ("wrong", "said"), [("impa", "did you mean imap?"), ("pop-3", "pop3"), ("qqq", "one of smtp,")]
)
def test_a_name_that_is_none_is_refused_with_the_nearest(wrong: str, said: str) -> None:
    """The message helps."""
    with pytest.raises(LocalProtocolError, match=re.escape(said)):
        recipe(wrong)


def test_raw_says_and_hears_nothing() -> None:
    """Its halves hand over at once."""
    client, server = RECIPES["raw"].client(ORIGIN, CLIENT_TERMS), RECIPES["raw"].server(ORIGIN, SERVER_TERMS)
    with pytest.raises(StopIteration) as ready:
        next(client)
    with pytest.raises(StopIteration) as granted:
        next(server)
    assert isinstance(ready.value.value, UpgradeReady)
    assert isinstance(granted.value.value, Granted)
    assert granted.value.value.go_ahead == b""


@pytest.mark.parametrize("hostname", ["", "a b", "a\r\nb", "<x>", "'", "ä.example", "x" * 256])
def test_a_server_has_a_name_that_can_stand_in_a_greeting(hostname: str) -> None:
    """Whatever the protocol: no space, no quote, no line end."""
    with pytest.raises(LocalProtocolError):
        ServerTerms(hostname=hostname)


def test_errors_carry_the_words_of_the_peer_escaped_and_short() -> None:
    """They may be written anywhere."""
    refused = UpgradeRefused("no", b"a\r\n\x1b[2J" + b"x" * 500)
    assert refused.words.isprintable() and len(refused.words) < 230
    assert str(refused).startswith("no: a\\r\\n\\x1b[2J")
    unexpected = UnexpectedWords("what", b"\0" * 500)
    assert str(unexpected).isprintable() and len(unexpected.words) == 200


@pytest.mark.parametrize("name", [name for name in RECIPES if name != "raw"])
def test_a_server_half_lets_nobody_talk_for_long(name: str) -> None:
    """An end comes to whoever says the same harmless thing again and again."""
    words = {"ldap": b"\x30\x06\x02\x01\x02\x50\x01\x01"}.get(name, b"NOOP\r\n" if name != "irc" else b"CAP LS\r\n")
    _, peer = served(name, *[words] * 12000)
    assert peer.error is not None
