"""``gatepost explain`` on the ways of mail: routes, and domains whose mail is taken from everybody."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.cli.conftest import Gatepost

RULES = """
hostname = "mx.example.org"
domains = ["example.org"]
relay_domains = ["partner.example", ".partner.example"]
data = "/nonexistent/x"
[[route]]
to = ["direct.example"]
via = "mx"
[[route]]
to = [".example"]
via = "gate.test:2525"
[[outbound]]
mx = ["gate.test"]
level = "verify"
[delivery]
smarthost = "smart.test:587"
"""


@pytest.fixture(autouse=True)
def _rules(gatepost: Gatepost, tmp_path: Path) -> None:
    (tmp_path / "gatepost.toml").write_text(RULES)


def test_outbound_names_the_route_and_judges_its_host(gatepost: Gatepost) -> None:
    """With file and line; the host of the route is the destination of the rules."""
    lines = gatepost("explain", "outbound", "ann@partner.example").out.splitlines()
    assert lines[0].startswith("destination gate.test, host gate.test: verify:")
    assert "  note: partner.example is in relay_domains: its mail is taken from everybody and sent on" in lines
    note = "route[1] (gatepost.toml:9) sends it to gate.test:2525, so that is the destination of the rules"
    assert f"  note: {note}" in lines
    assert "  note: the certificate must be for gate.test" in lines


def test_outbound_names_an_exception_and_the_smarthost(gatepost: Gatepost) -> None:
    """``via = "mx"`` leaves the destination what it is; what no route has goes to the smarthost."""
    (direct,) = gatepost("explain", "outbound", "direct.example", "--json").json
    assert direct["destination"] == "direct.example"
    assert "route[0] (gatepost.toml:6) sends it to the mail exchangers of direct.example" in direct["notes"]
    (rest,) = gatepost("explain", "outbound", "elsewhere.test", "--json").json
    assert rest["destination"] == "smart.test"
    assert any(note.startswith("no route: it goes to the smarthost smart.test:587") for note in rest["notes"])


def test_relay_tells_of_the_domains_whose_mail_is_taken_from_everybody(gatepost: Gatepost) -> None:
    """Where mail comes from servers."""
    done = gatepost("explain", "relay", "192.0.2.1", "--listener", "mx")
    assert "a recipient in relay_domains (partner.example, .partner.example)  250, from everybody" in done.out
    assert "may not relay" in done.out
