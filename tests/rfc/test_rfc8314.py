"""Implicit TLS for submission and access: ports, and what holds as it comes."""

from __future__ import annotations

import inspect

import pytest

import gatepost.pop3
import gatepost.smtp
from gatepost.config.listeners import default_listeners
from gatepost.config.schema import TLS, Inbound
from gatepost.wire.recipes.table import recipe


@pytest.mark.parametrize(
    ("name", "port", "implicit"), [("submission", 587, 465), ("imap", 143, 993), ("pop3", 110, 995)]
)
def test_each_protocol_has_its_port_for_implicit_tls(name: str, port: int, implicit: int) -> None:
    """RFC 8314 §3.2 and §3.3: 465, 993 and 995, beside those that upgrade."""
    assert (recipe(name).port, recipe(name).implicit_port) == (port, implicit)


def test_implicit_tls_is_served_beside_the_upgrade() -> None:
    """RFC 8314 §3: for submission and for POP3, without a word of configuration."""
    served = {(listener.protocol, listener.tls) for listener in default_listeners()}
    assert {(protocol, tls) for protocol in ("submission", "pop3") for tls in ("starttls", "implicit")} <= served


def test_ordinary_users_need_no_client_certificate() -> None:
    """RFC 8314 §5.5: nobody is asked for one unless the operator says so."""
    assert TLS().client_certificate == "none"
    assert Inbound().client_certificate is None


@pytest.mark.parametrize(
    "client",
    [gatepost.smtp.Client, gatepost.smtp.BlockingClient, gatepost.pop3.Client, gatepost.pop3.BlockingClient],
)
def test_clients_require_tls_unless_told_otherwise(client: type[object]) -> None:
    """RFC 8314 §5.2: what cannot be had in private is not said in the clear."""
    defaults = {name: each.default for name, each in inspect.signature(client).parameters.items()}
    assert defaults["starttls"] == "require"
    assert defaults["level"] is None  # which is verify
