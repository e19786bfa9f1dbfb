"""qmail with the STARTTLS patch: each file and each variable, as its documents have it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TypeAlias

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from tests.unit.config.importers.conftest import Accept, Imported

from gatepost.config.importers.qmail import from_qmail
from gatepost.errors import ConfigError
from gatepost.testing.ca import DAY, TestAuthority, key_for, self_signed

ROOT = TestAuthority("old root")
MX = ROOT.issue("mx.example.org")
PAIR = MX.chain_pem + MX.key_pem
CRL = ROOT.crl().public_bytes(Encoding.PEM)
PAST_CRL = ROOT.crl(next_update=ROOT.now - timedelta(days=1)).public_bytes(Encoding.PEM)
Files: TypeAlias = Mapping[str, str | bytes]
STRING = "ECDHE-ECDSA-AES256-GCM-SHA384"


def _import(directory: Path, accept: Accept, files: Files, rules: str | None = None) -> Imported:
    control = directory / "control"
    control.mkdir()
    for name, content in {"me": "mx.example.org\n", "rcpthosts": "mx.example.org\n", **files}.items():
        file = control / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    tcprules = directory / "tcp.smtp"
    tcprules.write_text(rules or "")
    return accept(from_qmail(control, None if rules is None else tcprules))


def test_servercert_makes_starttls_be_offered(tmp_path: Path, accept: Accept) -> None:
    """With its chain and key in one file."""
    done = _import(tmp_path, accept, {"servercert.pem": PAIR})
    assert done.config.tls.certificate == tmp_path / "control" / "servercert.pem"
    assert done.inbound("192.0.2.1").starttls == "offer" and not done.document.notices


def test_missing_servercert_hides_starttls_as_in_qmail(tmp_path: Path, accept: Accept) -> None:
    """And says that offering it is better."""
    done = _import(tmp_path, accept, {})
    assert done.inbound("192.0.2.1").starttls == "deny" and done.noticed("servercert.pem", "is missing")


def test_weak_servercert_is_named_with_the_way_out(tmp_path: Path, accept: Accept) -> None:
    """The first start then makes a certificate, and STARTTLS stays."""
    weak = ROOT.issue("mx.example.org", key=key_for("a small key", "rsa1024"))
    done = _import(tmp_path, accept, {"servercert.pem": weak.chain_pem + weak.key_pem})
    assert done.noticed("servercert.pem", "RSA of 1024 bits", "gatepost cert new")
    assert done.config.tls.certificate is None and done.inbound("192.0.2.1").starttls == "offer"


def test_client_certificates_relay_by_mail_address(tmp_path: Path, accept: Accept) -> None:
    """clientca.pem, clientcrl.pem and tlsclients are three keys."""
    files: Files = {
        "clientca.pem": ROOT.pem,
        "clientcrl.pem": CRL,
        "tlsclients": "Ann@client.example\nbob@client.example\n",
    }
    done = _import(tmp_path, accept, {"servercert.pem": PAIR, **files})
    control = tmp_path / "control"
    assert (done.config.tls.client_ca, done.config.tls.client_crl) == (
        control / "clientca.pem", control / "clientcrl.pem",
    )  # fmt: skip
    (rule,) = done.config.relay
    assert rule.certificate_email is not None and len(rule.certificate_email) == 2 and rule.addresses is None
    assert not done.document.notices and not done.relays("127.0.0.1")


def test_client_certificates_without_an_authority_prove_nothing(tmp_path: Path, accept: Accept) -> None:
    """Neither the list nor the revocations are taken over."""
    done = _import(tmp_path, accept, {"clientcrl.pem": CRL, "tlsclients": "ann@client.example\n"})
    assert not done.config.relay and done.config.tls.client_crl is None
    assert done.noticed("tlsclients:1", "client_ca") and "# certificate_email = " in done.text


@pytest.mark.parametrize(("crl", "words"), [(PAST_CRL, "was to be replaced on"), (b"broken", "no revocation list")])
def test_revocation_list_that_cannot_be_used_is_named(tmp_path: Path, accept: Accept, crl: bytes, words: str) -> None:
    """One out of date stays, so that it fails closed; one that is none does not."""
    done = _import(tmp_path, accept, {"clientca.pem": ROOT.pem, "clientcrl.pem": crl})
    assert done.noticed("clientcrl.pem", words)
    assert (done.config.tls.client_crl is not None) == (crl is PAST_CRL)


def test_tlshosts_with_an_authority_verifies(tmp_path: Path, accept: Accept) -> None:
    """And warns of servers whose certificate has a CN alone."""
    done = _import(tmp_path, accept, {"tlshosts/mx.a.example.pem": ROOT.pem})
    decision = done.outbound("a.example", "mx.a.example")
    assert decision.level == "verify"
    assert decision.handshake.ca == str(tmp_path / "control" / "tlshosts" / "mx.a.example.pem")
    assert done.noticed("mx.a.example", "CN", "deferred") and done.outbound("b.example", "mx.b.example").level == "may"


@pytest.mark.parametrize("common", [True, False])
def test_tlshosts_with_the_servers_own_certificate_pins_it(tmp_path: Path, accept: Accept, *, common: bool) -> None:
    """Whatever name it has, and where."""
    own = ROOT.issue(common_name="mx.a.example") if common else self_signed("mx.a.example")
    done = _import(tmp_path, accept, {"tlshosts/mx.a.example.pem": own.chain_pem})
    decision = done.outbound("a.example", "mx.a.example")
    assert decision.level == "fingerprint" and len(decision.fingerprints) == 1


def test_tlshosts_that_cannot_be_read_still_demands(tmp_path: Path, accept: Accept) -> None:
    """qmail deferred such mail: it never goes out in less."""
    done = _import(tmp_path, accept, {"tlshosts/mx.a.example.pem": b"nothing"})
    assert done.outbound("a.example", "mx.a.example").level == "verify" and done.noticed("tlshosts/mx.a.example.pem")


def test_exhaustivelist_keeps_tls_for_those_listed(tmp_path: Path, accept: Accept) -> None:
    """Everybody else is written to in the clear."""
    done = _import(tmp_path, accept, {"tlshosts/exhaustivelist": "", "tlshosts/mx.a.example.pem": ROOT.pem})
    assert done.config.delivery.tls_only_listed
    assert done.outbound("b.example", "mx.b.example").level == "none"
    assert done.outbound("a.example", "mx.a.example").level == "verify"


def test_notlshosts_are_written_to_in_the_clear(tmp_path: Path, accept: Accept) -> None:
    """Unless tlshosts has the same host, which comes first."""
    files: Files = {"notlshosts/mx.a.example": "", "notlshosts/mx.b.example": "", "tlshosts/mx.b.example.pem": ROOT.pem}
    done = _import(tmp_path, accept, files)
    assert done.outbound("a.example", "mx.a.example").level == "none"
    assert done.outbound("b.example", "mx.b.example").level == "verify"
    assert done.noticed("notlshosts/mx.b.example", "comes first")


def test_clientcert_is_shown_to_every_server(tmp_path: Path, accept: Accept) -> None:
    """Also to those of which more is asked."""
    done = _import(tmp_path, accept, {"clientcert.pem": PAIR, "tlshosts/mx.a.example.pem": ROOT.pem})
    for host in ("mx.a.example", "mx.b.example"):
        shown = done.outbound(host.removeprefix("mx."), host).handshake.client_certificate
        assert shown == str(tmp_path / "control" / "clientcert.pem")


def test_cipher_strings_are_cleaned_and_kept(tmp_path: Path, accept: Accept) -> None:
    """tlsclientciphers, tlsserverciphers, and TLSCIPHERS by address, which comes before them."""
    files: Files = {"servercert.pem": PAIR, "tlsclientciphers": STRING, "tlsserverciphers": f"DES-CBC3-SHA:{STRING}"}
    done = _import(tmp_path, accept, files, '10.0.0.:allow,TLSCIPHERS="ECDHE-ECDSA-CHACHA20-POLY1305"\n:allow\n')
    assert done.outbound("a.example", "mx.a.example").handshake.ciphers == STRING
    assert done.inbound("192.0.2.1").handshake.ciphers == STRING
    assert done.inbound("10.0.0.4").handshake.ciphers == "ECDHE-ECDSA-CHACHA20-POLY1305"
    assert done.noticed("tlsserverciphers:1", "DES-CBC3-SHA")


def test_deny_tls_and_relayclient_go_by_address(tmp_path: Path, accept: Accept) -> None:
    """The most specific rule of tcpserver alone counts."""
    rules = '10.0.0.5:allow\n10.0.0.:allow,RELAYCLIENT="",DENY_TLS="1"\n192.0.2.7:allow,DENY_TLS=/yes/\n:allow\n'
    done = _import(tmp_path, accept, {"servercert.pem": PAIR}, rules)
    starttls = {"10.0.0.4": "deny", "10.0.0.5": "offer", "192.0.2.7": "deny", "192.0.2.8": "offer"}
    assert {address: done.inbound(address).starttls for address in starttls} == starttls
    assert {address: done.relays(address) for address in starttls} == {
        "10.0.0.4": True, "10.0.0.5": False, "192.0.2.7": False, "192.0.2.8": False,
    }  # fmt: skip


def test_relayclient_for_everybody_is_not_taken_over(tmp_path: Path, accept: Accept) -> None:
    """An open relay is nobody's wish."""
    done = _import(tmp_path, accept, {}, ':allow,RELAYCLIENT=""\n')
    assert not done.config.relay and done.noticed("tcp.smtp:1", "open relay")


