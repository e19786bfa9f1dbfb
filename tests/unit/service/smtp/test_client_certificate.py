"""What a client's certificate does in a running server, and that the explanation of it is what happens."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from tests.attacks.raw import Raw

from gatepost.cli.explain_relay import explanations
from gatepost.observe import logs
from gatepost.service.certified import fingerprints
from gatepost.testing.ca import DAY, Issued, TestAuthority, self_signed
from gatepost.testing.server import MailServer

CLIENTS = TestAuthority("an authority for clients")
RELAY = CLIENTS.issue(x509.RFC822Name("relay@client.example"), "client.example")
OTHER = CLIENTS.issue(x509.RFC822Name("other@client.example"))
REVOKED = CLIENTS.issue(x509.RFC822Name("relay@client.example"))
PINNED = self_signed("pinned.example")
NAMELESS = CLIENTS.issue(common_name="nameless")
CLIENTS.revoke(REVOKED)
RULES: dict[str, Any] = {
    "relay": [
        {"from": ["127.0.0.2"]},
        {"certificate_email": ["relay@client.example"]},
        {"from": "127.0.0.0/29", "certificate_fingerprint": [fingerprints(PINNED.der[0])[1]]},
    ],
    "inbound": [
        {"from": ["127.0.0.4"], "client_certificate": "require"},
        {"from": ["127.0.0.5"], "client_certificate": "none"},
        {"from": ["127.0.0.6"], "starttls": "deny"},
    ],
}


class Log:
    """The lines that were written, by event."""

    def __init__(self) -> None:
        self._lines: queue.Queue[tuple[str, dict[str, Any]]] = queue.Queue()

    def event(self, name: str, severity: str = "info", **fields: Any) -> None:
        """Stands in for the log."""
        self._lines.put((name, {"severity": severity, **fields}))

    def until(self, wanted: str, **fields: Any) -> dict[str, Any]:
        """The next line of an event that has these fields."""
        while True:
            name, found = self._lines.get(timeout=30)
            if name == wanted and fields.items() <= found.items():
                return found

    def session(self, client: Raw) -> dict[str, Any]:
        """The summary of this client's connection; closes it. Lines of connections before it may come late."""
        port = client.sock.getsockname()[1]
        client.close()
        return self.until("smtp.session", rport=port)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    """What the server says."""
    found = Log()
    monkeypatch.setattr(logs, "event", found.event)
    return found


def material(folder: Path, crl: x509.CertificateRevocationList) -> dict[str, Path]:
    """What ``[tls]`` names."""
    ca, lists = folder / "clients.pem", folder / "crl.pem"
    ca.write_bytes(CLIENTS.pem)
    lists.write_bytes(crl.public_bytes(Encoding.PEM))
    return {"client_ca": ca, "client_crl": lists}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    tls = material(tmp_path_factory.mktemp("material"), CLIENTS.crl())
    with MailServer(tmp_path_factory.mktemp("data"), tls=tls, **RULES) as server:
        yield server


def written(issued: Issued | None, folder: Path) -> Path | None:
    """The file that a client shows."""
    return None if issued is None else issued.write(folder / "client.pem")


SHOWN = {
    "nothing": None, "the relay's": RELAY, "another's": OTHER, "a revoked one": REVOKED, "a pinned one": PINNED,
    "a stranger's": TestAuthority("a stranger").issue(x509.RFC822Name("relay@client.example")),
}  # fmt: skip


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2", "127.0.0.4", "127.0.0.5", "127.0.0.9"])
@pytest.mark.parametrize("which", SHOWN)
def test_explanation_is_what_happens(server: MailServer, tmp_path: Path, log: Log, address: str, which: str) -> None:
    """Every certificate at every address: may it relay, and by which rule."""
    issued = SHOWN[which]
    file = written(issued, tmp_path)
    mx = [each for each in server.config.listener if each.name == "mx"]
    (explained,) = explanations(server.config, address, file, mx)
    with Raw(server.ports["mx"], source=address) as client:
        client.upgrade(server.ca_file, file)
        if client.say(b"MAIL FROM:<a@b.example>").startswith(b"554 5.7.0"):
            assert address == "127.0.0.4" and which not in ("the relay's", "a pinned one", "another's")
            return
        allowed = client.say(b"RCPT TO:<x@elsewhere.example>").startswith(b"250")
        client.say(b"QUIT")
        line = log.session(client)
    assert (explained.verdict == "may relay, without a login") == allowed
    assert line["relay"] == (explained.rule if allowed else "")
    if issued is None or address in ("127.0.0.2", "127.0.0.5"):  # not asked: it relays without, or may not
        assert (line["cert"], line["verified"]) == ("", "none")


