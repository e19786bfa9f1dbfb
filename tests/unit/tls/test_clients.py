"""What a client's certificate proves to a server that asks: the verdict, and that no certificate ends the handshake."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL import SSL
from tests.foreign_client import accept

from gatepost.errors import ConfigError
from gatepost.service.certified import fingerprints
from gatepost.testing.ca import CLIENT_ONLY, DAY, Issued, TestAuthority, key_for, self_signed
from gatepost.testing.handshakes import private_pair, server_side
from gatepost.tls.clients import ClientTrust
from gatepost.tls.contexts import CIPHERS, ClientTLS, TLSProfile, client_context, server_contexts
from gatepost.tls.credential import Credential
from gatepost.tls.names import certificate_mailboxes, printable_names
from gatepost.tls.trust import TrustStore
from gatepost.wire.upgrade import TLSEvidence, Verification

SERVERS = TestAuthority()
CLIENTS = TestAuthority("an authority for clients")
RSA_CLIENTS = TestAuthority("an RSA authority for clients", key=key_for("rsa clients", "rsa2048"))
TRUST = ClientTrust(TrustStore([CLIENTS.certificate, RSA_CLIENTS.certificate]))
MAIL = x509.RFC822Name("relay@client.example")
SERVER = SERVERS.issue("mx.example.test").credential


def handshake(
    issued: Issued | None, trust: ClientTrust = TRUST, maximum: str | None = None, asks: str = "ask"
) -> TLSEvidence:
    """What the server knows of a client that shows this."""
    credential = None if issued is None else Credential(
        issued.certificate, issued.chain[1:], issued.key, (), b"", "the test"
    )  # fmt: skip
    profile = TLSProfile(maximum=maximum, client_certificate=asks)  # type: ignore[arg-type]
    careless = TLSProfile(ciphers=f"@SECLEVEL=0:{CIPHERS}")  # shows what a careful client would not
    context = client_context(trust=TrustStore([SERVERS.certificate]), profile=careless, credential=credential)
    server, _ = private_pair(server_contexts([SERVER], profile, trust), ClientTLS(context, "mx.example.test"))
    return server.evidence


@pytest.mark.parametrize("maximum", [None, "TLSv1.2"])
@pytest.mark.parametrize("asks", ["ask", "require"])
def test_certificate_of_our_authority_proves_its_names(maximum: str | None, asks: str) -> None:
    """The chain is in the evidence, leaf first, and the verdict with it, in both versions of TLS."""
    below = CLIENTS.intermediate()
    issued = below.issue(MAIL, "client.example", usages=CLIENT_ONLY)
    evidence = handshake(issued, maximum=maximum, asks=asks)
    assert evidence.peer_chain == issued.der
    assert len(evidence.peer_chain) == 2
    assert evidence.verification == Verification("trusted", "", ("client.example", "email:relay@client.example"))
    assert evidence.verification.identity == "relay@client.example"


@pytest.mark.parametrize("asks", ["ask", "require"])
def test_client_without_a_certificate_is_served(asks: str) -> None:
    """The handshake completes even where one is required: the protocol says no, and says why."""
    evidence = handshake(None, asks=asks)
    assert evidence.peer_chain == ()
    assert evidence.verification == Verification("none")


def test_server_that_does_not_ask_sees_none() -> None:
    """Not a certificate that the client would show."""
    evidence = handshake(CLIENTS.issue(MAIL), asks="none")
    assert (evidence.peer_chain, evidence.verification) == ((), Verification("none"))


BAD: dict[str, Callable[[], Issued]] = {
    "untrusted": lambda: TestAuthority("a stranger").issue(MAIL),
    "self-signed": lambda: self_signed("client.example"),
    "expired": lambda: CLIENTS.issue(MAIL, not_after=CLIENTS.now - DAY),
    "not-yet-valid": lambda: CLIENTS.issue(MAIL, not_before=CLIENTS.now + DAY),
    "wrong-purpose": lambda: CLIENTS.issue(MAIL, usages=[ExtendedKeyUsageOID.SERVER_AUTH]),
    "weak-key": lambda: CLIENTS.issue(MAIL, key=key_for("weak client", "rsa1024")),
    "weak-signature": lambda: RSA_CLIENTS.issue(MAIL, broken_hash="sha1"),
    "not-a-ca": lambda: CLIENTS.intermediate("no authority", is_ca=False).issue(MAIL),
}


@pytest.mark.parametrize("maximum", [None, "TLSv1.2"])
@pytest.mark.parametrize("reason", BAD)
def test_certificate_that_proves_nothing_ends_no_handshake(reason: str, maximum: str | None) -> None:
    """It is untrusted, for a stated reason, and its names are a claim."""
    evidence = handshake(BAD[reason](), maximum=maximum)
    assert evidence.verification.status == "untrusted"
    assert evidence.verification.reason.startswith(f"{reason}: "), evidence.verification.reason
    assert evidence.peer_chain


def test_without_an_authority_no_certificate_is_believed() -> None:
    """Not the system's authorities either: they vouch for servers of everybody."""
    evidence = handshake(CLIENTS.issue(MAIL), ClientTrust())
    assert evidence.verification.reason.startswith("no-authority: ")


