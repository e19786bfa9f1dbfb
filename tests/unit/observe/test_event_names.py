"""The names of events are an interface: each one is explained in docs/logs.md."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
FAMILIES = ("imap", "pop3", "smtp")


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
    return names | {"log.dropped"} | {f"{family}.fault" for family in FAMILIES}  # of ``Connection.fault``


def _names_in_documentation() -> set[str]:
    rows = re.findall(r"^\| (`[^|]*`) \|", (ROOT / "docs" / "logs.md").read_text(), re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def _calls() -> list[ast.Call]:
    found = []
    for file in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if name in ("event", "failure"):
                    found.append(node)
    return found


def test_names_have_one_form() -> None:
    """A noun, a dot, what happened; hyphens inside of words."""
    for name in _names_in_source():
        assert re.fullmatch(r"[a-z]+[0-9]?(\.[a-z]+(-[a-z]+)*)+", name), name


def test_message_is_called_by_one_name() -> None:
    """``queue_id`` finds every line about a message."""
    for call in _calls():
        assert not {"id", "message_id", "qid", "msgid"} & {each.arg for each in call.keywords}, ast.unparse(call)


def test_documentation_and_source_name_the_same_events() -> None:
    """An event that is new, renamed or gone changes the table."""
    assert _names_in_documentation() == _names_in_source()
