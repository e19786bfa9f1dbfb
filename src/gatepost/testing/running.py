"""A server of one process that runs in a thread of a test, on loopback, with a throw-away certificate."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Final, Protocol, Self

from gatepost.config.schema import Config
from gatepost.observe.shared import Shared, new_shared
from gatepost.service.certified import client_trust
from gatepost.service.policies import usual_profile
from gatepost.testing.ca import TestAuthority
from gatepost.tls.contexts import server_contexts


class Drained(Protocol):
    """What runs in the thread."""

    def drain(self) -> None:
        """Finish what is under way, then stop the loop."""


class Running(ABC):
    """Use it as a context manager.

    :param data: an empty directory; the authority of the certificate is there, in ``ca.pem``.
    :param thread: the name of the thread.
    """

    def __init__(self, data: Path, config: Config, thread: str) -> None:
        self.authority: Final = TestAuthority()
        self.ca_file: Final = data / "ca.pem"
        self.config: Final = config
        self.ports: Final[dict[str, int]] = {}
        self.shared: Final[Shared] = self._share()
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: Drained | None = None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=thread)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure
        return self

    def __exit__(self, *_: object) -> None:
        self.drain()
        self._thread.join()
        self.shared.close()

    def drain(self) -> None:
        """What SIGTERM does."""
        if self._loop is not None and self._server is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._server.drain)

    def port(self, listener: str) -> int:
        """The port of a listener."""
        return self.ports[listener]

    def total(self, name: str, **labels: str) -> int:
        """A counter's value."""
        return self.shared.counters.total(self.shared.counters.index(name, **labels))

    def _shared(self, names: tuple[str, ...]) -> Shared:
        """What workers share: the certificate, for these listeners."""
        credential = self.authority.issue(self.config.hostname, "localhost", "127.0.0.1").credential
        contexts = server_contexts([credential], usual_profile(self.config), client_trust(self.config))
        return new_shared(listeners=names, contexts=dict.fromkeys(names, contexts), slots=4)

    @abstractmethod
    def _share(self) -> Shared:
        """What its one worker is started with."""

    @abstractmethod
    def _run(self) -> None:
        """Bind, say that it is ready, or what failed, and serve until it is drained."""
