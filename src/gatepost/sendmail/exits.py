"""Exit codes of sysexits.h that ``sendmail`` uses, and the error that carries one."""

from __future__ import annotations

from typing import Final

from gatepost.errors import GatepostError

USAGE: Final = 64
DATA: Final = 65
NO_USER: Final = 67
UNAVAILABLE: Final = 69
SOFTWARE: Final = 70
TRY_AGAIN: Final = 75
PROTOCOL: Final = 76
NO_PERMISSION: Final = 77
INTERRUPTED: Final = 130


class SendmailError(GatepostError):
    """``sendmail`` cannot do what was asked.

    :param exit_code: what it exits with.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message, temporary=exit_code == TRY_AGAIN)
        self.exit_code = exit_code
