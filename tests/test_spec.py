"""The clauses in spec/ have their tests, the tests exist, and docs/standards.md tells of them."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "spec").glob("rfc*.toml"))
HEAD = {"rfc", "title", "status", "done", "extent", "where"}
STATUSES = {
    "Internet Standard", "Draft Standard", "Proposed Standard", "Best Current Practice", "Informational",
}  # fmt: skip
EXTENTS = {"whole", "part", "none"}
LEVELS = {"MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "MAY"}
SIDES = {"server", "client", "both", "queue"}

each_standard = pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])


def _read(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text())


@functools.cache
def _tests(path: Path) -> frozenset[str]:
    """The tests that a file defines, as pytest names them: ``test_x``, ``TestClass::test_x``."""

    def within(body: Iterable[ast.stmt], prefix: str = "") -> Iterator[str]:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                yield prefix + node.name
            elif isinstance(node, ast.ClassDef):
                yield from within(node.body, f"{prefix}{node.name}::")

    return frozenset(within(ast.parse(path.read_text()).body))


@each_standard
def test_every_standard_has_its_head(path: Path) -> None:
    """Number, title, standing, what is done of it and where; without clauses, the reason; and nothing else."""
    found = _read(path)
    assert path.stem == f"rfc{found['rfc']}"
    assert set(found) == HEAD | ({"clause"} if "clause" in found else {"reason"})
    assert found["title"] and found["done"]
    assert found["status"] in STATUSES
    assert found["extent"] in EXTENTS
    assert (ROOT / found["where"].partition("#")[0]).exists(), f"{path.name}: where = {found['where']!r} is not there"
    assert "clause" in found or found["reason"].endswith("."), f"{path.name} has neither clauses nor a reason"


@each_standard
def test_every_clause_is_complete(path: Path) -> None:
    """A clause has a section, a level, a side, words, and tests or a reason, and nothing else."""
    for clause in _read(path).get("clause", ()):
        where = f"{path.name}, §{clause.get('section')}: {clause.get('text')}"
        assert set(clause) <= {"section", "level", "side", "text", "tests", "reason"}, where
        assert re.fullmatch(r"[0-9A-Z]+(\.[0-9]+)*", clause["section"]), where
        assert clause["level"] in LEVELS, where
        assert clause["side"] in SIDES, where
        assert clause["text"].endswith("."), where
        assert clause.get("tests") or clause.get("reason"), f"{where} has neither test nor reason"
        assert clause.get("reason", ".").endswith("."), where
        assert len(set(clause.get("tests", ()))) == len(clause.get("tests", ())), where


@each_standard
def test_every_clause_stands_once(path: Path) -> None:
    """Two clauses of a standard do not say the same."""
    said = [(clause["section"], clause["text"]) for clause in _read(path).get("clause", ())]
    assert len(set(said)) == len(said)


@each_standard
def test_every_named_test_exists(path: Path) -> None:
    """A clause does not point at a test that was renamed or removed."""
    missing = []
    for clause in _read(path).get("clause", ()):
        for name in clause.get("tests", ()):
            file, _, function = name.partition("::")
            if not (ROOT / file).is_file() or function not in _tests(ROOT / file):
                missing.append(name)
    assert missing == []


def test_page_of_the_standards_is_current() -> None:
    """docs/standards.md says what spec/ says."""
    program = [sys.executable, "docs/generate_standards.py", "--check"]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_files_are_found() -> None:
    """The two standards that everything rests on are followed clause by clause."""
    assert {"rfc3207", "rfc5321"} <= {path.stem for path in FILES if "clause" in _read(path)}
