"""What systemd is told, and the sockets it may pass: sd_notify(3) and sd_listen_fds(3), without a library.

SECURITY: writes datagrams to the address in NOTIFY_SOCKET and to nothing else; everything does nothing when the
variables are not set. The variables are taken out of the environment, so that no worker speaks for the supervisor.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import MutableMapping
from typing import Final, final

_FIRST_DESCRIPTOR: Final = 3  # SD_LISTEN_FDS_START


@final
class Notifier:
    """Tells the service manager how we are.

    :param environment: where NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID stand.
    """

    __slots__ = ("_address", "_socket", "watchdog_seconds")

    def __init__(self, environment: MutableMapping[str, str] | None = None) -> None:
        environment = os.environ if environment is None else environment
        address = environment.pop("NOTIFY_SOCKET", "")
        # "@" stands for the abstract namespace.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket: socket.socket | None = None
        self.watchdog_seconds = _watchdog(environment)
        if self._address.startswith(("/", "\0")):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)

    def _send(self, *lines: str) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.sendto("\n".join(lines).encode("utf-8", "replace"), self._address)

    def ready(self, status: str) -> None:
        """We serve."""
        self._send("READY=1", f"STATUS={status}", f"MAINPID={os.getpid()}")

    def reloading(self) -> None:
        """A reload has begun; ``ready`` ends it. MONOTONIC_USEC is what Type=notify-reload asks for."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, status: str) -> None:
        """We drain."""
        self._send("STOPPING=1", f"STATUS={status}")

    def status(self, status: str) -> None:
        """One line for ``systemctl status``."""
        self._send(f"STATUS={status}")

    def watchdog(self) -> None:
        """We are alive."""
        self._send("WATCHDOG=1")

    def extend(self, seconds: float) -> None:
        """A stop takes this much longer."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1_000_000)}")

    def close(self) -> None:
        """Close the socket in this process."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _watchdog(environment: MutableMapping[str, str]) -> float | None:
    """Half the interval that was asked for (sd_watchdog_enabled(3)), in seconds; None when none was."""
    microseconds = environment.pop("WATCHDOG_USEC", "")
    pid = environment.pop("WATCHDOG_PID", "")
    if not microseconds.isdigit() or (pid and pid != str(os.getpid())):
        return None
    return max(0.05, int(microseconds) / 2_000_000)


def passed_sockets(environment: MutableMapping[str, str] | None = None) -> dict[str, list[socket.socket]]:
    """The listening stream sockets that a socket unit passed, by its FileDescriptorName=.

    A socket of another kind is closed and left out.
    """
    environment = os.environ if environment is None else environment
    pid, count = environment.pop("LISTEN_PID", ""), environment.pop("LISTEN_FDS", "")
    names = environment.pop("LISTEN_FDNAMES", "").split(":")
    if pid != str(os.getpid()) or not count.isdigit():
        return {}
    found: dict[str, list[socket.socket]] = {}
    for number in range(int(count)):
        try:
            sock = socket.socket(fileno=_FIRST_DESCRIPTOR + number)
        except OSError:
            continue
        if sock.type != socket.SOCK_STREAM or sock.family not in (socket.AF_INET, socket.AF_INET6):
            sock.close()
            continue
        sock.set_inheritable(False)
        sock.setblocking(False)
        name = names[number] if number < len(names) else "unknown"
        found.setdefault(name, []).append(sock)
    return found
