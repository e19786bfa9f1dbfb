"""The pools of one process of the gate: one for each backend and protocol, made when a gate leads there."""

from __future__ import annotations

import asyncio
import mmap
from collections.abc import Iterator
from typing import Final, final

from gatepost.config.schema import Backend, Config, Gate
from gatepost.errors import ConfigError
from gatepost.observe.metrics import Counters
from gatepost.observe.shared import Shared
from gatepost.service.gate.backend_tally import BackendTally
from gatepost.service.gate.backend_tls import backend_context, server_tls
from gatepost.service.gate.backends import Pool
from gatepost.service.gate.places import Places, region
from gatepost.service.gate.probes import probe_of
from gatepost.tls.clientfiles import ClientFiles

SETTLE_SECONDS: Final = 2.0


@final
class Pools:
    """The pools of one process.

    :param config: the configuration.
    :param shared: counters, places, and the files that were read before the fork, where they were.
    """

    __slots__ = ("_config", "_counters", "_files", "_places", "_pools", "_speaks")

    def __init__(self, config: Config, shared: Shared) -> None:
        memory: mmap.mmap = region(shared)
        self._config = config
        self._counters: Counters = shared.counters
        self._files = shared.client_files or ClientFiles()
        self._places = Places(memory, shared.slot)
        self._speaks = shared.index == 0
        self._pools: dict[tuple[str, str], Pool] = {}

    def __iter__(self) -> Iterator[Pool]:
        return iter(self._pools.values())

    def pool(self, gate: Gate) -> Pool:
        """The pool that a gate leads to.

        :raises ConfigError: when there is no such backend, or versions or ciphers cannot be used.
        :raises CertificateError: when a file of it cannot be used.
        """
        key = (gate.backend, gate.protocol)
        if key not in self._pools:
            backend = self._backend(gate.backend)
            context = backend_context(self._config, backend, self._files)
            first = all(backend.name != name for name, _ in self._pools)
            tally = BackendTally(self._counters, backend.name, speaks=self._speaks and first)
            self._pools[key] = Pool(
                backend, server_tls(backend, context), probe_of(gate.protocol), self._places, tally
            )  # fmt: skip
        return self._pools[key]

    async def start(self, seconds: float = SETTLE_SECONDS) -> None:
        """Begin to ask all servers how they are, and wait for the first answers, but no longer than ``seconds``: a
        process that begins to serve then knows its servers, unless one takes its time."""
        for pool in self:
            pool.start()
        try:
            async with asyncio.timeout(seconds):
                for pool in self:
                    await pool.settled()
        except TimeoutError:
            return

    def hush(self) -> None:
        """Tell the metrics nothing any more: successors do, and nothing is to be counted twice."""
        for pool in self:
            pool.hush()

    def stop(self) -> None:
        """Ask no more."""
        for pool in self:
            pool.stop()

    def _backend(self, name: str) -> Backend:
        for backend in self._config.backend:
            if backend.name == name:
                return backend
        raise ConfigError(f"there is no [[backend]] called {name!r}")
