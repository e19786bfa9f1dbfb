"""The attacker shows certificates, to relay or to log in as somebody. No handshake ends over one, and none helps."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.attacks.raw import Raw

from gatepost.accounts.users import Users
from gatepost.service.certified import fingerprints
from gatepost.store.sqlite.accounts import FILE_NAME, SQLiteAccountStore
from gatepost.testing.ca import CLIENT_ONLY, DAY, Issued, TestAuthority, key_for, self_signed
from gatepost.testing.server import MailServer

ADDRESS = "relay@client.example"
MAIL = x509.RFC822Name(ADDRESS)
ALICE = x509.RFC822Name("alice@example.test")
CLIENTS = TestAuthority("an authority for clients")
RSA_CLIENTS = TestAuthority("an RSA authority for clients", key=key_for("rsa clients", "rsa2048"))
REVOKED = CLIENTS.issue(MAIL)
PINNED = self_signed("pinned.example")
GOOD = CLIENTS.issue(MAIL, usages=CLIENT_ONLY)
CLIENTS.revoke(REVOKED)


def long_chain(length: int) -> Issued:
    """A leaf below that many authorities, whose root nobody knows."""
    authority = TestAuthority("a tall tree")
    for number in range(length):
        authority = authority.intermediate(f"branch {number}")
    return authority.issue(MAIL)


def raw_mailbox(value: bytes) -> x509.UnrecognizedExtension:
    """A subjectAltName with an rfc822Name (RFC 5280 §4.2.1.6) of any octets."""
    name = bytes((0x81, len(value))) + value
    return x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, bytes((0x30, len(name))) + name)


BAD: dict[str, Callable[[], Issued]] = {
    "of an unknown authority": lambda: TestAuthority("a stranger").issue(MAIL),
    "of an authority with our authority's name": lambda: TestAuthority(
        "an authority for clients", key=key_for("another key")
    ).issue(MAIL),
    "expired": lambda: CLIENTS.issue(MAIL, not_after=CLIENTS.now - DAY),
    "self-signed": lambda: self_signed("client.example"),
    "for servers": lambda: CLIENTS.issue(MAIL, usages=[ExtendedKeyUsageOID.SERVER_AUTH]),
    "revoked": lambda: REVOKED,
    "RSA-1024": lambda: CLIENTS.issue(MAIL, key=key_for("weak client", "rsa1024")),
    "signed with SHA-1": lambda: RSA_CLIENTS.issue(MAIL, broken_hash="sha1"),
    "signed with MD5": lambda: RSA_CLIENTS.issue(MAIL, broken_hash="md5"),
    "of somebody else": lambda: CLIENTS.issue(x509.RFC822Name("other@client.example")),
    "of another local part by case": lambda: CLIENTS.issue(x509.RFC822Name("Relay@client.example")),
    "of a name below": lambda: CLIENTS.issue(x509.RFC822Name("relay@sub.client.example")),
    "of a domain alone": lambda: CLIENTS.issue("client.example"),
    "with the address in the CN": lambda: CLIENTS.issue(common_name=ADDRESS),
    "with the address as a DNS name": lambda: CLIENTS.issue(x509.DNSName(ADDRESS)),
    "with the address as a URI": lambda: CLIENTS.issue(x509.UniformResourceIdentifier(f"mailto:{ADDRESS}")),
    "with a NUL behind the address": lambda: CLIENTS.issue(
        common_name="x", extra=[(raw_mailbox(ADDRESS.encode() + b"\0.evil.example"), False)]
    ),
    "with a NUL before it": lambda: CLIENTS.issue(
        common_name="x", extra=[(raw_mailbox(b"x\0" + ADDRESS.encode()), False)]
    ),
    "with two addresses in one": lambda: CLIENTS.issue(
        common_name="x", extra=[(raw_mailbox(ADDRESS.encode() + b",x@evil.example"), False)]
    ),
    "with a line end in it": lambda: CLIENTS.issue(
        common_name="x", extra=[(raw_mailbox(b"x@evil.example\r\nReceived: " + ADDRESS.encode()), False)]
    ),
    "with the old address behind another": lambda: CLIENTS.issue(
        x509.RFC822Name("other@client.example"), email_address=ADDRESS
    ),
    "below a chain of 10": lambda: long_chain(10),
    "below a chain of 100": lambda: long_chain(100),
    "below no authority": lambda: CLIENTS.intermediate("no authority", is_ca=False).issue(MAIL),
    "below another client": lambda: Issued(PINNED.certificate, PINNED.key, (PINNED.certificate, GOOD.certificate)),
}  # fmt: skip


def files(folder: Path, crl: x509.CertificateRevocationList) -> dict[str, str]:
    """What ``[tls]`` names."""
    (folder / "clients.pem").write_bytes(CLIENTS.pem + RSA_CLIENTS.pem)
    lists = (crl, RSA_CLIENTS.crl())
    (folder / "crl.pem").write_bytes(b"".join(each.public_bytes(Encoding.PEM) for each in lists))
    return {"client_ca": str(folder / "clients.pem"), "client_crl": str(folder / "crl.pem")}


RELAY = [
    {"certificate_email": [ADDRESS], "listeners": ["mx"]},
    {"certificate_fingerprint": [fingerprints(PINNED.der[0])[0]], "from": ["127.0.0.2"]},
    {"certificate_email": ["other@client.example"], "from": ["127.0.0.3"]},
]
INBOUND = [
    {"listeners": ["submission", "submissions"], "client_certificate": "ask"},
    {"from": ["127.0.0.4"], "client_certificate": "require"},
    {"from": ["127.0.0.5"], "client_certificate": "none"},
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    folder = tmp_path_factory.mktemp("material")
    users = dict.fromkeys(("alice@example.test", "bob@example.test", "carol@example.test"), "wonderland")
    with MailServer(
        tmp_path_factory.mktemp("data"), users, tls=files(folder, CLIENTS.crl()), relay=RELAY, inbound=INBOUND,
        aliases={"al": "alice"},
    ) as server:  # fmt: skip
        yield server


def relays(
    server: MailServer, issued: Issued | None, folder: Path, source: str = "127.0.0.1", listener: str = "mx"
) -> bytes:
    """The answer to a recipient elsewhere, inside TLS, from a client that shows this certificate."""
    file = None if issued is None else issued.write(folder / "client.pem")
    with Raw(server.ports[listener], source=source) as client:
        client.upgrade(server.ca_file, file)
        mail = client.say(b"MAIL FROM:<a@b.example>")
        return client.say(b"RCPT TO:<victim@elsewhere.example>") if mail.startswith(b"250") else mail


@pytest.mark.parametrize("kind", BAD)
def test_attacker_cannot_relay_with_a_certificate(server: MailServer, tmp_path: Path, kind: str) -> None:
    """Goal: send to anybody. The handshake completes, mail for us would be taken, and nothing is relayed."""
    assert relays(server, BAD[kind](), tmp_path).startswith(b"550 5.7.1 Relaying denied")


def test_client_with_a_good_certificate_relays(server: MailServer, tmp_path: Path) -> None:
    """So that the refusals above mean something; below an intermediate and with the old field, too."""
    assert relays(server, GOOD, tmp_path).startswith(b"250")
    old = CLIENTS.issue("client.example", common_name="client", email_address="relay@CLIENT.example")
    assert relays(server, old, tmp_path).startswith(b"250")
    assert relays(server, CLIENTS.issue(x509.RFC822Name("relay@Client.EXAMPLE")), tmp_path).startswith(b"250")
    assert relays(server, None, tmp_path).startswith(b"550 5.7.1")


def test_rule_counts_where_it_stands(server: MailServer, tmp_path: Path) -> None:
    """Goal: use a certificate that is good at another address. All conditions of a rule must be met."""
    assert relays(server, PINNED, tmp_path).startswith(b"550 5.7.1")
    assert relays(server, PINNED, tmp_path, "127.0.0.2").startswith(b"250")
    other = CLIENTS.issue(x509.RFC822Name("other@client.example"))
    assert relays(server, other, tmp_path, "127.0.0.2").startswith(b"550 5.7.1")
    assert relays(server, other, tmp_path, "127.0.0.3").startswith(b"250")
    assert relays(server, GOOD, tmp_path, "127.0.0.5").startswith(b"550 5.7.1")  # never asked for it


def test_fingerprint_proves_no_address(server: MailServer, tmp_path: Path) -> None:
    """Goal: write somebody's address into a certificate that is known by its fingerprint alone."""
    key = PINNED.key
    liar = TestAuthority("a liar", key=key).issue(MAIL, ALICE, key=key)
    data, settings = tmp_path / "data", files(tmp_path, CLIENTS.crl())
    data.mkdir()
    rules = [{"certificate_email": [ADDRESS]}, {"certificate_fingerprint": [fingerprints(liar.der[0])[0]]}]
    with MailServer(data, tls=settings, relay=[rules[0]], inbound=INBOUND) as without:
        assert relays(without, liar, tmp_path).startswith(b"550")
    data = tmp_path / "more data"
    data.mkdir()
    with MailServer(data, tls=settings, relay=rules, inbound=INBOUND) as listed:
        assert relays(listed, liar, tmp_path).startswith(b"250")
        with Raw(listed.ports["submission"]) as client:
            client.upgrade(listed.ca_file, tmp_path / "client.pem")
            assert client.say(b"AUTH EXTERNAL =").startswith(b"504")


