"""The load generator and the sink, which are C programs: built here when they are needed, and driven."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from servers import Server
from turns import Figures

HERE: Final = Path(__file__).parent
BUILT: Final = HERE.parent / "build" / "bench"
NEEDED: Final = "it needs a C compiler and the headers of OpenSSL; on Debian: apt-get install gcc libc6-dev libssl-dev"
LONGEST: Final = 300.0


def program(name: str) -> Path:
    """Where the program is that ``NAME.c`` makes; it is made when it is missing or older.

    :raises SystemExit: when it cannot be made.
    """
    source, made = HERE / f"{name}.c", BUILT / name
    if made.exists() and made.stat().st_mtime > source.stat().st_mtime:
        return made
    if not shutil.which("cc"):
        raise SystemExit(NEEDED)
    BUILT.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["cc", "-O2", "-o", made, source, "-lssl", "-lcrypto"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{done.stderr}\n{NEEDED}")
    return made


def run(port: int, *words: object) -> Figures:
    """One run of the generator; what it says.

    :param words: its options.
    :raises RuntimeError: when it says nothing.
    """
    done = subprocess.run(
        [program("load"), "--port", str(port), "--json", *map(str, words)],
        capture_output=True, text=True, check=False, timeout=LONGEST,
    )  # fmt: skip
    if not done.stdout:
        raise RuntimeError(f"the generator said nothing: {done.stderr[-400:]}")
    figures: Figures = json.loads(done.stdout)
    return figures


def measured(server: Server, *words: object) -> Figures:
    """One run, and what CPU time it took the server: ``server_cpu_s``.

    :raises RuntimeError: when not one session got through.
    """
    cpu = server.cpu()
    figures = run(server.port, *words)
    if not figures["sessions"]:
        raise RuntimeError(f"no session got through: {figures['failures']}")
    figures["server_cpu_s"] = max(server.cpu() - cpu, 0.01)
    return figures


@dataclass(slots=True)
class Held:
    """Connections that are held; ``lost`` is how many of them were not there any more when they were let go."""

    count: int
    lost: int = 0


@contextlib.contextmanager
def held(port: int, count: int, *words: object) -> Iterator[Held]:
    """So many connections inside TLS, which then say nothing.

    :raises RuntimeError: when some could not be made, or were lost meanwhile.
    """
    command = [program("load"), "--port", port, "--hold", count, "--sources", 1 + count // 5000, *words]
    with subprocess.Popen(
        [str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None and holder.stdin is not None
        try:
            said = json.loads(holder.stdout.readline())
            if said["held"] < count:
                raise RuntimeError(f"{said['held']} of {count} connections could be made: {said['failures']}")
            yield (those := Held(count))
        finally:
            holder.stdin.close()
            said = json.loads(holder.stdout.readline() or "{}")
        those.lost = said.get("lost", count)
    if those.lost:
        raise RuntimeError(f"{those.lost} of {count} connections were lost meanwhile")
