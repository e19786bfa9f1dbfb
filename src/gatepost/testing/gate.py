"""Gates of one process, on loopback, in a thread: for tests that put them in front of servers.

They are the real thing, with real sockets, real TLS with a throw-away certificate and health checks that go on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from gatepost.config.endpoints import parse_bind
from gatepost.config.schema import Config
from gatepost.net.listen import bind
from gatepost.net.loop import new_loop
from gatepost.observe.shared import BoundListener, Shared
from gatepost.serve.preparation import prepare_shared
from gatepost.service.gate.worker import GateServer
from gatepost.testing.running import Running

HOSTNAME: Final = "gate.example.test"


class RunningGates(Running):
    """Running gates; use it as a context manager. They serve once the servers behind were asked how they are.

    :param data: an empty directory; the authority of the certificate is there, in ``ca.pem``.
    :param gates: tables of ``[[gate]]``; ``bind`` is a free port of loopback unless they say otherwise.
    :param backends: tables of ``[[backend]]``.
    :param settings: other keys of the configuration.
    """

    def __init__(
        self, data: Path, gates: Sequence[Mapping[str, Any]], backends: Sequence[Mapping[str, Any]], **settings: Any
    ) -> None:
        tables = [{"bind": "127.0.0.1:0", **gate} for gate in gates]
        given = {"hostname": HOSTNAME, "data": data, "gate": tables, "backend": list(backends), **settings}
        super().__init__(data, Config.model_validate(given), "gates")

    def _share(self) -> Shared:
        shared = self._shared(tuple(gate.name for gate in self.config.gate))
        shared.counters.learn_backends([backend.name for backend in self.config.backend])
        prepare_shared(shared)
        return shared.for_worker("gate", 0, 1)

    def _run(self) -> None:
        bound: list[BoundListener] = []
        server: GateServer | None = None
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
            if server is not None:
                server.close()
            loop.close()
            for gate in bound:
                for sock in gate.sockets:
                    sock.close()
