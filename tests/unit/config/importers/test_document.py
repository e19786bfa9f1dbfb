"""The document: what the schema takes is live, what it refuses is a comment with the reason, and it always loads."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from gatepost.config.importers.document import Document, Sourced, listed


def _document() -> Document:
    document = Document("gatepost import test", "old.conf")
    mx = {"name": Sourced("mx", "old:1"), "protocol": Sourced("smtp"), "bind": Sourced("127.0.0.1:25")}
    assert document.add("listener", mx)
    return document


def test_each_entry_of_a_list_has_its_own_place() -> None:
    """A list from several lines has a line for each; the same entry again is left out."""
    document = _document()
    entries = [Sourced("a.example", "old:1"), Sourced("b.example", "old:2"), Sourced("a.example", "old:3")]
    assert document.set("", "domains", listed(entries))
    assert '    "a.example",  # old:1\n    "b.example",  # old:2\n]' in document.text()
    assert tomllib.loads(document.text())["domains"] == ["a.example", "b.example"]


def test_entry_that_the_schema_refuses_is_left_out_and_named() -> None:
    """The others stay."""
    document = _document()
    document.set("", "domains", listed([Sourced("a.example", "old:1"), Sourced("-bad", "old:2")]))
    assert tomllib.loads(document.text())["domains"] == ["a.example"]
    assert any(line.startswith("old:2: left out of domains: ") for line in document.notices)


def test_key_that_the_schema_refuses_is_a_comment_with_the_reason() -> None:
    """Nothing is dropped in silence."""
    document = _document()
    assert not document.set("limits", "recipients", Sourced(5, "old:9"))
    assert "# recipients = 5\n" in document.text() and "limits" in tomllib.loads(document.text())
    assert any(line.startswith("old:9: ") for line in document.notices)


@pytest.mark.parametrize("key", ["certificate_email", "no_such_key"])
def test_rule_whose_condition_is_refused_is_a_comment(key: str) -> None:
    """The whole rule, not a rule without the key: no authority is named, or the schema has no such key."""
    document = _document()
    assert not document.add("relay", {key: listed([Sourced("a@b.example", "old:1")])})
    assert tomllib.loads(document.text()).get("relay") is None
    assert "# [[relay]]" in document.text()


@pytest.mark.parametrize("entries", [["10.0.0.0/8", "!10.0.0"], ["bad"], ["worse", "bad"]])
def test_rule_never_comes_out_wider_than_it_was(entries: list[str]) -> None:
    """A condition that cannot be written takes its rule with it; an exclusion is never the one that is dropped."""
    document = _document()
    assert not document.add("relay", {"from": listed(Sourced(entry, "old:1") for entry in entries)})
    assert "relay" not in tomllib.loads(document.text())


def test_exclusion_is_kept_beside_an_entry_that_is_left_out() -> None:
    """Fewer than before, never more."""
    document = _document()
    entries = [Sourced(entry, "old:1") for entry in ("10.0.0.0/8", "bad", "!10.0.0.1")]
    assert document.add("relay", {"from": listed(entries)})
    assert tomllib.loads(document.text())["relay"] == [{"from": ["10.0.0.0/8", "!10.0.0.1"]}]


@pytest.mark.parametrize(
    ("table", "entry"),
    [
        ("relay", {"from": "*"}),
        ("inbound", {"listeners": "nobody", "starttls": "deny"}),
        ("outbound", {"to": "a.example", "level": "fingerprint"}),
        ("listener", {"name": "mx", "protocol": "smtp", "bind": "127.0.0.1:26"}),
    ],
)
def test_rule_that_the_loader_would_refuse_is_a_comment(table: str, entry: dict[str, Any]) -> None:
    """An open relay, a listener that is not there, a pin without fingerprints, a name that is taken."""
    document = _document()
    assert not document.add(table, {key: Sourced(value, "old:1") for key, value in entry.items()})
    assert len(tomllib.loads(document.text()).get(table, [])) == (1 if table == "listener" else 0)


def test_text_of_the_old_file_cannot_leave_its_comment() -> None:
    """Line ends, control characters and octets that are no UTF-8 are escaped; a key that has them is a comment."""
    document = _document()
    document.notice("old:1\nhostname = 'evil'", "\x1b[2J\udcff\x85\u2028x")
    assert not document.set("", "hostname", Sourced("mx.\udcff.example", "old:2"))
    document.set("delivery", "smarthost_user", Sourced("it's\x7f\"", "old:3\n[tls]"))
    text = document.text()
    assert "hostname" not in tomllib.loads(text)
    assert set(tomllib.loads(text)) <= {"listener", "delivery"}
    assert all(line.isprintable() for line in text.splitlines())