def test_revoked_certificate_proves_nothing() -> None:
    """With a list from its authority; others of the authority are good."""
    authority = TestAuthority("revoking")
    gone, good = authority.issue(MAIL), authority.issue(MAIL)
    authority.revoke(gone)
    trust = ClientTrust(TrustStore([authority.certificate], crls=[authority.crl()]))
    assert handshake(gone, trust).verification.reason.startswith("revoked: ")
    assert handshake(good, trust).verification.status == "trusted"


def test_expired_revocation_list_fails_closed_and_says_so() -> None:
    """Nobody is let in on an old list, revoked or not."""
    authority = TestAuthority("sleepy")
    stale = authority.crl(next_update=authority.now - timedelta(hours=1))
    trust = ClientTrust(TrustStore([authority.certificate], crls=[stale]))
    verification = handshake(authority.issue(MAIL), trust).verification
    assert verification.status == "untrusted"
    assert verification.reason == "revocation-unknown: CRL has expired"
    assert verification.unchecked


def test_authority_without_a_revocation_list_fails_closed() -> None:
    """Where there is one list, every authority of a chain needs one."""
    first, second = TestAuthority("first"), TestAuthority("second")
    trust = ClientTrust(TrustStore([first.certificate, second.certificate], crls=[first.crl()]))
    assert handshake(second.issue(MAIL), trust).verification.unchecked


def test_fingerprint_is_no_way_around_a_list_that_is_missing() -> None:
    """Of an authority of ours without a list nobody knows whom it has revoked: the fingerprint changes nothing."""
    first, second = TestAuthority("first"), TestAuthority("second")
    issued = second.issue(MAIL)
    authorities = TrustStore([first.certificate, second.certificate], crls=[first.crl()])
    assert pinned(issued, authorities=authorities).judge(issued.der).unchecked
    without = TrustStore([first.certificate], crls=[first.crl()])
    assert pinned(issued, authorities=without).judge(issued.der).status == "pinned"


def test_verdict_is_of_the_given_time() -> None:
    """Now, where none is given."""
    issued = CLIENTS.issue(MAIL)
    assert TRUST.judge(issued.der).status == "trusted"
    year_later = CLIENTS.now.timestamp() + 366 * 86400
    assert TRUST.judge(issued.der, at=year_later).reason.startswith("expired: ")


def pinned(issued: Issued, which: int = 0, authorities: TrustStore | None = None) -> ClientTrust:
    """A list with this certificate (0) or its key (1)."""
    return ClientTrust(authorities, frozenset({fingerprints(issued.der[0])[which]}))


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("reason", ["untrusted", "self-signed", "wrong-purpose"])
def test_fingerprint_on_the_list_proves_who_it_is(which: int, reason: str) -> None:
    """Of the certificate or of its key, whoever issued it and for what, with authorities or without."""
    issued = BAD[reason]()
    assert handshake(issued, pinned(issued, which)).verification.status == "pinned"
    authorities = TrustStore([CLIENTS.certificate])
    assert handshake(issued, pinned(issued, which, authorities)).verification.status == "pinned"


