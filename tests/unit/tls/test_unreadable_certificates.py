"""Certificates that OpenSSL takes in the handshake and ``cryptography`` then does not read.

A peer may show one at any time. It is judged like any other bad certificate; no error but ours gets out.
"""

from __future__ import annotations

import contextlib
import time
from base64 import encodebytes
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL, crypto
from tests.foreign_client import accept

from gatepost.certs.check import check_revocations
from gatepost.errors import CertificateError, VerificationError
from gatepost.testing.ca import DAY, Issued, TestAuthority, self_signed
from gatepost.testing.handshakes import client_side, server_side
from gatepost.tls.clients import ClientTrust
from gatepost.tls.contexts import ClientTLS, Level, TLSProfile, client_context, server_contexts
from gatepost.tls.credential import load_credential, read_certificate
from gatepost.tls.engine import ClientHandshake
from gatepost.tls.names import certificate_mailboxes, certificate_matches, printable_names
from gatepost.tls.stream import TLSStream
from gatepost.tls.trust import TrustStore
from gatepost.tls.verify import claimed_names, match_fingerprint, verify_peer

NAME = "mx.example.test"
AUTHORITY = TestAuthority()
OWN = self_signed(NAME)
_V3 = bytes.fromhex("a003020102")  # [0] EXPLICIT INTEGER 2: a certificate of version 3
_UNASSIGNED = x509.ObjectIdentifier("2.5.29.99")


def of_no_version(issued: Issued) -> bytes:
    """Its leaf, said to be of version 94."""
    der = issued.der[0]
    assert der.count(_V3) == 1
    return der.replace(_V3, bytes.fromhex("a00302015d"))


def with_two_lists_of_names() -> x509.Certificate:
    """A certificate with two subjectAltName extensions (RFC 5280 §4.2 forbids it)."""
    second = x509.UnrecognizedExtension(_UNASSIGNED, bytes.fromhex("3000"))
    der = AUTHORITY.issue(NAME, extra=[(second, False)]).der[0]
    return x509.load_der_x509_certificate(der.replace(bytes.fromhex("0603551d63"), bytes.fromhex("0603551d11")))


def pem(label: str, der: bytes) -> str:
    return f"-----BEGIN {label}-----\n{encodebytes(der).decode('ascii')}-----END {label}-----\n"


def hostile(method: int, der: bytes, issued: Issued, path: Path) -> SSL.Connection:
    """One side of a connection that shows these octets as its certificate."""
    file = path / "hostile.pem"
    file.write_text(pem("CERTIFICATE", der))
    context = SSL.Context(method)
    context.use_certificate_file(str(file))
    context.use_privatekey(issued.key)
    return SSL.Connection(context)


def client_meets(der: bytes, level: Level, path: Path, pins: tuple[str, ...] = ()) -> TLSStream | None:
    """What our client makes of a server that shows this."""
    context = client_context(trust=TrustStore([AUTHORITY.certificate]))
    client: ClientHandshake = client_side(ClientTLS(context, NAME, level, pins=pins))
    server = hostile(SSL.TLS_SERVER_METHOD, der, OWN, path)
    server.set_accept_state()
    server.bio_write(client.outgoing())
    with contextlib.suppress(SSL.WantReadError):
        server.do_handshake()
    client.receive(server.bio_read(65536))
    return client.advance()


@pytest.mark.parametrize("level", ["may", "encrypt"])
def test_client_goes_on_where_any_certificate_will_do(level: Level, tmp_path: Path) -> None:
    """The server is untrusted and has no name and no binding, and the connection is private."""
    stream = client_meets(of_no_version(OWN), level, tmp_path)
    assert stream is not None
    assert stream.evidence.verification.status == "untrusted"
    assert stream.evidence.verification.names == ()
    assert stream.evidence.tls_server_end_point is None
    assert stream.evidence.tls_exporter is not None


@pytest.mark.parametrize("level", ["verify", "fingerprint"])
def test_client_refuses_where_the_certificate_counts(level: Level, tmp_path: Path) -> None:
    """With an error of ours, even when its fingerprint is one that is pinned: its key cannot be read."""
    der = of_no_version(OWN)
    with pytest.raises(VerificationError):
        client_meets(der, level, tmp_path, (sha256(der).hexdigest(),) if level == "fingerprint" else ())


def test_server_that_asks_takes_it_for_no_proof(tmp_path: Path) -> None:
    """The handshake completes, and the client is untrusted."""
    der = of_no_version(OWN)
    trust = ClientTrust(TrustStore([AUTHORITY.certificate]), frozenset({sha256(der).hexdigest()}))
    asks = TLSProfile(client_certificate="ask")
    server = server_side(server_contexts([AUTHORITY.issue(NAME).credential], asks, trust))
    client = hostile(SSL.TLS_CLIENT_METHOD, der, OWN, tmp_path)
    evidence = accept(server, client).evidence
    assert evidence.peer_chain == (der,)
    assert (evidence.verification.status, evidence.verification.names) == ("untrusted", ())


