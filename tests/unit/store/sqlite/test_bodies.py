"""Body files: durable before they are named, swept when nobody has them, and never sent damaged."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from gatepost.queue import INLINE_LIMIT, FileBody, InlineBody, Moment, NewMessage, NewRecipient, Selection, Settlement
from gatepost.queue.outcome import delivered
from gatepost.store.sqlite import SQLiteQueue, StoreFault
from gatepost.store.sqlite.bodies import BodyFiles
from gatepost.store.sqlite.database import Database

BIG = b"0123456789abcdef" * (INLINE_LIMIT // 8)


def finished(files: BodyFiles, name: str = "m1") -> FileBody:
    writer = files.writer(name)
    writer.write(BIG)
    body = writer.finish()
    assert isinstance(body, FileBody)
    return body


def enqueue(queue: SQLiteQueue, body: FileBody) -> None:
    recipient = NewRecipient("b@example.com", "example.com", "remote")
    queue.enqueue([NewMessage(body.name, 0, "", body, body.length, (recipient,))])


def test_body_is_synced_with_its_folder_before_it_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row must never name what power loss could take away."""
    synced: list[Path] = []
    sync = os.fsync

    def witness(descriptor: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", witness)
    finished(BodyFiles(tmp_path))
    assert synced == [tmp_path / "m1", tmp_path]


def test_sweep_spares_a_body_that_is_being_written_or_waits_for_its_commit(tmp_path: Path) -> None:
    """Another process that starts meanwhile does not take a body for an orphan."""
    writing, other = BodyFiles(tmp_path), BodyFiles(tmp_path)
    writer = writing.writer("m1")
    writer.write(BIG)
    assert other.sweep(lambda name: False) == 0
    writer.finish()
    assert other.sweep(lambda name: False) == 0
    writing.close()
    assert other.sweep(lambda name: False) == 1
    assert list(tmp_path.iterdir()) == []


def test_sweep_spares_a_body_that_a_row_names(tmp_path: Path) -> None:
    """After the commit the lock is gone and the row protects the file."""
    queue = SQLiteQueue(tmp_path)
    files = BodyFiles(tmp_path / "queue" / "bodies")
    writer = queue.body_writer("m1")
    writer.write(BIG)
    body = writer.finish()
    assert isinstance(body, FileBody)
    enqueue(queue, body)
    descriptor = os.open(files.folder / "m1", os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(descriptor)
    assert queue.sweep() == 0
    writer.discard()
    assert b"".join(queue.open_body(body)) == BIG
    queue.close()


def test_writer_begins_again_when_a_sweep_came_between_creating_and_locking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one gap of the locks: the writer sees that its file has lost its name."""
    files, other = BodyFiles(tmp_path), BodyFiles(tmp_path)
    flock, swept = fcntl.flock, list[int]()

    def late(descriptor: int, operation: int) -> None:
        if not swept and not operation & fcntl.LOCK_NB:
            swept.append(0)
            swept[0] = other.sweep(lambda name: False)
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    body = finished(files)
    assert swept == [1]
    assert b"".join(files.open(body)) == BIG


def test_sweep_leaves_what_is_not_ours(tmp_path: Path) -> None:
    """Links, folders and names that are no ids are not touched."""
    files = BodyFiles(tmp_path / "bodies")
    (tmp_path / "precious").write_text("x")
    (files.folder / "link").symlink_to(tmp_path / "precious")
    (files.folder / "folder").mkdir()
    (files.folder / ".hidden").write_text("x")
    assert files.sweep(lambda name: False) == 0
    assert len(list(files.folder.iterdir())) == 3


def test_discarded_body_leaves_no_file(tmp_path: Path) -> None:
    """Refused before or after it was finished."""
    files = BodyFiles(tmp_path)
    early, late, small = files.writer("a"), files.writer("b"), files.writer("c")
    for writer in (early, late):
        writer.write(BIG)
    small.write(b"x")
    early.discard()
    late.finish()
    late.discard()
    late.discard()
    small.discard()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("call", ["writev", "fsync"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_disk_that_fails_while_writing_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    """A temporary error, the file removed at once to free its room."""
    files = BodyFiles(tmp_path)

    def fail(*arguments: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, fail)
    writer = files.writer("m1")
    with pytest.raises(StoreFault) as caught:
        writer.write(BIG)
        writer.finish()
    assert caught.value.temporary
    assert caught.value.reason == ("io" if number == errno.EIO else "full")
    assert list(tmp_path.iterdir()) == []


def test_short_writes_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel may take less than it was given."""
    write = os.write

    def short(descriptor: int, pieces: Iterable[bytes]) -> int:
        return write(descriptor, b"".join(bytes(piece) for piece in pieces)[:1000])

    monkeypatch.setattr(os, "writev", short)
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, bytes(data)[:7777]))
    files = BodyFiles(tmp_path)
    assert b"".join(files.open(finished(files))) == BIG


