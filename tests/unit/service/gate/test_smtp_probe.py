"""How an SMTP server is asked how it is, and what a gate calls itself and others."""

from __future__ import annotations

import asyncio

import pytest
from tests.unit.service.gate.servants import Yard
from tests.unit.service.gate.smtp_behind import LISTED, Behind

from gatepost.service.gate.backends import Probe
from gatepost.service.gate.choice import Health
from gatepost.service.gate.smtp_offer import Abilities
from gatepost.service.gate.smtp_probe import probe, probe_lmtp
from gatepost.service.gate.smtp_upstream import bare_address, hello_name


def _asked(behind: Behind, question: Probe) -> tuple[object | None, Health]:
    async def scenario() -> tuple[object | None, Health]:
        yard = Yard(behind.name, probe=question, reply_timeout="20s")
        await yard.settled()
        yard.pool.stop()
        return yard.pool.known, yard.health()[0]

    return asyncio.run(scenario())


def test_list_of_a_server_that_is_well_is_learned() -> None:
    """Greeting, EHLO, QUIT, and no more."""
    with Behind((*LISTED, "AUTH PLAIN")) as behind:
        known, health = _asked(behind, probe)
    assert known == Abilities(False, 10000000, True, True, True, True, True, 0, ("PLAIN",))
    assert health is Health.UP
    assert [line.split()[0] for line in behind.connections[0].lines] == [b"EHLO", b"QUIT"]


def test_lmtp_is_greeted_in_its_own_words() -> None:
    """LHLO."""
    with Behind() as behind:
        assert _asked(behind, probe_lmtp)[1] is Health.UP
    assert behind.connections[0].lines[0].startswith(b"LHLO ")


@pytest.mark.parametrize(
    ("verb", "answer"),
    [("greeting", b"554 no\r\n"), ("greeting", b"hello\r\n"), ("EHLO", b"421 no\r\n"), ("EHLO", b"!")],
)
def test_server_that_refuses_us_is_not_well(verb: str, answer: bytes) -> None:
    """Or breaks the protocol, or goes away."""
    with Behind(answers={verb: answer}) as behind:
        assert _asked(behind, probe)[1] is Health.DOWN


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("192.0.2.1", "192.0.2.1"), ("::ffff:192.0.2.1", "192.0.2.1"), ("fe80::1%eth0", "fe80::1"), ("local", ""),
        ("2001:db8:0::1", "2001:db8::1"),
    ],
)  # fmt: skip
def test_address_is_told_bare(address: str, told: str) -> None:
    """Without what only means something on this machine."""
    assert bare_address(address) == told


@pytest.mark.parametrize(
    ("claimed", "said"), [("far.example", "far.example"), ("[192.0.2.1]", "[192.0.2.1]"), ("a;b", "gate"), ("", "gate")]
)
def test_server_is_greeted_by_the_clients_name_where_it_is_one(claimed: str, said: str) -> None:
    """Else by the gate's."""
    assert hello_name(claimed, "gate") == said
