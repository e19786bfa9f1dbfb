"""Names on disk: safe, injective, and the same for every attempt."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.errors import LocalProtocolError
from gatepost.mailbox.names import UNIQUE, component, mailbox_root, unique_name

HOSTILE = [
    "../../x", "..", ".", ".hidden", ";cmd;", "$(x)", "|prog", "/dev/null", ":include:", "a/b", "a\0b", "x" * 300,
    "żółć", "-rf", "a\nb", "a\x1b[2Jb", "%2e%2e", "=abc", "~root", "A", " ", "a b", "\udcff",
]  # fmt: skip


@pytest.mark.parametrize("local", HOSTILE)
def test_mailbox_of_a_hostile_name_stays_two_levels_under_mail(local: str) -> None:
    """An attacker who chooses the address does not choose the path."""
    data = Path("/data")
    root = mailbox_root(data, f"{local}@example.org")
    assert root.parent == data / "mail" / "example.org"
    assert len(root.name.encode()) <= 255
    assert not set(root.name) - set("abcdefghijklmnopqrstuvwxyz0123456789._+-%=ABCDEF")
    assert root.name[0] not in ".-"


def test_plain_names_stay_readable() -> None:
    """What people call their mailboxes is what the directories are called."""
    assert mailbox_root(Path("/d"), "alice.b-c+x@mx.example.org") == Path("/d/mail/mx.example.org/alice.b-c+x")


@pytest.mark.parametrize("mailbox", ["@example.org", "alice@", "alice", ""])
def test_mailbox_without_a_part_is_refused(mailbox: str) -> None:
    """A name without local part or domain would be somebody else's directory."""
    with pytest.raises(LocalProtocolError):
        mailbox_root(Path("/d"), mailbox)


@given(st.text(min_size=1, max_size=400), st.text(min_size=1, max_size=400))
def test_component_is_injective(one: str, other: str) -> None:
    """Two different names never share a directory."""
    assert (component(one) == component(other)) == (one == other)


@given(st.text(min_size=1, max_size=400))
def test_component_of_a_component_is_never_mistaken_for_it(text: str) -> None:
    """A name that looks like an escaped one is escaped again, and keeps its own directory."""
    escaped = component(text)
    assert escaped == text or component(escaped) != escaped


def test_long_names_are_cut_by_digest() -> None:
    """Long names that differ only in their ends keep directories of their own."""
    assert component("x" * 300) != component("x" * 301)
    assert component("x" * 200) == "x" * 200
    assert component("x" * 201).startswith("=")


def test_unique_name_is_the_same_for_every_attempt() -> None:
    """A retry finds what an earlier attempt delivered only when it makes the same name."""
    first = unique_name(1700000000.25, "m1", "alice@example.org", "mx.example.org")
    assert first == unique_name(1700000000.25, "m1", "alice@example.org", "mx.example.org")
    assert first.startswith("1700000000.M250000Q")
    assert first.endswith(".mx.example.org")


def test_unique_name_differs_by_message_and_recipient() -> None:
    """Two recipients of one message in one mailbox get a file each."""
    names = {
        unique_name(1.0, message, recipient, "h")
        for message, recipient in [("a", "b"), ("a", "c"), ("b", "b"), ("a\0b", "")]
    }
    assert len(names) == 4


@pytest.mark.parametrize("host", ["a/b:c", "x" * 300, "żółć.example", "", "..", "h\n"])
def test_unique_name_is_a_safe_file_name_whatever_the_host(host: str) -> None:
    """A host name cannot bring a slash or a colon into the file's name."""
    assert UNIQUE.fullmatch(unique_name(1700000000.0, "m", "r", host))
