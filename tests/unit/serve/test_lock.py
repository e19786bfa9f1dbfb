"""One server for each data directory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gatepost.errors import ConfigError
from gatepost.serve.lock import DataLock


def test_second_lock_is_refused_with_the_holder(tmp_path: Path) -> None:
    """The message says which process it is."""
    first = DataLock(tmp_path)
    with pytest.raises(ConfigError, match=rf"already runs on .* \(process {os.getpid()}\)"):
        DataLock(tmp_path)
    first.close()
    DataLock(tmp_path).close()


def test_lock_does_not_follow_a_link(tmp_path: Path) -> None:
    """A link that was put there leads nowhere."""
    target = tmp_path / "target"
    target.write_text("precious")
    (tmp_path / "gatepost.lock").symlink_to(target)
    with pytest.raises(ConfigError, match="cannot make"):
        DataLock(tmp_path)
    assert target.read_text() == "precious"