def test_fingerprint_of_another_certificate_proves_nothing() -> None:
    """The reason is that nobody vouches for it."""
    other = pinned(BAD["untrusted"]())
    assert handshake(BAD["self-signed"](), other).verification.reason.startswith("no-authority: ")


@pytest.mark.parametrize("reason", ["expired", "not-yet-valid", "weak-key", "weak-signature"])
def test_fingerprint_makes_nothing_good_that_the_certificate_says_itself(reason: str) -> None:
    """Its dates and its key, with the authority that issued it or without."""
    issued = BAD[reason]()
    for authorities in (None, TrustStore([CLIENTS.certificate, RSA_CLIENTS.certificate])):
        verification = handshake(issued, pinned(issued, authorities=authorities)).verification
        assert verification.reason.startswith(f"{reason}: "), verification


def test_revoked_certificate_does_not_escape_by_leaving_out_its_intermediate() -> None:
    """Without the intermediate nobody vouches for it, and its fingerprint would do: its issuer's list is asked."""
    root = TestAuthority("root with lists")
    below = root.intermediate("an intermediate with a list")
    gone = below.issue(MAIL, key=key_for("gone"), with_intermediates=False)
    good = below.issue(MAIL, key=key_for("good"), with_intermediates=False)
    below.revoke(gone)
    authorities = TrustStore([root.certificate], crls=[root.crl(), below.crl()])
    listed = ClientTrust(authorities, frozenset(fingerprints(each.der[0])[0] for each in (gone, good)))
    assert listed.judge(gone.der).reason == "revoked: the certificate is revoked"
    assert listed.judge(good.der).status == "pinned"
    stale = TrustStore([root.certificate], crls=[below.crl(next_update=root.now - DAY)])
    assert ClientTrust(stale, frozenset(fingerprints(good.der[0]))).judge(good.der).unchecked


@pytest.mark.parametrize("broken", ["the list", "the certificate"])
def test_issuer_that_cannot_be_read_fails_closed(broken: str) -> None:
    """In the list or in the certificate: a fingerprint does not help, for nobody can say whether it is revoked."""
    root = TestAuthority("a root with a list")
    leaf = TestAuthority("an issuer nobody trusts").issue(MAIL)
    crl, der = root.crl(), leaf.der[0]
    if broken == "the list":
        crl = x509.load_der_x509_crl(unreadable(crl.public_bytes(Encoding.DER), b"a root with a list"))
    else:
        der = unreadable(der, b"an issuer nobody trusts")
    listed = frozenset(fingerprints(leaf.der[0]))
    verification = ClientTrust(TrustStore([root.certificate], crls=[crl]), listed).judge((der,))
    assert verification.unchecked
    assert verification.reason.startswith("revocation-unknown: a revocation list cannot be read: ")
    assert ClientTrust(TrustStore([root.certificate]), listed).judge((der,)).status == "pinned"


def unreadable(der: bytes, name: bytes) -> bytes:
    """DER with a common name that is said to be ASCII and is not: OpenSSL takes it, who wants to read it fails."""
    at = der.index(name)
    return der[: at - 2] + b"\x16" + der[at - 1 : at] + b"\xff" * len(name) + der[at + len(name) :]


def test_trust_is_loaded_from_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The authorities with their lists; without a file the fingerprints alone count, and not the system's bundle."""
    authority = TestAuthority("in a file")
    gone, good = authority.issue(MAIL, key=key_for("gone")), authority.issue(MAIL, key=key_for("good"))
    authority.revoke(gone)
    ca, crl = tmp_path / "ca.pem", tmp_path / "crl.pem"
    ca.write_bytes(authority.pem)
    crl.write_bytes(authority.crl().public_bytes(Encoding.PEM))
    loaded = ClientTrust.load(ca, crl)
    assert loaded.judge(good.der).status == "trusted"
    assert loaded.judge(gone.der).reason.startswith("revoked: ")
    assert ClientTrust.load(ca).judge(gone.der).status == "trusted"
    monkeypatch.setattr("gatepost.tls.trust.system_bundle", lambda: ca)
    listed = ClientTrust.load(None, None, frozenset(fingerprints(good.der[0])))
    assert [listed.judge(each.der).status for each in (good, gone)] == ["pinned", "untrusted"]


