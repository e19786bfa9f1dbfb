"""Exit codes (sysexits, which mail software has used since 1987), and which error gives which."""

from __future__ import annotations

import errno
from typing import Final

from gatepost.errors import (
    CertificateError,
    ConfigError,
    DeadlineExceeded,
    GatepostError,
    LocalProtocolError,
    RemoteProtocolError,
    StoreError,
    UpgradeError,
)

USAGE: Final = 64
DATA: Final = 65
NO_USER: Final = 67
NO_HOST: Final = 68
UNAVAILABLE: Final = 69
SOFTWARE: Final = 70
CANNOT_CREATE: Final = 73
IO: Final = 74
TRY_AGAIN: Final = 75
PROTOCOL: Final = 76
NO_PERMISSION: Final = 77
CONFIG: Final = 78
INTERRUPTED: Final = 130

# The first class that fits decides.
_CODES: Final[tuple[tuple[type[GatepostError], int], ...]] = (
    (ConfigError, CONFIG),
    (CertificateError, CONFIG),
    (StoreError, IO),
    (DeadlineExceeded, TRY_AGAIN),
    (UpgradeError, UNAVAILABLE),
    (RemoteProtocolError, PROTOCOL),
    (LocalProtocolError, SOFTWARE),
)


class CommandError(GatepostError):
    """A command cannot do what was asked.

    :param exit_code: what the program exits with.
    """

    def __init__(self, message: str, exit_code: int, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code


def exit_code(error: GatepostError | OSError) -> int:
    """The exit code that tells a script what kind of error it was."""
    if isinstance(error, CommandError):
        return error.exit_code
    if isinstance(error, GatepostError):
        return next((code for kind, code in _CODES if isinstance(error, kind)), UNAVAILABLE)
    if isinstance(error, PermissionError):
        return NO_PERMISSION
    if type(error).__name__ == "gaierror":
        return NO_HOST
    if isinstance(error, ConnectionError | TimeoutError) or error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH):
        return UNAVAILABLE
    return IO


def described(error: GatepostError | OSError) -> str:
    """One line: what happened, and what to do about it."""
    if isinstance(error, GatepostError):
        return f"{error.message}: {error.hint}" if error.hint else error.message
    what = error.strerror or str(error) or type(error).__name__
    return f"{error.filename}: {what}" if isinstance(error.filename, str) else what
