"""Promises of what delivery takes from the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gatepost.config.schema import Config
from gatepost.delivery.setting import approach_of, own_addresses
from gatepost.errors import CertificateError, ConfigError


def config(tmp_path: Path, **delivery: Any) -> Config:
    """A configuration with these delivery keys."""
    return Config.model_validate({"hostname": "us.test", "data": tmp_path, "delivery": delivery})


def test_login_makes_tls_a_must(tmp_path: Path) -> None:
    """With a password or implicit TLS, ``may`` becomes ``encrypt``."""
    (tmp_path / "password").write_text("secret\n")
    keys = {"smarthost": "relay.test:587", "smarthost_user": "u", "smarthost_password_file": tmp_path / "password"}
    approach = approach_of(config(tmp_path, **keys))
    assert approach.level == "encrypt"
    assert approach.credentials is not None
    assert approach.credentials.password.reveal() == b"secret"
    assert "secret" not in repr(approach)
    assert approach_of(config(tmp_path, smarthost="relay.test:465", smarthost_tls="implicit")).level == "encrypt"
    assert approach_of(config(tmp_path)).level == "may"


@pytest.mark.parametrize("content", [None, ""])
def test_password_that_cannot_be_read_stops_the_start(tmp_path: Path, content: str | None) -> None:
    """With the file's name and a hint."""
    path = tmp_path / "password"
    if content is not None:
        path.write_text(content)
    keys = {"smarthost": "relay.test:587", "smarthost_user": "u", "smarthost_password_file": path}
    with pytest.raises(ConfigError, match="password"):
        approach_of(config(tmp_path, **keys))


def test_missing_authorities_stop_the_start_when_they_were_named(tmp_path: Path) -> None:
    """A file that the operator named must be there at any level."""
    with pytest.raises(CertificateError):
        approach_of(config(tmp_path, ca_file=tmp_path / "missing.pem"))


def test_level_none_needs_no_authorities(tmp_path: Path) -> None:
    """No TLS, no context."""
    assert approach_of(config(tmp_path, tls_level="none")).tls is None


def test_own_addresses_are_those_of_the_listeners(tmp_path: Path) -> None:
    """``localhost`` stands for both loopback addresses."""
    listener = [{"name": "mx", "protocol": "smtp", "bind": ["0.0.0.0:25", "localhost:2525"]}]
    made = Config.model_validate({"hostname": "us.test", "data": tmp_path, "listener": listener})
    assert own_addresses(made) == {("0.0.0.0", 25), ("127.0.0.1", 2525), ("::1", 2525)}
