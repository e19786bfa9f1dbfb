"""Row B6: the attacker shows a certificate that is not good enough, and wants the client to go on."""

from __future__ import annotations

import pytest
from cryptography import x509

from gatepost.errors import HandshakeError, VerificationError
from gatepost.testing.ca import CLIENT_ONLY, DAY, Issued, TestAuthority, key_for, self_signed
from gatepost.testing.handshakes import client_side, private_pair, server_side
from gatepost.tls.contexts import ClientTLS, ServerContexts, TLSProfile, Vhost, _server_context, client_context
from gatepost.tls.credential import Credential
from gatepost.tls.trust import TrustStore

NAME = "mx.example.test"
AUTHORITY = TestAuthority()
TRUST = TrustStore([AUTHORITY.certificate])
RSA_AUTHORITY = TestAuthority("an RSA authority", key=key_for("rsa authority", "rsa2048"))
RSA_TRUST = TrustStore([RSA_AUTHORITY.certificate])


def hostile_server(issued: Issued) -> ServerContexts:
    """A server that shows what ours would refuse to load."""
    shown = Credential(issued.certificate, issued.chain[1:], issued.key, (), None, "the attacker's")
    profile = TLSProfile(ciphers="ALL:@SECLEVEL=0")
    return ServerContexts(Vhost(_server_context([shown], profile), [shown]), {}, {}, (shown,))


def verdict(issued: Issued, *, name: str = NAME, trust: TrustStore = TRUST) -> str:
    """Connect at level verify to a server that shows a certificate: the reason for refusing it, or ``verified``.

    Nothing of the application may have been sent when it is refused.
    """
    server, client = server_side(hostile_server(issued)), client_side(ClientTLS(client_context(trust=trust), name))
    server.receive(client.outgoing())
    server.advance()
    client.receive(server.outgoing())
    try:
        stream = client.advance()
    except VerificationError as error:
        server.receive(client.outgoing())
        private = server.advance()
        assert private is not None
        with pytest.raises(Exception, match="closed the connection"):
            private.receive(b"")
        return error.reason
    except HandshakeError:
        return "handshake"
    assert stream is not None
    return stream.evidence.verification.status


def test_good_certificate_is_verified() -> None:
    """The control: nothing is wrong, so nothing is refused."""
    assert verdict(AUTHORITY.issue(NAME)) == "verified"
    assert verdict(AUTHORITY.intermediate().issue("other.example.test", NAME)) == "verified"


def test_attacker_shows_a_certificate_for_another_name() -> None:
    """Wrong name."""
    assert verdict(AUTHORITY.issue("attacker.example")) == "wrong-name"


def test_attacker_shows_a_stolen_certificate_that_has_expired() -> None:
    """Expired."""
    assert verdict(AUTHORITY.issue(NAME, not_after=AUTHORITY.now - DAY)) == "expired"


def test_attacker_shows_a_certificate_that_is_not_yet_valid() -> None:
    """Not yet valid."""
    assert verdict(AUTHORITY.issue(NAME, not_before=AUTHORITY.now + DAY)) == "not-yet-valid"


def test_attacker_makes_an_authority_of_his_own() -> None:
    """Unknown CA."""
    assert verdict(TestAuthority("the attacker's own").issue(NAME)) == "untrusted"


def test_attacker_signs_his_certificate_himself() -> None:
    """Self-signed."""
    assert verdict(self_signed(NAME)) == "self-signed"


def test_chain_without_its_intermediate_is_not_guessed() -> None:
    """Missing intermediate."""
    assert verdict(AUTHORITY.intermediate().issue(NAME, with_intermediates=False)) == "untrusted"


def test_attacker_issues_with_a_leaf_he_owns() -> None:
    """Issued by a non-CA."""
    assert verdict(AUTHORITY.intermediate("a leaf that issues", is_ca=False).issue(NAME)) == "not-a-ca"


def test_attacker_serves_with_a_client_certificate() -> None:
    """Client-only EKU."""
    assert verdict(AUTHORITY.issue(NAME, usages=CLIENT_ONLY)) == "wrong-purpose"


def test_name_in_the_common_name_only_is_not_read() -> None:
    """Name only in CN (RFC 9525)."""
    assert verdict(AUTHORITY.issue(common_name=NAME)) == "wrong-name"


def test_right_common_name_beside_another_alternative_name_is_not_read() -> None:
    """Right CN but other SAN."""
    assert verdict(AUTHORITY.issue("attacker.example", common_name=NAME)) == "wrong-name"