def test_smtps_makes_a_listener_of_its_own(tmp_path: Path, accept: Accept) -> None:
    """TLS from the first octet, on port 465."""
    done = _import(tmp_path, accept, {"servercert.pem": PAIR}, ':allow,SMTPS="1"\n')
    (found,) = [each for each in done.config.listener if each.name == "smtps"]
    assert (found.tls, found.bind) == ("implicit", ("0.0.0.0:465",))


def test_rules_that_cannot_be_said_are_named(tmp_path: Path, accept: Accept) -> None:
    """Host names, users, deny, unknown variables, nonsense."""
    rules = '=a.example:allow\nann@10.0.0.1:allow\n10.0.0.2:deny\n10.0.0.3:allow,GREETDELAY="9"\nnonsense\n'
    done = _import(tmp_path, accept, {}, rules)
    for line, words in enumerate(("host name", "user", "deny", "GREETDELAY", "no rule"), 1):
        assert done.noticed(f"tcp.smtp:{line}", words), words


def test_names_routes_and_numbers(tmp_path: Path, accept: Accept) -> None:
    """me, locals, virtualdomains, rcpthosts, morercpthosts, smtproutes, badmailfrom, databytes, queuelifetime."""
    done = _import(tmp_path, accept, {
        "locals": "example.org\n", "virtualdomains": "v.example:joe\n", "rcpthosts": "example.org\nback.example\n",
        "smtproutes": "here.example::2525\n:relay.example:587\n", "databytes": "1000000\n", "queuelifetime": "86400\n",
        "morercpthosts": ".Back.example\n", "badmailfrom": "Spam@x.example\n@bad.example\nnot an address\n",
    })  # fmt: skip
    assert done.config.hostname == "mx.example.org" and done.config.domains == ("example.org", "v.example")
    assert done.config.delivery.smarthost == "relay.example:587" and done.config.limits.message_size == 1000000
    assert done.config.delivery.lifetime == 86400.0
    assert done.config.relay_domains == ("back.example", ".back.example")
    assert done.config.refused_senders == ("spam@x.example", "@bad.example")
    assert [(route.to, route.via) for route in done.config.route] == [(("here.example",), "mx")]
    assert done.outbound("here.example", "mx.here.example").port == 2525
    for place in ("virtualdomains:1", "badmailfrom:3"):
        assert done.noticed(place), place


