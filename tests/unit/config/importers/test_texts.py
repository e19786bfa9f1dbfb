"""Reading old configuration files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gatepost.config.importers.texts import read_text
from gatepost.errors import ConfigError


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    """A pipe that nobody writes into would keep the importer for ever."""
    os.mkfifo(tmp_path / "me")
    for path in (tmp_path / "me", tmp_path):
        with pytest.raises(ConfigError, match="it is no file"):
            read_text(path)
