"""The lock of a maildrop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gatepost.mailbox.lock import FILE_NAME, MaildropInUse, acquire

HOLDER = """
import sys, time
from pathlib import Path
from gatepost.mailbox.lock import acquire
lock = acquire(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(600)
"""


def test_second_lock_is_refused_until_the_first_is_released(tmp_path: Path) -> None:
    """One session at a time, in one process too."""
    first = acquire(tmp_path)
    with pytest.raises(MaildropInUse, match="in use"):
        acquire(tmp_path)
    first.release()
    first.release()
    acquire(tmp_path).release()


def test_lock_of_a_killed_process_is_free_at_once(tmp_path: Path) -> None:
    """It cannot go stale: the kernel lets go of it."""
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(MaildropInUse):
            acquire(tmp_path)
        holder.send_signal(signal.SIGKILL)
        holder.wait(60)
        acquire(tmp_path).release()


def test_lock_on_a_file_that_was_removed_does_not_count(tmp_path: Path) -> None:
    """Somebody cleans up between the open and the lock: the next one would lock another file."""
    first = acquire(tmp_path)
    (tmp_path / FILE_NAME).unlink()
    second = acquire(tmp_path)  # a new file: nothing can be done about the first
    with pytest.raises(MaildropInUse):
        acquire(tmp_path)
    first.release()
    second.release()


@pytest.mark.parametrize("kind", ["link", "pipe", "directory"])
def test_lock_that_is_no_file_is_refused(tmp_path: Path, kind: str) -> None:
    """Nothing is followed, and nothing waits."""
    path = tmp_path / FILE_NAME
    if kind == "link":
        path.symlink_to(tmp_path / "elsewhere")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(OSError):
        acquire(tmp_path)
    assert not (tmp_path / "elsewhere").exists()
