"""Databases that cannot be used, found before a worker starts."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from gatepost.config.schema import Config
from gatepost.errors import ConfigError, StoreError
from gatepost.serve.preparation import check_aliases, check_delivery, check_handshake, exposed_keys
from gatepost.serve.privileges import Account
from gatepost.serve.stores import check_stores
from gatepost.store.sqlite.accounts import SQLiteAccountStore
from gatepost.store.sqlite.queue import SQLiteQueue

HERE = Account("me")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A data directory with two databases that are good."""
    with contextlib.closing(SQLiteAccountStore(tmp_path / "accounts.db")) as accounts:
        accounts.generation()
    with contextlib.closing(SQLiteQueue(tmp_path)) as queue:
        queue.counts()
    return Config(data=tmp_path, domains=("example.test",))


def test_good_databases_pass(config: Config) -> None:
    """What a worker can use is not complained about."""
    check_stores(config, HERE)


@pytest.mark.parametrize("name", ["accounts.db", "queue.db"])
@pytest.mark.parametrize("at", [0, 4096])
def test_damaged_database_is_refused_with_its_name_and_a_hint(config: Config, name: str, at: int) -> None:
    """A file that is no database, and one whose pages are overwritten."""
    with (config.data / name).open("r+b") as file:
        file.seek(at)
        file.write(b"\xff" * 8192)
    with pytest.raises(StoreError, match=name) as caught:
        check_stores(config, HERE)
    assert "repairing" in caught.value.hint


def test_database_that_is_a_directory_is_refused(config: Config) -> None:
    """The name is there, and SQLite cannot open it."""
    (config.data / "accounts.db").unlink()
    (config.data / "accounts.db").mkdir()
    with pytest.raises(StoreError, match=r"accounts\.db"):
        check_stores(config, HERE)


def test_preparation_finds_what_workers_would_fail_on(tmp_path: Path) -> None:
    """Loops of aliases, a missing password file, ciphers and authorities that are none: before any fork."""
    with pytest.raises(ConfigError, match="loop"):
        check_aliases(Config(domains=("x.test",), aliases={"a": ("b",), "b": ("a",)}))
    with pytest.raises(ConfigError, match=r"tls\.ciphers"):
        check_handshake(Config.model_validate({"tls": {"ciphers": "NOSUCH"}}))
    secret = {"smarthost": "h.test:25", "smarthost_user": "u", "smarthost_password_file": tmp_path / "none"}
    with pytest.raises(ConfigError, match=r"smarthost_password_file: .*No such file"):
        check_delivery(Config.model_validate({"delivery": secret}))


def test_key_that_others_may_read_is_told(tmp_path: Path) -> None:
    """One line, with the command that closes the file."""
    file = tmp_path / "mx.pem"
    file.write_text("")
    file.chmod(0o644)
    config = Config.model_validate({"tls": {"certificate": file}})
    assert [f"chmod 600 {file}" in line for line in exposed_keys(config)] == [True]
    file.chmod(0o600)
    assert exposed_keys(config) == []