def test_rcpthosts_that_cover_a_domain_of_ours_are_taken_over(tmp_path: Path, accept: Accept) -> None:
    """``.example.org`` beside a local mail.example.org: what is kept is kept, the rest is passed on."""
    done = _import(tmp_path, accept, {"locals": "mail.example.org\n", "rcpthosts": ".example.org\nmail.example.org\n"})
    assert done.config.relay_domains == (".example.org",) and done.config.domains == ("mail.example.org",)


def test_obsolete_and_unknown_files_are_named(tmp_path: Path, accept: Accept) -> None:
    """RSA-512 and Diffie-Hellman parameters are not used; nothing is passed over."""
    names = ("rsa512.pem", "dh512.pem", "dh1024.pem")
    parameters = "-----BEGIN DH PARAMETERS-----\nAAAA\n-----END DH PARAMETERS-----\n"
    key = "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n"
    files = {**dict.fromkeys(names, "x"), "dh4096-new.pem": parameters, "rsa768.pem": key}
    done = _import(tmp_path, accept, {**files, "mystery": "x", "plusdomain": "x"})
    assert done.noticed("dh4096-new.pem: holds Diffie-Hellman parameters: obsolete") and done.noticed(
        "rsa768.pem: holds"
    )
    assert all(done.noticed(name, "obsolete") for name in names)
    assert done.noticed("mystery", "not known") and done.noticed("plusdomain", "not taken over")


