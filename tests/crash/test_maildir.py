"""Killed while delivering, before and after every call that touches the disk.

A child process delivers and is killed with SIGKILL at its nth such call, for every n until it gets through. After each
kill the message must be wholly in ``new/`` or not at all, and the retry must leave exactly one.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from gatepost.mailbox.maildir import Delivery, deliver_many
from gatepost.mailbox.names import unique_name
from gatepost.mailbox.reader import Maildir

CHUNK: Final = b"0123456789abcde\r\n" * 512
CHUNKS: Final = 3
STORED: Final = CHUNK.replace(b"\r\n", b"\n") * CHUNKS
CALLS: Final = ("open", "write", "fsync", "rename", "mkdir", "close")

# The child: counts the calls of the os module that deliver makes, and dies before (or after) the nth.
CHILD: Final = f"""
import json, os, signal, sys
from pathlib import Path
from gatepost.mailbox.maildir import Delivery, deliver_many
root, uniques, fatal, moment = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
deliveries = [Delivery(Path(root), [{CHUNK!r}] * {CHUNKS}, unique) for unique in uniques]
count = 0
def mortal(call):
    def wrapped(*arguments, **options):
        global count
        count += 1
        if count == fatal and moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        mine = count
        try:
            return call(*arguments, **options)
        finally:
            if mine == fatal:
                os.kill(os.getpid(), signal.SIGKILL)
    return wrapped
for name in {CALLS!r}:
    setattr(os, name, mortal(getattr(os, name)))
results = deliver_many(deliveries)
os._exit(0 if all(isinstance(result, Path) for result in results) else 3)
"""


def run_child(root: Path, uniques: list[str], fatal: int, moment: str) -> int:
    return subprocess.run(
        [sys.executable, "-c", CHILD, str(root), json.dumps(uniques), str(fatal), moment], check=False, timeout=60
    ).returncode


def deliver_here(root: Path, uniques: list[str]) -> None:
    for result in deliver_many([Delivery(root, [CHUNK] * CHUNKS, unique) for unique in uniques]):
        assert isinstance(result, Path)


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("messages", [1, 3])
def test_delivery_survives_being_killed_at_every_step(tmp_path: Path, moment: str, messages: int) -> None:
    """No partial message is ever visible, none is lost, and the retry makes no duplicate."""
    uniques = [unique_name(1700000000.0, f"m{number}", "alice@example.org", "mx") for number in range(messages)]
    seen: set[int] = set()
    for fatal in range(1, 200):
        root = tmp_path / str(fatal) / "mail" / "example.org" / "alice"
        code = run_child(root, uniques, fatal, moment)
        box = Maildir(root)
        visible = box.messages()
        seen.add(len(visible))
        for message in visible:
            assert message.path.read_bytes() == STORED
        if code == 0:
            assert len(visible) == messages
            assert fatal > 10  # the child really was killed at each of the calls before
            break
        assert code == -signal.SIGKILL
        deliver_here(root, uniques)
        assert sorted(message.unique.partition(",")[0] for message in box.messages()) == sorted(uniques)
        assert all(message.path.read_bytes() == STORED for message in box.messages())
    else:
        pytest.fail("the child never got through")
    assert seen == set(range(messages + 1))  # kills before, between and after the renames were all met


def test_message_read_between_the_kill_and_the_retry_is_not_delivered_again(tmp_path: Path) -> None:
    """The user reads it before the queue has noticed the crash: it is not there twice."""
    root = tmp_path / "mail" / "example.org" / "alice"
    unique = unique_name(1700000000.0, "m", "alice@example.org", "mx")
    fatal = 1
    while not Maildir(root).messages():
        assert run_child(root, [unique], fatal, "after") == -signal.SIGKILL
        fatal += 1
    message = Maildir(root).messages()[0]
    message.path.rename(root / "cur" / f"{message.path.name}:2,S")
    deliver_here(root, [unique])
    assert [(found.unique, found.flags) for found in Maildir(root).messages()] == [(message.unique, "S")]
