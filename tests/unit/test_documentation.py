"""Documents that are written by programs are what those programs write now."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from gatepost.config.load import load

ROOT = Path(__file__).parents[2]


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_configuration_reference_is_current() -> None:
    """docs/configuration.md says what the schema says."""
    done = _run("docs/generate_configuration.py", "--check")
    assert done.returncode == 0, done.stderr


def test_example_configuration_is_accepted() -> None:
    """The example can be copied."""
    config = load(ROOT / "gatepost.example.toml")
    assert [listener.name for listener in config.listener] == ["mx", "submission", "submissions", "pop3", "pop3s"]


def test_every_gate_of_its_page_is_accepted(tmp_path: Path) -> None:
    """The examples of docs/gate.md can be copied: each is a whole configuration."""
    blocks = re.findall(r"^```toml\n(.*?)^```", (ROOT / "docs" / "gate.md").read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 5
    for block in blocks:
        (tmp_path / "gatepost.toml").write_text(block)
        config = load(tmp_path / "gatepost.toml")
        assert config.gates_only and config.gate


def test_man_pages_cover_every_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One page a command, the same for the same source."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    for name in ("one", "two"):
        assert _run("docs/generate_man.py", str(tmp_path / name)).returncode == 0
    pages = {file.name: file.read_text() for file in (tmp_path / "one").iterdir()}
    assert {"gatepost.1", "gatepost-queue-drop.1", "gatepost-sendmail.1"} <= set(pages)
    assert pages == {file.name: file.read_text() for file in (tmp_path / "two").iterdir()}
    for name, text in pages.items():
        assert text.startswith(f'.TH "{name.removesuffix(".1").upper()}" "1" "1970-01-01"')
        assert ".SH SYNOPSIS" in text
