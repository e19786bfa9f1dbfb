"""A server with stand-in roles, run as a program by the tests of the supervisor: ``stand_in.py CONFIG.json``.

The workers speak a small protocol: they greet with ``ROLE/INDEX PID HOSTNAME``, echo lines, and finish the session
that they have when they are told to drain. The file says what to listen on and how the workers are to misbehave, and
is read again at a reload.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gatepost.certs.watch import signatures
from gatepost.config.schema import Config
from gatepost.errors import CertificateError, ConfigError
from gatepost.observe import logs
from gatepost.observe.shared import BoundListener, Shared
from gatepost.serve.lock import DataLock
from gatepost.serve.preparation import Prepared, account_of
from gatepost.serve.roles import METRICS_LISTENER, Role
from gatepost.serve.supervisor import Parts, Supervisor

_SETTINGS = Path(sys.argv[1])


def _settings() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_SETTINGS.read_text())
    return found


def load() -> Config:
    """Read the stand-in's file; a key ``broken`` is a configuration that cannot be used."""
    settings = _settings()
    if settings.get("broken"):
        raise ConfigError("2 problems in the configuration", problems=("x.toml:1: a: no", "x.toml:2: b: no"))
    return Config.model_validate(settings["config"])


def prepare(config: Config) -> Prepared:
    """As the real one, without certificates; ``certificate`` is what is wrong with it."""
    trouble = _settings().get("certificate")
    if trouble:
        raise CertificateError(trouble)
    return Prepared(config, account_of(config), files=signatures(_SETTINGS.parent.glob("*.pem")))


def serve(role: str, listeners: Sequence[BoundListener], config: Config, shared: Shared) -> None:
    """One session at a time until SIGTERM."""
    behaviour = _settings().get("behaviour", {}).get(role, "")
    if behaviour == "die":
        os._exit(3)
    if behaviour == "raise":
        raise RuntimeError("a stand-in that fails\nand forges a line")
    waking, wake = socket.socketpair()
    wake.setblocking(False)
    signal.signal(signal.SIGTERM, signal.SIG_IGN if behaviour == "stubborn" else lambda *_: None)
    signal.set_wakeup_fd(wake.fileno())
    accepted = shared.counters.index("smtp_connections_total", listener=listeners[0].name) if listeners else None
    if behaviour != "silent":
        shared.ready()
    sockets = [sock for listener in listeners for sock in listener.sockets]
    while True:
        ready, _, _ = select.select([waking, *sockets], [], [])
        if waking in ready:
            return
        for listening in ready:
            try:
                sock, _ = listening.accept()
            except OSError:  # somebody else took it, or it was closed
                continue
            if accepted is not None:
                shared.counters.add(accepted)
            _session(sock, f"{role}/{shared.index} {os.getpid()} {config.hostname}\n")


def _session(sock: socket.socket, greeting: str) -> None:
    sock.setblocking(True)
    with sock:
        sock.sendall(greeting.encode())
        while data := sock.recv(1024):
            sock.sendall(data)


def wait(role: str, listeners: Sequence[BoundListener], config: Config, shared: Shared) -> None:
    """Wait until SIGTERM."""
    shared.ready()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    signal.sigwait([signal.SIGTERM])
    if _settings().get("behaviour", {}).get(role) == "slow":
        time.sleep(0.3)


sys.modules["stand_in"] = sys.modules[__name__]

ROLES = (
    Role("mx", "stand_in:serve", frozenset({"smtp"}), lambda config: config.workers or 2, "", ""),
    Role("submission", "stand_in:serve", frozenset({"submission"}), lambda config: 1, "", ""),
    Role("delivery", "stand_in:wait", frozenset(), lambda config: 1, "", ""),
    Role(
        "metrics",
        "gatepost.serve.show:enter",
        frozenset({METRICS_LISTENER}),
        lambda config: 1 if config.metrics.bind else 0,
        "",
        "",
        preload=False,
        last=True,
    ),
)


def main() -> int:
    """Run until told to stop; prints the bound addresses once it serves."""
    logs.setup("json")
    logs.identify("supervisor")
    config = load()
    parts = Parts(ROLES, prepare, lambda shared: None, lambda shared, slot: None, certificate_poll=0.1)

    def started(listeners: Sequence[BoundListener]) -> None:
        bound = {
            each.name: [list(sock.getsockname()[:2]) for sock in each.sockets]
            for each in listeners
            if each.name != "local"
        }
        print(json.dumps(bound), flush=True)

    try:
        lock = DataLock(config.data)
        return Supervisor(config, load, lock=lock, parts=parts, started=started).run()
    except ConfigError as error:
        print(error.message, flush=True)
        return 78


if __name__ == "__main__":
    sys.exit(main())
