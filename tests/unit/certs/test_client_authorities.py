"""The authorities of clients and their revocation lists, replaced under a running server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from tests.attacks.raw import Raw

from gatepost.certs.configured import configured_files
from gatepost.config.load import load
from gatepost.testing.ca import DAY, Issued, TestAuthority

Serve = Callable[..., Any]
CLIENTS = TestAuthority("an authority for clients")
BRANCH = CLIENTS.issue(x509.RFC822Name("branch@client.example"))
RULES = """
[tls]
client_ca = "../clients.pem"
client_crl = "../crl.pem"
[[relay]]
certificate_email = "branch@client.example"
"""


def _list(*revoked: Issued, ends_in_days: int = 30) -> bytes:
    authority = TestAuthority("an authority for clients", key=CLIENTS.key)
    for each in revoked:
        authority.revoke(each)
    return authority.crl(next_update=authority.now + ends_in_days * DAY).public_bytes(Encoding.PEM)


def _answer(server: Any, authority: TestAuthority) -> bytes:
    """What a recipient elsewhere is answered to the client."""
    (server.directory / "servers.pem").write_bytes(authority.pem)
    with Raw(server.port) as client:
        client.say(b"EHLO client.example")
        client.say(b"STARTTLS")
        client.start_tls(server.directory / "servers.pem", "mx.example.test", server.directory / "client.pem")
        client.say(b"EHLO client.example")
        client.say(b"MAIL FROM:<a@b.example>")
        return client.say(b"RCPT TO:<x@elsewhere.example>")[:9]


def test_replaced_revocation_list_is_taken_up(serve: Serve, authority: TestAuthority, tmp_path: Path) -> None:
    """A revoked client is refused within moments; an expired list puts all off; a broken one changes nothing."""
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "clients.toml").write_text(RULES)
    (tmp_path / "clients.pem").write_bytes(CLIENTS.pem)
    (tmp_path / "crl.pem").write_bytes(_list())
    BRANCH.write(tmp_path / "client.pem")
    server = serve(server_pem=authority.issue("mx.example.test"))
    assert {tmp_path / "clients.pem", tmp_path / "crl.pem"} <= {
        path.resolve() for path in configured_files(load(tmp_path / "gatepost.toml"))
    }
    assert _answer(server, authority) == b"250 2.1.5"
    server.replace("crl.pem", b"no list at all")
    assert "holds no revocation list" in server.until(lambda: server.events("certificate.refused"))[0]["reason"]
    assert _answer(server, authority) == b"250 2.1.5"
    server.replace("crl.pem", _list(BRANCH))
    server.until(lambda: _answer(server, authority) == b"550 5.7.1")
    server.replace("crl.pem", _list())
    server.until(lambda: _answer(server, authority) == b"250 2.1.5")
    server.replace("crl.pem", _list(ends_in_days=-1))
    server.until(lambda: _answer(server, authority) == b"454 4.7.0")
    assert server.until(lambda: "CRL has expired" in server.events("tls.client-certificate")[-1]["reason"])
    assert server.events("tls.client-certificate")[-1]["severity"] == "warning"
