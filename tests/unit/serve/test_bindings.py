"""Listening sockets: kept while they are wanted, all or none at a change."""

from __future__ import annotations

import errno
import socket
from pathlib import Path
from typing import Any

import pytest
from tests.ports import free_port

from gatepost.config.schema import Config
from gatepost.net import listen
from gatepost.net.listen import BindError
from gatepost.serve.bindings import Bindings


def _config(tmp_path: Path, *binds: str, **more: Any) -> Config:
    listeners = [{"name": f"l{number}", "protocol": "smtp", "bind": [bind]} for number, bind in enumerate(binds)]
    return Config.model_validate({"hostname": "mx.test", "data": str(tmp_path), "listener": listeners} | more)


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def test_unchanged_address_keeps_its_socket(tmp_path: Path) -> None:
    """The same socket object serves before and after, whatever the listener is called."""
    held = Bindings()
    config = _config(tmp_path, f"127.0.0.1:{free_port()}")
    first = held.plan(config)
    first.commit()
    second = held.plan(config)
    second.commit()
    assert first.listeners[0].sockets[0] is second.listeners[0].sockets[0]
    held.stop()


def test_failed_plan_gives_up_what_it_bound(tmp_path: Path) -> None:
    """One address that is taken: the others are free again, and what was held is held."""
    held = Bindings()
    kept, new = free_port(), free_port()
    held.plan(_config(tmp_path, f"127.0.0.1:{kept}")).commit()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BindError):
            held.plan(_config(tmp_path, f"127.0.0.1:{kept}", f"127.0.0.1:{new}", f"127.0.0.1:{port}"))
    assert (_accepts(kept), _accepts(new)) == (True, False)
    held.stop()
    assert not _accepts(kept)


def test_abandoned_plan_changes_nothing(tmp_path: Path) -> None:
    """A reload that is withdrawn closes what it had bound, and only that."""
    held = Bindings()
    kept, new = free_port(), free_port()
    held.plan(_config(tmp_path, f"127.0.0.1:{kept}")).commit()
    plan = held.plan(_config(tmp_path, f"127.0.0.1:{new}"))
    plan.adopt()
    plan.abandon()
    assert (_accepts(kept), _accepts(new)) == (True, False)
    held.stop()


def test_passed_sockets_stand_in_for_bind(tmp_path: Path) -> None:
    """A listener whose sockets the service manager passed binds nothing, and they stay open at the end."""
    with socket.create_server(("127.0.0.1", 0)) as passed:
        port = passed.getsockname()[1]
        held = Bindings({"l0": [passed]})
        plan = held.plan(_config(tmp_path, "192.0.2.1:25"))
        assert plan.listeners[0].sockets == (passed,)
        plan.commit()
        held.stop()
        assert _accepts(port)


def test_missing_ipv6_loopback_leaves_the_other_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container without IPv6 a listener on both loopbacks serves one; alone, it is refused."""
    real = listen.bind

    def bind(address: tuple[str, int]) -> socket.socket:
        if address[0] == "::1":
            raise BindError("no") from OSError(errno.EADDRNOTAVAIL, "no")
        return real(address)

    monkeypatch.setattr("gatepost.serve.bindings.bind", bind)
    both = {"listener": [{"name": "mx", "protocol": "smtp", "bind": ["127.0.0.1:0", "[::1]:2525"]}]}
    held = Bindings()
    plan = held.plan(_config(tmp_path, **both))
    assert len(plan.listeners[0].sockets) == 1
    plan.commit()
    held.stop()
    with pytest.raises(BindError):
        held.plan(_config(tmp_path, "[::1]:2525"))
