"""Postfix: its TLS settings, its networks, and the tables that they name."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.config.importers.conftest import Accept, Imported

from gatepost.config.importers.postfix import from_postfix
from gatepost.testing.ca import TestAuthority, key_for

ROOT = TestAuthority("old root")
MX = ROOT.issue("mx.example.org")
RSA = ROOT.issue("mx.example.org", key=key_for("an RSA server", "rsa2048"))
PIN = "AB:" * 31 + "AB"
HEAD = "myhostname = mx.example.org\nmynetworks = 127.0.0.0/8\n"


def _import(directory: Path, accept: Accept, text: str) -> Imported:
    file = directory / "main.cf"
    file.write_text(HEAD + text)
    return accept(from_postfix(file))


@pytest.mark.parametrize(
    ("text", "starttls"),
    [
        ("", "deny"), ("smtpd_tls_security_level = may", "offer"), ("smtpd_tls_security_level = encrypt", "require"),
        ("smtpd_use_tls = yes", "offer"), ("smtpd_enforce_tls = yes", "require"),
        ("level = may\nsmtpd_tls_security_level = $level", "offer"),
        ("smtpd_tls_security_level = dane", "offer"),
    ],
)  # fmt: skip
def test_server_levels(tmp_path: Path, accept: Accept, text: str, starttls: str) -> None:
    """The old switches too, where the level is not set."""
    assert _import(tmp_path, accept, text).inbound("192.0.2.1").starttls == starttls


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("", "none"), ("smtp_tls_security_level = may", "may"), ("smtp_tls_security_level = encrypt", "encrypt"),
        ("smtp_tls_security_level = verify", "verify"), ("smtp_tls_security_level = secure", "secure"),
        ("smtp_use_tls = yes", "may"), ("smtp_enforce_tls = yes", "verify"),
        ("smtp_enforce_tls = yes\nsmtp_tls_enforce_peername = no", "encrypt"),
        ("smtp_tls_security_level = dane", "may"), ("smtp_tls_security_level = dane-only", "verify"),
        ("smtp_tls_security_level = nonsense", "verify"), ("smtp_tls_security_level = fingerprint", "verify"),
    ],
)  # fmt: skip
def test_client_levels(tmp_path: Path, accept: Accept, text: str, level: str) -> None:
    """Never less than Postfix, but for DANE, which is named."""
    done = _import(tmp_path, accept, text)
    assert done.outbound("a.example", "mx.a.example").level == level
    assert ("dane" not in text) or done.noticed("main.cf:3", "signed DNS")


def test_certificates_as_chain_files_or_in_pairs(tmp_path: Path, accept: Accept) -> None:
    """The first goes into [tls], the second into a [[certificate]]."""
    MX.write(tmp_path / "ec.pem", key_first=True)
    RSA.write(tmp_path / "rsa.pem", key_first=True)
    done = _import(tmp_path, accept, "smtpd_tls_chain_files = rsa.pem,\n ec.pem\nsmtpd_tls_cert_file = old.pem\n")
    assert done.config.tls.certificate == tmp_path / "rsa.pem"
    assert [each.file for each in done.config.certificate] == [tmp_path / "ec.pem"]


def test_certificate_with_its_key_apart(tmp_path: Path, accept: Accept) -> None:
    """And DSA, which is gone."""
    (tmp_path / "cert.pem").write_bytes(MX.chain_pem)
    (tmp_path / "key.pem").write_bytes(MX.key_pem)
    text = "smtpd_tls_eccert_file = cert.pem\nsmtpd_tls_eckey_file = key.pem\nsmtpd_tls_dcert_file = dsa.pem\n"
    done = _import(tmp_path, accept, text)
    assert (done.config.tls.certificate, done.config.tls.key) == (tmp_path / "cert.pem", tmp_path / "key.pem")
    assert done.noticed("main.cf:5", "smtpd_tls_dcert_file")


def test_unusable_certificate_is_a_comment_with_the_way_out(tmp_path: Path, accept: Accept) -> None:
    """It is not there."""
    done = _import(tmp_path, accept, "smtpd_tls_cert_file = none.pem\n")
    assert done.noticed("main.cf:3", "gatepost cert new") and "# certificate = " in done.text


@pytest.mark.parametrize(
    ("level", "asked", "word"),
    [("may", "ask", "ask"), ("encrypt", "ask", "ask"), ("encrypt", "req", "require"), ("may", "req", "ask")],
)
def test_clients_are_asked_for_certificates(tmp_path: Path, accept: Accept, level: str, asked: str, word: str) -> None:
    """Required only where TLS is, as in Postfix."""
    (tmp_path / "ca.pem").write_bytes(ROOT.pem)
    text = f"smtpd_tls_security_level = {level}\nsmtpd_tls_CAfile = ca.pem\nsmtpd_tls_{asked}_ccert = yes\n"
    done = _import(tmp_path, accept, text)
    assert done.config.tls.client_ca == tmp_path / "ca.pem"
    assert [rule.client_certificate for rule in done.config.inbound] == [word]


def test_required_certificate_without_an_authority_is_asked_for(tmp_path: Path, accept: Accept) -> None:
    """The rule for STARTTLS stands all the same."""
    done = _import(tmp_path, accept, "smtpd_tls_security_level = encrypt\nsmtpd_tls_req_ccert = yes\n")
    assert done.inbound("192.0.2.1").starttls == "require" and done.noticed("main.cf:4", "smtpd_tls_CAfile")


def test_relay_clientcerts_of_sha256_relay(tmp_path: Path, accept: Accept) -> None:
    """Other digests are named; without permit_tls_clientcerts nobody was let through."""
    (tmp_path / "relay").write_text(f"{PIN} ann's laptop\nAA:BB bob's\n")
    text = "relay_clientcerts = hash:relay\nsmtpd_relay_restrictions = permit_mynetworks, permit_tls_clientcerts\n"
    done = _import(tmp_path, accept, text)
    assert [rule.certificate_fingerprint for rule in done.config.relay] == [None, (PIN.replace(":", "").lower(),)]
    assert done.noticed("relay:2", "SHA-256")
    silent = _import(tmp_path, accept, "relay_clientcerts = hash:relay\n")
    assert len(silent.config.relay) == 1 and silent.noticed("relay_clientcerts", "permit_tls_clientcerts")


def test_policy_table_becomes_rules_by_destination(tmp_path: Path, accept: Accept) -> None:
    """Names, wildcards below them, match lists, pins, authorities, protocols; what is wrong is never less."""
    (tmp_path / "ca.pem").write_bytes(ROOT.pem)
    (tmp_path / "policy").write_text(
        "a.example none\n.a.example encrypt\nb.example secure match=nexthop:dot-nexthop\n[mx.c.example]:587 verify\n"
        f"d.example fingerprint match={PIN}\n  match={'12' * 32}\n"
        "e.example verify match=e1.example:e2.example tafile=ca.pem\n"
        "f.example encrypt protocols=>=TLSv1.3\ng.example wrong\nh.example dane-only\n"
        "i.example may odd=1\na.example may\n"
    )  # fmt: skip
    text = "smtp_tls_security_level = may\nsmtp_tls_policy_maps = hash:policy\n"
    done = _import(tmp_path, accept, text)
    levels = {
        "a.example": "none", "x.a.example": "encrypt", "b.example": "secure", "mx.c.example": "verify",
        "d.example": "fingerprint", "e.example": "verify", "f.example": "encrypt", "g.example": "verify",
        "h.example": "verify", "i.example": "may", "z.example": "may",
    }  # fmt: skip
    assert {name: done.outbound(name, f"mx.{name}").level for name in levels} == levels
    assert len(done.outbound("d.example").fingerprints) == 2
    assert done.outbound("e.example").handshake.ca == str(tmp_path / "ca.pem")
    assert done.outbound("f.example").handshake.minimum == "TLSv1.3"
    for place, words in (
        ("policy:9", "wrong"),
        ("policy:10", "dane-only"),
        ("policy:11", "odd"),
        ("policy:12", "there before"),
    ):
        assert done.noticed(place, words), words  # fmt: skip


def test_inline_policies_are_read_and_compiled_ones_named(tmp_path: Path, accept: Accept) -> None:
    """A table without a text cannot be read."""
    text = (
        "smtp_tls_security_level = may\n"
        "smtp_tls_policy_maps = inline:{ {a.example = encrypt}, b.example=verify }, ldap:x, hash:gone\n"
    )
    done = _import(tmp_path, accept, text)
    assert done.outbound("a.example").level == "encrypt" and done.outbound("b.example").level == "verify"
    assert done.noticed("main.cf:4", "ldap:x") and done.noticed("main.cf:4", "hash:gone")


def test_protocols_and_ciphers(tmp_path: Path, accept: Accept) -> None:
    """Both notations; grades and exclusions; what is older than TLS 1.2 is never spoken."""
    text = (
        "smtpd_tls_security_level = may\nsmtpd_tls_protocols = >=TLSv1.3\nsmtp_tls_security_level = may\n"
        "smtp_tls_protocols = !SSLv2, !SSLv3, !TLSv1.3\nsmtp_tls_exclude_ciphers = AES128, CHACHA20\n"
    )
    done = _import(tmp_path, accept, text)
    assert done.inbound("192.0.2.1").handshake.minimum == "TLSv1.3"
    handshake = done.outbound("a.example").handshake
    assert handshake.maximum == "TLSv1.2" and handshake.ciphers is not None and "!CHACHA20" in handshake.ciphers
    old = _import(tmp_path, accept, "smtpd_tls_security_level = may\nsmtpd_tls_protocols = SSLv3\n")
    assert old.noticed("main.cf:4", "nothing newer than TLS 1.1")


def test_own_cipher_list_is_tried(tmp_path: Path, accept: Accept) -> None:
    """Names that are gone are listed."""
    text = "smtpd_tls_security_level = may\ntls_medium_cipherlist = RC4-SHA:ECDHE-ECDSA-AES256-GCM-SHA384\n"
    done = _import(tmp_path, accept, text)
    assert done.inbound("192.0.2.1").handshake.ciphers == "ECDHE-ECDSA-AES256-GCM-SHA384"
    assert done.noticed("main.cf:4", "RC4-SHA")


def test_client_certificate_authorities_and_wrapper_mode(tmp_path: Path, accept: Accept) -> None:
    """smtp_tls_cert_file in one file with its key, smtp_tls_CAfile, smtpd_tls_wrappermode."""
    MX.write(tmp_path / "client.pem")
    (tmp_path / "ca.pem").write_bytes(ROOT.pem)
    text = (
        "smtp_tls_security_level = verify\nsmtp_tls_cert_file = client.pem\nsmtp_tls_CAfile = ca.pem\n"
        "smtpd_tls_wrappermode = yes\nsmtp_tls_CApath = certs\n"
    )
    done = _import(tmp_path, accept, text)
    handshake = done.outbound("a.example", "mx.a.example").handshake
    assert handshake.client_certificate == str(tmp_path / "client.pem")
    assert handshake.ca == str(tmp_path / "ca.pem") and done.config.listener[0].tls == "implicit"
    assert done.noticed("main.cf:7", "smtp_tls_CApath")


def test_networks_relay_unless_the_restrictions_forget_them(tmp_path: Path, accept: Accept) -> None:
    """IPv6 in brackets, files, exclusions."""
    (tmp_path / "nets").write_text("192.0.2.0/24\n")
    text = f"mynetworks = !10.0.0.9, 10.0.0.0/8 [2001:db8::]/32\n  {tmp_path}/nets\n"
    done = _import(tmp_path, accept, text)
    relays = {"10.0.0.1": True, "10.0.0.9": False, "2001:db8::1": True, "192.0.2.3": True, "127.0.0.1": False}
    assert {address: done.relays(address) for address in relays} == relays
    assert not _import(tmp_path, accept, "smtpd_relay_restrictions = reject_unauth_destination\n").config.relay


def test_names_relayhost_and_amounts(tmp_path: Path, accept: Accept) -> None:
    """mydestination, relayhost, its login, sizes and times."""
    text = (
        "mydestination = $myhostname, example.org\nrelayhost = [Relay.example]:submission\n"
        "smtp_sasl_auth_enable = yes\nmessage_size_limit = 2000000\nmaximal_queue_lifetime = 3d\n"
        "inet_interfaces = 127.0.0.1\n"
    )  # fmt: skip
    done = _import(tmp_path, accept, text)
    assert done.config.domains == ("mx.example.org", "example.org") and done.config.listener[0].bind == (
        "127.0.0.1:25",
    )
    assert done.config.delivery.smarthost == "relay.example:587" and done.config.limits.message_size == 2000000
    assert done.config.delivery.lifetime == 3 * 86400.0 and done.noticed("main.cf:5", "not copied")


def test_unknown_and_obsolete_parameters_are_named(tmp_path: Path, accept: Accept) -> None:
    """Also lines that are none, and parameters that are set twice."""
    done = _import(
        tmp_path, accept, "smtpd_tls_dh1024_param_file = dh.pem\nmystery = 1\nnonsense\nbiff = no\nmystery = 2\n"
    )
    assert done.noticed("main.cf:3", "obsolete") and done.noticed("main.cf:7", "mystery is not known")
    assert done.noticed("main.cf:5", "is no parameter") and done.noticed("main.cf:4", "set again at main.cf:7")
    assert "# main.cf:6: biff needs no line here." in done.text


_DOUBLING = "$a1$a1\n" + "".join(f"a{n} = $a{n + 1}$a{n + 1}\n" for n in range(1, 30)) + "a30 ="


@pytest.mark.parametrize("value", ["$b\nb = $a", "${a}", "${b?{$a}:{x}}\nb = 1", _DOUBLING])
def test_values_that_refer_to_themselves_end(tmp_path: Path, accept: Accept, value: str) -> None:
    """They are taken as empty, and named."""
    assert _import(tmp_path, accept, f"a = {value}\nsmtpd_tls_security_level = $a\n").noticed("refers to itself")


def test_chain_files_may_be_split_and_broken(tmp_path: Path, accept: Accept) -> None:
    """A key and then its certificate; a chain that goes on; a file that is none; a key alone."""
    (tmp_path / "key.pem").write_bytes(MX.key_pem)
    (tmp_path / "cert.pem").write_bytes(MX.chain_pem)
    (tmp_path / "chain.pem").write_bytes(ROOT.pem)
    (tmp_path / "junk.pem").write_bytes(b"junk")
    done = _import(tmp_path, accept, "smtpd_tls_chain_files = key.pem cert.pem chain.pem junk.pem key.pem\n")
    assert (done.config.tls.certificate, done.config.tls.key) == (tmp_path / "cert.pem", tmp_path / "key.pem")
    for words in ("goes on with a chain", "junk.pem", "is a key without a certificate"):
        assert done.noticed("main.cf:3", words), words


def test_client_certificate_with_its_key_apart_is_a_comment(tmp_path: Path, accept: Accept) -> None:
    """Here it is one file; a key alone is named."""
    (tmp_path / "key.pem").write_bytes(MX.key_pem)
    (tmp_path / "cert.pem").write_bytes(MX.chain_pem)
    text = "smtp_tls_cert_file = cert.pem\nsmtp_tls_key_file = key.pem\nsmtp_tls_eckey_file = key.pem\n"
    done = _import(tmp_path, accept, text)
    assert done.noticed("in one file; put", "key.pem behind it") and done.noticed("main.cf:5", "key without")


def test_match_lists_and_anchors_that_have_no_counterpart(tmp_path: Path, accept: Accept) -> None:
    """Each is named, and the level is never less."""
    (tmp_path / "policy").write_text(
        "a.example verify match=hostname\nb.example verify match=hostname:x.example tafile=none.pem\n"
        ".c.example secure match=nexthop\nd.example encrypt ciphers=high exclude=AES128\n"
        "e.example fingerprint match=AA:BB\n"
        "f.example encrypt ciphers=odd protocols=TLSv9\ng.example encrypt ciphers=null\nx.c.example may\n"
    )  # fmt: skip
    text = "smtp_tls_policy_maps = hash:policy\nsmtp_tls_exclude_ciphers = AES128\nsmtp_tls_security_level = may\n"
    done = _import(tmp_path, accept, text)
    levels = {
        "a": "verify",
        "b": "verify",
        "y.c": "secure",
        "x.c": "may",
        "d": "encrypt",
        "e": "verify",
        "f": "encrypt",
    }
    assert {name: done.outbound(f"{name}.example", f"mx.{name}.example").level for name in levels} == levels
    for line, words in {2: "tafile", 5: "SHA-256", 6: "cipher grade", 7: "without encryption"}.items():
        assert done.noticed(f"policy:{line}", words), words
    assert done.noticed("policy:6", "TLSv9")


def test_relayhosts_that_cannot_be_one_are_named(tmp_path: Path, accept: Accept) -> None:
    """A domain is asked for its MX in Postfix; two words are no host; implicit TLS; IPv6."""
    assert _import(tmp_path, accept, "relayhost = relay.example\n").noticed("main.cf:3", "asked for the MX")
    assert _import(tmp_path, accept, "relayhost = a b\n").config.delivery.smarthost is None
    implicit = _import(tmp_path, accept, "relayhost = [IPv6:2001:db8::1]:465\nsmtp_tls_wrappermode = yes\n")
    assert implicit.config.delivery.smarthost == "[2001:db8::1]:465"
    assert implicit.config.delivery.smarthost_tls == "implicit"


def test_transport_maps_become_routes(tmp_path: Path, accept: Accept) -> None:
    """The most specific first, whatever their order in the tables; what is no route is named with its line."""
    (tmp_path / "transport").write_text(
        "* smtp:[rest.example]\n.example smtp:near.example:26\na.example relay:[10.0.0.1]:submission\n"
        "b.example smtp:\nc.example lmtp:unix:/run/lmtp\nann@d.example smtp:[10.0.0.2]\nd.example smtp:[a],[b]\n"
        "e.example :[2001:db8::1]\nf.example :\na.example smtp:\n"
    )
    done = _import(tmp_path, accept, "transport_maps = hash:transport\n")
    assert [(route.to, route.via) for route in done.config.route] == [
        (("a.example",), "10.0.0.1:587"), (("b.example", "f.example"), "mx"), (("e.example",), "[2001:db8::1]:25"),
        ((".example",), "near.example:26"), (("*",), "rest.example:25"),
    ]  # fmt: skip
    for line, words in {2: "asked for the MX", 5: "mail servers alone", 6: "not by address", 7: "one host"}.items():
        assert done.noticed(f"transport:{line}", words), words
    assert done.noticed("transport:10", "before this line")


def test_route_for_everything_leaves_nothing_to_the_relayhost(tmp_path: Path, accept: Accept) -> None:
    """As in Postfix, where the table comes first; a transport that says "as otherwise" is named beside a relayhost."""
    text = "transport_maps = inline:{ { * = smtp:[rest.example] }, { a.example = : } }\nrelayhost = [relay.example]\n"
    done = _import(tmp_path, accept, text)
    assert done.config.delivery.smarthost is None and done.noticed("main.cf:4", "gets nothing")
    assert [route.via for route in done.config.route] == ["rest.example:25"]
    assert done.noticed("main.cf:3", "the smarthost")


def test_transports_with_wrapper_mode_are_tls_from_the_first_octet(tmp_path: Path, accept: Accept) -> None:
    """And at their own port."""
    text = "transport_maps = inline:{ a.example=smtp:[r.example]:1465 }\nsmtp_tls_wrappermode = yes\n"
    decision = _import(tmp_path, accept, text).outbound("a.example")
    assert decision.implicit and decision.port is None and decision.facts.host == "r.example"


def test_policy_for_a_domain_with_a_transport_is_named(tmp_path: Path, accept: Accept) -> None:
    """Postfix looks for the policy of the next hop, and so do rules."""
    (tmp_path / "policy").write_text("a.example secure\n[r.example] verify\n")
    text = "transport_maps = inline:{ a.example=smtp:[r.example] }\nsmtp_tls_policy_maps = hash:policy\n"
    done = _import(tmp_path, accept, text)
    assert done.outbound("a.example").level == "verify" and done.outbound("a.example").names == ("r.example",)
    assert done.noticed("policy:1", "r.example")


@pytest.mark.parametrize(
    ("text", "domains"),
    [
        ("relay_domains = a.example, .b.example", ("a.example", ".a.example", ".b.example")),
        ("relay_domains = a.example\nparent_domain_matches_subdomains = mynetworks", ("a.example",)),
        ("relay_domains = $mydestination\nmydestination = mx.example.org", None),
        ("relay_domains = hash:relayed", ("t.example", ".t.example")),
        ("relay_domains = a.example, !b.a.example", None),
    ],
)
def test_relay_domains_are_taken_over(
    tmp_path: Path, accept: Accept, text: str, domains: tuple[str, ...] | None
) -> None:
    """With the domains below them where Postfix has it so; never wider than they were."""
    (tmp_path / "relayed").write_text("T.example OK\n")
    assert _import(tmp_path, accept, text + "\n").config.relay_domains == domains


def test_networks_of_its_own_kind_are_named(tmp_path: Path, accept: Accept) -> None:
    """Tables, files that are not there, the networks of the interfaces."""
    done = _import(tmp_path, accept, "mynetworks = hash:/x, /none/such\n")
    assert done.noticed("main.cf:3", "hash:/x") and done.noticed("main.cf:3", "/none/such") and not done.config.relay
    (tmp_path / "main.cf").write_text("myhostname = mx.example.org\nsmtpd_relay_restrictions =\n")
    bare = accept(from_postfix(tmp_path / "main.cf"))
    assert bare.relays("127.0.0.1") and bare.noticed("loopback alone relays")


def test_all_client_certificates_are_not_taken_over(tmp_path: Path, accept: Accept) -> None:
    """Whoever has one from any authority: that is named, not imported."""
    done = _import(tmp_path, accept, "smtpd_relay_restrictions = permit_mynetworks permit_tls_all_clientcerts\n")
    assert done.noticed("main.cf:3", "certificate_email") and len(done.config.relay) == 1
