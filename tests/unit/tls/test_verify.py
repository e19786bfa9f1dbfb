"""The verdict, beyond what the attack tests name one by one."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from gatepost.errors import LocalProtocolError, VerificationError
from gatepost.testing.ca import DAY, BrokenHash, Issued, TestAuthority, _resign, key_for, self_signed
from gatepost.tls.trust import TrustStore
from gatepost.tls.verify import CHAIN_LIMIT, claimed_names, verify_peer

NAME = "mx.example.test"
AUTHORITY = TestAuthority()
TRUST = TrustStore([AUTHORITY.certificate])
USAGES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
    "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip


def judge(issued: Issued, *names: str, trust: TrustStore = TRUST, at: float | None = None) -> str:
    """The verdict in one word: the status, or the reason."""
    try:
        return verify_peer(
            issued.der,
            trust=trust,
            names=names or (NAME,),
            purpose="server",
            at=time.time() if at is None else at,
        ).status
    except VerificationError as error:
        assert error.message
        return error.reason


def test_trusted_without_a_name_and_verified_with_one() -> None:
    """The status says whether a name was asked for."""
    issued = AUTHORITY.issue(NAME, "192.0.2.1", x509.RFC822Name("postmaster@example.test"))
    plain = verify_peer(issued.der, trust=TRUST, names=(), purpose="server", at=time.time())
    assert plain.status == "trusted"
    assert plain.names == (NAME, "192.0.2.1", "email:postmaster@example.test")
    assert judge(issued) == "verified"


def test_store_that_was_used_goes_on_telling_the_time() -> None:
    """A verdict for another time leaves the next one alone, whichever comes first."""
    issued = AUTHORITY.issue(NAME)
    now = time.time()
    for _ in range(2):
        assert judge(issued) == "verified"
        assert judge(issued, at=now + 400 * 86400) == "expired"
        assert judge(issued, at=now - 400 * 86400) == "not-yet-valid"


def test_no_certificate_is_a_failure_of_its_own() -> None:
    """An empty chain is not malformed, it is absent."""
    with pytest.raises(VerificationError) as caught:
        verify_peer((), trust=TRUST, names=(NAME,), purpose="server", at=time.time())
    assert caught.value.reason == "no-certificate"


def test_chain_without_end_is_refused() -> None:
    """Only so many certificates are looked at."""
    leaf = AUTHORITY.issue(NAME)
    assert judge(Issued(leaf.certificate, leaf.key, leaf.chain * CHAIN_LIMIT)) == "verified"
    der = leaf.der * (CHAIN_LIMIT + 1)
    with pytest.raises(VerificationError, match="a chain of"):
        verify_peer(der, trust=TRUST, names=(NAME,), purpose="server", at=time.time())


def test_octets_that_are_no_certificate_are_malformed() -> None:
    """Garbage in the place of a certificate."""
    with pytest.raises(VerificationError) as caught:
        verify_peer((b"garbage",), trust=TRUST, names=(NAME,), purpose="server", at=time.time())
    assert caught.value.reason == "malformed"
    assert claimed_names((b"garbage",)) == ()
    assert claimed_names(()) == ()


def test_names_that_are_claimed_are_the_leafs() -> None:
    """Not those of an authority that came with it."""
    leaf, other = AUTHORITY.issue(NAME), AUTHORITY.issue("other.example.test")
    assert claimed_names((*leaf.der, *other.der)) == (NAME,)


def test_names_that_cannot_be_read_are_malformed() -> None:
    """A subjectAltName with octets that are no name."""
    extension = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, b"\x30\x03\x82\x01\xff")
    assert judge(AUTHORITY.issue(extra=[(extension, False)])) == "malformed"


@pytest.mark.parametrize(
    ("names", "common_name", "words"),
    [
        (("other.example.test", "192.0.2.9"), NAME, "is for other.example.test, 192.0.2.9, not for"),
        ((), "mx.example.test\n250 ok", r"its CN alone says mx.example.test\n250 ok, and only a subjectAltName"),
        ((), "", "is for no name at all, not for mx.example.test"),
    ],
)
def test_wrong_name_says_which_names_there_are(names: tuple[str, ...], common_name: str, words: str) -> None:
    """Those that count; a common name as what does not, escaped and cut; or that there is none."""
    issued = AUTHORITY.issue(*names, common_name=common_name)
    with pytest.raises(VerificationError) as caught:
        verify_peer(issued.der, trust=TRUST, names=(NAME,), purpose="server", at=time.time())
    assert caught.value.reason == "wrong-name"
    assert words in caught.value.message


def test_signature_that_does_not_fit_is_a_bad_signature() -> None:
    """Another key behind the same authority's name."""
    impostor = TestAuthority("gatepost test authority", key=key_for("somebody else"))
    issued = impostor.issue(NAME)
    assert judge(issued) in ("bad-signature", "untrusted")


