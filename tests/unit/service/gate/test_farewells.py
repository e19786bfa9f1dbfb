"""The last words to a client for whom no server can be had, read as a client of each protocol reads them."""

from __future__ import annotations

import pytest
from tests.unit.wire.recipes.halves import ask

from gatepost.service.gate.farewells import UNAVAILABLE
from gatepost.wire.recipes import ber
from gatepost.wire.recipes.ldap import STARTTLS
from gatepost.wire.recipes.recipe import UpgradeRefused

START_TLS = ber.element(ber.SEQUENCE, ber.integer(1), ber.element(0x77, ber.element(0x80, STARTTLS)))
HEARD = {"irc": b"CAP LS\r\n", "ldap": START_TLS}  # by those whose client speaks first


@pytest.mark.parametrize("protocol", UNAVAILABLE)
def test_client_takes_it_for_a_refusal_that_passes(protocol: str) -> None:
    """The words are legal where the server speaks first, or in place of its first answer, and are understood."""
    with pytest.raises(UpgradeRefused) as refused:
        ask(protocol, (HEARD.get(protocol, b""), UNAVAILABLE[protocol]))
    assert "o server can be had" in refused.value.words or "TRYLATER" in refused.value.words
