"""Write docs/standards.md from spec/; with ``--check``, say whether it is current (exit 1 when not)."""

from __future__ import annotations

import sys
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
TARGET: Final = ROOT / "docs" / "standards.md"
EXTENTS: Final = {"whole": "done", "part": "part", "none": "not yet"}

HEAD: Final = """\
# Standards

<!-- Written by docs/generate_standards.py from spec/: change that, then run it again. -->

What is done of each standard, and how far its clauses are shown. A clause is a sentence of the standard in our words,
with the tests that hold us to it or the reason why there is none; the number leads to them.

"""

COLUMNS: Final = """\
| RFC | title | what is done | status | clauses | shown by tests | with a reason alone | where |
|---|---|---|---|---|---|---|---|
"""

TESTS: Final = """
## Tests

The files whose tests show the clauses of a standard, each with the number of clauses.

| RFC | tests |
|---|---|
"""

FOOT: Final = """
## Without an RFC

IRC, PostgreSQL and MySQL have no RFC for their upgrade: see the first lines of their files in
`src/gatepost/wire/recipes`. Nor has the PROXY protocol (HAProxy's `doc/proxy-protocol.txt`): versions 1 and 2, both
sides, with the checksum, and with the client's TLS where it is sent (`wire/proxy.py`, `wire/proxy_vectors.py`).

Interpretations of our own, where a standard leaves room, are in [spec/](../spec/README.md) as reasons and in
[adr/](adr/README.md) as decisions.
"""


def standards() -> list[dict[str, Any]]:
    """What spec/ holds, by number."""
    found = [tomllib.loads(path.read_text()) for path in (ROOT / "spec").glob("rfc*.toml")]
    return sorted(found, key=lambda standard: int(standard["rfc"]))


def row(standard: dict[str, Any]) -> str:
    """One line of the table."""
    clauses = standard.get("clause", [])
    shown = sum(1 for clause in clauses if clause.get("tests"))
    spec = f"../spec/rfc{standard['rfc']}.toml"
    place, hash_, anchor = standard["where"].partition("#")
    target = (place.removeprefix("docs/") if place.startswith("docs/") else f"../{place}") + hash_ + anchor
    cells = (
        standard["rfc"], standard["title"], standard["done"], EXTENTS[standard["extent"]],
        f"[{len(clauses) or 'none'}]({spec})", shown, len(clauses) - shown, f"[{Path(place).name}]({target})",
    )  # fmt: skip
    return f"| {' | '.join(str(cell) for cell in cells)} |\n"


def files(standard: dict[str, Any]) -> str:
    """The files with the tests of a standard, in their order; empty without any."""
    counted = Counter(
        file
        for clause in standard.get("clause", [])
        for file in sorted({name.partition("::")[0] for name in clause.get("tests", [])})
    )
    links = (f"[{file.removeprefix('tests/')}](../{file}) {number}" for file, number in sorted(counted.items()))
    text = ", ".join(links)
    return f"| {standard['rfc']} | {text} |\n" if text else ""


def page() -> str:
    """The whole document."""
    found = standards()
    clauses = [clause for standard in found for clause in standard.get("clause", [])]
    shown = sum(1 for clause in clauses if clause.get("tests"))
    total = (
        f"\n{len(found)} standards, {len(clauses)} clauses: {shown} shown by tests, {len(clauses) - shown} with a "
        "reason alone. `make spec` looks whether that is so.\n"
    )
    return HEAD + COLUMNS + "".join(map(row, found)) + total + TESTS + "".join(map(files, found)) + FOOT


def main(arguments: list[str]) -> int:
    """Write the document, or compare it."""
    text = page()
    if "--check" not in arguments:
        TARGET.write_text(text)
    elif TARGET.read_text() != text:
        print("docs/standards.md is not what spec/ says: run docs/generate_standards.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
