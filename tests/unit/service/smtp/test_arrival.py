"""What is written down of a message's arrival for the reflector."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gatepost.service.smtp.arrival import arrival_line
from gatepost.service.smtp.connection import Connection
from gatepost.testing.tls import evidence
from gatepost.wire.upgrade import Origin

ORIGIN = Origin(("192.0.2.1", 9), ("192.0.2.2", 25), "mx", 0.0, "c1")


def _connection(tls: str = "starttls") -> Connection:
    made = SimpleNamespace(
        origin=ORIGIN, port=SimpleNamespace(listener=SimpleNamespace(name="mx", tls=tls)),
        terms=SimpleNamespace(wanted="offer", rule="inbound[0]"),
    )  # fmt: skip
    return cast(Connection, made)


@pytest.mark.parametrize(("tls", "began"), [("starttls", "by STARTTLS"), ("implicit", "from the first octet")])
def test_line_has_what_handshake_and_policy_know(tls: str, began: str) -> None:
    """Version, cipher, group, and how TLS began; the certificate, and the login."""
    proof = evidence()
    facts = json.loads(arrival_line(_connection(tls), proof, hello="a.example", user="ann@example.org"))
    assert (facts["peer"], facts["listener"], facts["wanted"], facts["rule"]) == (
        "192.0.2.1",
        "mx",
        "offer",
        "inbound[0]",
    )
    assert (facts["hello"], facts["user"]) == ("a.example", "ann@example.org")
    found: dict[str, Any] = facts["tls"]
    assert (found["version"], found["cipher"], found["began"]) == (proof.version, proof.cipher, began)
    assert found["resumed"] is proof.resumed and found["verification"] == proof.verification.status


def test_line_is_one_of_ascii_and_bounded_in_the_clear_too() -> None:
    """Whatever a peer calls itself."""
    line = arrival_line(_connection(), None, hello="é\r\n\x00\ud800" * 999, user="")
    assert line.isascii() and line.isprintable() and len(line) < 4096
    assert "tls" not in json.loads(line) and "user" not in json.loads(line)
