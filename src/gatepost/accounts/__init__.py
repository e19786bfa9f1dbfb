"""Accounts: users, their verifiers, aliases, and who may send as whom.

Names are loaded when first used: checking passwords needs argon2, finding addresses does not.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gatepost.accounts.aliases import AliasBook
    from gatepost.accounts.directory import Directory
    from gatepost.accounts.errors import AccountError
    from gatepost.accounts.resolution import Broken, Found, NotOurs, Resolution, Unknown
    from gatepost.accounts.users import Users
    from gatepost.accounts.verifiers import PasswordCheck, Verifiers

_HOMES = {
    "AccountError": "errors",
    "AliasBook": "aliases",
    "Broken": "resolution",
    "Directory": "directory",
    "Found": "resolution",
    "NotOurs": "resolution",
    "PasswordCheck": "verifiers",
    "Resolution": "resolution",
    "Unknown": "resolution",
    "Users": "users",
    "Verifiers": "verifiers",
}

__all__ = [
    "AccountError", "AliasBook", "Broken", "Directory", "Found", "NotOurs", "PasswordCheck", "Resolution", "Unknown",
    "Users", "Verifiers",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(f"gatepost.accounts.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
