"""Which of several certificates a client sees: by name, and by the kinds of key that it knows. It is openssl."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from tests.interop.programs import require, run
from tests.unit.certs.conftest import Serving

from gatepost.testing.ca import Issued, TestAuthority, key_for

NAME = "mx.example.test"
RSA = key_for("an RSA leaf", "rsa2048")
AUTHORITY = TestAuthority("the authority of the selection")
FOR_ECDSA = AUTHORITY.intermediate("the intermediate for ECDSA")
FOR_RSA = AUTHORITY.intermediate("the intermediate for RSA")

CERTIFICATES: dict[str, Issued] = {
    "ecdsa.pem": FOR_ECDSA.issue(NAME),
    "rsa.pem": FOR_RSA.issue(NAME, key=RSA),
    "wildcard.pem": AUTHORITY.issue("*.example.org", key=key_for("a wildcard")),
    "exact.pem": AUTHORITY.issue("www.example.org", key=key_for("an exact name")),
    "wildcard-rsa.pem": FOR_RSA.issue("*.example.org", key=RSA),
}
ONLY_RSA_13 = ("-tls1_3", "-sigalgs", "rsa_pss_rsae_sha256")
ONLY_RSA_12 = ("-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One server with all of them."""
    require("openssl", "openssl")
    serving = Serving(tmp_path_factory.mktemp("selection"), CERTIFICATES)
    (serving.directory / "ca.pem").write_bytes(AUTHORITY.pem)
    yield serving
    serving.close()


def _shown(server: Any, name: str | None, *options: str) -> tuple[x509.Certificate, ...]:
    """The chain that openssl is shown; it must verify."""
    asked = ("-servername", name) if name else ("-noservername",)
    ca_file: Path = server.directory / "ca.pem"
    done = run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-starttls", "smtp", "-showcerts",
         "-CAfile", ca_file, "-verify_return_error", *asked, *options],
        given=b"QUIT\r\n",
    )  # fmt: skip
    assert done.code == 0, done.said
    assert "Verify return code: 0 (ok)" in done.said
    return tuple(x509.load_pem_x509_certificates(done.out))


@pytest.mark.parametrize(
    ("name", "options", "file"),
    [
        (NAME, (), "ecdsa.pem"),
        (NAME, ONLY_RSA_13, "rsa.pem"),
        (NAME, ONLY_RSA_12, "rsa.pem"),
        (NAME.upper(), (), "ecdsa.pem"),
        (None, (), "ecdsa.pem"),
        (None, ONLY_RSA_13, "rsa.pem"),
        ("unknown.example", (), "ecdsa.pem"),
        ("www.example.org", (), "exact.pem"),
        ("www.example.org", ONLY_RSA_13, "wildcard-rsa.pem"),
        ("other.example.org", (), "wildcard.pem"),
        ("other.example.org", ONLY_RSA_12, "wildcard-rsa.pem"),
        ("example.org", (), "ecdsa.pem"),
        ("a.b.example.org", (), "ecdsa.pem"),
    ],
)
def test_client_sees_the_certificate_for_its_name_and_abilities(
    server: Any, name: str | None, options: tuple[str, ...], file: str
) -> None:
    """Exact before wildcard, a wildcard for one label, the default otherwise; each with its own chain alone."""
    assert _shown(server, name, *options) == CERTIFICATES[file].chain
