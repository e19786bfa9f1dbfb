"""The server is killed with SIGKILL at each commit point while it takes and hands on mail over SMTP.

Run as a program this file is the process that is killed. The test is the parent: the clients that send, the server that
mail is handed on to, and the judge. What is promised: nothing acknowledged is missing, and a kill costs at most one
duplicate a recipient, and only between the peer's 250 and the commit.
"""

from __future__ import annotations

import functools
import os
import signal
import smtplib
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gatepost.accounts.passwords import Strength
from gatepost.accounts.users import Users
from gatepost.config.schema import Config
from gatepost.net.loop import new_loop
from gatepost.observe.shared import BoundListener, new_shared
from gatepost.queue import InlineBody, Moment, NewMessage, NewRecipient
from gatepost.queue.item import LOCAL
from gatepost.store.sqlite import SQLiteQueue
from gatepost.store.sqlite.accounts import FILE_NAME, SQLiteAccountStore
from gatepost.testing.server import MailServer
from gatepost.wire.sasl.secret import Secret

CLIENTS = 4
MESSAGES = 12  # of each client
BIG = 100_000  # octets: a body in a file
ACCEPTING = (Moment.BODY_WRITTEN, Moment.BODY_SYNCED, Moment.ENQUEUE_WRITTEN, Moment.COMMITTED)
DELIVERING = (Moment.LEASE_WRITTEN, Moment.LEASED, Moment.SETTLE_WRITTEN, Moment.SETTLED, Moment.REMOVED)


# The process that is killed -------------------------------------------------------------------------------------------


def executioner(moment: str, passing: int) -> Callable[[Moment], None] | None:
    """A witness that kills this process when it passes a moment for the nth time."""
    left = passing

    def witness(now: Moment) -> None:
        nonlocal left
        if now.name == moment:
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

    return witness if moment else None


def settings(data: Path, smarthost: str | None = None) -> Config:
    delivery = {"retry_first": "1s", "smarthost": smarthost} if smarthost else {}
    listener = [{"name": "mx", "protocol": "smtp", "bind": "127.0.0.1:0"}]
    return Config.model_validate(
        {
            "hostname": "mx.crash.test",
            "domains": ["crash.test"],
            "data": data,
            "listener": listener,
            "delivery": delivery,
        }
    )


def accept(data: Path, descriptor: int, moment: str, passing: int) -> None:
    """Serve the listening socket that was passed."""
    from gatepost.service import worker

    setattr(worker, "SQLiteQueue", functools.partial(SQLiteQueue, witness=executioner(moment, passing)))  # noqa: B010
    config = settings(data)
    shared = new_shared(listeners=("mx",), slots=2)
    worker.prepare(shared)
    loop = new_loop()
    sock = socket.socket(fileno=descriptor)
    bound = [BoundListener("mx", config.listener[0], (sock,))]
    server = worker.Server(loop, bound, config, shared.for_worker("mx", 0, 1))
    loop.add_signal_handler(signal.SIGTERM, server.drain)
    loop.run_forever()
    server.close()


def deliver(data: Path, smarthost: str, moment: str, passing: int) -> None:
    """Run the delivery worker."""
    from gatepost.delivery import worker

    setattr(worker, "SQLiteQueue", functools.partial(SQLiteQueue, witness=executioner(moment, passing)))  # noqa: B010
    worker.run(settings(data, smarthost), new_shared(slots=2).for_worker("delivery", 0, 1))


def main() -> None:
    role, data, where, moment, passing = sys.argv[1:]
    if role == "accept":
        accept(Path(data), int(where), moment, int(passing))
    else:
        deliver(Path(data), where, moment, int(passing))


# The parent -----------------------------------------------------------------------------------------------------------


def spawn(
    role: str, data: Path, where: str, moment: str, passing: int, keep: tuple[int, ...] = ()
) -> subprocess.Popen[bytes]:
    command = [sys.executable, __file__, role, str(data), where, moment, str(passing)]
    return subprocess.Popen(command, pass_fds=keep, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)


@contextmanager
def running(start: Callable[[str, int], subprocess.Popen[bytes]], moment: Moment, passing: int) -> Iterator[list[int]]:
    """Keep a process running: the first is killed at the moment, the next one lives. Yields the kills so far."""
    kills: list[int] = []
    stop = threading.Event()
    current = [start(moment.name, passing)]

    def keep() -> None:
        while not stop.is_set():
            if current[0].wait() == -signal.SIGKILL:
                kills.append(1)
            if not stop.is_set():
                current[0] = start("", 0)

    keeper = threading.Thread(target=keep)
    keeper.start()
    try:
        yield kills
    finally:
        stop.set()
        current[0].terminate()
        keeper.join()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    accounts = SQLiteAccountStore(tmp_path / FILE_NAME)
    Users(accounts, ["crash.test"], strength=Strength(8, 1, 1, 4096)).add("bob@crash.test", Secret(b"whatever"))
    accounts.close()
    return tmp_path


