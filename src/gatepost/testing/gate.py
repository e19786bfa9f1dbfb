"""Gates of one process, on loopback, in a thread: for tests that put them in front of servers.

They are the real thing, with real sockets, real TLS with a throw-away certificate and health checks that go on.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from gatepost.config.endpoints import parse_bind
from gatepost.config.schema import Config
from gatepost.net.listen import bind
from gatepost.net.loop import new_loop
from gatepost.observe.shared import BoundListener, Shared, new_shared
from gatepost.serve.preparation import prepare_shared
from gatepost.service.certified import client_trust
from gatepost.service.gate.worker import GateServer
from gatepost.service.policies import usual_profile
from gatepost.testing.ca import TestAuthority
from gatepost.tls.contexts import server_contexts

HOSTNAME: Final = "gate.example.test"


class RunningGates:
    """Running gates; use it as a context manager. They serve once the servers behind were asked how they are.

    :param data: an empty directory; the authority of the certificate is there, in ``ca.pem``.
    :param gates: tables of ``[[gate]]``; ``bind`` is a free port of loopback unless they say otherwise.
    :param backends: tables of ``[[backend]]``.
    :param settings: other keys of the configuration.
    """

    def __init__(
        self, data: Path, gates: Sequence[Mapping[str, Any]], backends: Sequence[Mapping[str, Any]], **settings: Any
    ) -> None:
        self.authority: Final = TestAuthority()
        self.ca_file: Final = data / "ca.pem"
        tables = [{"bind": "127.0.0.1:0", **gate} for gate in gates]
        given = {"hostname": HOSTNAME, "data": data, "gate": tables, "backend": list(backends), **settings}
        self.config: Final = Config.model_validate(given)
        self.ports: Final[dict[str, int]] = {}
        self.shared: Final[Shared] = self._share()
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: GateServer | None = None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="gates")

    def __enter__(self) -> RunningGates:
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure
        return self

    def __exit__(self, *_: object) -> None:
        self.drain()
        self._thread.join()

    def drain(self) -> None:
        """What SIGTERM does."""
        if self._loop is not None and self._server is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._server.drain)

    def port(self, gate: str) -> int:
        """The port of a gate."""
        return self.ports[gate]

    def total(self, name: str, **labels: str) -> int:
        """A counter's value."""
        return self.shared.counters.total(self.shared.counters.index(name, **labels))

    def _share(self) -> Shared:
        credential = self.authority.issue(HOSTNAME, "localhost", "127.0.0.1").credential
        contexts = server_contexts([credential], usual_profile(self.config), client_trust(self.config))
        names = tuple(gate.name for gate in self.config.gate)
        shared = new_shared(listeners=names, contexts=dict.fromkeys(names, contexts), slots=4)
        shared.counters.learn_backends([backend.name for backend in self.config.backend])
        prepare_shared(shared)
        return shared.for_worker("gate", 0, 1)

    def _run(self) -> None:
        bound: list[BoundListener] = []
        loop = self._loop = new_loop()
        try:
            self.ca_file.write_bytes(self.authority.pem)
            bound += [
                BoundListener(gate.name, gate, tuple(bind(parse_bind(text)) for text in gate.bind))
                for gate in self.config.gate
            ]
            for gate in bound:
                self.ports[gate.name] = gate.sockets[0].getsockname()[1]
            server = self._server = GateServer(loop, bound, self.config, self.shared)
            loop.run_until_complete(server.begin())
        except BaseException as error:  # noqa: BLE001 - raised again where the test waits
            self._failure = error
        self._ready.set()
        try:
            if self._failure is None:
                loop.run_forever()
        finally:
            if self._server is not None:
                self._server.close()
            loop.close()
            for gate in bound:
                for sock in gate.sockets:
                    sock.close()
