"""docs/states.md is drawn from the tables that the engines run on."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import gatepost.queue
import gatepost.wire
from gatepost.wire.machine import Table

ROOT = Path(__file__).parents[2]
STATES = ROOT / "docs" / "states.md"


def test_diagrams_are_current() -> None:
    """The document says what the tables say now."""
    done = subprocess.run(
        [sys.executable, "docs/diagrams.py", "--check"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_every_table_is_drawn() -> None:
    """A new state table needs its diagram: each one's name stands in the document."""
    names = set()
    for package in (gatepost.wire, gatepost.queue):
        for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            module = importlib.import_module(found.name)
            names |= {name for name, value in vars(module).items() if isinstance(value, Table) and name[0] != "_"}
    assert names == {
        "PASSING", "PASSING_STARTTLS", "PLAIN", "PLAIN_DENIED", "PLAIN_REQUIRED", "PLAIN_TABLE", "READING", "RECIPIENT",
        "SECURE", "SECURE_TABLE", "UNPROTECTED",
    }  # fmt: skip
    document = STATES.read_text()
    assert [name for name in sorted(names) if f"`{name}`" not in document] == []