def test_authority_with_a_path_length_limits_its_children() -> None:
    """A chain longer than the authority permits."""
    middle = AUTHORITY.intermediate()
    assert judge(middle.intermediate("the one below").issue(NAME)) == "verified"


def test_anchor_may_be_an_intermediate_or_the_leaf_itself() -> None:
    """What is in the CA file is trusted, root or not."""
    middle = AUTHORITY.intermediate()
    issued = middle.issue(NAME)
    assert judge(issued, trust=TrustStore([middle.certificate])) == "verified"
    alone = self_signed(NAME)
    assert judge(alone) == "self-signed"
    assert judge(alone, trust=TrustStore([alone.certificate])) == "verified"


def test_other_root_at_the_end_of_the_chain_is_untrusted() -> None:
    """A chain that ends in a root we do not know, sent along."""
    stranger = TestAuthority("a stranger")
    issued = stranger.issue(NAME)
    chain = Issued(issued.certificate, issued.key, (issued.certificate, stranger.certificate))
    assert judge(chain) == "untrusted"
    with pytest.raises(VerificationError, match=r"\(certificate 1 of the chain\)$"):
        verify_peer(chain.der, trust=TRUST, names=(NAME,), purpose="server", at=time.time())


def test_fault_of_the_leaf_is_told_without_its_place() -> None:
    """Of an authority its place in the chain is told, as above; the leaf needs none."""
    with pytest.raises(VerificationError, match=r"^certificate has expired$"):
        verify_peer(
            AUTHORITY.issue(NAME, not_after=AUTHORITY.now - DAY).der,
            trust=TRUST, names=(NAME,), purpose="server", at=time.time(),
        )  # fmt: skip


def test_signature_without_a_hash_is_as_good_as_any() -> None:
    """Ed25519 signs the octets themselves (RFC 8410)."""
    authority = TestAuthority("an Ed25519 authority", key=key_for("ed25519 authority", "ed25519"))
    middle = authority.intermediate("a P-256 one below")
    trust = TrustStore([authority.certificate])
    assert judge(authority.issue(NAME), trust=trust) == judge(middle.issue(NAME), trust=trust) == "verified"


@pytest.mark.parametrize(
    ("usages", "verdict"),
    [
        (None, "verified"),
        ((ExtendedKeyUsageOID.SERVER_AUTH,), "verified"),
        ((ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,), "verified"),
        ((ExtendedKeyUsageOID.EMAIL_PROTECTION,), "wrong-purpose"),
    ],
)
def test_purpose_must_be_stated_or_left_open(usages: tuple[x509.ObjectIdentifier, ...] | None, verdict: str) -> None:
    """Extended key usage, when it is there, must name the purpose (RFC 5280 §4.2.1.12)."""
    assert judge(AUTHORITY.issue(NAME, usages=usages)) == verdict


def test_client_purpose_is_judged_alike() -> None:
    """A server-only certificate is no client's."""
    issued = AUTHORITY.issue(NAME, usages=(ExtendedKeyUsageOID.SERVER_AUTH,))
    with pytest.raises(VerificationError) as caught:
        verify_peer(issued.der, trust=TRUST, names=(), purpose="client", at=time.time())
    assert caught.value.reason == "wrong-purpose"


