"""Processes of the queue are killed with SIGKILL at each named moment, under load, while others go on.

Run as a program this file is one of those processes: ``accept`` queues groups of messages and reports each group after
``enqueue`` has returned (its 250); ``deliver`` leases, hands each message to the peer (an append to the peer's file),
and settles: some delivered, some deferred once, some failed with a bounce. The test is the parent and the judge.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from gatepost.queue import InlineBody, Lease, Moment, NewMessage, NewRecipient, Settlement
from gatepost.queue.outcome import deferred, delivered, failed
from gatepost.store.sqlite import SQLiteQueue

GROUPS = 40
GROUP = 5
BIG = 100_000  # octets: a body in a file
BATCH = 10
ACCEPTING = (Moment.BODY_WRITTEN, Moment.BODY_SYNCED, Moment.ENQUEUE_WRITTEN, Moment.COMMITTED)
DELIVERING = (Moment.LEASE_WRITTEN, Moment.LEASED, Moment.SETTLE_WRITTEN, Moment.SETTLED, Moment.REMOVED)


# The processes --------------------------------------------------------------------------------------------------------


def executioner(moment: str, passing: int) -> Callable[[Moment], None] | None:
    """A witness that kills this process when it passes a moment for the nth time."""
    if not moment:
        return None
    left = passing

    def witness(now: Moment) -> None:
        nonlocal left
        if now.name == moment:
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

    return witness


def number(message_id: str) -> int:
    """The number of a message in its acceptor's sequence."""
    return int(message_id.split("-")[1])


def content(message_id: str) -> bytes:
    """What the message must still contain at the end: every fifth is big."""
    octets = f"Subject: {message_id}\r\n\r\n".encode()
    return octets + b"x" * BIG if number(message_id) % GROUP == 4 else octets


def accept(queue: SQLiteQueue, name: str) -> None:
    """Queue groups of messages; report the ids of each when it is acknowledged."""
    for group in range(GROUPS):
        messages = []
        for n in range(group * GROUP, group * GROUP + GROUP):
            message_id = f"{name}-{n}"
            octets = content(message_id)
            writer = queue.body_writer(message_id)
            writer.write(octets)
            recipient = NewRecipient("b@example.com", "example.com", "remote")
            messages.append(
                NewMessage(message_id, time.time(), "a@example.org", writer.finish(), len(octets), (recipient,))
            )
        queue.enqueue(messages)
        os.write(1, " ".join(m.id for m in messages).encode() + b"\n")


def deliver(queue: SQLiteQueue, name: str, peer: int) -> None:
    """Deliver until standard input is closed and the queue is empty."""
    closed = False
    while True:
        leases = queue.lease(name, BATCH, 600)
        if not leases:
            if closed and queue.next_due() is None:
                return
            if not closed and select.select([0], [], [], 0.005)[0]:
                closed = True
            continue
        settlements, bounces = [], []
        for lease in leases:
            verdict = judge(lease)
            if verdict != "defer":
                octets = b"".join(queue.open_body(lease.message.body))
                good = lease.message.id.endswith("-bounce") or octets == content(lease.message.id)
                os.write(peer, f"{verdict if good else 'altered'} {lease.message.id}\n".encode())
            if verdict == "deliver":
                settlements.append(Settlement(lease, delivered()))
            elif verdict == "defer":
                settlements.append(Settlement(lease, deferred("later"), time.time()))
            else:
                settlements.append(Settlement(lease, failed("no")))
                back = NewRecipient("a@example.org", "example.org", "remote")
                bounces.append(
                    NewMessage(f"{lease.message.id}-bounce", time.time(), "", InlineBody(b"sorry"), 5, (back,))
                )
        queue.settle(settlements, bounces)


def judge(lease: Lease) -> str:
    """What the peer says to a message."""
    n = number(lease.message.id)
    if lease.message.id.endswith("-bounce"):
        return "deliver"
    if n % 7 == 2 and lease.attempts == 1:
        return "defer"
    return "fail" if n % 3 == 1 else "deliver"


def main(role: str, data: str, name: str, moment: str, passing: str) -> None:
    """One process."""
    queue = SQLiteQueue(Path(data) / "queue-data", witness=executioner(moment, int(passing)))
    if role == "accept":
        queue.sweep()
        accept(queue, name)
    else:
        queue.release_owner("victim")
        deliver(queue, name, os.open(Path(data) / "peer", os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600))
    queue.close()


# The judge ------------------------------------------------------------------------------------------------------------


