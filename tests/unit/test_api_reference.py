"""The library's documents: written from the docstrings, and their examples run."""

from __future__ import annotations

import doctest
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gatepost.testing.server import MailServer

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_reference_is_current() -> None:
    """docs/api.md says what the docstrings say."""
    done = subprocess.run(
        [sys.executable, "docs/generate_api.py", "--check"], cwd=DOCS.parent, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("name", "least"), [("library.md", 12), ("api.md", 5)])
def test_examples_do_what_they_say(name: str, least: int, tmp_path: Path) -> None:
    """Every block with prompts is run, one after the other, against a real server."""
    text = (DOCS / name).read_text(encoding="utf-8")
    examples = "\n".join(block for block in BLOCK.findall(text) if ">>> " in block)
    with MailServer(tmp_path) as server:
        given = {"port": server.port("submission"), "ca_file": str(server.ca_file)}
        test = doctest.DocTestParser().get_doctest(examples, given, name, name, 0)
        runner = doctest.DocTestRunner(verbose=False)
        said: list[str] = []
        runner.run(test, out=said.append)
    assert not runner.failures, "".join(said)
    assert len(test.examples) >= least
