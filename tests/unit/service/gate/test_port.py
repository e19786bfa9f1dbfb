"""What a client is offered at a gate: its settings, its mode and the rules together."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from gatepost.config.schema import Config
from gatepost.observe.shared import new_shared
from gatepost.service.gate.backend_tally import BackendTally
from gatepost.service.gate.backends import Pool
from gatepost.service.gate.places import Places, region
from gatepost.service.gate.port import GatePort, GateServices
from gatepost.service.gate.probes import connected
from gatepost.service.limits import Limits
from gatepost.service.limits import region as limits_region
from gatepost.service.policies import policies_of
from gatepost.testing.tls import contexts


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that does not run."""
    made = asyncio.new_event_loop()
    yield made
    made.close()


def port_of(
    loop: asyncio.AbstractEventLoop,
    gate: dict[str, Any],
    *,
    tls: bool = True,
    tls_keys: dict[str, Any] | None = None,
    **settings: Any,
) -> GatePort:
    """The port of a gate, called front."""
    gates = [{"name": "front", "backend": "far", "bind": "127.0.0.1:0", **gate}]
    given = {"gate": gates, "backend": [{"name": "far", "servers": "127.0.0.1:1"}], "tls": tls_keys or {}, **settings}
    config, shared = Config.model_validate(given), new_shared(listeners=("front",))
    tally = BackendTally(shared.counters, "far")
    pool = Pool(config.backend[0], lambda host: None, connected, Places(region(shared), 1), tally)
    limits = Limits(config.limits, limits_region(shared), 1)
    services = GateServices(loop, config, limits, shared.counters, policies=policies_of(config, {}))
    return GatePort(services, config.gate[0], 0, contexts() if tls else None, pool)


@pytest.mark.parametrize(
    ("gate", "starttls", "wanted", "rule"),
    [
        ({"protocol": "smtp"}, "offer", "offer", "listener"),
        ({"protocol": "smtp", "starttls": "require"}, "require", "require", "listener"),
        ({"protocol": "smtp", "starttls": "deny"}, "deny", "deny", "listener"),
        ({"protocol": "smtp", "mode": "refuse"}, "deny", "deny", "mode"),
        ({"protocol": "imap", "tls": "implicit"}, "offer", "implicit", "listener"),
        ({"protocol": "pop3", "mode": "pass"}, "offer", "offer", "listener"),
    ],
)
def test_mode_and_settings_say_what_is_offered(
    loop: asyncio.AbstractEventLoop, gate: dict[str, Any], starttls: str, wanted: str, rule: str
) -> None:
    """``refuse`` is a denial, and the log has what decided it."""
    terms = port_of(loop, gate).terms("192.0.2.7")
    assert (terms.starttls, terms.wanted, terms.rule, terms.refusal) == (starttls, wanted, rule, "")


def test_rule_decides_for_its_clients(loop: asyncio.AbstractEventLoop) -> None:
    """An [[inbound]] rule by the gate's name, and by address."""
    rules = [{"from": ["192.0.2.7"], "listeners": ["front"], "starttls": "require"}]
    port = port_of(loop, {"protocol": "smtp"}, inbound=rules)
    assert (port.terms("192.0.2.7").starttls, port.terms("192.0.2.7").rule) == ("require", "inbound[0]")
    assert port.terms("192.0.2.8").starttls == "offer"


def test_log_has_what_asked_for_a_certificate(loop: asyncio.AbstractEventLoop) -> None:
    """The rule, or ``[tls]``; nothing where there is no handshake to ask in."""
    rules = [{"from": ["192.0.2.7"], "listeners": ["front"], "client_certificate": "ask"}]
    port = port_of(loop, {"protocol": "smtp"}, inbound=rules)
    assert [port.terms(each).asked_by.partition(" ")[0] for each in ("192.0.2.7", "192.0.2.8")] == ["inbound[0]", ""]
    tls = {"client_certificate": "ask"}
    assert port_of(loop, {"protocol": "smtp"}, tls_keys=tls).terms("192.0.2.7").asked_by == "tls"
    assert port_of(loop, {"protocol": "smtp", "mode": "refuse"}, tls_keys=tls).terms("192.0.2.7").asked_by == ""


def test_refusing_mode_is_stronger_than_rules(loop: asyncio.AbstractEventLoop) -> None:
    """What is hidden for everybody is not offered to one."""
    rules = [{"from": ["192.0.2.7"], "starttls": "require"}]
    assert port_of(loop, {"protocol": "smtp", "mode": "refuse"}, inbound=rules).terms("192.0.2.7").starttls == "deny"


@pytest.mark.parametrize("protocol", ["ldap", "sieve", "postgres"])
def test_client_that_is_denied_tls_is_refused_where_nothing_else_is_read(
    loop: asyncio.AbstractEventLoop, protocol: str
) -> None:
    """An opaque protocol has nothing to say in the clear."""
    rules = [{"from": ["192.0.2.7"], "starttls": "deny"}]
    port = port_of(loop, {"protocol": protocol}, inbound=rules)
    assert "knows nothing but the way into it" in port.terms("192.0.2.7").refusal
    assert port.terms("192.0.2.8").refusal == ""


def test_upgrade_that_cannot_be_had_is_not_offered(loop: asyncio.AbstractEventLoop) -> None:
    """Without contexts: denied, but for a gate that passes the client's own TLS on."""
    assert port_of(loop, {"protocol": "smtp"}, tls=False).terms("192.0.2.7").starttls == "deny"
    assert port_of(loop, {"protocol": "smtp", "mode": "pass"}, tls=False).terms("192.0.2.7").starttls == "offer"


@pytest.mark.parametrize(
    ("gate", "opaque", "spliced"),
    [
        ({"protocol": "smtp", "mode": "pass"}, False, False),
        ({"protocol": "smtp", "mode": "pass", "tls": "implicit"}, False, True),
        ({"protocol": "ldap", "mode": "pass"}, True, True),
        ({"protocol": "ldap"}, True, False),
        ({"protocol": "raw", "tls": "implicit"}, True, False),
    ],
)
def test_what_is_not_read_from_the_first_octet(
    loop: asyncio.AbstractEventLoop, gate: dict[str, Any], opaque: bool, spliced: bool
) -> None:
    """In pass mode, where there is nothing in the clear that could be read."""
    port = port_of(loop, gate)
    assert (port.opaque, port.spliced) == (opaque, spliced)


def test_bare_line_feeds_are_for_whom_the_limits_name(loop: asyncio.AbstractEventLoop) -> None:
    """As at a listener."""
    port = port_of(loop, {"protocol": "smtp"}, limits={"normalise_from": ["192.0.2.7"]})
    assert (port.terms("192.0.2.7").normalise, port.terms("192.0.2.8").normalise) == (True, False)


@pytest.mark.parametrize(
    ("protocol", "names"),
    [("smtp", {"smtp"}), ("submission", {"smtp"}), ("lmtp", {"lmtp"}), ("imap", {"imap"}), ("ldap", set())],
)
def test_application_protocol_is_the_registered_one(
    loop: asyncio.AbstractEventLoop, protocol: str, names: set[str]
) -> None:
    """ALPN: what is registered, or whatever the client says where nothing is."""
    assert port_of(loop, {"protocol": protocol}).alpn == names