class Load:
    """The processes of one test, and what they were told."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self, role: str, name: str, moment: Moment | None = None, passing: int = 0) -> subprocess.Popen[bytes]:
        """Start a process that dies at a moment, if one is given."""
        process = subprocess.Popen(
            [sys.executable, __file__, role, str(self.data), name, moment.name if moment else "", str(passing)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.running.append(process)
        return process

    def acknowledged(self, process: subprocess.Popen[bytes]) -> list[str]:
        """The ids that an acceptor has acknowledged, when it has ended."""
        return process.communicate()[0].decode().split()

    def finish(self, process: subprocess.Popen[bytes]) -> int:
        """Tell a deliverer that no more will come, and wait for it."""
        process.communicate()
        return process.returncode

    def stop(self) -> None:
        """Leave nothing behind."""
        for process in self.running:
            if process.poll() is None:
                process.kill()
            process.communicate()


def verify(data: Path, acknowledged: list[str], *, duplicates: int) -> None:
    """Nothing acknowledged is missing or altered; so many duplicates at most; every failure has its one bounce."""
    lines = Counter((data / "peer").read_text().splitlines())
    assert not [line for line in lines if line.startswith("altered")]
    reached = {line.split()[1] for line in lines}
    assert set(acknowledged) <= reached
    repeated = {line: count for line, count in lines.items() if count > 1}
    assert all(count == 2 for count in repeated.values())
    assert len(repeated) <= duplicates
    failures = {line.split()[1] for line in lines if line.startswith("fail ")}
    assert {line.split()[1] for line in lines if line.endswith("-bounce")} == {f"{name}-bounce" for name in failures}
    queue = SQLiteQueue(data / "queue-data")
    assert queue.check() == []
    assert queue.counts().messages == 0
    queue.sweep()
    assert list((data / "queue-data" / "queue" / "bodies").iterdir()) == []
    queue.close()


@pytest.mark.parametrize("moment", ACCEPTING, ids=lambda moment: moment.name)
def test_nothing_acknowledged_is_lost_when_an_acceptor_is_killed(moment: Moment, tmp_path: Path) -> None:
    """Killed at any moment of acceptance, while another accepts and a third delivers: all that was acknowledged is
    delivered once, and what was not leaves no trace, save a message that was committed and not yet acknowledged."""
    load = Load(tmp_path)
    try:
        deliverer = load.start("deliver", "worker")
        victim, other = load.start("accept", "victim", moment, 11), load.start("accept", "other")
        acknowledged = load.acknowledged(victim)
        assert victim.returncode == -signal.SIGKILL
        assert len(acknowledged) == 10 * GROUP
        successor = load.start("accept", "successor")
        acknowledged += load.acknowledged(other) + load.acknowledged(successor)
        assert (other.returncode, successor.returncode, load.finish(deliverer)) == (0, 0, 0)
        assert len(acknowledged) == 10 * GROUP + 2 * GROUPS * GROUP
    finally:
        load.stop()
    verify(tmp_path, acknowledged, duplicates=0)
    unacknowledged = {line.split()[1] for line in (tmp_path / "peer").read_text().splitlines()} - set(acknowledged)
    unacknowledged = {name for name in unacknowledged if not name.endswith("-bounce")}
    assert len(unacknowledged) == (GROUP if moment is Moment.COMMITTED else 0)


@pytest.mark.parametrize("moment", DELIVERING, ids=lambda moment: moment.name)
def test_a_killed_deliverer_repeats_only_what_the_peer_had_and_we_had_not_recorded(
    moment: Moment, tmp_path: Path
) -> None:
    """Killed at any moment of delivery, under load: nothing is lost, and a recipient is served twice only when the kill
    fell between the peer's 250 and our commit."""
    load = Load(tmp_path)
    try:
        victim = load.start("deliver", "victim", moment, 5)
        acceptors = [load.start("accept", "one"), load.start("accept", "two")]
        victim.wait()
        assert victim.returncode == -signal.SIGKILL
        successor = load.start("deliver", "successor")
        acknowledged = [name for acceptor in acceptors for name in load.acknowledged(acceptor)]
        assert load.finish(successor) == 0
        assert len(acknowledged) == 2 * GROUPS * GROUP
    finally:
        load.stop()
    verify(tmp_path, acknowledged, duplicates=BATCH if moment is Moment.SETTLE_WRITTEN else 0)


@pytest.mark.parametrize("groups", [1, 6, 17])
def test_nothing_acknowledged_is_lost_when_everything_is_killed(groups: int, tmp_path: Path) -> None:
    """All processes killed at once at an arbitrary moment, twice: the next start delivers all that was acknowledged."""
    load = Load(tmp_path)
    acknowledged: list[str] = []
    try:
        for round_ in range(2):
            processes = [load.start("deliver", "victim"), load.start("accept", f"r{round_}")]
            output = processes[1].stdout
            assert output is not None
            for _ in range(groups):
                acknowledged += output.readline().decode().split()
            for process in processes:
                process.kill()
            acknowledged += load.acknowledged(processes[1])
        assert load.finish(load.start("deliver", "successor")) == 0
    finally:
        load.stop()
    assert len(acknowledged) >= 2 * groups * GROUP
    verify(tmp_path, acknowledged, duplicates=2 * BATCH)


if __name__ == "__main__":
    main(*sys.argv[1:])
