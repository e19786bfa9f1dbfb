"""The clauses in spec/ have their tests, and the tests exist."""

from __future__ import annotations

import ast
import functools
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "spec").glob("rfc*.toml"))
LEVELS = {"MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "MAY"}
SIDES = {"server", "client", "both", "queue"}


def _read(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text())


@functools.cache
def _tests(path: Path) -> frozenset[str]:
    """The test functions that a file defines."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return frozenset(
        node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and "test_" in node.name
    )


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_every_clause_is_complete(path: Path) -> None:
    """A clause has a section, a level, a side, words, and tests or a reason, and nothing else."""
    found = _read(path)
    assert path.stem == f"rfc{found['rfc']}"
    assert found["title"]
    for clause in found["clause"]:
        where = f"{path.name}, §{clause.get('section')}: {clause.get('text')}"
        assert set(clause) <= {"section", "level", "side", "text", "tests", "reason"}, where
        assert re.fullmatch(r"[0-9A-Z]+(\.[0-9]+)*", clause["section"]), where
        assert clause["level"] in LEVELS, where
        assert clause["side"] in SIDES, where
        assert clause["text"].endswith("."), where
        assert clause.get("tests") or clause.get("reason", "").endswith("."), f"{where} has neither test nor reason"


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_every_named_test_exists(path: Path) -> None:
    """A clause does not point at a test that was renamed or removed."""
    missing = []
    for clause in _read(path)["clause"]:
        for name in clause.get("tests", ()):
            file, _, function = name.partition("::")
            if not (ROOT / file).is_file() or function not in _tests(ROOT / file):
                missing.append(name)
    assert missing == []


def test_every_followed_standard_is_listed() -> None:
    """docs/standards.md has a row for each standard of spec/, with a link."""
    rows = (ROOT / "docs" / "standards.md").read_text().splitlines()
    for path in FILES:
        found = _read(path)
        row = next((row for row in rows if row.startswith(f"| {found['rfc']} |")), "")
        assert f"spec/{path.name}" in row, f"docs/standards.md has no row for {path.name}"


def test_files_are_found() -> None:
    """The two standards that everything rests on are followed clause by clause."""
    assert {"rfc3207", "rfc5321"} <= {path.stem for path in FILES}
