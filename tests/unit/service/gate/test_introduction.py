"""What a server is told of a client in a PROXY header, and what not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from gatepost.service.gate.introduction import introduction, own_introduction
from gatepost.service.gate.link import Client
from gatepost.testing.ca import TestAuthority
from gatepost.testing.tls import secure_streams
from gatepost.wire.proxy import HeaderReader, Told
from gatepost.wire.upgrade import Origin, TLSEvidence, Verification

ORIGIN = Origin(("192.0.2.7", 40000), ("198.51.100.1", 25), "front", 1_700_000_000.0, "0123456789abc")
LOCAL = Origin(("local", 0), ("local", 0), "front", 1_700_000_000.0, "c2", 1000)
OURS = Origin(("203.0.113.9", 10025), ("203.0.113.1", 50000), "backend:mail", 1_700_000_000.0, "c3")


def read(header: bytes) -> Told | None:
    return HeaderReader().feed(header)


@pytest.mark.parametrize("manner", ["none", "xclient", "xforward"])
def test_other_manners_begin_without_a_header(manner: str) -> None:
    """They tell in the protocol itself."""
    assert introduction(manner, Client(ORIGIN)) == b""
    assert own_introduction(manner, OURS) == b""


@pytest.mark.parametrize(("manner", "version"), [("proxy1", 1), ("proxy2", 2)])
def test_client_is_told_with_the_address_that_it_came_to(manner: str, version: int) -> None:
    """Both ends of its connection, not of ours."""
    assert read(introduction(manner, Client(ORIGIN))) == Told(version, ORIGIN.peer, ORIGIN.local)


def test_tls_of_the_client_is_told_in_version_2() -> None:
    """What its handshake proved, and the connection's identifier for the server's log."""
    evidence = secure_streams()[1].evidence
    header = introduction("proxy2", Client(ORIGIN, evidence))
    assert evidence.version.encode() in header
    assert evidence.cipher.encode() in header
    assert b"\x05\x00\x0d0123456789abc" in header
    assert evidence.version.encode() not in introduction("proxy2", Client(ORIGIN))
    assert evidence.version.encode() not in introduction("proxy1", Client(ORIGIN, evidence))


@pytest.mark.parametrize(
    ("common_name", "told"), [("Bob of Accounts", True), ("", False)]
)  # fmt: skip
def test_name_in_the_certificate_of_the_client_is_told(common_name: str, told: bool) -> None:
    """Where it has one; a certificate that cannot be read has none."""
    shown = TestAuthority().issue(common_name=common_name, email_address="bob@example.test")
    found = introduction("proxy2", Client(ORIGIN, _evidence(shown.der)))
    assert (b"\x22\x00\x0fBob of Accounts" in found) == told
    assert b"\x22\x00" not in introduction("proxy2", Client(ORIGIN, _evidence((b"\x30\x03abc",))))


def _evidence(chain: tuple[bytes, ...]) -> Any:
    """Evidence with another chain."""
    proved = secure_streams()[1].evidence
    changed = {"peer_chain": chain, "verification": Verification("trusted")}
    return SimpleNamespace(**{name: getattr(proved, name) for name in TLSEvidence.__slots__} | changed)


def test_what_a_client_said_is_not_told() -> None:
    """The header is a matter of the kernel and of the handshake."""
    talkative = Client(ORIGIN, helo="mail.example", login="alice")
    assert introduction("proxy2", talkative) == introduction("proxy2", Client(ORIGIN))


def test_local_client_has_no_address() -> None:
    """A program of this machine."""
    assert read(introduction("proxy1", Client(LOCAL))) == Told(1)
    assert read(introduction("proxy2", Client(LOCAL))) == Told(2)


def test_check_introduces_itself() -> None:
    """§2.1 advises its own addresses, §2.2 LOCAL."""
    assert read(own_introduction("proxy1", OURS)) == Told(1, OURS.local, OURS.peer)
    assert read(own_introduction("proxy2", OURS)) == Told(2)
