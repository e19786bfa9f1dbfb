"""A Maildir as a maildrop, while other programs do to it what they like."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from gatepost.errors import StoreError
from gatepost.mailbox import deliver, make_mailbox, snapshot, unique_name
from gatepost.mailbox.lock import MaildropInUse
from gatepost.mailbox.maildrop import Maildrop, MessageGone, Updated, open_maildrop
from gatepost.mailbox.sizes import FILE_NAME as SIZES
from gatepost.wire.pop3.multiline import wire_octets

FOREIGN = b"Subject: foreign\n\n.dot\nlast line without its end"


def mail(number: int) -> bytes:
    return b"Subject: %d\r\n\r\nmessage %d\r\n" % (number, number)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A mailbox of four: three that gatepost delivered, one of them read, and a foreign one that came last."""
    root = tmp_path / "mail" / "example.org" / "alice"
    for number in (1, 2, 3):
        deliver(root, [mail(number)], unique=unique_name(1000.0 + number, str(number), "alice", "h"))
    second = next(path for path in (root / "new").iterdir() if path.name.startswith("1002."))
    second.rename(root / "cur" / f"{second.name}:2,S")
    (root / "new" / "2000.foreign.host").write_bytes(FOREIGN)
    return root


@pytest.fixture
def drop(root: Path) -> Iterator[Maildrop]:
    """It, open."""
    drop = open_maildrop(root)
    yield drop
    drop.close()


def content(drop: Maildrop, number: int) -> bytes:
    reader = drop.open(number)
    try:
        return b"".join(reader)
    finally:
        reader.close()


def again(root: Path) -> list[str]:
    """The unique ids of a new session."""
    drop = open_maildrop(root)
    try:
        return [drop.unique_id(number) for number in range(1, len(drop) + 1)]
    finally:
        drop.close()


def files(root: Path) -> list[str]:
    return sorted(path.name for folder in ("new", "cur") for path in (root / folder).iterdir())


def test_messages_are_numbered_oldest_first_with_exact_octets(drop: Maildrop) -> None:
    """Octets are those that a client is sent: CRLF line ends, and a last line with its end."""
    assert len(drop) == drop.count == 4
    for number in (1, 2, 3):
        assert content(drop, number) == mail(number).replace(b"\r\n", b"\n")
        assert drop.size(number) == len(mail(number))
    assert content(drop, 4) == FOREIGN
    assert drop.size(4) == len(FOREIGN) + FOREIGN.count(b"\n") + 2 == wire_octets([FOREIGN])
    assert drop.octets == sum(drop.size(number) for number in range(1, 5))


@pytest.mark.parametrize(
    "stored",
    [b"", b"\n", b"a", b"a\r\nb\n", b"a\rb\n", b"\r", b"a\r\n" * 200_000, b"\n" * 300_000, b"x" * 262_143 + b"\r\n"],
)
def test_octets_of_any_content_are_those_that_are_sent(tmp_path: Path, stored: bytes) -> None:
    """Mixed line ends, none, and line ends at the joint of two pieces."""
    make_mailbox(tmp_path / "box")
    (tmp_path / "box" / "new" / "1.x").write_bytes(stored)
    drop = open_maildrop(tmp_path / "box")
    assert drop.size(1) == wire_octets([stored])
    drop.close()


def test_second_session_is_refused_until_the_first_is_over(root: Path, drop: Maildrop) -> None:
    """RFC 1939 §4: an exclusive lock."""
    with pytest.raises(MaildropInUse):
        open_maildrop(root)
    drop.close()
    drop.close()
    open_maildrop(root).close()


def test_missing_mailbox_is_made_and_empty(tmp_path: Path) -> None:
    """A user who never got mail may log in, in one session at a time."""
    drop = open_maildrop(tmp_path / "mail" / "example.org" / "bob")
    assert (len(drop), drop.octets) == (0, 0)
    with pytest.raises(MaildropInUse):
        open_maildrop(tmp_path / "mail" / "example.org" / "bob")
    drop.close()


def test_unique_ids_stay_whatever_others_do_to_the_files(root: Path) -> None:
    """Read, flagged, moved, sizes corrected: the client has seen these messages."""
    before = again(root)
    assert len(set(before)) == 4
    for path in list((root / "new").iterdir()):
        path.rename(root / "cur" / f"{path.name}:2,FRS")
    assert again(root) == before
    for path in list((root / "cur").iterdir()):
        path.rename(root / "cur" / f"{path.name.partition(',')[0].partition(':')[0]},S=7,W=8:2,")
    assert again(root) == before


def test_new_mail_does_not_disturb_a_session(root: Path, drop: Maildrop) -> None:
    """The snapshot of the login holds, and QUIT deletes nothing that came later."""
    deliver(root, [mail(9)], unique=unique_name(1.0, "9", "alice", "h"))  # sorts before all others
    assert len(drop) == 4
    assert content(drop, 1) == mail(1).replace(b"\r\n", b"\n")
    for number in range(1, 5):
        drop.delete(number)
    assert drop.update() == Updated(4, 0)
    assert len(files(root)) == 1


