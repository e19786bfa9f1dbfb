"""Look whether a wheel is whole: every file of the package, and both commands. ``python check_wheel.py DIRECTORY``."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src"


def main() -> int:
    """Compare the newest wheel in the directory with the source."""
    wheels = sorted(Path(sys.argv[1]).glob("gatepost-*.whl"), key=lambda path: path.stat().st_mtime)
    if not wheels:
        print(f"no wheel of gatepost in {sys.argv[1]}", file=sys.stderr)
        return 1
    due = {
        str(path.relative_to(SOURCE))
        for path in (SOURCE / "gatepost").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheels[-1]) as wheel:
        held = {name for name in wheel.namelist() if name.startswith("gatepost/")}
        others = {name.partition("/")[2]: name for name in wheel.namelist() if name not in held}
        entries = wheel.read(others["entry_points.txt"]).decode()
    faults = [f"missing: {name}" for name in sorted(due - held)] + [f"foreign: {name}" for name in sorted(held - due)]
    faults += [f"no command: {name}" for name in ("gatepost", "gatepost-sendmail") if f"{name} = " not in entries]
    faults += [] if "licenses/LICENSE" in others else ["no licence"]
    for fault in faults:
        print(f"{wheels[-1].name}: {fault}", file=sys.stderr)
    if not faults:
        print(f"{wheels[-1].name}: {len(held)} files, {sum(name.endswith('.sql') for name in held)} of them SQL")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
