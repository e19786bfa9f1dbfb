"""Reload: the next configuration is checked as a whole, then replaces the workers; a bad one changes nothing."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

StartServer = Callable[..., Any]


def _changed(server: Any, **changes: Any) -> dict[str, Any]:
    config: dict[str, Any] = server.settings["config"] | changes
    return config


def test_reload_replaces_workers_and_lets_sessions_finish(start_server: StartServer) -> None:
    """New connections meet the new configuration; the old session goes on with the old one."""
    server = start_server()
    before = server.workers()
    old, _, old_pid, _ = server.connect("submission")
    server.write(config=_changed(server, hostname="two.test"))
    assert server.ask("reload") == {"ok": True, "generation": 2}
    new, _, new_pid, host = server.connect("submission")
    assert (host, new_pid != old_pid) == ("two.test", True)
    old.sendall(b"still there\n")
    assert old.recv(100) == b"still there\n"
    for sock in (old, new):
        sock.close()
    server.until(lambda: not set(before.values()) & {each["pid"] for each in server.ask("status")["processes"]})


def test_reload_by_signal_does_the_same(start_server: StartServer) -> None:
    """SIGHUP is ``gatepost reload``."""
    server = start_server()
    server.write(config=_changed(server, hostname="two.test"))
    server.process.send_signal(signal.SIGHUP)
    server.until(lambda: server.events("server.reloaded"))

    def greeted_by() -> str:  # an old worker may still take a connection or two
        sock, _, _, host = server.connect()
        with sock:
            return str(host)

    server.until(lambda: greeted_by() == "two.test")


def test_reload_refuses_no_connection(start_server: StartServer) -> None:
    """A listener that stays keeps its socket: whoever connects during the reload is served."""
    server = start_server()
    server.process.send_signal(signal.SIGHUP)
    served = 0
    while not server.events("server.reloaded"):
        sock, _, _, _ = server.connect()
        sock.close()
        served += 1
    assert served > 0


@pytest.mark.parametrize(
    ("trouble", "reason", "problems"),
    [
        ({"broken": True}, "2 problems in the configuration", ["x.toml:1: a: no", "x.toml:2: b: no"]),
        ({"certificate": "server.pem: the certificate has expired"}, "server.pem: the certificate has expired", []),
    ],
)
def test_reload_keeps_the_old_when_the_new_is_bad(
    start_server: StartServer, trouble: dict[str, Any], reason: str, problems: list[str]
) -> None:
    """The asker is told why, the log too, and no worker is touched."""
    server = start_server()
    before = server.workers()
    server.write(**trouble)
    answer = server.ask("reload")
    assert (answer["ok"], answer["error"], answer["problems"]) == (False, reason, problems)
    assert server.events("server.reload-refused")[0]["reason"] == reason
    assert server.workers() == before


def test_reload_keeps_the_old_when_new_workers_die(start_server: StartServer) -> None:
    """A configuration that loads but whose workers do not live is withdrawn."""
    server = start_server()
    before = server.workers()
    server.write(config=_changed(server, hostname="two.test"), behaviour={"submission": "die"})
    answer = server.ask("reload")
    assert not answer["ok"]
    assert "submission/0 of the new configuration ended at once" in answer["error"]
    assert server.workers() == before
    sock, _, _, host = server.connect()
    with sock:
        assert host == "one.test"


def test_reload_for_replaced_certificates_is_tried_again_when_a_worker_died(
    start_server: StartServer, tmp_path: Path
) -> None:
    """The files are good, so nobody says that they were refused, and nobody has to ask once more."""
    certificate = tmp_path / "server.pem"
    certificate.write_text("one")
    server = start_server()
    server.write(behaviour={"submission": "die"})
    certificate.write_text("another")
    server.until(lambda: server.events("server.reload-refused"))
    server.write(behaviour={})
    server.until(lambda: server.events("server.reloaded"))
    assert not server.events("certificate.refused")


def test_reload_takes_workers_that_do_not_say_they_are_ready(start_server: StartServer) -> None:
    """A worker that has lived for a moment counts as ready."""
    server = start_server(behaviour={"mx": "silent"})
    assert server.ask("reload")["ok"]


def test_reload_binds_what_is_new_and_closes_what_is_gone(start_server: StartServer) -> None:
    """The new listener serves, the old port refuses, also while an old worker drains."""
    server = start_server()
    gone = server.addresses["submission"][0]
    held, _, _, _ = server.connect("submission")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    listeners = [
        server.settings["config"]["listener"][0],
        {"name": "other", "protocol": "submission", "bind": [f"127.0.0.1:{port}"]},
    ]
    server.write(config=_changed(server, listener=listeners))
    assert server.ask("reload")["ok"]
    server.addresses["other"] = [("127.0.0.1", port)]
    sock, name, _, _ = server.connect("other")
    sock.close()
    assert name == "submission/0"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(gone, timeout=5)
    held.close()


def test_reload_refuses_a_port_that_is_taken(start_server: StartServer) -> None:
    """The reason names the address, and the old listeners serve on."""
    server = start_server()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        listeners = [{"name": "mx", "protocol": "smtp", "bind": [f"127.0.0.1:{port}"]}]
        server.write(config=_changed(server, listener=listeners))
        answer = server.ask("reload")
    assert not answer["ok"]
    assert f"127.0.0.1:{port}" in answer["error"]
    sock, _, _, _ = server.connect()
    sock.close()


def test_reload_refuses_another_data_directory(start_server: StartServer) -> None:
    """What only a start can change is named."""
    server = start_server()
    server.write(config=_changed(server, data=str(server.directory / "elsewhere")))
    answer = server.ask("reload")
    assert answer["error"] == "data: cannot change while the server runs"


def test_reload_starts_a_role_that_is_new(start_server: StartServer) -> None:
    """A metrics listener that is added is served, and ready."""
    server = start_server()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server.write(config=_changed(server, metrics={"bind": f"127.0.0.1:{port}"}))
    assert server.ask("reload")["ok"]
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b""
        while data := sock.recv(4096):
            answer += data
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"ready\n")
