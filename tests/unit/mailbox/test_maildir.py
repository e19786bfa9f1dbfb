"""Delivery into a Maildir."""

from __future__ import annotations

import errno
import mailbox as stdlib_mailbox
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatepost.errors import LocalProtocolError, StoreError
from gatepost.mailbox.maildir import Delivery, deliver, deliver_many, make_mailbox
from gatepost.mailbox.names import unique_name

CONTENT = b"Subject: hello\r\n\r\nbody\r\n"
STORED = b"Subject: hello\n\nbody\n"
UNIQUE = unique_name(1700000000.5, "message-1", "alice@example.org", "mx.example.org")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where a mailbox may be made."""
    return tmp_path / "data" / "mail" / "example.org" / "alice"


def files(root: Path, folder: str) -> list[str]:
    return sorted(path.name for path in (root / folder).iterdir())


def test_message_arrives_in_new_with_lf_line_ends(root: Path) -> None:
    """The file holds the message as other tools expect it, and its name says its sizes."""
    path = deliver(root, [CONTENT[:9], CONTENT[9:]], unique=UNIQUE)
    assert path == root / "new" / f"{UNIQUE},S={len(STORED)},W={len(CONTENT)}"
    assert path.read_bytes() == STORED
    assert files(root, "tmp") == files(root, "cur") == []


def test_mailbox_and_message_are_readable_by_their_owner_only(root: Path) -> None:
    """Nobody else on the machine reads the mail, whatever the umask."""
    before = os.umask(0)
    try:
        path = deliver(root, [CONTENT], unique=UNIQUE)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for folder in (root.parent.parent, root.parent, root, root / "new", root / "cur", root / "tmp"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_standard_library_reads_the_mailbox(root: Path) -> None:
    """A foreign Maildir reader sees one unread message with our content."""
    deliver(root, [CONTENT], unique=UNIQUE)
    box = stdlib_mailbox.Maildir(root, create=False)
    assert [message.get_payload() for message in box] == ["body\n"]


def test_second_attempt_delivers_nothing(root: Path) -> None:
    """A retry after a crash between the delivery and the queue's commit makes no duplicate."""
    first = deliver(root, [CONTENT], unique=UNIQUE)
    inode = first.stat().st_ino
    assert deliver(root, [CONTENT], unique=UNIQUE) == first
    assert first.stat().st_ino == inode
    assert len(files(root, "new")) == 1


def test_second_attempt_finds_a_message_that_was_read(root: Path) -> None:
    """A reader that moved the message to cur/ and flagged it does not cause a duplicate."""
    first = deliver(root, [CONTENT], unique=UNIQUE)
    moved = root / "cur" / f"{first.name}:2,RS"
    first.rename(moved)
    assert deliver(root, [CONTENT], unique=UNIQUE) == moved
    assert files(root, "new") == []


def test_second_attempt_finds_a_message_whose_content_differed(root: Path) -> None:
    """The unique name decides, not the size: headers of another version do not make a duplicate."""
    first = deliver(root, [CONTENT], unique=UNIQUE)
    assert deliver(root, [b"X: y\r\n" + CONTENT], unique=UNIQUE) == first


def test_earlier_message_is_not_taken_for_one_whose_name_it_begins(root: Path) -> None:
    """A name that only begins like another is another message's."""
    deliver(root, [CONTENT], unique=UNIQUE + "x")
    assert deliver(root, [CONTENT], unique=UNIQUE).name.startswith(UNIQUE + ",")
    assert len(files(root, "new")) == 2


def test_mailbox_unchanged_since_the_message_came_is_not_listed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking for an earlier attempt costs no listing of a big mailbox at rest."""
    make_mailbox(root)
    for folder in ("new", "cur"):
        os.utime(root / folder, (1000, 1000))
    monkeypatch.setattr(os, "scandir", lambda path: pytest.fail("listed"))
    assert deliver(root, [CONTENT], unique=UNIQUE).exists()


def test_directory_whose_clock_is_behind_is_listed(root: Path) -> None:
    """A file system whose time lags behind ours does not hide an earlier attempt."""
    first = deliver(root, [CONTENT], unique=UNIQUE)
    for folder in ("new", "cur"):
        os.utime(root / folder, (1700000000 - 30, 1700000000 - 30))
    assert deliver(root, [CONTENT], unique=UNIQUE) == first
    assert len(files(root, "new")) == 1


def test_first_attempt_looks_for_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller that knows it is the first pays for no look."""
    make_mailbox(root)
    monkeypatch.setattr(os, "scandir", lambda path: pytest.fail("listed"))
    assert deliver(root, [CONTENT], unique=UNIQUE, first=True).exists()


@pytest.mark.parametrize("unique", ["", "a/b", "../x", ".x", "a:b", "a,b", "x" * 200, "a\0b", "-x"])
def test_unsafe_unique_name_is_refused(root: Path, unique: str) -> None:
    """A message id never becomes a path unescaped."""
    with pytest.raises(LocalProtocolError):
        deliver(root, [CONTENT], unique=unique)
    assert not root.exists()


