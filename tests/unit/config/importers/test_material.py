"""Old certificates and cipher strings, looked at with OpenSSL."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gatepost.config.importers import material
from gatepost.testing.ca import DAY, TestAuthority, key_for, self_signed

ROOT = TestAuthority("old root")
RSA_ROOT = TestAuthority("old RSA root", key=key_for("old RSA root", "rsa2048"))
RSA = key_for("old server", "rsa2048")


@pytest.mark.parametrize("key_first", [True, False])
@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_key_first_or_last_and_pkcs1_are_usable(tmp_path: Path, form: PrivateFormat, key_first: bool) -> None:
    """As the old documents have it, in text and in sample."""
    key = RSA.private_bytes(Encoding.PEM, form, NoEncryption())
    chain = ROOT.issue("mx.example", key=RSA).chain_pem
    file = tmp_path / "server.pem"
    file.write_bytes(key + chain if key_first else b"a text before\n" + chain + key)
    assert material.unusable(file) == ""
    assert (material.read_pem_file(file).keys, len(material.read_pem_file(file).certificates)) == (1, 1)


def test_weak_and_expired_certificates_say_so(tmp_path: Path) -> None:
    """RSA-1024, MD5, a date gone by, a key of another, no key, no file."""
    small = key_for("a small key", "rsa1024")
    cases = {
        "RSA of 1024 bits": ROOT.issue("mx.example", key=small),
        "signed with MD5": RSA_ROOT.issue("mx.example", broken_hash="md5"),
        "expired": ROOT.issue("mx.example", not_before=ROOT.now - 9 * DAY, not_after=ROOT.now - DAY),
    }
    for reason, issued in cases.items():
        assert reason in material.unusable(issued.write(tmp_path / f"{reason}.pem")), reason
    assert "no private key" in material.unusable(_write(tmp_path / "bare.pem", ROOT.issue("a.example").chain_pem))
    other = _write(tmp_path / "other.key", ROOT.issue("b.example", key=RSA).key_pem)
    assert "does not match" in material.unusable(tmp_path / "bare.pem", other)
    assert material.unusable(tmp_path / "none.pem") == "no such file"


def _write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_certificates_say_what_they_are_for(tmp_path: Path) -> None:
    """Names, common names, authorities, fingerprints."""
    alone = ROOT.issue(common_name="mx.example")
    file = _write(tmp_path / "all.pem", self_signed("own.example").chain_pem + alone.chain_pem + ROOT.pem)
    own, named, root = material.read_pem_file(file).certificates
    assert own.named("own.example") and not own.commonly_named("own.example") and not own.authority
    assert named.commonly_named("mx.example") and not named.named("mx.example")
    assert root.authority and len(root.sha256) == 64 and not root.weakness
    assert RSA_ROOT.issue("*.example").certificate and not own.named("example")


@pytest.mark.parametrize("data", [b"", b"nothing", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_broken_files_are_answered_with_the_problem(tmp_path: Path, data: bytes) -> None:
    """Never with an exception."""
    file = _write(tmp_path / "x.pem", data)
    assert material.read_pem_file(file).problem and material.unusable(file) and material.distrusted(file)
    assert material.read_pem_file(tmp_path / "none.pem").problem and material.read_pem_file(tmp_path).problem


def test_cipher_strings_are_tried() -> None:
    """Names that are gone, TLS 1.3 suites, ciphers without authentication."""
    found = material.try_ciphers(
        "DES-CBC3-SHA:EXP-RC4-MD5,ECDHE-RSA-AES256-GCM-SHA384 TLS_AES_256_GCM_SHA384:!RC2:@STRENGTH"
    )
    assert found.gone == ("DES-CBC3-SHA", "EXP-RC4-MD5")
    assert found.suites == ("TLS_AES_256_GCM_SHA384",)
    assert found.usable == ("ECDHE-RSA-AES256-GCM-SHA384",)
    assert material.try_ciphers("ADH:eNULL").insecure
    assert material.try_ciphers("RC4-MD5").usable == () and material.try_ciphers("é\n").usable == ()
    assert not material.try_ciphers(material.OWN_CIPHERS).insecure
