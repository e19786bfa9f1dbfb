"""Promises of the pool: what is used again, for whom, and how many there are."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from gatepost.delivery.attempt import Approach, Target
from gatepost.delivery.pool import Pool, key_of
from gatepost.delivery.route import Hop
from gatepost.delivery.session import Session
from gatepost.delivery.trouble import Trouble
from gatepost.queue.outcome import deferred

HERE = Target(Hop("a.test", 25), "192.0.2.1", "mx")
PLAIN = Approach("us.test", "none")


class Stub:
    """A session that does nothing."""

    def __init__(self) -> None:
        self.alive = True
        self.messages = 0
        self.idle_since = 0.0
        self.key: tuple[object, ...] = ()
        self.evidence = None
        self.quits = 0

    def messages_limit(self, configured: int) -> int:
        return configured

    async def quit(self) -> None:
        self.quits += 1
        self.alive = False

    def abort(self) -> None:
        self.alive = False


class Opener:
    """Opens stubs, and fails on command."""

    def __init__(self) -> None:
        self.opened: list[Stub] = []
        self.fail = False

    async def __call__(self, target: Target, approach: Approach) -> Session:
        if self.fail:
            raise Trouble(deferred("no"))
        self.opened.append(Stub())
        return cast(Session, self.opened[-1])


def pool(opener: Opener, **changes: Any) -> Pool:
    """A pool of stubs."""
    return Pool(PLAIN, limit=changes.get("limit", 10), messages=changes.get("messages", 100), opener=opener)


def test_session_is_used_again_for_the_same_server() -> None:
    """Given back, it serves the next one who asks."""
    opener = Opener()

    async def go() -> None:
        kept = pool(opener)
        first = await kept.open(HERE)
        kept.give(first)
        assert await kept.open(HERE) is first
        kept.give(first)
        await kept.close()

    asyncio.run(go())
    assert len(opener.opened) == 1
    assert opener.opened[0].quits == 1


@pytest.mark.parametrize(
    "other",
    [
        Target(Hop("b.test", 25), "192.0.2.1", "mx"),
        Target(Hop("a.test", 26), "192.0.2.1", "mx"),
        Target(Hop("a.test", 25), "192.0.2.2", "mx"),
    ],
)
def test_session_is_never_used_for_another_server(other: Target) -> None:
    """Name, port and address must be the same: another name is another certificate (CVE-2026-8286 is the mistake)."""
    opener = Opener()

    async def go() -> None:
        kept = pool(opener)
        first = await kept.open(HERE)
        kept.give(first)
        second = await kept.open(other)
        assert second is not first
        kept.give(second)
        await kept.close()

    asyncio.run(go())


def test_key_holds_everything_that_decides_protection() -> None:
    """Level, trust, implicit TLS, login and our own name."""
    approaches = [
        PLAIN,
        Approach("us.test", "may"),
        Approach("us.test", "may", implicit=True),
        Approach("b.test", "may"),
    ]
    assert len({key_of(HERE, approach) for approach in approaches}) == 4


def test_session_is_ended_after_its_last_message() -> None:
    """``messages_per_connection``; and one that broke is not kept either."""
    opener = Opener()

    async def go() -> None:
        kept = pool(opener, messages=2)
        first = await kept.open(HERE)
        first.messages = 2
        kept.give(first)
        second = await kept.open(HERE)
        assert second is not first
        second.abort()
        kept.give(second)
        assert kept.open_count == 0
        await kept.close()

    asyncio.run(go())
    assert opener.opened[0].quits == 1


def test_limit_ends_an_idle_session_to_make_room() -> None:
    """Sessions that wait for nothing in particular give way to one that is needed."""
    opener = Opener()

    async def go() -> None:
        kept = pool(opener, limit=1)
        kept.give(await kept.open(HERE))
        other = await kept.open(Target(Hop("b.test", 25), "192.0.2.9", "mx"))
        assert kept.open_count == 1
        kept.give(other)
        await kept.close()

    asyncio.run(go())
    assert opener.opened[0].quits == 1


def test_limit_makes_the_next_one_wait_until_a_session_ends() -> None:
    """No more than the limit, and nobody waits for ever; a failure to open frees its place."""
    opener = Opener()

    async def go() -> None:
        kept = pool(opener, limit=1)
        first = await kept.open(HERE)
        waiting = asyncio.get_running_loop().create_task(kept.open(Target(Hop("b.test", 25), "192.0.2.9", "mx")))
        await asyncio.sleep(0)
        assert not waiting.done()
        first.abort()
        kept.give(first)
        kept.give(await waiting)
        opener.fail = True
        with pytest.raises(Trouble):
            await kept.open(Target(Hop("c.test", 25), "192.0.2.10", "mx"))
        opener.fail = False
        kept.give(await kept.open(Target(Hop("d.test", 25), "192.0.2.11", "mx")))
        await kept.close()

    asyncio.run(go())


def test_server_that_cannot_be_reached_is_remembered_for_a_while() -> None:
    """So that others are tried before it; a success forgets it."""
    opener = Opener()

    async def go() -> None:
        kept = pool(opener)
        opener.fail = True
        with pytest.raises(Trouble):
            await kept.open(HERE)
        assert kept.was_bad(HERE)
        opener.fail = False
        kept.give(await kept.open(HERE))
        assert not kept.was_bad(HERE)
        await kept.close()

    asyncio.run(go())
