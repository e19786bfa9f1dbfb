"""Clients of the distribution that relay, or do not, by their certificates; and tickets, as OpenSSL counts them."""

from __future__ import annotations

import json
import secrets
import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from tests.interop.conftest import ALICE, FRIEND, PASSWORD, StartGatepost
from tests.interop.letters import letter
from tests.interop.patience import PATIENCE, until
from tests.interop.postfix import Postfix
from tests.interop.programs import Done, require, run
from tests.interop.running import Gatepost, Tables

from gatepost.service.certified import fingerprints
from gatepost.testing.ca import Issued, TestAuthority, self_signed

pytestmark = pytest.mark.interop

STRANGER = "stranger@far.example"
CLIENTS = TestAuthority("an authority for clients")
GOOD = CLIENTS.issue(x509.RFC822Name("branch@client.example"))
REVOKED = CLIENTS.issue(x509.RFC822Name("branch@client.example"))
UNKNOWN = TestAuthority("a stranger").issue(x509.RFC822Name("branch@client.example"))
HERS = CLIENTS.issue(x509.RFC822Name(ALICE))
PINNED = self_signed("pinned.example")
CLIENTS.revoke(REVOKED)
_RELAYED, _REFUSED = 0, 24
_RULES = f"""
[[inbound]]
listeners = ["submission", "submissions"]
client_certificate = "ask"
[[relay]]
certificate_email = "branch@client.example"
[[relay]]
certificate_fingerprint = "{fingerprints(PINNED.der[0])[0]}"
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, authority: TestAuthority) -> Iterator[Gatepost]:
    """A server that keeps what it relays in its queue."""
    directory = tmp_path_factory.mktemp("asking")
    (directory / "clients.pem").write_bytes(CLIENTS.pem)
    (directory / "crl.pem").write_bytes(CLIENTS.crl().public_bytes(Encoding.PEM))
    (directory / "conf.d").mkdir()
    (directory / "conf.d" / "rules.toml").write_text(_RULES)
    tables: Tables = {
        "tls": {"certificate": "server.pem", "client_ca": "clients.pem", "client_crl": "crl.pem"},
        "delivery": {"hold": True},
    }
    with Gatepost(directory, authority, users={ALICE: PASSWORD}, tables=tables) as server:
        yield server


def _swaks(server: Gatepost, folder: Path, issued: Issued | None) -> Done:
    command: list[str | Path] = [
        require("swaks", "swaks"), "--server", "localhost", "--port", str(server.ports["mx"]), "--tls", "--tls-verify",
        "--tls-ca-path", server.ca_file, "--from", FRIEND, "--to", STRANGER,
    ]  # fmt: skip
    if issued is not None:
        (folder / "cert.pem").write_bytes(issued.chain_pem)
        (folder / "key.pem").write_bytes(issued.key_pem)
        command += ["--tls-cert", folder / "cert.pem", "--tls-key", folder / "key.pem"]
    return run(command)


@pytest.mark.parametrize(
    ("issued", "code"),
    [(GOOD, _RELAYED), (PINNED, _RELAYED), (None, _REFUSED), (REVOKED, _REFUSED), (UNKNOWN, _REFUSED)],
    ids=["good", "pinned", "none", "revoked", "unknown"],
)
def test_swaks_relays_by_certificate(server: Gatepost, tmp_path: Path, issued: Issued | None, code: int) -> None:
    """With one of ours it does; otherwise 550, over a connection that TLS secured all the same."""
    done = _swaks(server, tmp_path, issued)
    assert done.code == code, done.said
    assert "TLS started with cipher" in done.said
    if code == _REFUSED:
        assert "550 5.7.1 Relaying denied" in done.said


def _dialogue(
    server: Gatepost, words: bytes, *extra: str | Path, listener: str = "mx", version: str = "-tls1_3"
) -> str:
    """What openssl s_client prints of a dialogue that ends with QUIT."""
    command = [require("openssl", "openssl"), "s_client", "-connect", f"127.0.0.1:{server.ports[listener]}"]
    command += ["-CAfile", str(server.ca_file), "-starttls", "smtp", "-ign_eof", version, "-crlf"]
    return run([*command, *extra], given=words + b"QUIT\n").said


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_relays_with_a_certificate_and_not_without(server: Gatepost, tmp_path: Path, version: str) -> None:
    """It is asked, and may decline."""
    words = b"EHLO client.example\nMAIL FROM:<a@b.example>\nRCPT TO:<" + STRANGER.encode() + b">\n"
    file = str(GOOD.write(tmp_path / "client.pem"))
    relayed = _dialogue(server, words, "-cert", file, "-key", file, version=version)
    assert "250 2.1.5 Recipient ok" in relayed, relayed
    refused = _dialogue(server, words, version=version)
    assert "550 5.7.1 Relaying denied" in refused, refused
    assert "Requested Signature Algorithms" in refused  # it was asked


def test_openssl_logs_in_with_a_certificate(server: Gatepost, tmp_path: Path) -> None:
    """EXTERNAL is offered to whom it is a way in, and is one."""
    file = str(HERS.write(tmp_path / "client.pem"))
    said = _dialogue(server, b"EHLO x.example\nAUTH EXTERNAL =\n", "-cert", file, "-key", file, listener="submission")
    assert "250-AUTH EXTERNAL " in said and "235 2.7.0" in said, said
    assert "EXTERNAL" not in _dialogue(server, b"EHLO x.example\n", listener="submission")


@pytest.mark.parametrize("tickets", [0, 1, 2])
def test_server_sends_as_many_tickets_as_it_is_told(start_gatepost: StartGatepost, tickets: int) -> None:
    """``[tls] tickets``, for TLS 1.3: as OpenSSL's client counts them."""
    server = start_gatepost(tables={"tls": {"certificate": "server.pem", "tickets": tickets}})
    said = _dialogue(server, b"EHLO client.example\nNOOP\n")
    assert "221 " in said, said
    assert said.count("Post-Handshake New Session Ticket arrived") == tickets, said


