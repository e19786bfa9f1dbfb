"""The names of events are an interface: each one is explained in docs/logs.md."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[3]


def _names_in_source() -> set[str]:
    names = set()
    for file in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            first = node.args[0]
            if called in ("event", "failure") and isinstance(first, ast.Constant) and isinstance(first.value, str):
                names.add(first.value)
    return names | {"log.dropped"}


def _names_in_documentation() -> set[str]:
    rows = re.findall(r"^\| (`[^|]*`) \|", (ROOT / "docs" / "logs.md").read_text(), re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def test_documentation_and_source_name_the_same_events() -> None:
    """An event that is new, renamed or gone changes the table."""
    assert _names_in_documentation() == _names_in_source()