def test_everything_is_synced_before_it_is_named_and_named_before_it_is_reported(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Power may fail at any moment: the file is synced before the rename, and its directory after."""
    make_mailbox(root)
    calls: list[str] = []
    fsync, rename = os.fsync, os.rename

    def record_fsync(descriptor: int) -> None:
        target = os.readlink(f"/proc/self/fd/{descriptor}")
        calls.append("sync " + os.path.relpath(os.path.dirname(target) if os.path.isfile(target) else target, root))
        fsync(descriptor)

    def record_rename(source: str, target: str) -> None:
        calls.append("rename")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(os, "rename", record_rename)
    deliver_many([Delivery(root, [CONTENT], f"{UNIQUE}{i}") for i in range(2)])
    assert calls == ["sync tmp", "rename", "sync tmp", "rename", "sync new"]


def test_new_directories_are_synced_into_their_parents(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first message of a mailbox survives a power failure with its directories."""
    synced: list[str] = []
    fsync = os.fsync

    def record(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    make_mailbox(root)
    assert synced == [str(path) for path in (tmp_path, *reversed(list(root.parents)[:3]), root)]


def failing(code: int) -> OSError:
    return OSError(code, os.strerror(code))


@pytest.mark.parametrize("call", ["write", "fsync", "rename"])
def test_full_disk_is_a_temporary_failure_that_leaves_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """A disk that fills up mid-message leaves no partial file, and the message is tried again."""
    make_mailbox(root)

    def full(*_: object) -> int:
        raise failing(errno.ENOSPC)

    monkeypatch.setattr(os, call, full)
    with pytest.raises(StoreError, match="No space left") as caught:
        deliver(root, [CONTENT], unique=UNIQUE)
    assert caught.value.temporary
    assert "room" in caught.value.hint
    assert files(root, "tmp") == files(root, "new") == []


def test_short_writes_are_continued(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that takes only part of the octets loses none."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, bytes(data[:3])))
    assert deliver(root, [CONTENT], unique=UNIQUE).read_bytes() == STORED


def test_body_that_cannot_be_read_leaves_nothing(root: Path) -> None:
    """When the queue's file fails in mid-delivery, no partial message appears."""

    def chunks() -> Iterator[bytes]:
        yield CONTENT
        raise StoreError("the body is gone")

    with pytest.raises(StoreError, match="the body is gone"):
        deliver(root, chunks(), unique=UNIQUE)
    assert files(root, "tmp") == files(root, "new") == []


def test_unexpected_error_closes_and_removes_every_file_of_the_batch(root: Path) -> None:
    """A bug in what makes the content leaks neither files nor descriptors."""

    def chunks() -> Iterator[bytes]:
        yield CONTENT
        raise ZeroDivisionError

    open_before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(ZeroDivisionError):
        deliver_many([Delivery(root, [CONTENT], UNIQUE), Delivery(root, chunks(), UNIQUE + "2")])
    assert files(root, "tmp") == files(root, "new") == []
    assert len(os.listdir("/proc/self/fd")) == open_before


def test_failed_directory_sync_is_reported_and_the_retry_syncs_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that may not be on disk is not called delivered; the retry syncs it without a second copy."""
    make_mailbox(root)
    fsync, synced = os.fsync, list[str]()

    def fail_on_new(descriptor: int) -> None:
        target = os.readlink(f"/proc/self/fd/{descriptor}")
        synced.append(target)
        if target.endswith("/new") and len(synced) < 3:
            raise failing(errno.EIO)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fail_on_new)
    with pytest.raises(StoreError):
        deliver(root, [CONTENT], unique=UNIQUE)
    assert deliver(root, [CONTENT], unique=UNIQUE).read_bytes() == STORED
    assert synced[-1] == f"{root}/new"
    assert len(files(root, "new")) == 1


def test_batch_delivers_the_good_and_names_the_bad(root: Path, tmp_path: Path) -> None:
    """One recipient's broken mailbox does not hold up the others."""
    blocked = tmp_path / "file"
    blocked.write_text("not a directory")
    results = deliver_many(
        [
            Delivery(root, [CONTENT], UNIQUE),
            Delivery(blocked / "x", [CONTENT], UNIQUE),
            Delivery(root.with_name("bob"), [CONTENT], UNIQUE),
        ]
    )
    assert isinstance(results[1], StoreError)
    assert [result.read_bytes() for result in (results[0], results[2]) if isinstance(result, Path)] == [STORED] * 2


def test_batch_larger_than_a_group_delivers_all(root: Path) -> None:
    """Files open at once are bounded; messages are not."""
    results = deliver_many([Delivery(root, [CONTENT], f"{UNIQUE}{i}", first=True) for i in range(150)])
    assert len({result for result in results if isinstance(result, Path)}) == 150
    assert len(files(root, "new")) == 150


def test_same_message_twice_in_a_batch_arrives_once(root: Path) -> None:
    """A batch that names the same recipient twice does not deliver twice."""
    results = deliver_many([Delivery(root, [CONTENT], UNIQUE)] * 2)
    assert results[0] == results[1]
    assert len(files(root, "new")) == 1


def test_mailbox_that_lacks_a_folder_is_completed(root: Path) -> None:
    """A mailbox that another program made by halves still takes mail."""
    make_mailbox(root)
    (root / "new").rmdir()
    assert deliver(root, [CONTENT], unique=UNIQUE).read_bytes() == STORED


def test_symbolic_link_under_a_temporary_name_is_not_followed(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever guesses a temporary name cannot make us write elsewhere."""
    make_mailbox(root)
    monkeypatch.setattr(os, "urandom", lambda count: b"\0" * count)
    victim = tmp_path / "victim"
    (root / "tmp" / f"{UNIQUE}.{'00' * 6}").symlink_to(victim)
    with pytest.raises(StoreError):
        deliver(root, [CONTENT], unique=UNIQUE)
    assert not victim.exists()
