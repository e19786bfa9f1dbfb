"""Contexts: what a profile may say, which certificate is chosen, what a client asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatepost.errors import CertificateError, ConfigError, LocalProtocolError
from gatepost.testing.ca import TestAuthority, key_for
from gatepost.testing.handshakes import private_pair
from gatepost.tls.contexts import ClientTLS, Level, TLSProfile, client_context, server_contexts, shown_for
from gatepost.tls.credential import Credential
from gatepost.tls.trust import TrustStore

NAME = "mx.example.test"
AUTHORITY = TestAuthority()
TRUST = TrustStore([AUTHORITY.certificate])


def credential(*names: str) -> Credential:
    return AUTHORITY.issue(*names).credential


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        (TLSProfile(minimum="SSLv3"), "tls.minimum"),
        (TLSProfile(maximum="TLSv2"), "tls.maximum"),
        (TLSProfile(minimum="TLSv1.3", maximum="TLSv1.2"), "older than the minimum"),
        (TLSProfile(ciphers="NONSENSE"), "tls.ciphers"),
        (TLSProfile(ciphers="ÄÖÜ"), "tls.ciphers"),
        (TLSProfile(suites="TLS_NONSENSE"), "tls.suites"),
    ],
)
def test_profile_that_cannot_be_is_refused_with_its_key(profile: TLSProfile, words: str) -> None:
    """The error names the key."""
    with pytest.raises(ConfigError, match=words):
        server_contexts([credential(NAME)], profile)


def test_server_without_a_certificate_is_refused() -> None:
    """There is no anonymous TLS."""
    with pytest.raises(ConfigError):
        server_contexts([])


def test_key_that_does_not_fit_is_refused_by_the_context() -> None:
    """A credential put together by hand is still checked."""
    good = credential(NAME)
    bad = Credential(good.certificate, (), key_for("another"), good.names, None, "by hand")
    with pytest.raises(ConfigError, match="by hand"):
        server_contexts([bad])
    with pytest.raises(ConfigError, match="by hand"):
        client_context(credential=bad, trust=TRUST)


def test_name_chooses_the_certificate() -> None:
    """Exact names first, then wildcards of one label, then the default."""
    contexts = server_contexts(
        [credential(NAME), credential("*.example.org", "example.org"), credential("www.example.org")]
    )
    default = contexts.choose(None)
    assert contexts.choose(NAME) is default
    assert contexts.choose("unknown.example") is default
    wild = contexts.choose("a.example.org")
    assert wild is not default
    assert contexts.choose("example.org") is wild
    assert contexts.choose("a.b.example.org") is default
    assert contexts.choose("www.example.org") not in (wild, default)
    assert len(contexts.credentials) == 3


def test_one_certificate_serves_every_name() -> None:
    """With one vhost there is nothing to choose."""
    contexts = server_contexts([credential(NAME, "*.example.org")])
    assert contexts.choose("a.example.org") is contexts.choose(None)


def test_exact_names_alone_need_no_wildcards() -> None:
    """Two vhosts without wildcards."""
    contexts = server_contexts([credential("a.example"), credential("b.example")])
    assert contexts.choose("b.example") is not contexts.choose("c.example")


def test_two_kinds_of_key_share_one_context() -> None:
    """ECDSA and RSA for the same name: the client's abilities decide, and the binding is that of what was shown."""
    both = [credential(NAME), AUTHORITY.issue(NAME, key=key_for("rsa leaf", "rsa2048")).credential]
    contexts = server_contexts(both)
    seen = set()
    for ciphers in ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"):
        profile = TLSProfile(maximum="TLSv1.2", ciphers=ciphers)
        server, peer = private_pair(contexts, ClientTLS(client_context(profile=profile, trust=TRUST), NAME))
        assert server.evidence.tls_server_end_point == peer.evidence.tls_server_end_point is not None
        seen.add(server.evidence.tls_server_end_point)
    assert len(seen) == 2


def test_intermediates_are_sent() -> None:
    """The chain of the file goes to the peer."""
    issued = AUTHORITY.intermediate().issue(NAME)
    _, peer = private_pair(server_contexts([issued.credential]), ClientTLS(client_context(trust=TRUST), NAME))
    assert peer.evidence.peer_chain == issued.der


