"""Which logins can come through a gate."""

from __future__ import annotations

import pytest

from gatepost.service.gate.mechanisms import passing


@pytest.mark.parametrize(
    ("listed", "passed"),
    [
        (["PLAIN", "LOGIN", "PLAIN"], ("PLAIN", "LOGIN")),
        (["PLAIN", "SCRAM-SHA-256"], ("PLAIN", "SCRAM-SHA-256")),
        (["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN"], ("PLAIN",)),
        (["SCRAM-SHA-256-PLUS", "SCRAM-SHA-1", "EXTERNAL"], ("SCRAM-SHA-1",)),
        (["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"], ("SCRAM-SHA-256",)),
        (["SCRAM-SHA-256-PLUS", "EXTERNAL"], ()),
        (["PLAIN", "plain", "A" * 21, "X;Y", ""], ("PLAIN",)),
        ([], ()),
    ],
)
def test_mechanism_that_a_server_takes_for_an_attack_is_left_out(listed: list[str], passed: tuple[str, ...]) -> None:
    """A client that can bind its login and is offered no way to says so, and the server offers one (RFC 5802 §6)."""
    assert passing(listed) == passed
