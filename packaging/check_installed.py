"""Install the newest wheel into a clean environment, run the examples there. ``python check_installed.py DIRECTORY``

What is looked at is what a user gets: the package without the checkout, its dependencies as pip finds them, and no
development tools. The library must import without any package that only a server needs.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"
ALONE = ("own_protocol.py", "engine_pair.py", "server_in_a_test.py", "extension.py")
WITH_SERVER = ("client.py", "client_blocking.py")
SERVER_ONLY = ("pydantic", "click", "dns", "rich", "prometheus_client", "argon2", "sqlite3")

# Runs the clients' examples against a server of the same installation.
DRIVER = """
import subprocess, sys, tempfile
from pathlib import Path
from gatepost.testing.server import MailServer
with tempfile.TemporaryDirectory() as data, MailServer(Path(data)) as server:
    for example in sys.argv[1:]:
        command = [sys.executable, "-W", "error", example, "localhost", str(server.port("submission"))]
        said = subprocess.run([*command, str(server.ca_file)], check=True, capture_output=True, text=True, timeout=60)
        assert said.stdout.startswith("TLSv1.3 "), said.stdout
"""
LIBRARY = f"""
import sys, gatepost
gatepost.connect, gatepost.blocking.connect, gatepost.smtp.Client, gatepost.pop3.Client
loaded = set({SERVER_ONLY}) & set(sys.modules)
assert not loaded, loaded
"""
# Builds the source distribution into a directory, and looks whether it holds what the wheel is built from.
SDIST = """
import os, sys, tarfile
from hatchling.build import build_sdist
root, directory = sys.argv[1:]
os.chdir(root)
with tarfile.open(os.path.join(directory, build_sdist(directory))) as archive:
    names = {name.partition("/")[2] for name in archive.getnames()}
assert {"pyproject.toml", "LICENSE", "README.md", "src/gatepost/py.typed", "tests/unit/test_public.py"} <= names
"""


def main() -> int:
    """Install, run, say what went wrong."""
    wheels = sorted(Path(sys.argv[1]).resolve().glob("gatepost-*.whl"), key=lambda path: path.stat().st_mtime)
    if not wheels:
        print(f"no wheel of gatepost in {sys.argv[1]}", file=sys.stderr)
        return 1
    wheel = wheels[-1]
    with tempfile.TemporaryDirectory(prefix="gatepost-clean-") as directory:
        venv.create(directory, with_pip=True)
        python = str(Path(directory, "bin", "python"))
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--retries", "8"]
        steps = [
            ("pip install", [*pip, str(wheel)]),
            ("import", [python, "-c", LIBRARY]),
            *((name, [python, "-W", "error", str(EXAMPLES / name)]) for name in ALONE),
            (", ".join(WITH_SERVER), [python, "-c", DRIVER, *(str(EXAMPLES / name) for name in WITH_SERVER)]),
            ("gatepost --version", [str(Path(directory, "bin", "gatepost")), "--version"]),
            ("pip install hatchling", [*pip, "hatchling"]),
            ("sdist", [python, "-c", SDIST, str(EXAMPLES.parent), directory]),
        ]
        for name, command in steps:
            done = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=directory)
            if done.returncode:
                print(f"{wheel.name}: {name} fails in a clean environment:\n{done.stderr}", file=sys.stderr)
                return 1
    print(f"{wheel.name}: {len(ALONE) + len(WITH_SERVER)} examples run in a clean environment")
    return 0


if __name__ == "__main__":
    sys.exit(main())
