"""Misuse of the upgrade must not type-check: programs that mypy must reject, each line with its error code."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
EXPECTED = re.compile(r"# rejected: (\S+)")
FOUND = re.compile(r"^(?P<path>[^:]+):(?P<line>\d+): error: .*\[(?P<code>[a-z-]+)\]$", re.MULTILINE)
Finding = tuple[str, int, str]


def expected(path: Path) -> set[Finding]:
    """What a program says will be found in it."""
    return {
        (path.name, number, code)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        for code in EXPECTED.findall(line)
    }


@pytest.fixture(scope="module")
def findings() -> set[Finding]:
    """What mypy finds in all programs, in one run."""
    programs = sorted([*HERE.glob("rejected_*.py"), *HERE.glob("accepted_*.py")])
    assert programs
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--hide-error-context", "--no-color-output", "--show-error-codes",
         "--no-error-summary", "--no-pretty", "--config-file", str(ROOT / "pyproject.toml"), *map(str, programs)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found = {(Path(hit["path"]).name, int(hit["line"]), hit["code"]) for hit in FOUND.finditer(done.stdout)}
    assert len(FOUND.findall(done.stdout)) == done.stdout.count(" error: "), done.stdout
    return found


@pytest.mark.parametrize("program", sorted(HERE.glob("rejected_*.py")), ids=lambda path: path.stem)
def test_program_is_rejected_line_by_line(program: Path, findings: set[Finding]) -> None:
    """Every marked line is an error of the code it names, and no other line is one."""
    wanted = expected(program)
    assert wanted, "a program that must be rejected says where"
    assert {finding for finding in findings if finding[0] == program.name} == wanted


@pytest.mark.parametrize("program", sorted(HERE.glob("accepted_*.py")), ids=lambda path: path.stem)
def test_program_is_accepted(program: Path, findings: set[Finding]) -> None:
    """The way that is meant has no error."""
    assert not {finding for finding in findings if finding[0] == program.name}
