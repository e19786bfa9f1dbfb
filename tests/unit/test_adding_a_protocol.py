"""docs/adding-a-protocol.md does what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "adding-a-protocol.md"
_CODE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_code_of_the_page_runs(tmp_path: Path) -> None:
    """All its pieces, one behind the other, with warnings as errors."""
    pieces = _CODE.findall(PAGE.read_text())
    assert len(pieces) == 3
    program = tmp_path / "page.py"
    program.write_text("\n\n".join(pieces) + '\n\nprint("all is well")\n')
    done = subprocess.run([sys.executable, "-W", "error", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "all is well\n"


def test_page_names_what_there_is() -> None:
    """Files and functions that it points to exist."""
    root = PAGE.parents[1]
    text = _CODE.sub("", PAGE.read_text())
    for path in re.findall(r"`((?:src|tests)/[a-z_/.]+)`", text):
        assert (root / path).exists(), path
    for module in re.findall(r"`([a-z]+\.py)`", text):
        found = (root / "src/gatepost/wire/recipes" / module, root / "tests/interop" / module)
        assert any(path.exists() for path in found), module
