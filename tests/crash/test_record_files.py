"""SIGKILL while sessions are recorded: what was written before is readable, and the successor goes on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gatepost.observe.metrics import Counters
from gatepost.record.compression import available
from gatepost.record.events import Line
from gatepost.record.reading import record_files, sessions
from gatepost.record.recorder import Recorder
from gatepost.record.rules import RecordRule
from gatepost.record.shelf import Shelf
from gatepost.record.writer import Plan
from gatepost.wire.upgrade import Origin

BUDGET = 1 << 22
# Records two sessions at once, and says so when some of it is in a file. Arguments: directory, whether compressed.
PROGRAM = """
import os
import sys
import time
from pathlib import Path
from gatepost.observe.metrics import Counters
from gatepost.record.recorder import Recorder
from gatepost.record.rules import RecordRule
from gatepost.record.writer import Plan
from gatepost.wire.upgrade import Origin

plan = Plan(Path(sys.argv[1]), budget=1 << 22, rotate_size=1 << 18, rotate_every=3600.0, compress=sys.argv[2] == "yes")
recorder = Recorder(plan, (RecordRule("all"),), "mx", Counters())
records = []
for name in ("a", "b"):
    origin = Origin(("192.0.2.1", 1), ("192.0.2.2", 25), "mx", time.time(), name)
    records.append(recorder.session(origin, "smtp", "mx"))
number = 0
MINE = f"*-{os.getpid()}-*.jsonl*"
while True:
    for record in records:
        record.heard(b"NOOP %d" % number)
    number += 1
    if number % 100 == 0:
        time.sleep(0.005)
    if number % 500 == 0 and any(path.stat().st_size > 3000 for path in plan.directory.glob(MINE)):
        print("written", flush=True)
"""


@pytest.mark.parametrize(
    "compressed",
    ["no", pytest.param("yes", marks=pytest.mark.skipif(not available(), reason="zstandard is not installed"))],
)
def test_kill_leaves_readable_files_that_can_make_room(tmp_path: Path, compressed: str) -> None:
    """After SIGKILL each session is there up to some event, in order and without a gap; its files are finished ones."""
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path), compressed], stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"written\n"
        process.kill()
        process.communicate()
    assert len(record_files([tmp_path])) >= 3
    found = list(sessions(record_files([tmp_path])[-1:]))
    for session in found:
        numbers = [event.serial for event in session.events]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert isinstance(session.events[-1], Line)
    assert {session.id for session in found} == {"a", "b"}
    assert list(sessions([tmp_path]))  # nothing in any of them is damage

    plan = Plan(tmp_path, budget=BUDGET, rotate_size=1 << 18, rotate_every=3600.0)
    recorder = Recorder(plan, (RecordRule("all"),), "mx", Counters())
    record = recorder.session(Origin(("192.0.2.1", 1), ("192.0.2.2", 25), "mx", 0.0, "after"), "smtp", "mx")
    assert record is not None
    record.close("quit")
    recorder.close()
    assert [session.id for session in sessions([tmp_path])].count("after") == 1
    # What the dead left behind is in nobody's way.
    shelf = Shelf(tmp_path, budget=BUDGET)
    file = shelf.begin("mx", compressed=False)
    shelf.append(file, b"x" * BUDGET)
    assert record_files([tmp_path]) == [file.path]