def test_session_with_a_certificate_is_not_resumed() -> None:
    """After resumption there would be no chain to judge: every handshake is a full one."""
    contexts = server_contexts([SERVER], TLSProfile(client_certificate="ask"), TRUST)
    for maximum in (None, "TLSv1.2"):
        context = client_context(
            trust=TrustStore([SERVERS.certificate]), profile=TLSProfile(maximum=maximum),
            credential=CLIENTS.issue(MAIL).credential,
        )  # fmt: skip
        for _ in range(2):
            server, client = private_pair(contexts, ClientTLS(context, "mx.example.test"))
            server.send(b"a word")
            assert client.receive(server.outgoing()) == b"a word"  # a ticket would come with it
            assert not server.evidence.resumed
            assert server.evidence.verification.status == "trusted"


def test_only_mail_addresses_count_as_mailboxes() -> None:
    """Those of the subjectAltName; the subject's emailAddress where there is none; a common name never."""
    both = CLIENTS.issue(x509.RFC822Name("San@EXAMPLE.org"), "h.example", email_address="old@example.org")
    assert certificate_mailboxes(both.certificate) == ("San@example.org",)
    old = CLIENTS.issue("h.example", common_name="x", email_address="Old@Example.org")
    assert certificate_mailboxes(old.certificate) == ("Old@example.org",)
    assert printable_names(old.certificate) == ("h.example", "email:Old@example.org")
    bare = CLIENTS.issue(email_address="old@example.org")
    assert printable_names(bare.certificate) == ("email:old@example.org",)
    assert certificate_mailboxes(CLIENTS.issue(common_name="a@example.org").certificate) == ()
    assert certificate_mailboxes(CLIENTS.issue(x509.DNSName("a@example.org")).certificate) == ()


def test_asking_says_what_to_do_where_no_callback_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory that is written and executed is forbidden: contexts that do not ask are made, those that ask are not."""

    def forbidden(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(SSL.Context, "set_verify", forbidden)
    server_contexts([SERVER])
    with pytest.raises(ConfigError, match="clients cannot be asked for certificates") as refused:
        server_contexts([SERVER], TLSProfile(client_certificate="ask"))
    assert "MemoryDenyWriteExecute" in refused.value.hint


def test_asking_needs_memory_that_can_be_executed() -> None:
    """Where that is forbidden (MemoryDenyWriteExecute) the contexts are refused, with the reason, in words."""
    program = """
import ctypes, sys
from gatepost.errors import ConfigError
from gatepost.testing.ca import TestAuthority
from gatepost.tls.contexts import TLSProfile, server_contexts
if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) != 0:  # PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN: Linux 6.3
    sys.exit(77)
credential = TestAuthority().issue("a.example").credential
server_contexts([credential], TLSProfile())
try:
    server_contexts([credential], TLSProfile(client_certificate="ask"))
except ConfigError as error:
    print(error.message, "|", error.hint)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    if done.returncode == 77:
        pytest.skip("this kernel cannot forbid executable memory")
    assert done.stderr == ""
    assert "clients cannot be asked for certificates" in done.stdout
    assert "remove MemoryDenyWriteExecute" in done.stdout


def test_renegotiation_is_refused_and_changes_no_evidence() -> None:
    """TLS 1.2 once let a client show another certificate later: here the first verdict is the only one."""
    server = server_side(server_contexts([SERVER], TLSProfile(maximum="TLSv1.2", client_certificate="ask"), TRUST))
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)  # not ours, which would not ask for it
    client = SSL.Connection(context)
    stream = accept(server, client)
    client.do_handshake()
    before = stream.evidence
    issued = CLIENTS.issue(MAIL)
    client.use_certificate(issued.certificate)
    client.use_privatekey(issued.key)
    assert client.renegotiate()
    with contextlib.suppress(SSL.WantReadError):
        client.do_handshake()
    assert stream.receive(client.bio_read(65536)) == b""
    client.bio_write(stream.outgoing())  # the alert no_renegotiation (RFC 5246 §7.2.2)
    with pytest.raises(SSL.Error, match="no renegotiation"):
        client.do_handshake()
    assert stream.evidence is before
    assert before.verification == Verification("none")
