"""A real gate: ``gatepost serve`` with nothing but gates, started as an operator would."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tests.interop.patience import PATIENCE, until
from tests.interop.programs import group_lives
from tests.interop.running import GATEPOST, Gatepost, _toml
from tests.ports import free_port

from gatepost.testing.ca import TestAuthority

Table = Mapping[str, object]


class Gate(Gatepost):
    """Gates of one backend: ``front`` with STARTTLS and ``fronts`` with implicit TLS.

    :param servers: of the backend.
    :param protocol: of both gates.
    :param backend: further keys of the backend.
    :param keys: further keys of the gates.
    :param tables: further tables.
    :param fronts: whether there is the one with implicit TLS, too.
    """

    def __init__(
        self,
        directory: Path,
        authority: TestAuthority,
        servers: list[str],
        *,
        protocol: str = "smtp",
        backend: Mapping[str, object] | None = None,
        keys: Mapping[str, object] | None = None,
        tables: Mapping[str, Mapping[str, object]] | None = None,
        fronts: bool = True,
    ) -> None:
        self._names = ("front", "fronts") if fronts else ("front",)
        self._servers = servers
        self._protocol = protocol
        self._backend = dict(backend or {})
        self._keys = dict(keys or {})
        super().__init__(directory, authority, tables=tables)

    def __enter__(self) -> Gate:
        super().__enter__()
        return self

    def configure(
        self, tables: Mapping[str, Mapping[str, object]] | None = None, keys: Mapping[str, object] | None = None
    ) -> None:
        self.ports = {name: free_port() for name in self._names}
        super().configure(tables, keys)
        text = self.config.read_text().partition("[[listener]]")[0]
        lines = ["[[backend]]", *_toml({"name": "behind", "servers": self._servers, **self._backend})]
        for name, port in self.ports.items():
            lines += ["[[gate]]", *_toml({"name": name, "bind": f"127.0.0.1:{port}", "protocol": self._protocol})]
            lines += _toml({"backend": "behind", "tls": "implicit" if name.endswith("s") else "starttls", **self._keys})
        self.config.write_text(text + "\n".join(lines) + "\n")

    def _serves(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the gate ended with {self.process.returncode}\n{self.log()}")
        return f"as {self.hostname}\n" in self.out_file.read_text()


class Gates:
    """Gates of one configuration, from their start to SIGTERM.

    :param directory: an empty directory.
    :param authority: issues their certificate, for ``localhost`` and the host name.
    :param backends: the keys of each ``[[backend]]``.
    :param gates: the keys of each ``[[gate]]``, without ``bind``: the port is in ``ports``, by the gate's name.
    :param tables: further tables.
    """

    def __init__(
        self,
        directory: Path,
        authority: TestAuthority,
        *,
        backends: Sequence[Table],
        gates: Sequence[Table],
        tables: Mapping[str, Table] | None = None,
        hostname: str = "gate.example.test",
    ) -> None:
        self.directory = directory
        self.ca_file = directory / "ca.pem"
        self.log_file = directory / "log"
        self.config = directory / "gatepost.toml"
        self.ports = {str(gate["name"]): free_port() for gate in gates}
        self._process: subprocess.Popen[bytes] | None = None
        self.ca_file.write_bytes(authority.pem)
        authority.issue(hostname, "localhost").write(directory / "server.pem")
        lines = _keys({"hostname": hostname, "data": str(directory / "data"), "drain_seconds": 10})
        lines += _keys({"user": "root"}) if os.geteuid() == 0 else []  # others may not enter pytest's directories
        for name, table in {"tls": {"certificate": "server.pem"}, **(tables or {})}.items():
            lines += [f"[{name}]", *_keys(table)]
        for backend in backends:
            lines += ["[[backend]]", *_keys(backend)]
        for gate in gates:
            lines += ["[[gate]]", *_keys(gate), *_keys({"bind": f"127.0.0.1:{self.ports[str(gate['name'])]}"})]
        self.config.write_text("\n".join(lines) + "\n")

    def __enter__(self) -> Gates:
        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(
                [*GATEPOST, "--config", str(self.config), "gate"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        until(self._serves, what="the gate serves", log=self.log)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        process, self._process = self._process, None
        assert process is not None
        try:
            if kind is None:
                process.terminate()
                assert process.wait(PATIENCE) == 0, self.log()
                until(lambda: not group_lives(process.pid), what="no process is left", log=self.log)
                text = self.log_file.read_text()
                assert "severity=critical" not in text, self.log()
                assert "Traceback" not in text, self.log()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(PATIENCE)

    def _serves(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"the gate ended with {self._process.returncode}\n{self.log()}")
        return " server.started " in self.log_file.read_text()

    def log(self) -> str:
        """The end of its log."""
        return "\n".join(self.log_file.read_text().splitlines()[-40:])

    def logged(self, *words: str) -> str:
        """Wait for a line of the log that has all these words; returns it."""

        def look() -> str | None:
            lines = self.log_file.read_text().splitlines()
            return next((line for line in lines if all(word in line for word in words)), None)

        return until(look, what=f"the gate logs {words}", log=self.log)


def _keys(table: Table) -> list[str]:
    return [f"{json.dumps(key)} = {json.dumps(value)}" for key, value in table.items()]
