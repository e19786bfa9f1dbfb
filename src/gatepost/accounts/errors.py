"""What can be wrong with an account."""

from __future__ import annotations

from gatepost.errors import GatepostError


class AccountError(GatepostError):
    """An account or alias cannot be made, changed or used as asked; nothing was changed.

    :param reason: a stable word: ``address``, ``domain``, ``password``, ``exists``, ``missing``, ``alias``.
    """

    def __init__(self, message: str, *, reason: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reason = reason
