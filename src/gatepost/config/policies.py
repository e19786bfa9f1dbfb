"""From the tables of a configuration to the values that ``policy`` decides with.

Every part of the program that decides, and ``gatepost explain``, gets its policy here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from gatepost.config.endpoints import parse_endpoint
from gatepost.config.entries import is_address_entry
from gatepost.config.lists import ListFiles
from gatepost.config.schema import Config, Gate, Inbound, Listener, Outbound
from gatepost.policy.inbound import KEYS, Ground, Handshake, InboundPolicy, InboundRule
from gatepost.policy.levels import Level
from gatepost.policy.names import NameList
from gatepost.policy.outbound import ClientHandshake, Facts, OutboundPolicy, OutboundRule
from gatepost.policy.relay import RelayPolicy, RelayRule
from gatepost.policy.routes import MX, Endpoint, RoutePolicy, RouteRule, Way
from gatepost.policy.rules import Source
from gatepost.policy.senders import SenderList

RELAYING: Final = ("smtp", "lmtp")
"""Protocols at which relay rules count; at submission a login decides."""


def inbound_policy(config: Config, files: ListFiles) -> InboundPolicy:
    """What decides about clients.

    :param files: reads the lists, and remembers them.
    :raises ConfigError: when a list cannot be read.
    """
    tls = config.tls
    rules = [
        InboundRule(
            _source(config, "inbound", index), _inbound_settings(rule),
            None if rule.addresses is None else files.addresses(rule.addresses),
            None if rule.listeners is None else frozenset(rule.listeners),
            None if rule.exempt is None else files.addresses(rule.exempt),
        )
        for index, rule in enumerate(config.inbound)
    ]  # fmt: skip
    handshake = Handshake(
        tls.minimum, tls.maximum, tls.ciphers, tls.suites, client_certificate=tls.client_certificate
    )  # fmt: skip
    if tls.client_certificate == "none":
        rules += _asking(config, relay_policy(config, files))
    return InboundPolicy(rules, handshake, _tls_source(config))


def _asking(config: Config, relay: RelayPolicy) -> Iterator[InboundRule]:
    """What relay rules mean for the handshake: clients whom a certificate could let relay are asked for one.

    Those whom an earlier rule lets relay by their address are not. An ``[[inbound]]`` rule that sets the key comes
    before all of these.
    """
    if not relay.certified:
        return
    everywhere = frozenset(listener.name for listener in relaying(config))
    for rule in relay.rules:
        asked = {"client_certificate": "ask" if rule.certified else "none"}
        listeners = everywhere if rule.listeners is None else rule.listeners & everywhere
        yield InboundRule(rule.source, asked, rule.addresses, listeners)


def _inbound_settings(rule: Inbound) -> dict[str, object]:
    return {key: value for key in KEYS if (value := getattr(rule, key)) is not None}


def ground_of(config: Config, listener: Listener) -> Ground:
    """What holds at a listener where no rule says otherwise."""
    return Ground(listener.name, listener.starttls, listener.tls == "implicit", _listener_source(config, listener))


def _listener_source(config: Config, listener: Listener) -> Source:
    table, every = ("gate", config.gate) if isinstance(listener, Gate) else ("listener", config.listener)
    index = next((at for at, each in enumerate(every) if each.name == listener.name), None)
    if index is None or table not in config.model_fields_set:
        return Source("default")
    return _source(config, table, index)


def relay_policy(config: Config, files: ListFiles) -> RelayPolicy:
    """What decides about relaying.

    :raises ConfigError: when a list cannot be read.
    """
    return RelayPolicy(
        tuple(
            RelayRule(
                _source(config, "relay", index),
                None if rule.addresses is None else files.addresses(rule.addresses),
                None if rule.listeners is None else frozenset(rule.listeners),
                None if rule.certificate_email is None else frozenset(rule.certificate_email),
                None if rule.certificate_fingerprint is None else frozenset(rule.certificate_fingerprint),
            )
            for index, rule in enumerate(config.relay)
        )
    )  # fmt: skip


def default_level(config: Config) -> tuple[Level, Source]:
    """The level where no rule sets one, and where it stands."""
    delivery = config.delivery
    key = "tls_only_listed" if delivery.tls_only_listed else "tls_level"
    written = config.source is not None and key in delivery.model_fields_set
    source = Source(f"delivery.{key}", config.place("delivery", key)) if written else Source(f"delivery.{key}")
    return "none" if delivery.tls_only_listed else delivery.tls_level, source


def outbound_policy(config: Config, files: ListFiles) -> OutboundPolicy:
    """What decides about servers.

    :raises ConfigError: when a list cannot be read.
    """
    delivery, tls = config.delivery, config.tls
    ca = delivery.ca_file or tls.ca_file
    rules = tuple(_outbound_rule(config, index, rule, files) for index, rule in enumerate(config.outbound))
    level, source = default_level(config)
    return OutboundPolicy(
        rules,
        level,
        source,
        ClientHandshake(
            None if ca is None else str(ca), None, tls.minimum, tls.maximum, tls.ciphers, tls.suites
        ),
        delivery.smarthost is not None and delivery.smarthost_tls == "implicit",
    )  # fmt: skip


def _outbound_rule(config: Config, index: int, rule: Outbound, files: ListFiles) -> OutboundRule:
    exempt = rule.exempt or ()
    addresses = [entry for entry in exempt if is_address_entry(entry)]
    names = [entry for entry in exempt if not is_address_entry(entry)]
    return OutboundRule(
        _source(config, "outbound", index),
        dict(_outbound_settings(rule)),
        None if rule.to is None else NameList(rule.to),
        None if rule.mx is None else NameList(rule.mx),
        None if rule.server is None else files.addresses(rule.server),
        files.addresses(addresses) if addresses else None,
        NameList(names) if names else None,
    )


def _outbound_settings(rule: Outbound) -> Iterator[tuple[str, object]]:
    for key in ("level", "fingerprints", "names", "ciphers", "suites", "minimum", "maximum", "port", "implicit"):
        if (value := getattr(rule, key)) is not None:
            yield key, value
    for key in ("ca", "crl", "client_certificate"):
        if (value := getattr(rule, key)) is not None:
            yield key, str(value)


def route_policy(config: Config) -> RoutePolicy:
    """What decides which way mail goes."""
    smarthost = config.delivery.smarthost
    return RoutePolicy(
        tuple(
            RouteRule(
                _source(config, "route", index), NameList(route.to),
                None if route.via == MX else Endpoint(*parse_endpoint(route.via)),
            )
            for index, route in enumerate(config.route)
        ),
        None if smarthost is None else Endpoint(*parse_endpoint(smarthost)),
        Source("delivery.smarthost", config.place("delivery", "smarthost")),
    )  # fmt: skip


def relayed_domains(config: Config) -> NameList:
    """The domains whose mail is taken from everybody and sent on."""
    return NameList(config.relay_domains or ())


def refused_senders(config: Config, files: ListFiles) -> SenderList:
    """The senders whose mail is refused.

    :raises ConfigError: when a list cannot be read.
    """
    return files.senders(config.refused_senders or ())


def facts_of(config: Config, destination: str, host: str = "", address: str = "", *, way: Way | None = None) -> Facts:
    """What is known of a server. Where a route or the smarthost names a host, that is the destination and the host.

    :param way: which way the mail goes, where that has been decided.
    """
    way = route_policy(config).decide(destination.lower()).way if way is None else way
    if way.endpoint is None:
        return Facts(way.destination.lower(), host.lower(), address, routed=way.exempt)
    name = way.endpoint.host.lower()
    if way.kind == "route":
        return Facts(name, name, address, routed=True, named=True)
    return Facts(name, name, address, config.delivery.smarthost_user is not None)


def relaying(config: Config) -> Iterable[Listener]:
    """The listeners at which relay rules count."""
    return [listener for listener in config.listener if listener.protocol in RELAYING]


def _tls_source(config: Config) -> Source:
    return Source("tls", config.place("tls") if "tls" in config.model_fields_set else "")


def _source(config: Config, table: str, index: int) -> Source:
    return Source(f"{table}[{index}]", config.place(table, index))