def test_trusted_certificate_of_no_version_is_malformed() -> None:
    """Though it stands among the anchors itself, where OpenSSL finds nothing wrong with it."""
    trust = TrustStore()
    trust._store.add_cert(crypto.load_certificate(crypto.FILETYPE_ASN1, of_no_version(OWN)))
    with pytest.raises(VerificationError) as caught:
        verify_peer((of_no_version(OWN),), trust=trust, names=(NAME,), purpose="server", at=time.time())
    assert caught.value.reason == "malformed"


def test_reading_fails_in_one_way_only() -> None:
    """Whatever is wrong with the octets; the functions that read a peer's certificate rest on that."""
    der = of_no_version(OWN)
    for octets in (der, b"garbage", b""):
        with pytest.raises(ValueError, match=r"."):
            read_certificate(octets)
        assert claimed_names((octets,)) == ()
    with pytest.raises(VerificationError) as caught:
        match_fingerprint((der,), (sha256(der).hexdigest(),))
    assert caught.value.reason == "malformed"


def test_files_of_ours_are_refused_in_words(tmp_path: Path) -> None:
    """A certificate and a revocation list of versions that do not exist."""
    own = tmp_path / "own.pem"
    own.write_text(pem("CERTIFICATE", of_no_version(OWN)) + OWN.key_pem.decode("ascii"))
    with pytest.raises(CertificateError, match="cannot be parsed: 93 is not a valid X509 version"):
        load_credential(own)
    ca, crl = tmp_path / "ca.pem", tmp_path / "crl.pem"
    ca.write_bytes(AUTHORITY.pem)
    octets = AUTHORITY.crl().public_bytes(Encoding.DER)
    at = octets.index(bytes.fromhex("020101"))
    crl.write_text(pem("X509 CRL", octets[:at] + bytes.fromhex("02015d") + octets[at + 3 :]))
    with pytest.raises(CertificateError, match="a revocation list cannot be parsed"):
        TrustStore.load(ca, crl_file=crl)


UNREADABLE_NAMES = {
    "a kind of name that nobody reads (x400Address)": "3004a3023000",
    "octets that are no name": "30038201ff",
    "a name that does not fit": "3003a3013000",
}


@pytest.mark.parametrize("octets", UNREADABLE_NAMES.values(), ids=UNREADABLE_NAMES)
def test_names_that_cannot_be_read_match_nothing_and_print_nothing(octets: str) -> None:
    """And prove no mailbox: not the subject's either, for the certificate has alternative names."""
    extension = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, bytes.fromhex(octets))
    issued = AUTHORITY.issue(extra=[(extension, False)], email_address="subject@example.test")
    with pytest.raises(ValueError, match=r"."):
        certificate_matches(issued.certificate, NAME)
    assert printable_names(issued.certificate) == ()
    assert certificate_mailboxes(issued.certificate) == ()


def test_of_two_lists_of_names_none_counts() -> None:
    """Whoever reads the first and whoever reads the second would believe different things."""
    certificate = with_two_lists_of_names()
    with pytest.raises(ValueError, match=r"[Dd]uplicate"):
        certificate_matches(certificate, NAME)
    assert printable_names(certificate) == certificate_mailboxes(certificate) == ()


def test_two_lists_of_names_are_malformed_even_in_a_certificate_we_trust() -> None:
    """Whether OpenSSL or we find them."""
    certificate = with_two_lists_of_names()
    with pytest.raises(VerificationError):
        verify_peer(
            (certificate.public_bytes(Encoding.DER),),
            trust=TrustStore([certificate]), names=(NAME,), purpose="server", at=time.time(),
        )  # fmt: skip


def revocations(issuer: bytes) -> bytes:
    """A revocation list with these octets in place of its issuer's name, PEM."""
    authority = TestAuthority("an authority")
    builder = x509.CertificateRevocationListBuilder().issuer_name(authority.certificate.subject)
    builder = builder.last_update(authority.now).next_update(authority.now + DAY)
    der = builder.sign(authority.key, SHA256()).public_bytes(Encoding.DER)
    assert len(issuer) == len(b"an authority") and b"an authority" in der
    body = encodebytes(der.replace(b"an authority", issuer))
    return b"-----BEGIN X509 CRL-----\n" + body + b"-----END X509 CRL-----\n"


def test_revocation_list_with_a_damaged_name_is_refused_by_its_file(tmp_path: Path) -> None:
    """A reload that meets one keeps what it has, and the check says what is wrong."""
    path, authorities = tmp_path / "damaged.crl", tmp_path / "ca.pem"
    path.write_bytes(revocations(b"\xff" * 12))
    authorities.write_bytes(TestAuthority().pem)
    with pytest.raises(CertificateError, match=r"damaged\.crl"):
        TrustStore.load(authorities, crl_file=path)
    assert [each.word for each in check_revocations("x", path, 0.0).findings] == ["unusable"]