def test_deletions_are_marks_until_update(root: Path, drop: Maildrop) -> None:
    """A session that ends in any other way has changed nothing."""
    before, octets = files(root), drop.octets
    drop.delete(2)
    assert (drop.count, drop.octets, drop.marked) == (3, octets - len(mail(2)), 1)
    assert 2 not in drop
    assert 0 not in drop
    assert 5 not in drop
    assert -1 not in drop
    assert 1 in drop
    drop.undelete()
    assert (drop.count, drop.octets, 2 in drop) == (4, octets, True)
    drop.delete(3)
    drop.close()
    assert files(root) == before


def test_update_deletes_what_is_marked_and_nothing_else(root: Path, drop: Maildrop) -> None:
    """From both folders."""
    kept = [drop.unique_id(1), drop.unique_id(4)]
    drop.delete(2)
    drop.delete(3)
    assert drop.update() == Updated(2, 0)
    drop.close()
    assert again(root) == kept


def test_renamed_message_is_found_and_deleted_by_its_name(root: Path, drop: Maildrop) -> None:
    """Another reader marks everything as seen during the session."""
    for path in list((root / "new").iterdir()):
        path.rename(root / "cur" / f"{path.name}:2,S")
    assert [content(drop, number) for number in (1, 4)] == [mail(1).replace(b"\r\n", b"\n"), FOREIGN]
    for path in list((root / "cur").iterdir()):
        path.rename(root / "cur" / f"{path.name.partition(':')[0]}:2,FS")
    for number in range(1, 5):
        drop.delete(number)
    assert drop.update() == Updated(4, 0)
    assert files(root) == []


def test_removed_message_is_gone_and_its_deletion_is_no_error(root: Path, drop: Maildrop) -> None:
    """Another reader deleted it: -ERR, and no other message in its place."""
    for path in (root / "new").iterdir():
        path.unlink()
    with pytest.raises(MessageGone, match="gone"):
        drop.open(1)
    assert content(drop, 2) == mail(2).replace(b"\r\n", b"\n")
    drop.delete(1)
    drop.delete(2)
    assert drop.update() == Updated(2, 0)


def test_replaced_message_is_gone_and_the_other_is_neither_shown_nor_deleted(root: Path, drop: Maildrop) -> None:
    """Never another message's content under this number."""
    path = root / "new" / "2000.foreign.host"
    other = root / "tmp" / "other"
    other.write_bytes(b"something else altogether")
    other.rename(path)
    with pytest.raises(MessageGone):
        drop.open(4)
    drop.delete(4)
    assert drop.update() == Updated(1, 0)
    assert path.read_bytes() == b"something else altogether"


def test_grown_message_is_not_shown(root: Path, drop: Maildrop) -> None:
    """It would not have the octets that LIST said."""
    with (root / "new" / "2000.foreign.host").open("ab") as file:
        file.write(b"more\n")
    with pytest.raises(MessageGone):
        drop.open(4)


def test_only_regular_files_are_messages(root: Path, tmp_path: Path) -> None:
    """Links, pipes, directories and dot files are passed over; nothing is followed and nothing waits."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"root:x:0:0\n")
    (root / "new" / "1.link").symlink_to(secret)
    os.mkfifo(root / "new" / "1.pipe")
    (root / "cur" / "1.directory:2,S").mkdir()
    (root / "new" / ".hidden").write_bytes(b"x")
    assert len(again(root)) == 4


def test_file_that_turns_into_a_link_or_pipe_is_gone(root: Path, drop: Maildrop, tmp_path: Path) -> None:
    """What was a message at login may be a trap at RETR."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"x" * drop.file_size(4))
    path = root / "new" / "2000.foreign.host"
    path.unlink()
    path.symlink_to(secret)
    with pytest.raises(MessageGone):
        drop.open(4)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(MessageGone):
        drop.open(4)
    drop.delete(4)
    drop.update()
    assert path.exists()
    assert secret.exists()


def test_names_with_odd_octets_are_messages_like_others(root: Path) -> None:
    """No octets of a name break the listing; the unique id is fit for the wire."""
    for name in (b"5.\xff\xfe.host", b"6.line\nend", b"7.blank here", b"8." + b"x" * 200):
        descriptor = os.open(os.fsencode(root / "new") + b"/" + name, os.O_CREAT | os.O_WRONLY)
        os.write(descriptor, b"odd\n")
        os.close(descriptor)
    ids = again(root)
    assert len(set(ids)) == 8
    assert all(1 <= len(each) <= 70 and all("!" <= character <= "~" for character in each) for each in ids)
    drop = open_maildrop(root)
    assert content(drop, 1) == b"odd\n"
    for number in range(1, 9):
        drop.delete(number)
    assert drop.update() == Updated(8, 0)
    drop.close()