def test_certificate_in_the_clear_never_counts(server: MailServer, tmp_path: Path) -> None:
    """Goal: relay in the clear beside, or before, a session that showed a certificate. The session has its own."""
    with Raw(server.ports["mx"]) as proved, Raw(server.ports["mx"]) as client:
        proved.upgrade(server.ca_file, GOOD.write(tmp_path / "client.pem"))
        client.say(b"EHLO attacker.example")
        assert client.say(b"MAIL FROM:<a@b.example>").startswith(b"250")
        assert client.say(b"RCPT TO:<victim@elsewhere.example>").startswith(b"550 5.7.1")
        for pem in (b"-----BEGIN CERTIFICATE-----", b"AUTH EXTERNAL =", b"XCERT " + base64.b64encode(GOOD.der[0])):
            assert client.say(pem)[:1] == b"5"
        assert client.say(b"RCPT TO:<victim@elsewhere.example>").startswith(b"550 5.7.1")


def test_transaction_before_the_upgrade_does_not_cross(server: MailServer, tmp_path: Path) -> None:
    """Goal: what was refused in the clear is remembered, or what is proved inside counts for it."""
    with Raw(server.ports["mx"]) as client:
        client.say(b"EHLO attacker.example")
        client.say(b"MAIL FROM:<a@b.example>")
        assert client.say(b"RCPT TO:<alice@example.test>").startswith(b"250")
        client.upgrade(server.ca_file, GOOD.write(tmp_path / "client.pem"))
        assert client.say(b"RCPT TO:<victim@elsewhere.example>").startswith(b"503")


