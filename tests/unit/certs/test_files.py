"""Files with keys: whole or not at all, and nobody else's to read."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatepost.certs.files import exposure, write_secret
from gatepost.errors import CertificateError


def test_file_is_not_replaced_unasked(tmp_path: Path) -> None:
    """Not even one that appears between the look and the write; nothing is left behind."""
    path = tmp_path / "key.pem"
    write_secret(path, b"one", replace=False)
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(CertificateError, match="is there already"):
        write_secret(path, b"two", replace=False)
    assert path.read_bytes() == b"one"
    write_secret(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [path]


def test_link_stays_a_link(tmp_path: Path) -> None:
    """What it points to is replaced, also where that is not there yet."""
    link, target = tmp_path / "live.pem", tmp_path / "archive.pem"
    link.symlink_to(target)
    for data in (b"one", b"two"):
        write_secret(link, data)
        assert link.is_symlink() and target.read_bytes() == data


@pytest.mark.parametrize(
    ("mode", "directory", "words"),
    [
        (0o600, 0o755, ""),
        (0o640, 0o755, ""),
        (0o644, 0o755, "everybody"),
        (0o602, 0o755, "everybody"),
        (0o620, 0o755, "its group"),
        (0o600, 0o777, "replace it"),
        (0o600, 0o1777, ""),
    ],
)
def test_exposure_is_named(tmp_path: Path, mode: int, directory: int, words: str) -> None:
    """Who else may read, change or replace it; a group that may read is the operator's choice."""
    place = tmp_path / "place"
    place.mkdir()
    path = place / "key.pem"
    path.write_bytes(b"")
    path.chmod(mode)
    place.chmod(directory)
    found = exposure(path)
    assert (words in found) if words else found == ""
