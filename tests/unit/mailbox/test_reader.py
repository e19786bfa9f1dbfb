"""Reading a Maildir that others change at the same time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gatepost.errors import StoreError
from gatepost.mailbox.maildir import deliver, make_mailbox
from gatepost.mailbox.names import unique_name
from gatepost.mailbox.reader import STALE, Maildir, Usage, sweep


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A mailbox of two messages, the second one read."""
    root = tmp_path / "mail" / "example.org" / "alice"
    for number in (1, 2):
        deliver(root, [b"%d\r\n" % number], unique=unique_name(float(10**number), str(number), "alice", "h"))
    second = next(path for path in (root / "new").iterdir() if path.name.startswith("100."))
    second.rename(root / "cur" / f"{second.name}:2,FS")
    return root


def test_messages_are_listed_oldest_first_with_sizes_and_flags(root: Path) -> None:
    """Both folders are one mailbox; sizes come from the names."""
    first, second = Maildir(root).messages()
    assert (first.size, first.wire_size, first.flags, first.new) == (2, 3, "", True)
    assert (second.size, second.wire_size, second.flags, second.new) == (2, 3, "FS", False)
    assert second.unique.startswith("100.")


def test_foreign_files_are_listed_by_their_size_on_disk(root: Path) -> None:
    """What another program delivered has no size in its name."""
    (root / "new" / "5.foreign.host").write_bytes(b"12345")
    (root / "new" / ".dotfile").write_bytes(b"")
    foreign = Maildir(root).messages()[0]
    assert (foreign.unique, foreign.size, foreign.wire_size) == ("5.foreign.host", 5, None)


def test_usage_counts_messages_and_octets(root: Path) -> None:
    """`user list` shows how much a mailbox holds."""
    assert Maildir(root).usage() == Usage(2, 4)


def test_missing_mailbox_is_empty(tmp_path: Path) -> None:
    """A user who never got mail has an empty mailbox."""
    assert Maildir(tmp_path / "nobody").messages() == []
    assert Maildir(tmp_path / "nobody").usage() == Usage(0, 0)


def test_message_is_opened_though_another_reader_moved_it(root: Path) -> None:
    """A mail reader that marks a message as seen renames its file; it is still the same message."""
    box = Maildir(root)
    message = box.messages()[0]
    message.path.rename(root / "cur" / f"{message.path.name}:2,S")
    with box.open(message) as file:
        assert file.read() == b"1\n"


def test_message_is_deleted_though_another_reader_moved_it(root: Path) -> None:
    """Deleting follows the message, not the file name of a moment ago."""
    box = Maildir(root)
    message = box.messages()[0]
    message.path.rename(root / "cur" / f"{message.path.name}:2,S")
    box.delete(message)
    assert len(box.messages()) == 1


def test_deleted_message_is_gone(root: Path) -> None:
    """Opening it again fails by name, deleting it again is no error."""
    box = Maildir(root)
    message = box.messages()[1]
    box.delete(message)
    box.delete(message)
    with pytest.raises(StoreError):
        box.open(message)


def test_unreadable_mailbox_is_a_store_error(tmp_path: Path) -> None:
    """What stands in the way is named."""
    (tmp_path / "new").write_text("not a directory")
    with pytest.raises(StoreError, match="Not a directory"):
        Maildir(tmp_path).messages()


def test_sweep_removes_only_what_a_dead_delivery_left(tmp_path: Path, root: Path) -> None:
    """A file in tmp/ older than 36 hours is nobody's; a younger one may be being written."""
    make_mailbox(root)
    old, young = root / "tmp" / "old", root / "tmp" / "young"
    for path, age in ((old, STALE + 1), (young, STALE - 1)):
        path.write_bytes(b"partial")
        os.utime(path, (10**9 - age, 10**9 - age))
    assert sweep(tmp_path, now=10.0**9) == 1
    assert (old.exists(), young.exists()) == (False, True)
    assert len(Maildir(root).messages()) == 2
