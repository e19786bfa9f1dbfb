"""What we call ourselves where a protocol wants to be greeted with a name."""

from __future__ import annotations

import re
import socket
from typing import Final

# RFC 5321 §4.1.1.1: EHLO's argument is a Domain; RFC 1123 §2.1 says what may stand in one.
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,253}[A-Za-z0-9])?")


def own_name() -> str:
    """This machine's name, if it can stand in a greeting, else ``localhost``. It is not looked up."""
    name = socket.gethostname()
    return name if _NAME.fullmatch(name) else "localhost"
