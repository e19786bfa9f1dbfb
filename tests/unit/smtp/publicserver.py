"""A public ``Server`` in a thread, with a handler whose hooks a test gives as functions."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from gatepost.smtp import Server, ServerLimits
from gatepost.testing.ca import TestAuthority
from gatepost.tls.contexts import ServerContexts, server_contexts

T = TypeVar("T")
SECONDS = 60.0
NAME = "localhost"
QUICK = ServerLimits(login_delay=0.0)


@functools.cache
def authority() -> TestAuthority:
    return TestAuthority()


@functools.cache
def contexts() -> ServerContexts:
    return server_contexts([authority().issue(NAME, "127.0.0.1").credential])


class Box:
    """What hooks leave for the test: the calls, in order, and whatever they put into it."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.messages: list[bytes] = []
        self.closed: list[tuple[bool, str]] = []
        self._changed = threading.Condition()

    def note(self, call: str) -> None:
        with self._changed:
            self.calls.append(call)
            self._changed.notify_all()

    def wait_for(self, call: str) -> None:
        """Wait until a hook has noted this."""
        with self._changed:
            assert self._changed.wait_for(lambda: call in self.calls, SECONDS), self.calls


def handler(box: Box | None = None, **hooks: Any) -> Callable[[], object]:
    """A factory of handlers with these hooks; ``on_message`` reads the message into the box unless given."""
    box = box or Box()

    async def on_message(self: object, session: Any, message: Any) -> None:
        box.messages.append(await message.read())

    return type("Hooked", (), {"on_message": on_message, **hooks})


class Running:
    """A running server."""

    def __init__(self, factory: Callable[[], object], directory: Path, **settings: Any) -> None:
        self.ca_file = directory / "ca.pem"
        self.ca_file.write_bytes(authority().pem)
        settings = {"hostname": "mx.example.test", "contexts": contexts(), "limits": QUICK, **settings}
        self.server = Server(factory, **settings)
        self.port = 0
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=asyncio.run, args=(self._serve(),), daemon=True)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with self.server.listen("127.0.0.1", 0):
            self.port = self.server.port
            self._ready.set()
            await self._stop.wait()
            await self.server.drain(0.0)

    def __enter__(self) -> Running:
        self._thread.start()
        assert self._ready.wait(SECONDS)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        assert self._loop is not None
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(SECONDS)
        assert not self._thread.is_alive()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the server's loop."""
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(SECONDS)
