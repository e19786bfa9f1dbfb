"""Whether the databases and what else the workers read can be used, asked once before any of them starts.

SECURITY: the supervisor opens no database: a child does, that has given up root first. It answers through a pipe.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Final

from gatepost.config.schema import Config
from gatepost.errors import ConfigError, GatepostError, StoreError
from gatepost.serve import privileges
from gatepost.serve.post import run_apart

_THOROUGH_BYTES: Final = 64 << 20
"""A larger file is opened and asked, and not read as a whole: a start must not take minutes."""


def check_stores(config: Config, account: privileges.Account) -> None:
    """Open what is there, the way a worker will.

    :raises StoreError: when a database is damaged or cannot be read; ConfigError when the smarthost's password cannot.
    """
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as answer:
        try:
            code = run_apart(lambda: _tell(config, account, writing))
        finally:
            os.close(writing)
        text = answer.read(1 << 16)
    if not code:
        return
    try:
        kind, message, hint = json.loads(text)
    except ValueError:
        raise StoreError(
            f"the databases in {config.data} cannot be tried (exit {code})", hint="see the lines above"
        ) from None
    raise (ConfigError if kind == "config" else StoreError)(message, hint=hint)


def _tell(config: Config, account: privileges.Account, descriptor: int) -> int:
    os.umask(0o077)
    try:
        privileges.drop(account)
        _try(config, account)
        return 0
    except GatepostError as error:
        kind, said, hint = "config" if isinstance(error, ConfigError) else "store", error.message, error.hint
    except OSError as error:
        kind, said, hint = "store", f"{error.filename or config.data}: {error.strerror}", ""
    hint = hint or f"it must be readable and writable for {account.name}"
    os.write(descriptor, json.dumps([kind, said[:1000], hint[:1000]]).encode())
    return 1


def _try(config: Config, account: privileges.Account) -> None:
    from gatepost.store.sqlite.accounts import FILE_NAME, SQLiteAccountStore
    from gatepost.store.sqlite.queue import SQLiteQueue

    password = config.delivery.smarthost_password_file
    if password is not None and password.exists() and not os.access(password, os.R_OK):
        raise ConfigError(
            f"delivery.smarthost_password_file: {password}: the account that delivers may not read it",
            hint=f"chown {account.name} {password}",
        )
    if config.greylist.enabled:
        _try_greylist(config, account)
    if config.record_rule:
        _try_records(config, account)
    if config.gates_only:
        return
    accounts, queue = config.data / FILE_NAME, config.data / "queue.db"
    if accounts.exists():
        store = SQLiteAccountStore(accounts)
        with contextlib.closing(store):
            store.generation()
            store.account("postmaster@localhost")
        _read_through(accounts)
    if queue.exists():
        with contextlib.closing(SQLiteQueue(config.data)) as waiting:
            waiting.counts()
        _read_through(queue)


def _try_greylist(config: Config, account: privileges.Account) -> None:
    from gatepost.store.sqlite.greylist import FILE_NAME, SQLiteGreylist

    countries = config.greylist.country_database
    if countries is not None and countries.exists() and not os.access(countries, os.R_OK):
        raise ConfigError(
            f"greylist.country_database: {countries}: the account that serves may not read it",
            hint=f"chmod a+r {countries}",
        )
    if (config.data / FILE_NAME).exists():
        with contextlib.closing(SQLiteGreylist(config.data / FILE_NAME, busy_seconds=5.0)) as greylist:
            greylist.networks(limit=1)
        _read_through(config.data / FILE_NAME)


def _try_records(config: Config, account: privileges.Account) -> None:
    from gatepost.record.configured import directory_of
    from gatepost.record.shelf import make_directory

    directory = directory_of(config)
    try:
        make_directory(directory)
    except OSError as error:
        raise ConfigError(f"record.directory: {directory}: {error.strerror}") from error
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        raise ConfigError(
            f"record.directory: {directory}: the account that serves may not write it",
            hint=f"chown {account.name} {directory}",
        )


def _read_through(path: Path) -> None:
    """Have SQLite look at every page.

    :raises StoreError: when one is damaged.
    """
    import sqlite3

    if path.stat().st_size > _THOROUGH_BYTES:
        return
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=5.0)) as connection:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}", hint=_REPAIR) from error
    if found != "ok":
        raise StoreError(f"{path}: the file is damaged: {' '.join(str(found).split())}", hint=_REPAIR)


_REPAIR: Final = "restore it from a backup, or follow docs/queue.md, repairing"