def test_store_that_is_full_at_the_commit_keeps_no_body(tmp_path: Path) -> None:
    """Nothing half-stored: no row, and after ``discard`` no file; there is room again when there is room."""
    queue = SQLiteQueue(tmp_path)
    writer = queue.body_writer("m1")
    writer.write(BIG)
    body = writer.finish()
    assert isinstance(body, FileBody)
    connection = queue._db.connection  # what a full disk does, without filling one
    connection.execute(f"PRAGMA max_page_count={connection.execute('PRAGMA page_count').fetchone()[0]}")
    small = [
        NewMessage(f"s{n}", 0, "", InlineBody(b"x" * 4096), 4096, (NewRecipient("b@c", "c", "remote"),))
        for n in range(50)
    ]
    big = NewMessage("m1", 0, "", body, body.length, (NewRecipient("b@c", "c", "remote"),))
    with pytest.raises(StoreFault) as caught:
        queue.enqueue([big, *small])
    assert (caught.value.reason, caught.value.temporary) == ("full", True)
    writer.discard()
    assert list((tmp_path / "queue" / "bodies").iterdir()) == []
    assert queue.counts().messages == 0
    connection.execute("PRAGMA max_page_count=1000000")
    queue.enqueue(small)
    assert queue.counts().messages == 50
    queue.close()


def test_new_mail_is_refused_before_the_disk_is_full_and_delivery_goes_on(tmp_path: Path) -> None:
    """The last of the disk is for recording outcomes: a queue on a full disk empties itself."""
    plenty = SQLiteQueue(tmp_path)
    small = NewMessage("s1", 0, "", InlineBody(b"x"), 1, (NewRecipient("b@c", "c", "remote"),))
    plenty.enqueue([small])
    plenty.close()
    short = SQLiteQueue(tmp_path, reserve=1 << 60)
    with pytest.raises(StoreFault) as caught:
        short.enqueue([small])
    assert (caught.value.reason, caught.value.temporary) == ("full", True)
    with pytest.raises(StoreFault):
        short.body_writer("m1").write(BIG)
    assert list((tmp_path / "queue" / "bodies").iterdir()) == []
    short.settle([Settlement(lease, delivered()) for lease in short.lease("w", 1, 60)])
    assert short.counts().messages == 0
    short.close()


def test_damaged_body_is_never_read_to_its_end(tmp_path: Path) -> None:
    """A file cut short is refused at once; one with other octets before its last piece, so it is never completed."""
    files = BodyFiles(tmp_path)
    body = finished(files)
    path = tmp_path / "m1"
    octets = path.read_bytes()
    path.write_bytes(octets[:-1])
    with pytest.raises(StoreFault, match="octets, not") as caught:
        files.open(body)
    assert caught.value.reason == "damaged"
    path.write_bytes(b"X" + octets[1:])
    pieces = files.open(body)
    seen = b""
    with pytest.raises(StoreFault, match="SHA-256"):
        for piece in pieces:
            seen += piece
    assert len(seen) < body.length
    path.unlink()
    with pytest.raises(StoreFault) as caught:
        files.open(body)
    assert caught.value.reason == "missing"


