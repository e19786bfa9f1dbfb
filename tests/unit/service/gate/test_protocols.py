"""The table of protocols: every gate has its sessions, and words for whom a limit keeps out."""

from __future__ import annotations

from typing import get_args

import pytest

from gatepost.config.gate_protocols import READ
from gatepost.config.schema import Gate
from gatepost.service.gate.opaque import PlainGate, SplicedGate
from gatepost.service.gate.protocols import PROTOCOLS, faces
from gatepost.service.limits import Refusal
from gatepost.service.smtp.refusals import TOO_MANY_HERE

BUSY = Refusal(TOO_MANY_HERE, "limit")
NAMES = get_args(Gate.model_fields["protocol"].annotation)


def test_what_is_read_has_an_engine() -> None:
    """The configuration and the table mean the same protocols."""
    assert PROTOCOLS.keys() == READ


@pytest.mark.parametrize("protocol", NAMES)
def test_every_protocol_has_both_sessions(protocol: str) -> None:
    """In the clear and inside TLS."""
    found = faces(protocol)
    assert callable(found.plain)
    assert callable(found.secure)
    assert (found.plain is PlainGate) == (protocol not in READ)


def test_what_is_not_read_at_all_has_one_session() -> None:
    """Whatever is spoken."""
    assert faces("smtp", spliced=True).plain is SplicedGate
    assert faces("mysql", spliced=True).plain is SplicedGate


@pytest.mark.parametrize(
    ("protocol", "begins"),
    [("smtp", b"421 4.3.2 "), ("lmtp", b"421 "), ("pop3", b"-ERR [SYS/TEMP] "), ("imap", b"* BYE "), ("ldap", b"")],
)
def test_client_beyond_a_limit_is_told_in_its_protocol(protocol: str, begins: bytes) -> None:
    """And in those that are not read, nothing is said."""
    said = faces(protocol).last_words(BUSY)
    assert said.startswith(begins)
    assert bool(said) == bool(begins)