class TestRevocation:
    """CRL_CHECK and CRL_CHECK_ALL together."""

    def test_leaf_and_intermediate_are_both_looked_up(self) -> None:
        """A good chain passes, a revoked leaf and a revoked intermediate do not, nor one without its list."""
        middle = AUTHORITY.intermediate("a revoking intermediate")
        good, bad = middle.issue(NAME), middle.issue(NAME)
        middle.revoke(bad)
        both = TRUST.revoking([AUTHORITY.crl(), middle.crl()])
        assert judge(good, trust=both) == "verified"
        assert judge(bad, trust=both) == "revoked"
        assert judge(good, trust=TRUST.revoking([AUTHORITY.crl()])) == "revocation-unknown"
        assert judge(good, trust=TRUST.revoking([middle.crl()])) == "revocation-unknown"
        root = TestAuthority("a root that revokes its intermediate")
        fallen = root.intermediate("a fallen intermediate")
        issued = fallen.issue(NAME)
        root._revoked.append(fallen.certificate.serial_number)
        trust = TrustStore([root.certificate], crls=[root.crl(), fallen.crl()])
        assert judge(issued, trust=trust) == "revoked"

    def test_revoked_leaf_directly_under_the_root(self) -> None:
        """The case that CRL_CHECK_ALL alone lets pass."""
        issued = AUTHORITY.issue(NAME)
        authority = TestAuthority()
        authority.revoke(issued)
        crls = [authority.crl()]
        with pytest.raises(VerificationError) as caught:
            verify_peer(issued.der, trust=TRUST, names=(NAME,), purpose="server", at=time.time(), crls=crls)
        assert caught.value.reason == "revoked"

    def test_old_list_is_not_believed(self) -> None:
        """A list past its time tells nothing."""
        old = AUTHORITY.crl(next_update=AUTHORITY.now - DAY)
        assert judge(AUTHORITY.issue(NAME), trust=TRUST.revoking([old])) == "revocation-unknown"


def test_reference_that_is_no_name_is_our_own_mistake() -> None:
    """A bad reference name is never a peer's failure."""
    with pytest.raises(LocalProtocolError):
        judge(AUTHORITY.issue(NAME), "not a name")


def test_weak_curve_and_key_usage_are_refused() -> None:
    """Below P-256, or a key that may only sign lists."""
    from cryptography.hazmat.primitives.asymmetric import ec

    weak = ec.generate_private_key(ec.SECP224R1())
    assert judge(AUTHORITY.issue(NAME, key=weak)) in ("weak-key", "malformed")


@pytest.mark.parametrize("broken", ["sha1", "md5"])
def test_broken_signature_algorithms_are_refused(broken: BrokenHash) -> None:
    """MD5 and SHA-1 below the anchor; the anchor's own signature is nobody's business."""
    authority = TestAuthority("an RSA authority", key=key_for("rsa authority", "rsa2048"))
    trust = TrustStore([authority.certificate])
    assert judge(authority.issue(NAME), trust=trust) == "verified"
    assert judge(authority.issue(NAME, broken_hash=broken), trust=trust) == "weak-signature"


def test_only_the_signature_of_an_authority_we_trust_is_nobodys_business() -> None:
    """A root's SHA-1 says nothing; an intermediate's may be forged, and a leaf's, though it is trusted itself."""
    root = TestAuthority("an RSA authority", key=key_for("rsa authority", "rsa2048"))
    broken_root = _resign(root.certificate, root.key, "sha1")
    middle = root.intermediate("an intermediate with a broken signature")
    broken_middle = _resign(middle.certificate, root.key, "sha1")
    leaf = middle.issue(NAME)
    below = Issued(leaf.certificate, leaf.key, (leaf.certificate, broken_middle))
    broken_leaf = root.issue(NAME, broken_hash="sha1")
    assert judge(root.issue(NAME), trust=TrustStore([broken_root])) == "verified"
    assert judge(below, trust=TrustStore([root.certificate])) == "weak-signature"
    assert judge(below, trust=TrustStore([broken_middle])) == "verified"
    assert judge(broken_leaf, trust=TrustStore([broken_leaf.certificate])) == "weak-signature"


@pytest.mark.parametrize(
    ("usage", "verdict"),
    [
        ("digital_signature", "verified"),
        ("key_encipherment", "verified"),
        ("key_agreement", "verified"),
        ("data_encipherment", "wrong-purpose"),
        ("crl_sign", "wrong-purpose"),
    ],
)
def test_key_usage_must_be_one_of_tls(usage: str, verdict: str) -> None:
    """A leaf that may only encipher data, or sign lists, speaks no TLS (RFC 5280 §4.2.1.3)."""
    allowed = dict.fromkeys(USAGES, False) | {usage: True}
    assert judge(AUTHORITY.issue(NAME, key_usage=x509.KeyUsage(**allowed))) == verdict


def test_long_valid_leaf_is_judged_at_its_edges() -> None:
    """Valid through the last second."""
    end = AUTHORITY.now + timedelta(days=30)
    issued = AUTHORITY.issue(NAME, not_after=end)
    assert judge(issued, at=end.timestamp() - 1) == "verified"
    assert judge(issued, at=end.timestamp() + 2) == "expired"
