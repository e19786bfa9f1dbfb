"""Accounts in SQLite: the embedded backend of ``AccountStore``.

The file is opened when it is first used, so an object made before a fork is good in the process that uses it. Deleted
content is overwritten, since what is deleted here are verifiers. Every write is one transaction.

SECURITY: the file is readable by its owner only. Whoever reads it can try passwords against the verifiers on machines
of his own; nothing in it is a password.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from gatepost.store.accounts import NO_ENTRY, Account, Entry, PasswordRecord
from gatepost.store.sqlite.database import BUSY_SECONDS, Database, Row
from gatepost.wire.sasl.scram import Verifier

FILE_NAME: Final = "accounts.db"
LOGIN_RESOLUTION: Final = 60.0  # seconds: a login is written once in this time for each user

_SECRET_OCTETS: Final = 32


class SQLiteAccountStore:
    """Users and aliases in one SQLite file. One thread at a time may use it.

    :param path: the file, ``data/accounts.db``; made when it does not exist.
    :param clock: the time, in seconds since the Unix epoch.
    :param busy_seconds: how long a write waits for another process's.
    """

    __slots__ = ("_busy_seconds", "_clock", "_database", "_generation", "_seen", "path")

    def __init__(
        self, path: Path, *, clock: Callable[[], float] = time.time, busy_seconds: float = BUSY_SECONDS
    ) -> None:
        self.path: Final = path
        self._clock: Final = clock
        self._busy_seconds: Final = busy_seconds
        self._database: Database | None = None
        self._seen = -1  # the data version at which the generation was read; -1 is none
        self._generation = 0

    def _open(self) -> Database:
        if self._database is None:
            self._database = Database(self.path, "accounts", busy_seconds=self._busy_seconds, forget=True)
        return self._database

    def create(self, address: str, record: PasswordRecord) -> bool:
        """Add a user; False when the address is a user's already."""
        return self._write("create_user", _columns(address, record, self._clock())) > 0

    def account(self, address: str) -> Account | None:
        """The user with this address."""
        row = self._open().row("user", (address,))
        return _account(row) if row else None

    def accounts(self) -> list[Account]:
        """Every user, ordered by domain, then by local part."""
        found = [_account(row) for row in self._open().rows("users")]
        return sorted(found, key=lambda account: account.address.rpartition("@")[::-1])

    def password_record(self, address: str) -> PasswordRecord | None:
        """What is stored of the password of a user who may log in."""
        row = self._open().row("password_record", (address,))
        return PasswordRecord(row[0], Verifier(*row[1:])) if row else None

    def replace_password(
        self, address: str, record: PasswordRecord, *, replacing: PasswordRecord | None = None
    ) -> bool:
        """Write all verifiers of a user at once, optionally only while ``replacing`` is what is stored."""
        columns = _columns(address, record, self._clock())
        if replacing is None:
            return self._write("replace_password", columns) > 0
        del columns["now"]
        return self._write("rehash_password", {**columns, "replacing": replacing.argon2id}) > 0

    def set_disabled(self, address: str, disabled: bool) -> bool:
        """Refuse or allow logins; False when there is no such user."""
        return self._write("set_disabled", {"address": address, "disabled": int(disabled)}) > 0

    def record_login(self, address: str) -> None:
        """Remember that the user logged in just now."""
        now = self._clock()
        row = self._open().row("last_login", (address,))
        if row and (row[0] is None or not 0 <= now - row[0] < LOGIN_RESOLUTION):
            self._write("record_login", {"address": address, "now": now})

    def delete(self, address: str) -> bool:
        """Delete a user and what is stored of its password; False when there is none."""
        return self._write("delete_user", (address,)) > 0

    def entry(self, address: str) -> Entry:
        """What stands under one address, or under ``@domain``."""
        rows = self._open().rows("entry", (address,))
        if not rows:
            return NO_ENTRY
        user = rows[0][0] < 0
        return Entry(user, tuple(row[1] for row in (rows[1:] if user else rows)))

    def set_alias(self, address: str, targets: Sequence[str]) -> None:
        """Write an alias, replacing what stood under that address."""
        database = self._open()
        with database.writing("set_alias") as connection:
            connection.execute(database.sql["delete_alias"], (address,))
            for position, target in enumerate(targets):
                connection.execute(database.sql["add_alias_target"], (address, position, target))
        self._seen = -1

    def delete_alias(self, address: str) -> bool:
        """Delete an alias; False when there is none."""
        return self._write("delete_alias", (address,)) > 0

    def aliases(self) -> dict[str, tuple[str, ...]]:
        """Every alias, ordered by address."""
        found: dict[str, list[str]] = {}
        for address, target in self._open().rows("aliases"):
            found.setdefault(address, []).append(target)
        return {address: tuple(targets) for address, targets in found.items()}

    def generation(self) -> int:
        """A number that changes whenever ``entry`` may answer differently."""
        database = self._open()
        version = database.data_version()
        if version != self._seen:
            row = database.row("fact", ("generation",))
            self._generation = int(row[0]) if row else 0
            self._seen = version
        return self._generation

    def secret(self) -> bytes:
        """32 random octets that were made with the store and never change."""
        row = self._open().row("fact", ("secret",))
        if row is None:
            self._write("make_secret", (secrets.token_bytes(_SECRET_OCTETS),))
            row = self._open().row("fact", ("secret",))  # another process may have been first
            assert row is not None
        return bytes(row[0])

    def check(self) -> list[str]:
        """What is wrong with the file; empty when it is sound."""
        return self._open().check()

    def backup_to(self, target: Path) -> None:
        """Copy the store into a new file while it is in use."""
        self._open().backup_to(target)

    def close(self) -> None:
        """Close the file; it is opened again when the store is used again."""
        if self._database is not None:
            self._database.close()
            self._database, self._seen = None, -1

    def _write(self, name: str, parameters: Sequence[Any] | dict[str, Any]) -> int:
        """Run one writing statement; our own writes do not show in ``data_version``, so forget what was seen."""
        changed = self._open().write(name, parameters)
        self._seen = -1
        return changed


def _account(row: Row) -> Account:
    address, created_at, password_set_at, disabled, last_login = row
    return Account(address, created_at, password_set_at, bool(disabled), last_login)


def _columns(address: str, record: PasswordRecord, now: float) -> dict[str, Any]:
    scram = record.scram
    return {
        "address": address,
        "now": now,
        "argon2id": record.argon2id,
        "salt": scram.salt,
        "iterations": scram.iterations,
        "stored_key": scram.stored_key,
        "server_key": scram.server_key,
    }
