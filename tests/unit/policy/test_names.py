"""Lists of names in rules."""

from __future__ import annotations

import pytest

from gatepost.policy.names import NameList


@pytest.mark.parametrize(
    ("entries", "name", "met"),
    [
        (["example.com"], "example.com", True),
        (["example.com"], "EXAMPLE.com.", True),
        (["example.com"], "mail.example.com", False),
        ([".example.com"], "mail.example.com", True),
        ([".example.com"], "a.b.example.com", True),
        ([".example.com"], "example.com", False),
        ([".example.com"], "notexample.com", False),
        (["*"], "anything.example", True),
        (["*"], "", False),
        ([], "example.com", False),
        ([".example.com"], "[192.0.2.1]", False),
    ],
)
def test_name_is_in_the_list(entries: list[str], name: str, met: bool) -> None:
    """A name, the names below one, or every name; nothing is in no list."""
    assert NameList(entries).matches(name) is met


def test_lists_are_values() -> None:
    """Equal when their entries are."""
    assert NameList(["A.example"]) == NameList(["a.example"])
    assert len({NameList(["a.example"]), NameList(["A.example"])}) == 1
    assert list(NameList(["A.example"])) == ["a.example"]
    assert not NameList() and "a.example" in repr(NameList(["a.example"]))