def test_address_spelled_as_a_host_name_is_no_address() -> None:
    """IP spelled as a DNS name: an address matches iPAddress entries only."""
    assert verdict(AUTHORITY.issue(x509.DNSName("192.0.2.1")), name="192.0.2.1") == "wrong-name"
    assert verdict(AUTHORITY.issue("192.0.2.1"), name="192.0.2.1") == "verified"
    assert verdict(AUTHORITY.issue("192.0.2.1"), name="192.0.2.2") == "wrong-name"


@pytest.mark.parametrize("pattern", ["*", "*.*.test", "m*.example.test", "*x.example.test", "mx.*.test", "*.test"])
def test_attacker_holds_a_wildcard_that_is_none(pattern: str) -> None:
    """`*`, `*.*.x`, `m*.x`, and a whole top-level domain."""
    assert verdict(AUTHORITY.issue(pattern)) == "wrong-name"


def test_wildcard_stands_for_one_label() -> None:
    """`*.x` is one label, neither none nor two."""
    assert verdict(AUTHORITY.issue("*.example.test")) == "verified"
    assert verdict(AUTHORITY.issue("*.example.test"), name="example.test") == "wrong-name"
    assert verdict(AUTHORITY.issue("*.example.test"), name="a.mx.example.test") == "wrong-name"


@pytest.mark.parametrize(
    "lookalike",
    ["mx.example.test.attacker.example", "xmx.example.test", "x.mx.example.test", "mx.example.tes", "mx-example.test"],
)
def test_attacker_registers_a_lookalike(lookalike: str) -> None:
    """Prefix and suffix look-alikes."""
    assert verdict(AUTHORITY.issue(lookalike)) == "wrong-name"


def test_attacker_factored_a_short_key() -> None:
    """A 1024-bit key."""
    assert verdict(AUTHORITY.issue(NAME, key=key_for("weak leaf", "rsa1024"))) == "weak-key"


def test_attacker_made_a_collision() -> None:
    """MD5 and SHA-1 signatures: refused in the verdict, or by OpenSSL before it."""
    assert verdict(RSA_AUTHORITY.issue(NAME), trust=RSA_TRUST) == "verified"
    assert verdict(RSA_AUTHORITY.issue(NAME, broken_hash="sha1"), trust=RSA_TRUST) in ("weak-signature", "handshake")
    assert verdict(RSA_AUTHORITY.issue(NAME, broken_hash="md5"), trust=RSA_TRUST) in ("weak-signature", "handshake")


def test_authority_with_a_short_key_vouches_for_nobody() -> None:
    """A 1024-bit key above a good leaf."""
    weak = TestAuthority("a weak authority", key=key_for("weak authority", "rsa1024"))
    assert verdict(weak.issue(NAME), trust=TrustStore([weak.certificate])) == "weak-key"


def test_a_label_and_u_label_are_the_same_name() -> None:
    """A-label against U-label: equal, and never by the rules of 2003, which make `ss` of `ß`."""
    assert verdict(AUTHORITY.issue("mx.xn--grn-ioa.test"), name="mx.grün.test") == "verified"
    assert verdict(AUTHORITY.issue("mx.xn--fa-hia.test"), name="mx.faß.test") == "verified"
    assert verdict(AUTHORITY.issue("mx.fass.test"), name="mx.faß.test") == "wrong-name"


def test_trailing_dot_and_case_change_nothing() -> None:
    """Trailing dot, case."""
    assert verdict(AUTHORITY.issue("MX.Example.TEST"), name="mx.EXAMPLE.test.") == "verified"


def test_attacker_stole_a_key_and_the_certificate_was_revoked() -> None:
    """A revoked leaf is refused as soon as a list says so."""
    issued = AUTHORITY.issue(NAME)
    authority = TestAuthority()
    authority.revoke(issued)
    assert verdict(issued, trust=TRUST.revoking([authority.crl()])) == "revoked"


def test_opportunistic_client_is_told_what_is_wrong() -> None:
    """At level may the connection goes on, and the evidence never says verified."""
    for issued in (
        AUTHORITY.issue(NAME, key=key_for("weak leaf", "rsa1024")),
        AUTHORITY.issue(NAME, not_after=AUTHORITY.now - DAY),
        self_signed(NAME),
    ):
        _, client = private_pair(hostile_server(issued), ClientTLS(client_context(trust=TRUST), NAME, "may"))
        assert client.evidence.verification.status == "untrusted"
        assert client.evidence.verification.reason
