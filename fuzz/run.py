"""Run fuzz targets: coverage-guided with atheris where it is installed, with random inputs otherwise.

    python fuzz/run.py                                  # every target, ten minutes together
    python fuzz/run.py smtp_server imap --seconds 60    # two of them, a minute each
    python fuzz/run.py imap --repeat fuzz/findings/FILE # one input again
    python fuzz/run.py imap --minimise                  # keep what reaches new code in fuzz/corpus/imap

Each target runs in a process of its own. An input that breaks an invariant is written to ``fuzz/findings/``.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import random
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
FINDINGS: Final = ROOT / "fuzz" / "findings"
FOUND: Final = ROOT / "build" / "fuzz"  # inputs that reached new code, of all runs here
ALTOGETHER: Final = 600.0  # seconds, unless said otherwise
LONGEST: Final = 4096  # octets of an input
KEPT: Final = (24, 16_000)  # of a corpus: files, and octets of all of them
sys.path.insert(0, str(ROOT))

NO_ATHERIS: Final = (
    "atheris is not installed here: inputs are random, not guided by coverage, and find less.\n"
    "There are wheels of it for CPython on Linux, x86-64: pip install '.[fuzz]'"
)


def guided() -> bool:
    """Whether the coverage-guided fuzzer is here."""
    return importlib.util.find_spec("atheris") is not None


def run_guided(name: str, seconds: float) -> None:
    """Fuzz with atheris, in this process, which libFuzzer ends."""
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["gatepost"]):
        harness = importlib.import_module("fuzz.harness")
        fuzzed = harness.load(name)
    found = FOUND / name
    found.mkdir(parents=True, exist_ok=True)
    for data in (*fuzzed.seeds, *fuzzed.corpus()):
        (found / sha256(data).hexdigest()[:16]).write_bytes(data)
    arguments = [f"-artifact_prefix={FINDINGS / name}-", f"-max_len={LONGEST}", "-rss_limit_mb=2048"]
    arguments += ["-timeout=60", "-report_slow_units=60"]
    dictionary = FOUND / f"{name}.dict"
    dictionary.write_text(harness.dictionary(fuzzed.words))
    arguments += [f"-dict={dictionary}", f"-max_total_time={max(1, round(seconds))}", "-print_final_stats=1"]
    arguments += ["-reload=0", str(found)]
    atheris.Setup([sys.argv[0], *arguments], harness.Timed(fuzzed.run))
    atheris.Fuzz()


def run_random(name: str, seconds: float) -> None:
    """Seeds, corpus, and random inputs until the time is over."""
    harness = importlib.import_module("fuzz.harness")
    fuzzed = harness.load(name)
    known = [*fuzzed.seeds, *fuzzed.corpus()]
    timed, seed = harness.Timed(fuzzed.run), time.time_ns()
    end = time.monotonic() + seconds
    more = harness.draw(fuzzed, known, random.Random(seed))  # noqa: S311  # it must be repeatable
    data = b""
    try:
        for data in known:
            timed(data)
        while time.monotonic() < end:
            data = next(more)
            timed(data)
    except BaseException:
        path = FINDINGS / f"{name}-{sha256(data).hexdigest()[:16]}"
        path.write_bytes(data)
        print(f"Test unit written to {path}", file=sys.stderr)
        raise
    print(f"stat::number_of_executed_units: {timed.runs}", file=sys.stderr)


def run_apart(name: str, seconds: float) -> tuple[str, bool]:
    """Run a target in a process of its own; a line about it, and whether nothing was found."""
    command = [sys.executable, str(Path(__file__)), name, "--here", "--seconds", str(seconds)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace", check=False)
    said = done.stdout + done.stderr
    runs = re.findall(r"number_of_executed_units: *(\d+)", said)
    if not done.returncode:
        return f"{name}: {runs[-1] if runs else 'no'} inputs, nothing found", True
    files = re.findall(r"Test unit written to (\S+)", said)
    words = re.findall(r"Uncaught Python exception: ===\s*\n(.*)", said) or re.findall(
        r"^\S*Error.*", said, re.MULTILINE
    )
    repeat = f"  python fuzz/run.py {name} --repeat {os.path.relpath(files[-1], ROOT)}" if files else said[-3000:]
    return f"{name}: FOUND {words[0] if words else f'exit {done.returncode}'}\n{repeat}", False


def minimise(name: str) -> None:
    """Keep, of everything that was found, the inputs that together reach the most code; not too many of them."""
    harness = importlib.import_module("fuzz.harness")
    fuzzed, corpus = harness.load(name), harness.CORPUS / name
    known = {*fuzzed.seeds, *fuzzed.corpus(), *(path.read_bytes() for path in (FOUND / name).glob("*"))}
    kept = harness.smallest_cover(fuzzed, known, *KEPT)
    shutil.rmtree(corpus, ignore_errors=True)
    corpus.mkdir(parents=True)
    for data in kept:
        (corpus / sha256(data).hexdigest()[:16]).write_bytes(data)
    print(f"{name}: {len(kept)} inputs of {len(known)}, {sum(map(len, kept))} octets", flush=True)


def options(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", help="all of them, when none is named")
    parser.add_argument("--seconds", type=float, help="for each target")
    parser.add_argument("--repeat", type=Path, help="run one input, with its traceback")
    parser.add_argument("--minimise", action="store_true", help="keep the found inputs that reach new code")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="targets at a time")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Run what was named, or everything; 1 when something was found."""
    given = options(arguments)
    harness = importlib.import_module("fuzz.harness") if not given.here else None
    names = given.targets or (harness.names() if harness is not None else [])
    seconds = given.seconds or ALTOGETHER / len(names) * given.jobs
    FINDINGS.mkdir(exist_ok=True)
    if given.here:
        run_guided(names[0], seconds) if guided() else run_random(names[0], seconds)
        return 0
    assert harness is not None
    if given.repeat is not None:
        harness.Timed(harness.load(names[0]).run)(given.repeat.read_bytes())
        print("nothing breaks")
        return 0
    if given.minimise:
        for name in names:
            minimise(name)
        return 0
    if not guided():
        print(NO_ATHERIS, file=sys.stderr)
    with ThreadPoolExecutor(given.jobs) as pool:
        results = []
        for line, fine in pool.map(lambda name: run_apart(name, seconds), names):
            print(line, flush=True)
            results.append(fine)
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
