"""``-bs``: SMTP on standard input and output, carried to the server as it is."""

from __future__ import annotations

import contextlib
import os
import select
import socket

from gatepost.sendmail.exits import TRY_AGAIN, SendmailError
from gatepost.sendmail.locate import connect

_READ = 1 << 16
_IDLE_SECONDS = 600.0


def relay(source: int = 0, target: int = 1) -> int:
    """Carry octets both ways until the server closes. The end of the input is passed on as the end.

    :param source: the descriptor to read commands from.
    :param target: the descriptor to write replies to.
    :returns: 0.
    :raises SendmailError: when nobody listens, or nothing moves for ten minutes (75).
    """
    with connect("sendmail.sock") as sock:
        sock.settimeout(_IDLE_SECONDS)
        reading = [sock.fileno(), source]
        while sock.fileno() in reading:
            ready, _, _ = select.select(reading, [], [], _IDLE_SECONDS)
            if not ready:
                raise SendmailError("nothing was said for ten minutes", TRY_AGAIN)
            if source in ready:
                data = os.read(source, _READ)
                if not data:
                    reading.remove(source)
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    sock.sendall(data) if data else sock.shutdown(socket.SHUT_WR)
            if sock.fileno() in ready:
                data = sock.recv(_READ)
                if not data:
                    break
                _write(target, data)
    return 0


def _write(target: int, data: bytes) -> None:
    while data:
        data = data[os.write(target, data) :]
