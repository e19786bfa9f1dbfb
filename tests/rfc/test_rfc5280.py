"""Certificates: the rules for paths that only an unusual authority breaks."""

from __future__ import annotations

import time
from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ObjectIdentifier

from gatepost.errors import VerificationError
from gatepost.testing.ca import Issued, TestAuthority, key_for
from gatepost.tls.trust import TrustStore
from gatepost.tls.verify import verify_peer

NAME = "mx.example.test"
ROOT = TestAuthority()
NO_MORE = x509.BasicConstraints(ca=True, path_length=0)
UNKNOWN = x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.32473.1"), b"\x05\x00")
SIGNS = x509.KeyUsage(True, False, False, False, False, True, True, False, False)


def odd_authority(name: str, issuer: TestAuthority, *extensions: x509.ExtensionType) -> TestAuthority:
    """An authority below another one, with critical extensions of its own."""
    made = issuer.intermediate(name)
    builder = (
        x509.CertificateBuilder()
        .subject_name(made.certificate.subject)
        .issuer_name(issuer.certificate.subject)
        .public_key(made.key.public_key())
        .serial_number(77)
        .not_valid_before(made.now - timedelta(days=1))
        .not_valid_after(made.now + timedelta(days=30))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(made.key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False)
    )
    usual: tuple[x509.ExtensionType, ...] = (x509.BasicConstraints(ca=True, path_length=None), SIGNS)
    for extension in {type(extension): extension for extension in (*usual, *extensions)}.values():
        builder = builder.add_extension(extension, critical=True)
    certificate = builder.sign(issuer.key, hashes.SHA256())
    vars(made)["certificate"] = certificate
    return made


def verdict(issued: Issued) -> str:
    """``verified``, or the reason why not."""
    trust = TrustStore([ROOT.certificate])
    try:
        return verify_peer(issued.der, trust=trust, names=(NAME,), purpose="server", at=time.time()).status
    except VerificationError as error:
        return error.reason


def test_authority_certifies_no_deeper_than_it_may() -> None:
    """RFC 5280 §4.2.1.9: pathLenConstraint 0 allows leaves and no authority below."""
    short = odd_authority("an authority for leaves", ROOT, NO_MORE)
    assert verdict(short.issue(NAME)) == "verified"
    assert verdict(short.intermediate("one too deep").issue(NAME)) != "verified"


def test_authority_that_may_not_sign_certificates_vouches_for_nobody() -> None:
    """RFC 5280 §4.2.1.3: keyCertSign is asserted where a key verifies certificates."""
    usage = x509.KeyUsage(True, False, False, False, False, False, True, False, False)
    assert verdict(odd_authority("signs lists alone", ROOT, usage).issue(NAME)) != "verified"


def test_authority_vouches_only_for_the_names_it_may() -> None:
    """RFC 5280 §4.2.1.10: names outside of the permitted subtrees are refused, those inside are good."""
    inside, outside = (
        x509.NameConstraints([x509.DNSName(domain)], None) for domain in ("example.test", "elsewhere.test")
    )
    assert verdict(odd_authority("for example.test", ROOT, inside).issue(NAME)) == "verified"
    assert verdict(odd_authority("for elsewhere.test", ROOT, outside).issue(NAME)) != "verified"


def test_critical_extension_that_nobody_knows_is_refused() -> None:
    """RFC 5280 §4.2: in a leaf as in an authority; one that is not critical is passed over."""
    assert verdict(ROOT.issue(NAME, extra=[(UNKNOWN, False)])) == "verified"
    assert verdict(ROOT.issue(NAME, extra=[(UNKNOWN, True)])) != "verified"
    assert verdict(odd_authority("an odd authority", ROOT, UNKNOWN).issue(NAME)) != "verified"


def test_key_that_only_looks_like_the_authoritys_vouches_for_nobody() -> None:
    """RFC 5280 §6.1.3: every signature of the path is verified with the key above it."""
    impostor = TestAuthority("gatepost test authority", key=key_for("an impostor"))
    assert verdict(impostor.issue(NAME)) != "verified"
