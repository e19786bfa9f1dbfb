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


@pytest.mark.parametrize("text", ["a.example:b.example", ":r.example\na.example:", "no route at all : :", "::::"])
def test_other_routes_are_named(text: str) -> None:
    """There is one way out for all mail."""
    document = _routed(text)
    assert len(document.notices) == 1 and "outbound" not in document.live


def test_login_of_a_route_is_named_and_never_copied() -> None:
    """A password does not wander into another file."""
    document = _routed(":relay.example:587 ann sesame")
    assert document.live["delivery"] == {"smarthost": "relay.example:587"}
    assert "login" in document.notices[0] and "sesame" not in document.text()


def test_host_that_is_none_is_a_comment() -> None:
    """With the reason."""
    document = _routed(":-bad-.example:25")
    assert "delivery" not in document.live and "# smarthost = " in document.text()
