"""The first start: what is made once, and what a person is told."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import pytest

from gatepost.accounts.verifiers import Verifiers
from gatepost.config.schema import Config
from gatepost.errors import CertificateError, ConfigError
from gatepost.observe.shared import BoundListener
from gatepost.serve.bindings import Bindings
from gatepost.serve.firststart import first_start, make_directories, welcome
from gatepost.serve.preparation import prepare
from gatepost.serve.privileges import Account
from gatepost.serve.selfsigned import SELF_SIGNED
from gatepost.store.sqlite.accounts import FILE_NAME, SQLiteAccountStore
from gatepost.wire.sasl.secret import Secret

HERE = Account("me")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A configuration for an empty directory."""
    listeners = [{"name": "mx", "protocol": "smtp", "bind": ["127.0.0.1:0"]}]
    listeners += [{"name": "submission", "protocol": "submission", "bind": ["127.0.0.1:0"]}]
    fields = {"hostname": "mx.test", "domains": ["example.test"], "data": str(tmp_path / "data"), "listener": listeners}
    return Config.model_validate(fields)


def _verifies(config: Config, login: str, password: str) -> bool:
    store = SQLiteAccountStore(config.data / FILE_NAME)
    try:
        return Verifiers(store, config.domains).verify_password(login, Secret(password))
    finally:
        store.close()


def test_data_directory_is_private(config: Config) -> None:
    """It is made with its parents, and only its owner may look."""
    make_directories(config, HERE)
    assert stat.S_IMODE(config.data.stat().st_mode) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives directories away")
def test_run_directory_of_the_system_is_public_and_the_accounts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the umask: everybody may look into it, only the workers' account may write there."""
    monkeypatch.setattr("gatepost.config.schema.SYSTEM_DATA", tmp_path / "lib")
    monkeypatch.setattr("gatepost.config.schema.SYSTEM_RUN", tmp_path / "run")
    config = Config(hostname="mx.test", data=tmp_path / "lib")
    before = os.umask(0o077)
    try:
        make_directories(config, Account("somebody", 12345, 12345))
    finally:
        os.umask(before)
    found = {path.name: path.stat() for path in (tmp_path / "lib", tmp_path / "run")}
    assert {name: (stat.S_IMODE(each.st_mode), each.st_uid, each.st_gid) for name, each in found.items()} == {
        "lib": (0o700, 12345, 12345),
        "run": (0o755, 12345, 12345),
    }


def test_data_directory_that_others_may_write_is_refused(config: Config) -> None:
    """Somebody else could put files there."""
    config.data.mkdir()
    config.data.chmod(0o777)
    with pytest.raises(ConfigError, match="other accounts may write there"):
        make_directories(config, HERE)


def test_data_directory_that_cannot_be_made_is_refused(config: Config, tmp_path: Path) -> None:
    """The reason names the path."""
    (tmp_path / "data").write_text("a file")
    with pytest.raises(ConfigError, match=r"data: .*/data"):
        make_directories(config, HERE)


def test_first_start_makes_a_login_that_works(config: Config) -> None:
    """The password that is shown is the postmaster's, and is long enough not to be guessed."""
    make_directories(config, HERE)
    made = first_start(config, HERE)
    assert made.login == "postmaster@example.test"
    assert re.fullmatch(r"([a-z2-9]{4}-){4}[a-z2-9]{4}", made.password)
    assert _verifies(config, made.login, made.password)
    assert not _verifies(config, made.login, made.password + "x")


def test_second_start_makes_nothing(config: Config) -> None:
    """Account and certificate are made once."""
    make_directories(config, HERE)
    first = first_start(config, HERE)
    second = first_start(config, HERE)
    assert (first.certificate, second.certificate, second.login, second.password) == (True, False, "", "")


def test_password_does_not_go_into_the_journal(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard output that leads to the journal is read by others: the account is made, its password is not shown."""
    status = os.fstat(1)
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
    make_directories(config, HERE)
    made = first_start(config, HERE)
    assert (made.login, made.password) == ("postmaster@example.test", "")
    assert "gatepost user passwd postmaster@example.test" in welcome(config, made, ())


def test_welcome_says_where_how_and_what_next(config: Config) -> None:
    """A new user finds the addresses, the login and commands to try; later starts only the addresses."""
    make_directories(config, HERE)
    made = first_start(config, HERE)
    plan = Bindings().plan(config)
    try:
        text = welcome(config, made, plan.listeners)
        port = _port(plan.listeners, "submission")
        for part in (f"127.0.0.1:{port}", made.login, made.password, "self-signed", "gatepost send --server", "swaks"):
            assert part in text
        later = welcome(config, first_start(config, HERE), plan.listeners)
        assert made.password not in later
        assert f"127.0.0.1:{port}" in later
    finally:
        plan.abandon()


def _port(listeners: tuple[BoundListener, ...], name: str) -> int:
    (found,) = [each for each in listeners if each.name == name]
    port: int = found.sockets[0].getsockname()[1]
    return port


def test_certificate_is_made_for_the_host_name_and_loads(config: Config) -> None:
    """The contexts of the first start come from it, and its key is private."""
    make_directories(config, HERE)
    first_start(config, HERE)
    prepared = prepare(config)
    assert prepared.contexts.keys() == {"mx", "submission"}
    (fact,) = prepared.facts["certificates"]
    assert fact["names"] == ["mx.test"]
    assert stat.S_IMODE((config.data / SELF_SIGNED).stat().st_mode) == 0o600


def test_damaged_self_signed_certificate_says_how_to_get_another(config: Config) -> None:
    """The start stops with the reason; the hint names the file."""
    make_directories(config, HERE)
    first_start(config, HERE)
    (config.data / SELF_SIGNED).write_text("nothing")
    with pytest.raises(CertificateError) as caught:
        prepare(config)
    assert f"remove {config.data / SELF_SIGNED}" in caught.value.hint
