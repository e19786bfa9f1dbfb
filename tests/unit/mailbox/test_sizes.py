"""The file of sizes: remembered, and thrown away when it is not sound."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatepost.mailbox.sizes import FILE_NAME, SizeMemory, decode, load, save

ROWS = [("first", 11, 5_000_000_000, 100, 104), ("odd\udcff name", 12, 6, 7, 9), ("third", 2**40, 1, 0, 0)]


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    """A descriptor of a directory."""
    descriptor = os.open(tmp_path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def test_size_is_found_for_the_very_file_that_was_counted(root: int) -> None:
    """Identity, inode, time and size: all must be the same."""
    save(root, SizeMemory(ROWS))
    memory = load(root)
    assert len(memory) == 3
    for name, inode, moment, size, wire_size in ROWS:
        assert memory.find(name, inode, moment, size) == wire_size
        assert memory.find(name + "x", inode, moment, size) is None
        assert memory.find(name, inode + 1, moment, size) is None
        assert memory.find(name, inode, moment + 1, size) is None
        assert memory.find(name, inode, moment, size + 1) is None


def test_empty_memory_is_kept_and_read(root: int) -> None:
    """No rows are no trouble."""
    save(root, SizeMemory())
    assert len(load(root)) == 0


def test_name_with_a_line_end_is_not_remembered() -> None:
    """It would tear the rows apart."""
    assert len(decode(SizeMemory([*ROWS, ("a\nb", 1, 2, 3, 4)]).encode())) == 3


def test_every_changed_octet_makes_the_file_worthless() -> None:
    """What a crash or a disk made of it is not believed, and does no harm."""
    data = SizeMemory(ROWS).encode()
    for place in range(len(data)):
        broken = bytearray(data)
        broken[place] ^= 0x41
        assert len(decode(bytes(broken))) == 0
    for length in range(len(data)):
        assert len(decode(data[:length])) == 0


def test_what_is_no_file_is_not_read(root: int, tmp_path: Path) -> None:
    """A link, a pipe, a directory in its place: nothing is remembered, nothing waits."""
    assert len(load(root)) == 0
    os.mkfifo(tmp_path / FILE_NAME)
    assert len(load(root)) == 0
    (tmp_path / FILE_NAME).unlink()
    (tmp_path / FILE_NAME).symlink_to("/etc/passwd")
    assert len(load(root)) == 0


def test_full_disk_is_no_failure(root: int, tmp_path: Path) -> None:
    """What cannot be remembered is counted again."""
    (tmp_path / f"{FILE_NAME}.tmp").mkdir()
    save(root, SizeMemory(ROWS))
    assert len(load(root)) == 0
