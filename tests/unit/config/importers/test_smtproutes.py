"""qmail's ``smtproutes``."""

from __future__ import annotations

import pytest

from gatepost.config.importers.document import Document
from gatepost.config.importers.smtproutes import routes
from gatepost.config.importers.texts import lines_of


def _routed(text: str) -> Document:
    document = Document("gatepost import test", "smtproutes")
    routes(document, list(lines_of(text, "smtproutes")))
    return document


@pytest.mark.parametrize(
    ("text", "delivery"),
    [
        (":relay.example", {"smarthost": "relay.example:25"}),
        (":relay.example:465", {"smarthost": "relay.example:465", "smarthost_tls": "implicit"}),
        (":[192.0.2.1]:587", {"smarthost": "192.0.2.1:587"}),
    ],
)
def test_route_for_everything_is_the_smarthost(text: str, delivery: dict[str, str]) -> None:
    """With its port; 465 is TLS from the first octet."""
    assert _routed(text).live["delivery"] == delivery


def test_port_of_a_domain_is_a_rule() -> None:
    """By MX, at another port."""
    assert _routed("a.example::465\nb.example::26").live["outbound"] == [
        {"to": "a.example", "port": 465, "implicit": True},
        {"to": "b.example", "port": 26},
    ]


def test_routes_come_out_the_most_specific_first() -> None:
    """qmail looks for the domain, then for what it is below, the longest first; here the first that matches counts."""
    document = _routed(".example:wide.test\n:rest.test\n.b.example:near.test:26\na.b.example:\nc.example:[192.0.2.1]\n")
    assert document.live["route"] == [
        {"to": ["a.b.example"], "via": "mx"},
        {"to": ["c.example"], "via": "192.0.2.1:25"},
        {"to": [".b.example"], "via": "near.test:26"},
        {"to": [".example"], "via": "wide.test:25"},
    ]
    assert document.live["delivery"] == {"smarthost": "rest.test:25"}
    assert not document.notices


def test_last_route_of_a_domain_counts() -> None:
    """As in qmail; the other one is named."""
    document = _routed("a.example:one.test\nA.example:two.test\n")
    assert document.live["route"] == [{"to": ["a.example"], "via": "two.test:25"}]
    assert len(document.notices) == 1


def test_route_to_port_465_is_tls_from_the_first_octet() -> None:
    """By a rule for that host; where it is at another port as well, it is named."""
    document = _routed("a.example:r.test:465\nb.example:192.0.2.1:465\n")
    assert document.live["outbound"] == [
        {"to": "r.test", "implicit": True},
        {"server": "192.0.2.1", "implicit": True},
    ]
    document = _routed("a.example:r.test:465\nb.example:r.test\n")
    assert "outbound" not in document.live and len(document.notices) == 1


@pytest.mark.parametrize("text", ["no route at all : :", "::::", "[192.0.2.1]:r.example", "a.example:r.example:123456"])
def test_lines_that_are_no_route_are_named(text: str) -> None:
    """With their place."""
    document = _routed(text)
    assert len(document.notices) == 1 and "route" not in document.live


def test_port_of_everything_is_the_port_of_delivery() -> None:
    """``::26`` is by MX at port 26; ``:`` says what is so anyhow."""
    assert _routed("::26").live["delivery"] == {"port": 26}
    assert not _routed(":").notices


def test_route_with_a_login_is_a_comment() -> None:
    """A route has no login, and mail that needs one would bounce; the password does not come along."""
    document = _routed("a.example:r.test:587 ann sesame")
    assert "route" not in document.live and "# via = " in document.text() and "sesame" not in document.text()


def test_login_of_a_route_is_named_and_never_copied() -> None:
    """A password does not wander into another file."""
    document = _routed(":relay.example:587 ann sesame")
    assert document.live["delivery"] == {"smarthost": "relay.example:587"}
    assert "login" in document.notices[0] and "sesame" not in document.text()


def test_host_that_is_none_is_a_comment() -> None:
    """With the reason."""
    document = _routed(":-bad-.example:25")
    assert "delivery" not in document.live and "# smarthost = " in document.text()
