"""The service manager is told how we are, and may hand over sockets."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gatepost.serve.systemd import Notifier, passed_sockets


@pytest.fixture
def manager(tmp_path: Path) -> socket.socket:
    """The manager's end."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.bind(str(tmp_path / "notify"))
    sock.settimeout(5)
    return sock


def test_notifier_tells_each_state(manager: socket.socket) -> None:
    """READY, RELOADING, STOPPING, STATUS and WATCHDOG are the words of sd_notify(3)."""
    notifier = Notifier({"NOTIFY_SOCKET": manager.getsockname()})
    notifier.ready("serving")
    assert manager.recv(1000).decode().splitlines() == ["READY=1", "STATUS=serving", f"MAINPID={os.getpid()}"]
    notifier.reloading()
    words = manager.recv(1000).decode().splitlines()
    assert words[0] == "RELOADING=1"
    assert words[1].startswith("MONOTONIC_USEC=")
    notifier.stopping("draining")
    assert manager.recv(1000).decode().splitlines() == ["STOPPING=1", "STATUS=draining"]
    notifier.watchdog()
    assert manager.recv(1000) == b"WATCHDOG=1"
    notifier.extend(1.5)
    assert manager.recv(1000) == b"EXTEND_TIMEOUT_USEC=1500000"
    notifier.close()
    manager.close()


def test_notifier_uses_the_abstract_namespace() -> None:
    """An address that begins with @ has no file."""
    name = f"gatepost-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}")
        manager.settimeout(5)
        notifier = Notifier({"NOTIFY_SOCKET": f"@{name}"})
        notifier.status("x")
        assert manager.recv(100) == b"STATUS=x"
        notifier.close()


def test_notifier_is_silent_without_a_manager(tmp_path: Path) -> None:
    """No variable, or nobody there: nothing happens."""
    Notifier({}).ready("x")
    gone = Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    gone.ready("x")
    gone.close()


def test_notifier_takes_the_variables_out_of_the_environment(manager: socket.socket) -> None:
    """A worker cannot speak for the supervisor."""
    environment = {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "2000000", "WATCHDOG_PID": str(os.getpid())}
    notifier = Notifier(environment)
    assert environment == {}
    assert notifier.watchdog_seconds == 1.0
    notifier.close()
    manager.close()


@pytest.mark.parametrize("environment", [{}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "9", "WATCHDOG_PID": "1"}])
def test_watchdog_is_off_when_not_asked_of_us(environment: dict[str, str]) -> None:
    """Another process's watchdog is none of ours."""
    assert Notifier(environment).watchdog_seconds is None


def test_passed_sockets_are_ours_only_with_our_process_id() -> None:
    """Variables that were meant for another process are ignored, and removed."""
    environment = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "mx"}
    assert passed_sockets(environment) == {}
    assert environment == {}


def test_passed_sockets_come_by_name() -> None:
    """Each listening socket is found under its FileDescriptorName=; one that is no stream socket is left out."""
    program = (
        "import os\n"
        "os.environ['LISTEN_PID'] = str(os.getpid())\n"
        "from gatepost.serve.systemd import passed_sockets\n"
        "print({name: [s.getsockname() for s in found] for name, found in passed_sockets().items()})\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as mx, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        address = mx.getsockname()

        def place() -> None:
            for number, descriptor in ((10, mx.fileno()), (11, other.fileno())):
                os.dup2(descriptor, number)
            os.dup2(10, 3, inheritable=True)
            os.dup2(11, 4, inheritable=True)

        output = subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"LISTEN_FDS": "2", "LISTEN_FDNAMES": "mx:odd"},
            preexec_fn=place,
            close_fds=False,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    assert output.strip() == str({"mx": [address]})