def test_message_that_stands_twice_is_one_and_goes_as_one(root: Path) -> None:
    """Programs that move with link and unlink, killed between the two, leave both names."""
    path = next(path for path in (root / "new").iterdir() if path.name.startswith("1001."))
    os.link(path, root / "cur" / f"{path.name}:2,S")
    drop = open_maildrop(root)
    assert len(drop) == 4
    drop.delete(1)
    assert drop.update() == Updated(1, 0)
    drop.close()
    assert not [name for name in files(root) if name.startswith("1001.")]


def test_two_messages_of_one_name_have_ids_of_their_own(root: Path) -> None:
    """It should not be; but no client may take one for the other, and miss it."""
    alone = again(root)
    (root / "cur" / "2000.foreign.host:2,S").write_bytes(b"another\n")
    ids = again(root)
    assert len(set(ids)) == 5
    assert set(ids) & set(alone) == set(alone[:3])
    assert again(root) == ids


def test_wrong_size_in_a_name_is_not_believed(root: Path) -> None:
    """A file that was compressed in place, or named by another program."""
    path = root / "cur" / "3000.x,S=5,W=6:2,S"
    path.write_bytes(b"1234567\n")
    drop = open_maildrop(root)
    assert drop.size(5) == 9
    drop.close()


def test_sizes_are_counted_once_and_again_when_the_file_changed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file of sizes saves the reading, can be removed, and does not lie about a file that was changed."""
    for number in range(40):
        (root / "cur" / f"{5000 + number}.foreign").write_bytes(b"line\n" * number)
    counted = []

    def counting(pieces: Iterable[bytes]) -> int:
        counted.append(1)
        return wire_octets(pieces)

    monkeypatch.setattr(snapshot, "wire_octets", counting)

    def octets() -> tuple[int, int]:
        counted.clear()
        drop = open_maildrop(root)
        drop.close()
        return drop.octets, len(counted)

    total, first = octets()
    assert first == 41
    assert octets() == (total, 0)
    (root / "cur" / "5001.foreign").write_bytes(b"1\n2\n3\n")
    assert octets() == (total + 3, 1)
    (root / SIZES).write_bytes(b"rubbish")
    assert octets() == (total + 3, 41)
    (root / SIZES).unlink()
    assert octets() == (total + 3, 41)


def test_unreadable_folder_is_a_temporary_failure(tmp_path: Path) -> None:
    """The session is refused, and the lock is free again."""
    make_mailbox(tmp_path / "box")
    (tmp_path / "box" / "cur").rmdir()
    (tmp_path / "box" / "cur").write_bytes(b"")
    for _ in range(2):
        with pytest.raises(StoreError) as caught:
            open_maildrop(tmp_path / "box")
        assert not isinstance(caught.value, MaildropInUse)
        assert caught.value.temporary


def test_failed_removal_is_counted_and_the_rest_goes(
    root: Path, drop: Maildrop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 1939 §6: -ERR when some were not removed, which are still there then."""
    unlink = os.unlink

    def failing(path: str, *, dir_fd: int | None = None) -> None:
        if "foreign" in path:
            raise PermissionError(13, "not yours")
        unlink(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", failing)
    for number in range(1, 5):
        drop.delete(number)
    assert drop.update() == Updated(3, 1)
    assert files(root) == ["2000.foreign.host"]


def test_failed_sync_is_told(drop: Maildrop, monkeypatch: pytest.MonkeyPatch) -> None:
    """What may come back after a power failure is not called deleted."""

    def failing(descriptor: int) -> None:
        raise OSError(5, "input/output error")

    monkeypatch.setattr(os, "fsync", failing)
    drop.delete(1)
    with pytest.raises(StoreError, match="input/output"):
        drop.update()


def test_renaming_all_the_time_hides_no_message(tmp_path: Path) -> None:
    """Another program renames files while they are opened: each is found, or said to be gone, and never another."""
    root = tmp_path / "box"
    make_mailbox(root)
    for number in range(20):
        (root / "cur" / f"{number}.x:2,").write_bytes(b"%d\n" % number)
    drop = open_maildrop(root)
    stop = threading.Event()

    def rename() -> None:
        flags = ["", "S", "F", "FS"]
        turn = 0
        while not stop.is_set():
            turn += 1
            for path in list((root / "cur").iterdir()):
                path.rename(root / "cur" / f"{path.name.partition(':')[0]}:2,{flags[turn % 4]}")

    thread = threading.Thread(target=rename)
    thread.start()
    try:
        expected = sorted(b"%d\n" % number for number in range(20))
        found = []
        for number in range(1, 21):
            try:
                found.append(content(drop, number))
            except MessageGone:
                found.append(b"%d\n" % int(drop.unique_id(number).partition(".")[0]))
            assert found[-1] == b"%d\n" % int(drop.unique_id(number).partition(".")[0])
        assert sorted(found) == expected
    finally:
        stop.set()
        thread.join()
    drop.close()
