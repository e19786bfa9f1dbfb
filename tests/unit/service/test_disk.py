"""Calls that block, off the loop."""

from __future__ import annotations

import asyncio
import threading

import pytest

from gatepost.errors import StoreError
from gatepost.service.disk import Disk


def test_call_runs_beside_the_loop() -> None:
    """While a call blocks, the loop goes on: it is the loop that lets the call end."""

    async def scenario() -> None:
        disk = Disk(asyncio.get_running_loop(), threads=1)
        gate = threading.Event()
        call = asyncio.ensure_future(disk.run(lambda: gate.wait(60) and threading.get_ident()))
        await asyncio.sleep(0)
        gate.set()
        assert await call not in (False, threading.get_ident())
        disk.close()

    asyncio.run(scenario())


def test_error_of_a_call_reaches_who_waits() -> None:
    """What a call raises is raised where it is awaited."""

    def fails() -> None:
        raise StoreError("no such folder")

    async def scenario() -> None:
        disk = Disk(asyncio.get_running_loop())
        with pytest.raises(StoreError, match="no such folder"):
            await disk.run(fails)
        disk.close()

    asyncio.run(scenario())


def test_call_that_nobody_waits_for_is_made_before_the_end() -> None:
    """A maildrop is closed also when the server stops right behind: ``close`` waits for it."""

    async def scenario() -> None:
        disk = Disk(asyncio.get_running_loop(), threads=1)
        gate, made = threading.Event(), threading.Event()
        disk.later(lambda: gate.wait(60))
        disk.later(made.set)
        gate.set()
        disk.close()
        assert made.is_set()

    asyncio.run(scenario())


def test_abandoned_call_runs_to_its_end() -> None:
    """A session that goes away does not stop what is half done on the disk."""

    async def scenario() -> None:
        disk = Disk(asyncio.get_running_loop(), threads=1)
        begun, gate, ended = threading.Event(), threading.Event(), threading.Event()

        def work() -> None:
            begun.set()
            gate.wait(60)
            ended.set()

        call = asyncio.ensure_future(disk.run(work))
        await asyncio.sleep(0)
        assert begun.wait(60)
        call.cancel()
        await asyncio.sleep(0)
        gate.set()
        disk.close()
        assert ended.is_set()

    asyncio.run(scenario())