@pytest.fixture
def sending(postfix: Postfix, server: Gatepost) -> Iterator[Postfix]:
    """Postfix, with us as its way to far.example; afterwards it shows no certificate, and keeps nothing."""
    postfix.set(
        transport_maps=f"inline:{{ {{ far.example = smtp:[localhost]:{server.ports['mx']} }} }}",
        smtp_tls_security_level="encrypt",
    )
    yield postfix
    postfix.set(smtp_tls_chain_files="")
    for line in postfix.queue().splitlines():
        postfix.drop(json.loads(line)["queue_id"])


def _through(postfix: Postfix, issued: Issued | None) -> str:
    """Have Postfix send to a stranger; the line of its log that says what became of it."""
    chain = postfix.base / "client.pem"
    if issued is not None:
        chain.write_bytes(issued.key_pem + issued.chain_pem)  # in this order, as smtp_tls_chain_files asks
    postfix.set(smtp_tls_chain_files="" if issued is None else str(chain))
    sent = letter(FRIEND, f"stranger-{secrets.token_hex(8)}@far.example")
    with smtplib.SMTP("127.0.0.1", postfix.port, timeout=PATIENCE) as client:
        client.sendmail(sent.sender, [sent.recipient], sent.crlf, mail_options=["BODY=8BITMIME"])
    return postfix.logged(f"to=<{sent.recipient}>", "status=")


def _logs(server: Gatepost, words: str) -> None:
    until(lambda: words in server.log_file.read_text(), what=f"the log has {words}", log=server.log)


def test_postfix_relays_through_us_by_certificate(sending: Postfix, server: Gatepost) -> None:
    """By the address in it, and by the fingerprint of one that nobody issued; the log tells who it was."""
    for issued, name in ((GOOD, "branch@client.example"), (PINNED, "pinned.example")):
        line = _through(sending, issued)
        assert "status=sent (250 2.0.0 Ok: queued as " in line, line
        _logs(server, f"cert={name} ")


@pytest.mark.parametrize("issued", [None, REVOKED, UNKNOWN], ids=["none", "revoked", "unknown"])
def test_postfix_does_not_relay_without_a_certificate_of_ours(sending: Postfix, issued: Issued | None) -> None:
    """TLS comes about, and the recipient is refused for good."""
    line = _through(sending, issued)
    assert "status=bounced" in line and "550 5.7.1 Relaying denied" in line, line
