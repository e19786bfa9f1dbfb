"""Evidence and chains as plain values."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from gatepost.certs.evidence import chain_facts, evidence_facts
from gatepost.testing.ca import TestAuthority
from gatepost.testing.tls import evidence

NOW = datetime.now(UTC).timestamp()
OLD = {"not_before": datetime(2020, 1, 1, tzinfo=UTC), "not_after": datetime(2021, 1, 1, tzinfo=UTC)}
LATER = {"not_before": datetime(2090, 1, 1, tzinfo=UTC), "not_after": datetime(2091, 1, 1, tzinfo=UTC)}


def test_evidence_is_json_without_its_bindings() -> None:
    """Everything that was agreed on and proved; the channel bindings stay where they are."""
    proved = evidence()
    facts = evidence_facts(proved, NOW)
    text = json.dumps(facts)
    assert facts["version"] == proved.version and facts["verification"]["status"] == "untrusted"
    assert len(facts["chain"]) == len(proved.peer_chain)
    assert proved.tls_exporter is not None and proved.tls_exporter.hex() not in text


@pytest.mark.parametrize(("dates", "fault"), [(OLD, "expired on 2021-01-01"), (LATER, "not valid before 2090-01-01")])
def test_dates_that_are_wrong_are_faults(dates: dict[str, datetime], fault: str) -> None:
    """Of each certificate by itself, whoever is trusted."""
    issued = TestAuthority().issue("mx.test", not_before=dates["not_before"], not_after=dates["not_after"])
    (facts,) = chain_facts(issued.der[:1], NOW)
    assert [each for each in facts["faults"] if each.startswith(fault)]


def test_chain_that_does_not_follow_is_a_fault() -> None:
    """A certificate must be followed by the one that issued it; the last one's issuer is not asked."""
    first, other = TestAuthority().issue("one.test").der[0], TestAuthority().issue("two.test").der[0]
    facts = chain_facts((first, other), NOW)
    assert facts[0]["faults"] and "not issued by the next certificate" in facts[0]["faults"][0]
    assert facts[1]["faults"] == []


def test_broken_hash_is_a_fault() -> None:
    """What can be forged is named."""
    authority = TestAuthority(key=rsa.generate_private_key(65537, 2048))
    issued = authority.issue("mx.test", broken_hash="sha1")
    (facts,) = chain_facts(issued.der[:1], NOW)
    assert "signed with SHA1, which can be forged" in facts["faults"]


def test_what_cannot_be_read_is_named_by_its_digest() -> None:
    """Whatever a peer shows, there is an entry for it."""
    (facts,) = chain_facts((b"junk",), NOW)
    assert facts["faults"] == ["cannot be read"] and len(facts["sha256"]) == 64 and set(facts) == {"faults", "sha256"}
