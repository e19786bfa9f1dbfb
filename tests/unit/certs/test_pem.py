"""Combined PEM files."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatepost.certs import combined_pem, load_combined, write_combined
from gatepost.errors import CertificateError
from gatepost.testing.ca import TestAuthority

AUTHORITY = TestAuthority()
ISSUED = AUTHORITY.intermediate().issue("mx.example.test")


def test_key_stands_first_and_the_chain_follows() -> None:
    """One order, always."""
    text = combined_pem(ISSUED.key, ISSUED.chain)
    assert text.startswith(b"-----BEGIN PRIVATE KEY-----")
    assert text.count(b"BEGIN CERTIFICATE") == 2


def test_written_file_replaces_the_old_one_whole(tmp_path: Path) -> None:
    """The mode is 0600 whatever the old file's was, and nothing else is left in the directory."""
    path = tmp_path / "server.pem"
    path.write_bytes(b"old")
    path.chmod(0o644)
    write_combined(path, ISSUED.key, ISSUED.chain)
    assert load_combined(path).certificate == ISSUED.certificate
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk costs nothing that was there."""
    path = tmp_path / "server.pem"
    path.write_bytes(b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gatepost.certs.files.os.fsync", full)
    with pytest.raises(CertificateError, match="No space left"):
        write_combined(path, ISSUED.key, ISSUED.chain)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