def test_missing_directory_is_an_error(tmp_path: Path) -> None:
    """Not an empty document."""
    with pytest.raises(ConfigError, match="cannot be read"):
        from_qmail(tmp_path / "none")


def test_day_of_the_test_authority_is_today() -> None:
    """The stale list above is stale by the clock that the importer reads."""
    assert abs(ROOT.now.timestamp() - TestAuthority("now").now.timestamp()) < DAY.total_seconds()


def test_tlshosts_with_several_certificates(tmp_path: Path, accept: Accept) -> None:
    """A chain that names the server by SAN verifies; one by CN is pinned; a weak or late authority is named."""
    late = TestAuthority("late", key=key_for("late"), at=ROOT.now.timestamp() - 9e8)
    named, common = ROOT.issue("mx.a.example"), ROOT.issue(common_name="mx.b.example")
    done = _import(tmp_path, accept, {
        "tlshosts/mx.a.example.pem": named.chain_pem + ROOT.pem,
        "tlshosts/mx.b.example.pem": common.chain_pem + ROOT.pem,
        "tlshosts/mx.c.example.pem": late.pem, "tlshosts/mx.d.example.pem": named.chain_pem, "tlshosts/README": "x",
        "tlshosts/mx.e.example.pem": ROOT.issue("mx.e.example", key=key_for("a small key", "rsa1024")).chain_pem,
    })  # fmt: skip
    levels = {"a": "verify", "b": "fingerprint", "c": "verify", "d": "verify", "e": "fingerprint"}
    assert {name: done.outbound(f"{name}.example", f"mx.{name}.example").level for name in levels} == levels
    assert done.noticed("mx.b.example", "a new certificate needs a new pin") and done.noticed("README")
    assert done.noticed("mx.c.example", "will not be trusted") and done.noticed("mx.d.example", "not for mx.d.example")
    assert done.noticed("mx.e.example", "RSA of 1024 bits")


def test_unusable_clientcert_and_lists_are_named(tmp_path: Path, accept: Accept) -> None:
    """A key that is missing, a directory that is a file, a number that is none."""
    files: Files = {"clientcert.pem": MX.chain_pem, "notlshosts": "a file", "databytes": "many", "timeoutsmtpd": "0"}
    done = _import(tmp_path, accept, files)
    assert done.noticed("clientcert.pem", "no private key") and "# client_certificate = " in done.text
    assert (
        done.noticed("notlshosts", "cannot be read") and done.noticed("databytes:1") and done.noticed("timeoutsmtpd:1")
    )


@pytest.mark.parametrize(
    ("string", "kept", "words"),
    [
        ("TLS_AES_128_GCM_SHA256", None, ""), ("RC4-SHA:DES-CBC3-SHA", None, "gatepost's own list"),
        (f"aNULL:{STRING}", f"aNULL:{STRING}:!aNULL:!eNULL", "protect nothing"),
    ],
)  # fmt: skip
def test_cipher_strings_of_another_age(
    tmp_path: Path, accept: Accept, string: str, kept: str | None, words: str
) -> None:
    """TLS 1.3 suites go where they belong; what protects nothing is excluded."""
    done = _import(tmp_path, accept, {"servercert.pem": PAIR, "tlsserverciphers": string})
    handshake = done.inbound("192.0.2.1").handshake
    assert handshake.ciphers == kept and (handshake.suites is not None) == string.startswith("TLS_")
    assert not words or done.noticed("tlsserverciphers:1", words)