def test_single_octets_do_not_pile_up(tmp_path: Path) -> None:
    """A peer that sends octet by octet costs the memory of the octets, not of an object each."""
    writer = BodyFiles(tmp_path).writer("m1")
    for _ in range(INLINE_LIMIT):
        writer.write(b"x")
    assert len(writer._pieces) <= 256
    assert writer.finish() == InlineBody(b"x" * INLINE_LIMIT)


def test_check_names_missing_bodies(tmp_path: Path) -> None:
    """The operator's check finds what a delivery would find."""
    queue = SQLiteQueue(tmp_path)
    writer = queue.body_writer("m1")
    writer.write(BIG)
    body = writer.finish()
    assert isinstance(body, FileBody)
    enqueue(queue, body)
    assert queue.check() == []
    (tmp_path / "queue" / "bodies" / "m1").unlink()
    (problem,) = queue.check()
    assert "m1" in problem
    with pytest.raises(StoreFault, match="is missing"):
        queue.backup(tmp_path / "backup")
    queue.close()


def test_backup_leaves_out_what_was_delivered_while_it_ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bodies that come and go around the copied moment: what came is in it, what went is left out with its row."""
    queue = SQLiteQueue(tmp_path / "data")

    def put(name: str) -> None:
        writer = queue.body_writer(name)
        writer.write(BIG)
        body = writer.finish()
        assert isinstance(body, FileBody)
        enqueue(queue, body)

    put("stays")
    copy = Database.backup_to

    def busy(self: Database, target: Path) -> None:
        put("late-stays")
        put("late-goes")
        copy(self, target)
        queue.drop(Selection(("late-goes",)))

    monkeypatch.setattr(Database, "backup_to", busy)
    report = queue.backup(tmp_path / "backup")
    assert (report.messages, report.bodies, report.finished) == (2, 2, 1)
    restored = SQLiteQueue(tmp_path / "backup")
    assert restored.check() == []
    assert [m.id for m in restored.list()] == ["stays", "late-stays"]
    restored.close()
    queue.close()


def test_witness_is_told_of_each_moment_in_order(tmp_path: Path) -> None:
    """The moments at which the crash tests kill are passed by every message with a body of its own."""
    seen: list[Moment] = []
    queue = SQLiteQueue(tmp_path, witness=seen.append)
    writer = queue.body_writer("m1")
    writer.write(BIG)
    body = writer.finish()
    assert isinstance(body, FileBody)
    enqueue(queue, body)
    queue.settle([], [])
    queue.lease("w", 1, 1)
    assert seen[:4] == list(Moment)[:4]
    assert set(seen) == set(Moment)
    queue.close()


def test_backup_to_another_file_system_copies_the_bodies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where files cannot be linked they are copied, readable by their owner only, and synced."""
    queue = SQLiteQueue(tmp_path / "data")
    writer = queue.body_writer("m1")
    writer.write(BIG)
    body = writer.finish()
    assert isinstance(body, FileBody)
    enqueue(queue, body)

    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "link", refuse)
    assert queue.backup(tmp_path / "backup").bodies == 1
    copy = tmp_path / "backup" / "queue" / "bodies" / "m1"
    assert copy.read_bytes() == BIG
    assert (copy.stat().st_mode & 0o777, copy.stat().st_nlink) == (0o600, 1)
    queue.close()


def test_lease_brings_a_bounded_amount_of_bodies_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many are asked for; the rest stays due."""
    monkeypatch.setattr("gatepost.store.sqlite.queue.BODY_BUDGET", 10_000)
    queue = SQLiteQueue(tmp_path)
    queue.enqueue(
        [
            NewMessage(f"s{n}", 0, "", InlineBody(b"x" * 4096), 4096, (NewRecipient("b@c", "c", "remote"),))
            for n in range(5)
        ]
    )
    assert [len(queue.lease("w", 100, 60)) for _ in range(4)] == [2, 2, 1, 0]
    queue.close()
