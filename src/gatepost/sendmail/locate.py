"""Where the sockets of a running gatepost are, for a program that reads no configuration."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from typing import Final

from gatepost.sendmail.exits import NO_PERMISSION, TRY_AGAIN, SendmailError

VARIABLE: Final = "GATEPOST_SENDMAIL_SOCKET"
_SYSTEM: Final = ("/run/gatepost", "/var/lib/gatepost")
_NOBODY: Final = (
    "gatepost is not running here, no one listens on {paths}; nothing was sent or spooled, try again later"
    " (a server elsewhere: set {variable} to its sendmail.sock)"
)


def connect(name: str, seconds: float = 30.0) -> socket.socket:
    """Connect to the first socket of that name that somebody listens on.

    ``$GATEPOST_SENDMAIL_SOCKET`` decides alone when it is set; otherwise /run/gatepost, /var/lib/gatepost, the XDG
    state folder and ./data are tried. A socket below the working directory must belong to us or to root.

    :param name: ``sendmail.sock`` or ``control.sock``.
    :raises SendmailError: when nobody listens (75), or we may not connect (77).
    """
    denied = ""
    tried: list[str] = []
    for path in candidates(name):
        tried.append(path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(seconds)
        try:
            sock.connect(path)
        except PermissionError:
            denied = denied or path
        except OSError:  # not there, nobody behind it, or its queue is full
            pass
        else:
            return sock
        sock.close()
    if denied:
        raise SendmailError(f"no permission to use {denied}; ask the administrator", NO_PERMISSION)
    raise SendmailError(_NOBODY.format(paths=" or ".join(tried), variable=VARIABLE), TRY_AGAIN)


def candidates(name: str) -> Iterator[str]:
    """The paths to try, in order."""
    named = os.environ.get(VARIABLE)
    if named:
        yield named if name == "sendmail.sock" else os.path.join(os.path.dirname(named), name)  # noqa: PTH118, PTH120
        return
    for directory in _SYSTEM:
        yield f"{directory}/{name}"
    state = os.environ.get("XDG_STATE_HOME", "")
    home = os.environ.get("HOME", "")
    if state.startswith("/"):
        yield f"{state}/gatepost/{name}"
    elif home.startswith("/"):
        yield f"{home}/.local/state/gatepost/{name}"
    if _ours(f"data/{name}"):
        yield f"data/{name}"


def _ours(path: str) -> bool:
    """Whether a path below the working directory, which may be anybody's, leads to a socket of ours or of root."""
    try:
        found = os.stat(path)  # noqa: PTH116  (pathlib costs more than this whole package)
    except OSError:
        return False
    return stat.S_ISSOCK(found.st_mode) and found.st_uid in (0, os.getuid())
