"""Killed between DELE and the end of UPDATE, before and after every call that touches the mailbox.

A child process serves one POP3 session and is killed with SIGKILL at its nth such call, for every n until it gets
through. After each kill every message must be wholly there or wholly gone, never gone unless QUIT was said, and the
mailbox must open at once: no lock is left.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from tests.attacks.pop3_client import RawPOP3

from gatepost.mailbox import deliver, unique_name
from gatepost.mailbox.maildrop import open_maildrop

MESSAGES: Final = 6
MARKED: Final = (1, 2, 4, 6)
CALLS: Final = ("open", "stat", "unlink", "fsync", "close", "scandir", "rename")
USER: Final = "alice@example.test"

# What dies: counts the calls of the os module below the maildrop, and kills itself before (or after) the nth.
MORTAL: Final = f"""
import os, signal, sys
fatal, moment = int(sys.argv[2]), sys.argv[3]
count = 0
armed = False
def mortal(call):
    def wrapped(*arguments, **options):
        global count
        if not armed:
            return call(*arguments, **options)
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
"""

# One session without a network: everything from the marks to the closed maildrop.
SESSION: Final = (
    MORTAL
    + f"""
from pathlib import Path
from gatepost.mailbox.maildrop import open_maildrop
drop = open_maildrop(Path(sys.argv[1]))
armed = True
for number in {MARKED!r}:
    drop.delete(number)
print("QUIT", flush=True)
print(*drop.update(), flush=True)
drop.close()
os._exit(0)
"""
)

# A whole server, which begins to be mortal when the client has marked its messages.
SERVER: Final = (
    MORTAL
    + """
from pathlib import Path
from gatepost.mailbox import maildrop
from gatepost.testing.server import MailServer
update = maildrop.Maildrop.update
def dying(self):
    global armed
    armed = True
    return update(self)
maildrop.Maildrop.update = dying
with MailServer(Path(sys.argv[1])) as server:
    print(server.ports["pop3"], flush=True)
    sys.stdin.read()
os._exit(0)
"""
)


def content(number: int) -> bytes:
    return b"Subject: %d\r\n\r\n" % number + b"x" * 70 * number + b"\r\n"


def fill(root: Path) -> list[str]:
    """A mailbox of messages, half of them read; their unique ids."""
    for number in range(1, MESSAGES + 1):
        unique = unique_name(1000.0 + number, str(number), USER, "mx")
        path = deliver(root, [content(number)], unique=unique)
        if number % 2:
            path.rename(root / "cur" / f"{path.name}:2,S")
    drop = open_maildrop(root)
    try:
        return [drop.unique_id(number) for number in range(1, MESSAGES + 1)]
    finally:
        drop.close()


def look(root: Path, ids: list[str]) -> set[int]:
    """The numbers of the messages that are there; each must be whole. The mailbox opens at once."""
    drop = open_maildrop(root)
    found = set()
    for place in range(1, len(drop) + 1):
        number = ids.index(drop.unique_id(place)) + 1
        reader = drop.open(place)
        assert b"".join(reader) == content(number).replace(b"\r\n", b"\n")
        reader.close()
        assert drop.size(place) == len(content(number))
        found.add(number)
    drop.close()
    return found


KEPT: Final = set(range(1, MESSAGES + 1)) - set(MARKED)


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before", "after"])
def test_update_survives_being_killed_at_every_step(tmp_path: Path, moment: str) -> None:
    """Each marked message is there or gone, the others are there, and the next session deletes the rest."""
    seen = set()
    for fatal in range(1, 200):
        root = tmp_path / str(fatal) / "box"
        ids = fill(root)
        done = subprocess.run(
            [sys.executable, "-c", SESSION, str(root), str(fatal), moment], capture_output=True, check=False, timeout=60
        )
        there = look(root, ids)
        assert there >= KEPT
        seen.add(len(there))
        if b"QUIT" not in done.stdout:
            assert len(there) == MESSAGES
        if done.returncode == 0:
            assert done.stdout.split() == [b"QUIT", b"%d" % len(MARKED), b"0"]
            assert there == KEPT
            assert fatal > 8  # the child really was killed at each of the calls before
            break
        assert done.returncode == -signal.SIGKILL
        drop = open_maildrop(root)  # the client comes again and deletes the same messages
        for place in range(1, len(drop) + 1):
            if ids.index(drop.unique_id(place)) + 1 in MARKED:
                drop.delete(place)
        drop.update()
        drop.close()
        assert look(root, ids) == KEPT
    else:
        pytest.fail("the child never got through")
    assert seen == set(range(len(KEPT), MESSAGES + 1))  # kills between any two deletions were met


@pytest.mark.slow
@pytest.mark.parametrize("fatal", [1, 2, 5, 8, 10])
@pytest.mark.parametrize("said", [b"QUIT\r\n", b"NOOP\r\n"])
def test_killed_server_loses_no_message_that_was_not_to_go(tmp_path: Path, fatal: int, said: bytes) -> None:
    """Over the wire: without QUIT nothing is gone; with it, the answer is +OK only when all that was marked is gone."""
    root = tmp_path / "mail" / "example.test" / "alice"
    ids = fill(root)
    command = [sys.executable, "-c", SERVER, str(tmp_path), str(fatal), "after"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        port = int(server.stdout.readline())
        with RawPOP3(port, timeout=60) as client:
            client.upgrade(tmp_path / "ca.pem")
            assert client.log_in().startswith(b"+OK 6 messages")
            for number in MARKED:
                assert client.say(b"DELE %d" % number).startswith(b"+OK")
            client.send(said)
            answer = client.reply()
        server.kill()
        server.stdin.close()
        server.wait(60)
    there = look(root, ids)
    assert there >= KEPT
    if said != b"QUIT\r\n":
        assert len(there) == MESSAGES
    elif answer.startswith(b"+OK"):
        assert there == KEPT