def test_session_is_not_resumed_into_somebody(server: MailServer, tmp_path: Path) -> None:
    """Goal: come back with the ticket of a session that had a certificate, and with no key."""
    context = ssl.create_default_context(cafile=server.ca_file)
    context.load_cert_chain(GOOD.write(tmp_path / "client.pem"))
    session = None
    for _ in range(2):
        with Raw(server.ports["mx"]) as client:
            client.say(b"EHLO attacker.example")
            client.say(b"STARTTLS")
            client.sock = secure = context.wrap_socket(client.plain, server_hostname="localhost", session=session)
            client.say(b"EHLO attacker.example")
            assert secure.session_reused is False
            session = secure.session
            assert client.say(b"MAIL FROM:<a@b.example>").startswith(b"250")
            assert client.say(b"RCPT TO:<victim@elsewhere.example>").startswith(b"250")


def test_expired_revocation_list_lets_nobody_relay(tmp_path: Path) -> None:
    """Goal: keep the list from being renewed, and use a revoked certificate. It fails closed for all."""
    data, stale = tmp_path / "data", CLIENTS.crl(next_update=CLIENTS.now - DAY)
    data.mkdir()
    with MailServer(data, tls=files(tmp_path, stale), relay=RELAY, inbound=INBOUND) as server:
        for issued in (REVOKED, GOOD):
            # That is our fault: the mail is to come again.
            assert relays(server, issued, tmp_path).startswith(b"454 4.7.0")
        assert relays(server, None, tmp_path).startswith(b"550 5.7.1")
        assert relays(server, GOOD, tmp_path, "127.0.0.4").startswith(b"454 4.7.0")
        assert relays(server, None, tmp_path, "127.0.0.4").startswith(b"554 5.7.0")


def test_required_certificate_is_asked_of_mail_not_of_the_handshake(server: MailServer, tmp_path: Path) -> None:
    """Goal: mail without the certificate that is required. EHLO is answered, mail is refused, on every try."""
    for kind in ("of an unknown authority", "expired", "revoked"):
        assert relays(server, BAD[kind](), tmp_path, "127.0.0.4").startswith(b"554 5.7.0")
    assert relays(server, None, tmp_path, "127.0.0.4").startswith(b"554 5.7.0")
    assert relays(server, GOOD, tmp_path, "127.0.0.4").startswith(b"250")
    assert relays(server, CLIENTS.issue("any.example"), tmp_path, "127.0.0.4").startswith(b"550 5.7.1")


def external(server: MailServer, issued: Issued | None, folder: Path, response: bytes = b"=") -> tuple[bool, bytes]:
    """Whether EXTERNAL is offered, and the answer to it."""
    file = None if issued is None else issued.write(folder / "client.pem")
    with Raw(server.ports["submission"]) as client:
        client.say(b"EHLO client.example")
        client.say(b"STARTTLS")
        client.start_tls(server.ca_file, certificate=file)
        offered = b"EXTERNAL" in client.say(b"EHLO client.example")
        return offered, client.say(b"AUTH EXTERNAL " + response)


