"""Accounts in SQLite: what only this backend promises."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

import pytest

from gatepost.errors import StoreError
from gatepost.store.accounts import PasswordRecord
from gatepost.store.sqlite.accounts import SQLiteAccountStore
from gatepost.wire.sasl.scram import Verifier

ALICE = "alice@example.org"
RECORD = PasswordRecord("$argon2id$one", Verifier(b"salt", 4096, b"stored", b"server"))


def test_file_is_made_on_first_use_for_its_owner_only(tmp_path: Path) -> None:
    """An object made before a fork opens nothing; the verifiers are nobody else's to read."""
    path = tmp_path / "data" / "accounts.db"
    before = os.umask(0)
    try:
        store = SQLiteAccountStore(path)
        assert not path.exists()
        store.create(ALICE, RECORD)
        for file in path.parent.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
        store.close()
    finally:
        os.umask(before)


def test_deleted_verifiers_are_overwritten(tmp_path: Path) -> None:
    """What an operator deletes cannot be read back from the file."""
    path = tmp_path / "accounts.db"
    store = SQLiteAccountStore(path)
    store.create(ALICE, PasswordRecord("$argon2id$" + "needle" * 5, RECORD.scram))
    store.close()
    assert b"needleneedle" in path.read_bytes()
    store.delete(ALICE)
    store.close()
    assert b"needleneedle" not in path.read_bytes()


def test_iterations_below_the_standards_minimum_are_refused(tmp_path: Path) -> None:
    """RFC 7677 §4, kept by the schema itself."""
    store = SQLiteAccountStore(tmp_path / "accounts.db")
    with pytest.raises(StoreError):
        store.create(ALICE, PasswordRecord("$argon2id$", Verifier(b"s", 4095, b"k", b"k")))
    assert store.accounts() == []
    store.close()


def test_alias_that_cannot_be_written_whole_leaves_the_old_one(tmp_path: Path) -> None:
    """One transaction: deleting the old targets and writing the new ones."""
    store = SQLiteAccountStore(tmp_path / "accounts.db")
    store.set_alias(ALICE, ["a@x.example"])
    bad: list[str] = ["b@x.example", None]  # type: ignore[list-item]
    with pytest.raises(StoreError):
        store.set_alias(ALICE, bad)
    assert store.entry(ALICE).targets == ("a@x.example",)
    store.close()


def test_writer_that_finds_the_store_locked_fails_and_changes_nothing(tmp_path: Path) -> None:
    """Another process's long transaction is a temporary failure."""
    path = tmp_path / "accounts.db"
    store = SQLiteAccountStore(path, busy_seconds=0.01)
    store.create(ALICE, RECORD)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError) as caught:
        store.delete(ALICE)
    assert caught.value.temporary
    assert store.account(ALICE) is not None
    other.execute("ROLLBACK")
    other.close()
    assert store.delete(ALICE)
    store.close()


def test_damaged_file_is_reported(tmp_path: Path) -> None:
    """A file that is no database stops with its name, not with a traceback of SQLite's."""
    path = tmp_path / "accounts.db"
    path.write_bytes(b"this is not a database" * 500)
    with pytest.raises(StoreError, match=r"accounts\.db"):
        SQLiteAccountStore(path).accounts()


def test_sound_file_checks_clean(tmp_path: Path) -> None:
    """`check` says nothing about a good file."""
    store = SQLiteAccountStore(tmp_path / "accounts.db")
    store.create(ALICE, RECORD)
    assert store.check() == []
    store.close()