def test_denied_tls_leaves_no_way_for_a_certificate(server: MailServer, tmp_path: Path) -> None:
    """And the explanation says so."""
    mx = [each for each in server.config.listener if each.name == "mx"]
    (explained,) = explanations(server.config, "127.0.0.6", written(RELAY, tmp_path), mx)
    assert explained.verdict == "may not relay"
    assert "TLS is denied to this client, by inbound[2]" in explained.notes


def test_identity_is_in_the_received_field_and_in_the_log(server: MailServer, tmp_path: Path, log: Log) -> None:
    """Who it was, how that was proved, and by which rule it relayed."""
    for issued, status, name, rule in (
        (RELAY, "trusted", "relay@client.example", "relay[1]"),
        (PINNED, "pinned", "pinned.example", "relay[2]"),
    ):
        with Raw(server.ports["mx"]) as client:
            client.upgrade(server.ca_file, written(issued, tmp_path))
            client.say(b"MAIL FROM:<a@b.example>")
            assert client.say(b"RCPT TO:<x@elsewhere.example>").startswith(b"250")
            assert client.say(b"DATA").startswith(b"354")
            assert client.say(b"Subject: x\r\n\r\nhello\r\n.").startswith(b"250")
            client.say(b"QUIT")
            line = log.session(client)
        assert (line["verified"], line["cert"], line["relay"]) == (status, name, rule)
        ((_, content, _),) = server.messages()
        assert f"({status} client certificate {name})" in " ".join(content.decode().split("\r\n\t"))


def test_certificate_that_proves_nothing_is_logged_with_its_reason(
    server: MailServer, tmp_path: Path, log: Log
) -> None:
    """Its name is a claim; without any it is called by its fingerprint."""
    with Raw(server.ports["mx"]) as client:
        client.upgrade(server.ca_file, written(REVOKED, tmp_path))
    line = log.until("tls.client-certificate")
    assert (line["severity"], line["cert"]) == ("notice", "relay@client.example")
    assert line["reason"].startswith("revoked: ")
    with Raw(server.ports["mx"]) as client:
        client.upgrade(server.ca_file, written(NAMELESS, tmp_path))
        line = log.session(client)
    assert (line["verified"], line["cert"]) == ("trusted", f"sha256:{fingerprints(NAMELESS.der[0])[0]}")


def test_expired_revocation_list_is_said_in_log_and_explanation(tmp_path: Path, log: Log) -> None:
    """It fails closed, and the reason is at hand: a warning, for it is ours to mend."""
    data = tmp_path / "data"
    data.mkdir()
    tls = material(tmp_path, CLIENTS.crl(next_update=CLIENTS.now - DAY))
    with MailServer(data, tls=tls, **RULES) as server:
        file = written(RELAY, tmp_path)
        with Raw(server.ports["mx"]) as client:
            client.upgrade(server.ca_file, file)
            client.say(b"MAIL FROM:<a@b.example>")
            assert client.say(b"RCPT TO:<x@elsewhere.example>").startswith(b"454 4.7.0")
        line = log.until("tls.client-certificate")
        assert line["severity"] == "warning"
        assert "CRL has expired" in line["reason"]
        mx = [each for each in server.config.listener if each.name == "mx"]
        (explained,) = explanations(server.config, "127.0.0.1", file, mx)
    assert explained.verdict == "may not relay"
    assert any("CRL has expired" in note for note in explained.notes)
    assert any(outlook.then.startswith("454 4.7.0") for outlook in explained.outlook)


def test_clients_at_other_listeners_are_not_asked(server: MailServer, tmp_path: Path, log: Log) -> None:
    """The rules are for mail from servers: at submission nobody is asked, and sessions resume."""
    with Raw(server.ports["submission"]) as client:
        client.upgrade(server.ca_file, written(RELAY, tmp_path))
        assert b"EXTERNAL" not in client.say(b"EHLO client.example")
        assert log.session(client)["verified"] == "none"


def test_require_for_the_whole_server_needs_no_rule(tmp_path: Path) -> None:
    """``[tls] client_certificate = "require"`` holds at each listener: MAIL at mx, AUTH at submission."""
    data = tmp_path / "data"
    data.mkdir()
    tls = {**material(tmp_path, CLIENTS.crl()), "client_certificate": "require"}
    with MailServer(data, tls=tls) as server:
        for listener, line in (("mx", b"MAIL FROM:<a@b.example>"), ("submission", b"AUTH PLAIN AGFsaWNlAHg=")):
            with Raw(server.ports[listener]) as client:
                client.upgrade(server.ca_file)
                assert client.say(line).startswith(b"554 5.7.0 A client certificate that we can verify is required")
                assert client.say(b"NOOP").startswith(b"250")
            with Raw(server.ports[listener]) as client:
                client.upgrade(server.ca_file, written(OTHER, tmp_path))
                assert client.say(line)[:3] in (b"250", b"535")
