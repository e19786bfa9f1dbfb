"""``gatepost explain``."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.cli.conftest import Gatepost

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
        ("mx", "deny"), ("submission", "deny"), ("submissions", "deny"),
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
    allowed, refused = (gatepost("explain", "relay", "--from", ip, "--json").json for ip in ("10.1.1.1", "127.0.0.1"))
    assert [(one["listener"], one["rule"]) for one in allowed] == [("mx", "relay[0] (gatepost.toml:22)")]
    assert [one["decision"] for one in refused] == ["may not relay"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("inbound", "x"), '"x" is not an IP address'),
        (("inbound", "192.0.2.1", "--listener", "xm"), 'no such listener as "xm"'),
        (("outbound", "a b"), "neither an address nor a domain"),
        (("outbound", "a.example", "--ip", "x"), '"x" is not an IP address'),
        (("relay", "--from", "10.0.0.1", "--listener", "submission"), "there are: mx."),
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
