"""The certificate of the first start is made again before it ends; what the operator put there is not."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gatepost.certs.selfsigned import write_self_signed
from gatepost.config.schema import Config
from gatepost.serve.preparation import prepare
from gatepost.serve.selfsigned import SELF_SIGNED, renew_self_signed
from gatepost.testing.ca import TestAuthority
from gatepost.tls.credential import load_credential

StartReal = Callable[..., Any]
DAY = 86400.0
NOW = 1_800_000_000.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where our certificate is."""
    made = tmp_path / SELF_SIGNED
    made.parent.mkdir()
    return made


def _config(tmp_path: Path, **more: Any) -> Config:
    return Config.model_validate({"hostname": "mx.test", "data": str(tmp_path)} | more)


@pytest.mark.parametrize(("age", "renewed"), [(0.0, False), (68.5, False), (69.5, True), (91.0, True)])
def test_own_certificate_is_replaced_three_weeks_before_its_end(
    tmp_path: Path, path: Path, age: float, renewed: bool
) -> None:
    """One of 90 days, looked at when it is some days old: the new one has a new key and a full life."""
    write_self_signed(path, "mx.test", at=NOW, days=90)
    before = path.read_bytes()
    now = NOW + age * DAY
    assert renew_self_signed(_config(tmp_path), at=now) == renewed
    assert (path.read_bytes() != before) == renewed
    if renewed:
        assert load_credential(path, at=now + 700 * DAY).names == ("mx.test",)
        assert path.stat().st_mode & 0o777 == 0o600


def test_issued_certificate_in_its_place_is_left_alone(tmp_path: Path, path: Path) -> None:
    """An authority issued it: to replace it would break those who trust that authority."""
    TestAuthority().issue("mx.test").write(path)
    before = path.read_bytes()
    assert not renew_self_signed(_config(tmp_path), at=NOW + 36500 * DAY)
    assert path.read_bytes() == before


def test_configured_certificate_is_left_alone(tmp_path: Path, path: Path) -> None:
    """Even when it signed itself, and even when the file is the one that we once made."""
    write_self_signed(path, "mx.test", at=NOW, days=1)
    before = path.read_bytes()
    config = _config(tmp_path, tls={"certificate": str(path)})
    assert not renew_self_signed(config, at=NOW + 10 * DAY)
    assert path.read_bytes() == before


def test_damaged_file_is_left_to_whoever_loads_it(tmp_path: Path, path: Path) -> None:
    """It is not taken for an expired one."""
    path.write_bytes(b"nothing")
    assert not renew_self_signed(_config(tmp_path), at=NOW)
    assert path.read_bytes() == b"nothing"


def test_start_with_an_expired_one_serves(tmp_path: Path, path: Path) -> None:
    """What stopped the start before is mended by it."""
    write_self_signed(path, "mx.test", at=time.time() - 20 * DAY, days=30)
    prepared = prepare(_config(tmp_path))
    (fact,) = prepared.facts["certificates"]
    assert fact["not_after"] > time.time() + 100 * DAY


def test_reload_replaces_one_that_ends_soon(start_real: StartReal) -> None:
    """With a notice in the log."""
    server = start_real()
    path = server.data / SELF_SIGNED
    write_self_signed(path, "mx.host.test", at=time.time() - 20 * DAY, days=30)
    before = path.read_bytes()
    assert server.ask("reload")["ok"]
    assert path.read_bytes() != before
    (told,) = server.events("certificate.renewed")
    assert (told["severity"], told["days_left"]) == ("notice", 9)
