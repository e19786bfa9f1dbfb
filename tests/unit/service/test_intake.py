"""Group commit: an answer only after its transaction, whatever fails."""

import asyncio
import threading
from collections.abc import Sequence

from gatepost.errors import StoreError
from gatepost.queue.item import InlineBody, NewMessage, NewRecipient
from gatepost.service.intake import SLOW_SECONDS, Intake


def message(name: str) -> NewMessage:
    recipient = NewRecipient("a@b.example", "b.example", "remote")
    return NewMessage(name, 0.0, "", InlineBody(b"x"), 1, (recipient,))


class Store:
    """Commits into a list; fails as told."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.full = False
        self.poison = ""
        self.pause: threading.Event | None = None
        self.threads: set[int] = set()

    def enqueue(self, messages: Sequence[NewMessage]) -> None:
        self.threads.add(threading.get_ident())
        if self.pause is not None:
            self.pause.wait(5)
        if self.full:
            raise StoreError("disk full")
        if any(each.id == self.poison for each in messages):
            raise OverflowError("no such number")
        self.groups.append([each.id for each in messages])


async def answers(intake: Intake, names: Sequence[str]) -> list[Exception | None]:
    loop = asyncio.get_running_loop()
    futures = [loop.create_future() for _ in names]
    for name, future in zip(names, futures, strict=True):
        intake.submit(message(name), future.set_result)
    return list(await asyncio.gather(*futures))


async def turns() -> None:
    """More turns of the loop than a group waits for."""
    for _ in range(50):
        await asyncio.sleep(0)


def test_intake_lets_a_group_grow_while_messages_come() -> None:
    """Messages of the next turns join the same sync; a group that stopped growing is committed."""
    store = Store()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        intake = Intake(loop, store.enqueue, committed=lambda: None)
        told: list[Exception | None] = []
        for name in "abc":
            intake.submit(message(name), told.append)
            await asyncio.sleep(0)
        await turns()
        intake.submit(message("d"), told.append)
        await turns()
        assert told == [None] * 4

    asyncio.run(main())
    assert store.groups == [["a", "b", "c"], ["d"]]


def test_intake_puts_messages_of_one_turn_into_one_commit() -> None:
    """Fifty sessions that finish together cost one transaction, and one waking of the delivery process."""
    store, rung = Store(), []

    async def main() -> None:
        intake = Intake(asyncio.get_running_loop(), store.enqueue, committed=lambda: rung.append(1))
        assert await answers(intake, ["a", "b", "c"]) == [None] * 3
        assert intake.idle

    asyncio.run(main())
    assert store.groups == [["a", "b", "c"]]
    assert rung == [1]


def test_intake_refuses_all_of_a_group_when_the_disk_is_full() -> None:
    """Nobody is told that a message was stored when it was not, and nobody is woken for it."""
    store, rung = Store(), []
    store.full = True

    async def main() -> None:
        intake = Intake(asyncio.get_running_loop(), store.enqueue, committed=lambda: rung.append(1))
        assert all(isinstance(error, StoreError) for error in await answers(intake, ["a", "b"]))

    asyncio.run(main())
    assert store.groups == []
    assert rung == []


def test_intake_does_not_let_one_message_take_others_with_it() -> None:
    """A message that the store chokes on is refused alone."""
    store = Store()
    store.poison = "b"

    async def main() -> None:
        intake = Intake(asyncio.get_running_loop(), store.enqueue, committed=lambda: None)
        first, second, third = await answers(intake, ["a", "b", "c"])
        assert first is third is None
        assert isinstance(second, StoreError)

    asyncio.run(main())
    assert store.groups == [["a"], ["c"]]


def test_intake_leaves_the_loop_when_the_disk_is_slow() -> None:
    """While a slow commit runs in its thread the loop goes on, and what comes meanwhile makes the next group."""
    store = Store()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        intake = Intake(loop, store.enqueue, committed=lambda: None)
        intake._mean = 100 * SLOW_SECONDS
        await answers(intake, ["measured"])
        store.pause = threading.Event()
        first = asyncio.ensure_future(answers(intake, ["a"]))
        await turns()
        second = asyncio.ensure_future(answers(intake, ["b", "c"]))
        await turns()
        assert not intake.idle
        store.pause.set()
        assert await first == [None]
        assert await second == [None, None]
        intake.close()

    asyncio.run(main())
    assert store.groups == [["measured"], ["a"], ["b", "c"]]
    assert len(store.threads) == 2


def test_intake_commits_what_waits_when_it_closes() -> None:
    """A drain ends with every message that was finished stored and answered."""
    store = Store()
    told: list[Exception | None] = []

    async def main() -> None:
        intake = Intake(asyncio.get_running_loop(), store.enqueue, committed=lambda: None)
        intake.submit(message("a"), told.append)
        intake.close()

    asyncio.run(main())
    assert store.groups == [["a"]]
    assert told == [None]
