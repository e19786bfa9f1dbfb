"""Noticing replaced files: once for each change, when it stands still, also through links."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gatepost.certs.watch import Watch, signature, signatures


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate and its key."""
    pair = (tmp_path / "cert.pem", tmp_path / "key.pem")
    for path in pair:
        path.write_bytes(b"one")
    return pair


def test_change_is_reported_once_when_it_stands_still(files: tuple[Path, Path]) -> None:
    """The look that sees a change waits for the next one; a change that was reported is not reported again."""
    loaded = signatures(files)
    watch = Watch(poll=10, settle=1)
    assert watch.changed(loaded, 100) == [] and watch.next_at == 110
    _replace(files[0], b"two")
    assert watch.changed(loaded, 105) == []  # it is not time
    assert watch.changed(loaded, 110) == [] and watch.next_at == 111
    _replace(files[1], b"two")  # the key follows: wait once more
    assert watch.changed(loaded, 111) == [] and watch.next_at == 112
    assert watch.changed(loaded, 112) == list(files) and not watch.same
    assert watch.changed(loaded, 122) == [] and not watch.same
    _replace(files[0], b"three")
    assert watch.changed(loaded, 132) == []
    assert watch.changed(loaded, 133) == list(files)


def test_file_that_comes_back_is_no_change(files: tuple[Path, Path]) -> None:
    """When the old file is put back there is nothing to load, and nothing to complain of."""
    loaded = signatures(files)
    watch = Watch(poll=10, settle=1)
    files[0].rename(files[0].with_name("away"))
    assert watch.changed(loaded, 0) == []
    assert watch.changed(loaded, 1) == [files[0]] and not watch.same
    files[0].with_name("away").rename(files[0])
    assert watch.changed(loaded, 11) == [] and watch.same


def test_link_that_points_elsewhere_is_a_change(files: tuple[Path, Path], tmp_path: Path) -> None:
    """As certbot does it: the name stays, the file behind it is another."""
    link = tmp_path / "live.pem"
    link.symlink_to(files[0])
    before = signature(link)
    link.unlink()
    link.symlink_to(files[1])
    assert signature(link) != before
    assert signature(tmp_path / "none") is None


def test_permissions_count_and_links_beside_do_not(files: tuple[Path, Path], tmp_path: Path) -> None:
    """A file that became readable is to be tried again; a backup that links to it is nothing."""
    before = signature(files[0])
    os.link(files[0], tmp_path / "backup")
    assert signature(files[0]) == before
    files[0].chmod(0o600)
    assert signature(files[0]) != before


def _replace(path: Path, data: bytes) -> None:
    new = path.with_name("new")
    new.write_bytes(data)
    new.replace(path)