def test_client_may_carry_a_certificate() -> None:
    """A client's own credential is accepted; nobody asks for it here."""
    context = client_context(trust=TRUST, credential=credential("client.example.test"))
    _, peer = private_pair(server_contexts([credential(NAME)]), ClientTLS(context, NAME))
    assert peer.evidence.verification.status == "verified"


def test_ca_file_is_loaded(tmp_path: Path) -> None:
    """Named authorities are the only ones."""
    path = tmp_path / "ca.pem"
    path.write_bytes(AUTHORITY.pem)
    _, peer = private_pair(server_contexts([credential(NAME)]), ClientTLS(client_context(path), NAME))
    assert peer.evidence.verification.status == "verified"
    with pytest.raises(CertificateError):
        client_context(tmp_path / "none.pem")


@pytest.mark.parametrize(("name", "level", "names"), [(None, "verify", ()), ("a b", "may", ()), (NAME, "must", ())])
def test_settings_that_cannot_be_are_refused(name: str | None, level: Level, names: tuple[str, ...]) -> None:
    """Verify needs a name, a name must be one, a level must exist."""
    with pytest.raises(LocalProtocolError):
        ClientTLS(client_context(trust=TRUST), name, level, names)


def test_server_name_is_sent_as_a_labels() -> None:
    """U-labels are converted, addresses are not sent (RFC 6066 §3)."""
    context = client_context(trust=TRUST)
    assert ClientTLS(context, "MX.Grün.example.").sni == b"mx.xn--grn-ioa.example"
    assert ClientTLS(context, "[2001:db8::1]").sni is None
    assert ClientTLS(context, None, "may").sni is None


def test_kinds_of_keys_share_a_name_with_or_without_a_wildcard() -> None:
    """For each kind of key the first certificate that has the name, exactly rather than by wildcard."""
    rsa = key_for("an RSA leaf", "rsa2048")
    exact, wild = AUTHORITY.issue("www.example.org").credential, AUTHORITY.issue("*.example.org").credential
    again = AUTHORITY.issue("www.example.org").credential
    wild_rsa = AUTHORITY.issue("*.example.org", key=rsa).credential
    every = (wild, exact, again, wild_rsa)
    assert shown_for("www.example.org", every) == (exact, wild_rsa)
    assert shown_for("*.example.org", every) == (wild, wild_rsa)
    assert shown_for("example.org", every) == ()


def test_default_has_every_kind_of_key_for_its_first_name() -> None:
    """Clients that name nobody may be old, too."""
    rsa = AUTHORITY.issue(NAME, "b.example", key=key_for("an RSA leaf", "rsa2048")).credential
    contexts = server_contexts([credential(NAME), rsa])
    profile = TLSProfile(maximum="TLSv1.2", ciphers="ECDHE-RSA-AES128-GCM-SHA256")
    for name in (NAME, "unknown.example"):
        settings = ClientTLS(client_context(trust=TRUST, profile=profile), name, "encrypt")
        _, peer = private_pair(contexts, settings)
        assert peer.evidence.tls_server_end_point == rsa.end_point
    assert contexts.choose("b.example") is not contexts.choose(NAME)
    nameless = AUTHORITY.issue(common_name=NAME).credential
    assert server_contexts([nameless, rsa]).choose("unknown.example") is not None


def test_each_certificate_is_sent_with_its_own_chain() -> None:
    """The intermediate of the RSA certificate does not travel with the ECDSA one."""
    first = AUTHORITY.intermediate("one").issue(NAME)
    second = AUTHORITY.intermediate("two").issue(NAME, key=key_for("an RSA leaf", "rsa2048"))
    contexts = server_contexts([first.credential, second.credential])
    rsa_only = TLSProfile(maximum="TLSv1.2", ciphers="ECDHE-RSA-AES128-GCM-SHA256")
    for profile, issued in ((None, first), (rsa_only, second)):
        _, peer = private_pair(contexts, ClientTLS(client_context(trust=TRUST, profile=profile), NAME))
        assert peer.evidence.peer_chain == issued.der


def test_sessions_live_as_long_as_the_profile_says() -> None:
    """An old one begins with a full handshake: a stolen ticket key is not worth more than that."""
    context = server_contexts([credential(NAME)], TLSProfile(ticket_lifetime=77)).choose(None)
    assert context.get_timeout() == 77