def send_all(port: int, name: str, acknowledged: set[str]) -> None:
    """A client that sends its messages in turn, each until it is acknowledged."""
    connection: smtplib.SMTP | None = None
    for number in range(MESSAGES):
        mark = f"{name}-{number}"
        content = f"Subject: {mark}\r\n\r\n" + ("x" * 70 + "\r\n") * (BIG // 72 if number % 3 == 2 else 1)
        for _ in range(1000):
            try:
                if connection is None:
                    connection = smtplib.SMTP("127.0.0.1", port, timeout=30)
                connection.sendmail("a@sender.example", ["bob@crash.test"], content)
                acknowledged.add(mark)
                break
            except (smtplib.SMTPException, OSError):
                if connection is not None:
                    connection.close()
                connection = None
    if connection is not None:
        connection.close()


def subjects(store: SQLiteQueue) -> Counter[str]:
    """What is queued, by subject."""
    found: Counter[str] = Counter()
    for lease in store.lease("judge", 10_000, 60):
        body = b"".join(store.open_body(lease.message.body))
        found[body.partition(b"Subject: ")[2].partition(b"\r\n")[0].decode()] += 1
        assert body.endswith(b"x\r\n")
    return found


@pytest.mark.parametrize("passing", [1, 5])
@pytest.mark.parametrize("moment", ACCEPTING, ids=lambda moment: str(moment.name))
def test_nothing_acknowledged_is_lost_when_the_server_is_killed(data: Path, moment: Moment, passing: int) -> None:
    """Clients send until they are acknowledged; the server dies on the way. Every message is there, once or twice."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        port, descriptor = listening.getsockname()[1], listening.fileno()
        acknowledged: set[str] = set()

        def start(moment: str, passing: int) -> subprocess.Popen[bytes]:
            return spawn("accept", data, str(descriptor), moment, passing, (descriptor,))

        with running(start, moment, passing) as kills:
            senders = [threading.Thread(target=send_all, args=(port, f"c{n}", acknowledged)) for n in range(CLIENTS)]
            for sender in senders:
                sender.start()
            for sender in senders:
                sender.join()
        assert kills == [1]
    assert len(acknowledged) == CLIENTS * MESSAGES
    store = SQLiteQueue(data)
    try:
        found = subjects(store)
        assert store.check() == []
    finally:
        store.close()
    assert set(found) == acknowledged
    duplicates = sum(found.values()) - len(found)
    assert max(found.values()) <= 2
    assert duplicates <= (CLIENTS if moment is Moment.COMMITTED else 0)
    if moment is Moment.COMMITTED:
        assert duplicates  # between the commit and the 250 is where a duplicate comes from


def enqueue(data: Path, kind: str, count: int = 60) -> set[str]:
    store = SQLiteQueue(data)
    marks = {f"m{number}" for number in range(count)}
    messages = []
    for mark in sorted(marks):
        octets = f"Subject: {mark}\r\n\r\nx\r\n".encode()
        local = kind == "local"
        address = "bob@crash.test" if local else "alice@example.test"
        recipient = NewRecipient(address, LOCAL if local else "example.test", "local" if local else "remote")
        messages.append(NewMessage(mark, time.time(), "", InlineBody(octets), len(octets), (recipient,)))
    store.enqueue(messages)
    store.close()
    return marks


def wait_until_empty(data: Path, kills: list[int]) -> None:
    store = SQLiteQueue(data)
    deadline = time.monotonic() + 60
    try:
        while store.counts().messages or not kills:
            assert time.monotonic() < deadline, store.counts()
            time.sleep(0.02)  # another process empties the queue; it has no event for us
    finally:
        store.close()


@pytest.mark.parametrize("moment", DELIVERING, ids=lambda moment: str(moment.name))
def test_nothing_is_lost_when_the_delivery_worker_is_killed(
    data: Path, tmp_path_factory: pytest.TempPathFactory, moment: Moment
) -> None:
    """The next server gets every message; at most one duplicate each, and none when nothing had been attempted."""
    marks = enqueue(data, "remote")
    with MailServer(tmp_path_factory.mktemp("next")) as following:
        smarthost = f"127.0.0.1:{following.port('mx')}"

        def start(moment: str, passing: int) -> subprocess.Popen[bytes]:
            return spawn("deliver", data, smarthost, moment, passing)

        with running(start, moment, 1) as kills:
            wait_until_empty(data, kills)
        assert kills == [1]
        found = Counter(
            body.partition(b"Subject: ")[2].partition(b"\r\n")[0].decode() for _, body, _ in following.messages()
        )
    assert set(found) == marks
    assert max(found.values()) <= 2
    if moment in (Moment.LEASE_WRITTEN, Moment.LEASED):
        assert max(found.values()) == 1


@pytest.mark.parametrize("moment", DELIVERING, ids=lambda moment: str(moment.name))
def test_mailbox_gets_each_message_once_when_the_delivery_worker_is_killed(data: Path, moment: Moment) -> None:
    """A delivery that was done but not recorded is found again by its name: no duplicate in a mailbox."""
    marks = enqueue(data, "local")

    def start(moment: str, passing: int) -> subprocess.Popen[bytes]:
        return spawn("deliver", data, "127.0.0.1:1", moment, passing)

    with running(start, moment, 1) as kills:
        wait_until_empty(data, kills)
    assert kills == [1]
    files = [path.read_text() for path in (data / "mail").rglob("*") if path.is_file() and path.parent.name == "new"]
    found = Counter(text.partition("Subject: ")[2].partition("\n")[0] for text in files)
    assert found == Counter(marks)


if __name__ == "__main__":
    main()
