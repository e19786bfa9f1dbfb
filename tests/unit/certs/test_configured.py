"""What a configuration names, and what is found wrong with it."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from gatepost.certs.check import check_configured
from gatepost.certs.configured import configured_files, facts_of, load_configured, never_shown
from gatepost.config.schema import Config
from gatepost.errors import CertificateError
from gatepost.testing.ca import CLIENT_ONLY, DAY, TestAuthority, key_for
from gatepost.tls.trust import TrustStore

NAME = "mx.example.test"
AUTHORITY = TestAuthority("an authority")
TRUST = TrustStore([AUTHORITY.certificate])


def _config(directory: Path, **keys: Any) -> Config:
    return Config.model_validate({"hostname": NAME, "domains": ["example.test"], "data": directory, **keys})


def test_default_is_that_of_tls_else_the_first_of_the_list(tmp_path: Path) -> None:
    """And without any the self-signed one, whose error says how to get a new one."""
    one, two = (AUTHORITY.issue(name).write(tmp_path / name) for name in ("one.test", "two.test"))
    both = _config(tmp_path, tls={"certificate": two}, certificate=({"file": one},))
    assert [each.names for each in load_configured(both)] == [("two.test",), ("one.test",)]
    alone = _config(tmp_path, certificate=({"file": one},))
    assert [each.names for each in load_configured(alone)] == [("one.test",)]
    with pytest.raises(CertificateError) as caught:
        load_configured(_config(tmp_path))
    assert "next start makes a new one" in caught.value.hint
    with pytest.raises(CertificateError) as caught:
        load_configured(_config(tmp_path, tls={"certificate": tmp_path / "none"}))
    assert caught.value.hint == ""


def test_every_file_is_watched(tmp_path: Path) -> None:
    """Certificates, keys, authorities, and what rules name."""
    paths = {name: tmp_path / name for name in ("a", "b", "c", "d", "e", "f", "g")}
    config = _config(
        tmp_path,
        tls={"certificate": paths["a"], "key": paths["b"], "ca_file": paths["c"]},
        certificate=({"file": paths["d"]},),
        outbound=({"to": ["example.org"], "ca": paths["e"], "client_certificate": paths["f"], "level": "verify"},),
        delivery={"ca_file": paths["g"]},
    )
    assert set(configured_files(config)) == set(paths.values())


def test_facts_have_names_of_their_own(tmp_path: Path) -> None:
    """Metrics tell certificates apart by them."""
    rsa = key_for("an RSA leaf", "rsa2048")
    files = [AUTHORITY.issue(NAME).write(tmp_path / "1"), AUTHORITY.issue(NAME, key=rsa).write(tmp_path / "2")]
    files += [AUTHORITY.issue(NAME, key=rsa).write(tmp_path / "3"), AUTHORITY.issue().write(tmp_path / "4")]
    config = _config(tmp_path, certificate=tuple({"file": file} for file in files))
    loaded = load_configured(config)
    names = [fact["name"] for fact in facts_of(config, loaded)]
    assert names == [NAME, f"{NAME} RSA 2048", f"{NAME} {files[2]}", f"{NAME} ECDSA P-256"]
    assert never_shown(loaded) == loaded[2:]


def _findings(config: Config, setting: str) -> list[tuple[str, str]]:
    return [
        (finding.severity, finding.word)
        for each in check_configured(config, at=time.time(), trust=TRUST)
        if each.setting == setting
        for finding in each.findings
    ]


def test_certificates_of_our_clients_are_checked_as_such(tmp_path: Path) -> None:
    """One that is for clients alone is good there; one of another key is not."""
    good = AUTHORITY.issue("client.example.test", usages=CLIENT_ONLY)
    rule: dict[str, Any] = {"to": ["example.org"], "level": "encrypt"}
    config = _config(tmp_path, outbound=(rule | {"client_certificate": good.write(tmp_path / "good.pem")},))
    assert _findings(config, "outbound[0].client_certificate") == []
    (tmp_path / "bad.pem").touch(0o600)
    (tmp_path / "bad.pem").write_bytes(good.chain_pem + AUTHORITY.issue(key=key_for("another")).key_pem)
    config = _config(tmp_path, outbound=(rule | {"client_certificate": tmp_path / "bad.pem"},))
    assert _findings(config, "outbound[0].client_certificate") == [("error", "key-mismatch")]


def test_authorities_are_checked(tmp_path: Path) -> None:
    """A bundle with some that have expired is a warning, one without any other an error."""
    old = AUTHORITY.issue(not_after=AUTHORITY.now - DAY).chain_pem
    bundle = tmp_path / "ca.pem"
    for content, found in (
        (AUTHORITY.pem, []),
        (AUTHORITY.pem + old, [("warning", "authority-expired")]),
        (old, [("error", "authority-expired")]),
        (b"", [("error", "unusable")]),
    ):
        bundle.write_bytes(content)
        assert _findings(_config(tmp_path, tls={"ca_file": bundle}), "tls.ca_file") == found


@pytest.mark.parametrize(
    ("days", "found"),
    [(30, [("note", "crl-good")]), (1, [("warning", "crl-expires-soon")]), (-1, [("error", "crl-expired")])],
)
def test_revocation_lists_are_checked(tmp_path: Path, days: int, found: list[tuple[str, str]]) -> None:
    """One that ran out lets nobody in: that is an error, and two days before a warning."""
    from gatepost.certs.check import check_revocations

    path = tmp_path / "crl.pem"
    path.write_bytes(AUTHORITY.crl(next_update=AUTHORITY.now + days * DAY).public_bytes(Encoding.PEM))
    checked = check_revocations("client_crl", path, time.time())
    assert [(each.severity, each.word) for each in checked.findings] == found
    if days == 30:
        assert re.fullmatch(
            r"the list of CN=.+ \(0 revoked\) is good until [-0-9]{10} [:0-9]{8} UTC", checked.findings[0].text
        )


def test_file_without_revocation_list_is_unusable(tmp_path: Path) -> None:
    """Empty, damaged, or missing."""
    from gatepost.certs.check import check_revocations

    path = tmp_path / "crl.pem"
    for content in (None, b"", b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"):
        if content is not None:
            path.write_bytes(content)
        (finding,) = check_revocations("client_crl", path, time.time()).findings
        assert finding.word == "unusable"
