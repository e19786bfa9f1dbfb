"""``gatepost explain``."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from tests.unit.cli.conftest import Gatepost

from gatepost.testing.ca import DAY, TestAuthority

RULES = """
hostname = "mx.example.org"
domains = ["example.org"]
data = "/nonexistent/x"
[tls]
certificate = "none.pem"
[[inbound]]
from = ["192.0.2.7", "file:denied.txt"]
starttls = "deny"
[[inbound]]
from = ["10.0.0.*"]
listeners = ["mx"]
except = ["10.0.0.9"]
starttls = "require"
[[outbound]]
to = ["example.com", ".example.com"]
level = "secure"
ca = "missing.pem"
[[outbound]]
server = ["10.0.0.*"]
level = "encrypt"
[[relay]]
from = ["10.0.0.0/8"]
"""


@pytest.fixture(autouse=True)
def _rules(gatepost: Gatepost, tmp_path: Path) -> None:
    (tmp_path / "gatepost.toml").write_text(RULES)
    (tmp_path / "denied.txt").write_text("198.51.100.0/24\n")


def test_inbound_says_decision_rule_and_place(gatepost: Gatepost) -> None:
    """With the rules that came close, and what will happen. Neither certificate nor data directory is there."""
    done = gatepost("explain", "inbound", "10.0.0.9", "--listener", "mx")
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0] == "client 10.0.0.9, listener mx: offer: STARTTLS is offered"
    assert "    inbound[1] (gatepost.toml:10): 10.0.0.9 is in except" in lines
    assert "    the client stays in the clear            mail is taken" in lines
    assert "by inbound[1] (gatepost.toml:10)" in gatepost("explain", "inbound", "10.0.0.1", "--listener", "mx").out


def test_inbound_reads_the_list_files(gatepost: Gatepost, tmp_path: Path) -> None:
    """Beside the configuration; what is wrong in one is said with its line."""
    (found,) = gatepost("explain", "inbound", "198.51.100.9", "--listener", "mx", "--json").json
    assert found["settings"]["starttls"] == {"value": "deny", "rule": "inbound[0]", "place": "gatepost.toml:7"}
    (tmp_path / "denied.txt").write_text("# good\n10.0.0.300\n")
    done = gatepost("explain", "inbound", "198.51.100.9")
    assert done.code == 78
    assert 'denied.txt:2: "10.0.0.300" is not an address list entry' in done.err


def test_inbound_covers_every_listener(gatepost: Gatepost) -> None:
    """Without --listener each has its own decision."""
    found = gatepost("--json", "explain", "inbound", "192.0.2.7").json
    assert [(one["listener"], one["decision"].partition(":")[0]) for one in found] == [
        ("mx", "deny"), ("submission", "deny"), ("submissions", "deny"), ("pop3", "deny"), ("pop3s", "deny"),
    ]  # fmt: skip


@pytest.mark.parametrize("asked", ["example.com", "ann@Sub.Example.COM"])
def test_outbound_takes_an_address_or_a_domain(gatepost: Gatepost, asked: str) -> None:
    """And says what the certificate must be for."""
    done = gatepost("explain", "outbound", asked)
    assert ": secure: TLS always" in done.out
    assert "by outbound[0] (gatepost.toml:15)" in done.out
    assert f"the certificate must be for {asked.lower().rpartition('@')[2]} or any name below" in done.out


def test_outbound_without_the_address_says_what_may_change_the_answer(gatepost: Gatepost) -> None:
    """A rule by address is listed as close until --ip is given."""
    before = gatepost("explain", "outbound", "a.example", "--mx", "mx.a.example").out
    assert ": may: " in before
    assert "outbound[1] (gatepost.toml:19): the server's address (--ip) is not known" in before
    after = gatepost("explain", "outbound", "a.example", "--mx", "mx.a.example", "--ip", "10.0.0.3").out
    assert ": encrypt: " in after


def test_outbound_says_when_mail_goes_elsewhere(gatepost: Gatepost, tmp_path: Path) -> None:
    """To our own mailboxes, or to the smarthost, which is then the destination."""
    assert "is one of our domains" in gatepost("explain", "outbound", "ann@example.org").out
    (tmp_path / "gatepost.toml").write_text(
        '[delivery]\nsmarthost = "relay.example:587"\n[[outbound]]\nto = ["relay.example"]\nlevel = "verify"\n'
    )
    done = gatepost("explain", "outbound", "a.example")
    assert "destination relay.example, host relay.example: verify" in done.out
    assert "all mail goes to the smarthost" in done.out


def test_outbound_knows_address_literals(gatepost: Gatepost) -> None:
    """The address is known, then."""
    assert ": encrypt: " in gatepost("explain", "outbound", "a@[10.0.0.1]").out


def test_relay_says_who_may(gatepost: Gatepost) -> None:
    """Where a login decides, no relay rule counts: the listener is not listed."""
    allowed, refused = (gatepost("explain", "relay", ip, "--json").json for ip in ("10.1.1.1", "127.0.0.1"))
    assert [(one["listener"], one["rule"]) for one in allowed] == [("mx", "relay[0] (gatepost.toml:22)")]
    assert [one["decision"] for one in refused] == ["may not relay"]


@pytest.fixture
def clients(tmp_path: Path) -> TestAuthority:
    """An authority for clients, in a configuration that goes by their certificates."""
    authority = TestAuthority("an authority for clients")
    (tmp_path / "clients.pem").write_bytes(authority.pem)
    (tmp_path / "crl.pem").write_bytes(authority.crl().public_bytes(Encoding.PEM))
    (tmp_path / "gatepost.toml").write_text(
        'data = "/nonexistent/x"\n[tls]\nclient_ca = "clients.pem"\nclient_crl = "crl.pem"\n'
        '[[inbound]]\nfrom = "192.0.2.9"\nclient_certificate = "none"\n'
        '[[relay]]\nfrom = "10.0.0.0/8"\ncertificate_email = "branch@client.example"\n'
    )
    authority.issue(x509.RFC822Name("branch@client.example")).write(tmp_path / "branch.pem")
    authority.issue("x.example", not_after=authority.now - DAY).write(tmp_path / "expired.pem")
    return authority


def test_relay_judges_a_certificate_as_the_server_would(gatepost: Gatepost, clients: TestAuthority) -> None:
    """Whether it proves anything, why not, whom it is for, and what follows for that client."""
    done = gatepost("explain", "relay", "10.0.0.1", "--certificate", "branch.pem", "--listener", "mx")
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0] == "client 10.0.0.1, certificate branch.pem, listener mx: may relay, without a login"
    assert lines[1] == "  by relay[0] (gatepost.toml:8)"
    assert "  note: the certificate verifies with client_ca" in lines
    assert any(line.startswith("  note: it is for branch@client.example; its SHA-256 is ") for line in lines)
    assert any(line.endswith("no certificate is seen there, only addresses count") for line in lines)
    done = gatepost("explain", "relay", "10.0.0.1", "--certificate", "expired.pem")
    assert "may not relay" in done.out
    assert "note: the certificate proves nothing: expired: " in done.out


def test_relay_says_who_is_not_asked_for_a_certificate(gatepost: Gatepost, clients: TestAuthority) -> None:
    """Elsewhere it is asked, and the explanation says what to try."""
    (found,) = gatepost("--json", "explain", "relay", "192.0.2.9", "--certificate", "branch.pem").json
    assert found["decision"] == "may not relay"
    assert "this client is not asked for a certificate, by inbound[0] (gatepost.toml:5)" in found["notes"]
    (found,) = gatepost("--json", "explain", "relay", "10.0.0.1").json
    assert found["notes"] == ["this client is asked for a certificate: --certificate FILE says what one would do"]
    assert found["rules"][0]["close"]


def test_relay_needs_no_address_for_a_certificate(gatepost: Gatepost, clients: TestAuthority) -> None:
    """Rules that go by the address too may decide otherwise, and say so."""
    (found,) = gatepost("--json", "explain", "relay", "--certificate", "branch.pem").json
    assert found["decision"] == "may not relay"
    assert found["rules"][0]["why"] == "the client's address is not known"


def test_relay_says_that_a_revocation_list_has_expired(
    gatepost: Gatepost, clients: TestAuthority, tmp_path: Path
) -> None:
    """It fails closed, here as there."""
    stale = clients.crl(next_update=clients.now - DAY)
    (tmp_path / "crl.pem").write_bytes(stale.public_bytes(Encoding.PEM))
    done = gatepost("explain", "relay", "10.0.0.1", "--certificate", "branch.pem")
    assert "may not relay" in done.out and "CRL has expired" in done.out
    (tmp_path / "crl.pem").write_text("nothing")
    done = gatepost("explain", "relay", "10.0.0.1", "--certificate", "branch.pem")
    assert done.code == 78
    assert "crl.pem: holds no revocation list" in done.err
    assert "crl.pem: holds no revocation list" in gatepost("config", "check", "--full").err


def test_inbound_shows_whether_a_certificate_is_asked_for(gatepost: Gatepost, clients: TestAuthority) -> None:
    """With the rule that does, and what becomes of one."""
    done = gatepost("explain", "inbound", "10.0.0.1", "--listener", "mx")
    assert "client_certificate = ask" in done.out and "relay[0] (gatepost.toml:8)" in done.out
    assert "the client comes back with a session     a full handshake each time" in done.out
    assert "judged behind the handshake, which does not fail over it" in done.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("inbound", "x"), '"x" is not an IP address'),
        (("inbound", "192.0.2.1", "--listener", "xm"), 'no such listener as "xm"'),
        (("outbound", "a b"), "neither an address nor a domain"),
        (("outbound", "a.example", "--ip", "x"), '"x" is not an IP address'),
        (("relay", "10.0.0.1", "--listener", "submission"), "there are: mx."),
        (("relay",), "the ADDRESS of a client, --certificate FILE, or both"),
        (("relay", "x"), '"x" is not an IP address'),
    ],
)
def test_wrong_questions_are_refused(gatepost: Gatepost, arguments: tuple[str, ...], words: str) -> None:
    """With 64 and one line."""
    done = gatepost("explain", *arguments)
    assert done.code == 64
    assert words in done.err


def test_verbose_lists_every_rule(gatepost: Gatepost) -> None:
    """Those that came nowhere near, too."""
    quiet = gatepost("explain", "outbound", "a.example", "--ip", "192.0.2.1").out
    verbose = gatepost("-v", "explain", "outbound", "a.example", "--ip", "192.0.2.1").out
    assert "a.example is not in to" not in quiet
    assert "outbound[0] (gatepost.toml:15): a.example is not in to" in verbose


def test_full_check_finds_what_rules_name_and_is_not_there(gatepost: Gatepost, tmp_path: Path) -> None:
    """Authorities, list files, and versions that exclude each other somewhere; the text alone is no problem."""
    assert gatepost("config", "check").code == 0
    assert "outbound[0] (gatepost.toml:15): " in gatepost("config", "check", "--full").err
    assert "missing.pem: no such file" in gatepost("config", "check", "--full").err
    (tmp_path / "gatepost.toml").write_text(
        f'data = "{tmp_path}"\n[[inbound]]\nfrom = ["10.0.0.0/8"]\nminimum = "TLSv1.3"\n'
        '[[inbound]]\nfrom = ["10.1.0.0/16"]\nmaximum = "TLSv1.2"\n'
    )
    done = gatepost("config", "check", "--full")
    assert "10.1.0.0 can speak no version of TLS that they leave" in done.err
    (tmp_path / "gatepost.toml").write_text('[[relay]]\nfrom = ["file:gone.txt"]\n')
    assert "gone.txt: the list cannot be read" in gatepost("config", "check", "--full").err