STRANGERS: dict[str, Callable[[], Issued | None]] = {
    "no certificate": lambda: None,
    "one of no user": lambda: GOOD,
    "one of an alias": lambda: CLIENTS.issue(x509.RFC822Name("al@example.test")),
    "one with a detail": lambda: CLIENTS.issue(x509.RFC822Name("alice+x@example.test")),
    "one of a role without an account": lambda: CLIENTS.issue(x509.RFC822Name("postmaster@example.test")),
    "one of the name elsewhere": lambda: CLIENTS.issue(x509.RFC822Name("alice@example.org")),
    "one of an unknown authority": lambda: TestAuthority("a stranger").issue(ALICE),
    "one that has expired": lambda: CLIENTS.issue(ALICE, not_after=CLIENTS.now - DAY),
    "one with the user in the CN": lambda: CLIENTS.issue(common_name="alice@example.test"),
    "a self-signed one": lambda: PINNED,
}


@pytest.mark.parametrize("kind", STRANGERS)
def test_external_is_not_offered_to_strangers(server: MailServer, tmp_path: Path, kind: str) -> None:
    """Goal: log in without a password. It is neither offered nor accepted."""
    assert external(server, STRANGERS[kind](), tmp_path) == (
        False, b"504 5.5.4 Unrecognized authentication type",
    )  # fmt: skip


def test_user_logs_in_with_a_certificate(server: MailServer, tmp_path: Path) -> None:
    """Without an authorization identity, and with her own."""
    certificate = CLIENTS.issue(x509.RFC822Name("Alice@EXAMPLE.test"))
    for response in (b"=", base64.b64encode(b"alice@example.test")):
        offered, answer = external(server, certificate, tmp_path, response)
        assert offered
        assert answer.startswith(b"235 ")


def test_disabled_user_has_no_way_in_by_certificate(server: MailServer, tmp_path: Path) -> None:
    """Goal: go on after the account was closed, with a certificate that runs for another year."""
    certificate = CLIENTS.issue(x509.RFC822Name("carol@example.test"))
    assert external(server, certificate, tmp_path)[0]
    store = SQLiteAccountStore(server.data / FILE_NAME)
    Users(store, ["example.test"]).set_disabled("carol@example.test", True)
    store.close()
    assert external(server, certificate, tmp_path) == (False, b"504 5.5.4 Unrecognized authentication type")


@pytest.mark.parametrize(
    "wanted", [b"bob@example.test", b"postmaster@example.test", b"", b"alice", b"alice@example.test\0bob@example.test"]
)
def test_user_cannot_become_another_by_certificate(server: MailServer, tmp_path: Path, wanted: bytes) -> None:
    """Goal: be Bob with Alice's certificate (RFC 4422 §3.4.1). The identity is hers or nothing."""
    offered, answer = external(server, CLIENTS.issue(ALICE), tmp_path, base64.b64encode(wanted) or b"=")
    assert offered
    assert answer.startswith(b"235 " if not wanted else b"5"), answer


def test_certificate_is_no_login_by_itself(server: MailServer, tmp_path: Path) -> None:
    """Goal: send through submission with a certificate and no AUTH; as somebody else after it."""
    with Raw(server.ports["submission"]) as client:
        client.upgrade(server.ca_file, CLIENTS.issue(ALICE).write(tmp_path / "client.pem"))
        assert client.say(b"MAIL FROM:<alice@example.test>").startswith(b"530 5.7.0")
        assert client.say(b"AUTH EXTERNAL").startswith(b"334 ")
        assert client.say(b"*").startswith(b"501")
        assert client.say(b"MAIL FROM:<alice@example.test>").startswith(b"530 5.7.0")
        assert client.say(b"AUTH EXTERNAL").startswith(b"334 ")
        assert client.say(b"").startswith(b"235")
        assert client.say(b"MAIL FROM:<bob@example.test>").startswith(b"553 5.7.1")
        assert client.say(b"MAIL FROM:<alice@example.test>").startswith(b"250")
        assert client.say(b"RCPT TO:<friend@elsewhere.example>").startswith(b"250")


def test_relay_certificate_is_worth_nothing_at_submission(server: MailServer, tmp_path: Path) -> None:
    """Goal: send as anybody where users log in, with the certificate of a relay."""
    assert relays(server, GOOD, tmp_path, listener="submission").startswith(b"530 5.7.0")


def test_enormous_certificate_ends_the_connection_only(server: MailServer, tmp_path: Path) -> None:
    """Goal: make us hold and parse megabytes. What is longer than any chain has reason to be ends the handshake."""
    names = [x509.DNSName(f"{number:060}.example") for number in range(3000)]
    with Raw(server.ports["mx"]) as client:
        client.say(b"EHLO attacker.example")
        client.say(b"STARTTLS")
        try:
            client.start_tls(server.ca_file, certificate=CLIENTS.issue(*names).write(tmp_path / "client.pem"))
            assert client.say(b"EHLO attacker.example") == b""
        except OSError:
            pass
    assert relays(server, GOOD, tmp_path).startswith(b"250")
