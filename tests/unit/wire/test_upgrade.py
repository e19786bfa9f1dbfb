"""The only door between the clear and the private world."""

from __future__ import annotations

import dataclasses

import pytest

from gatepost.errors import LocalProtocolError
from gatepost.wire.upgrade import (
    EarlyHello,
    Origin,
    PlaintextAfterUpgrade,
    Role,
    TLSEvidence,
    UpgradeReady,
    Verification,
    hand_over_client,
    hand_over_server,
)

ORIGIN = Origin(("192.0.2.1", 1), ("192.0.2.2", 25), "mx", 0.0, "c1")
HELLO = b"\x16\x03\x01\x00\xf8\x01" + bytes(20)


def test_token_has_no_field_for_bytes() -> None:
    """Plaintext has nowhere to travel: the token holds an origin, whether it was spent, and a role."""
    assert set(UpgradeReady.__slots__) == {"_origin", "_spent", "role"}


def test_origin_and_evidence_hold_no_claim_of_the_peer() -> None:
    """No name that a peer chose in the clear is a field of what crosses."""
    claims = {"hello", "hello_name", "capabilities", "sender", "recipients", "login", "identity", "extended", "text"}
    crossing = {field.name for kind in (Origin, TLSEvidence) for field in dataclasses.fields(kind)}
    assert not crossing & claims


def test_token_is_spent_once() -> None:
    """A connection is upgraded once."""
    ready, early = hand_over_server(ORIGIN, b"")
    assert early is None
    assert ready.role is Role.SERVER
    assert ready.spend() is ORIGIN
    with pytest.raises(LocalProtocolError):
        ready.spend()


@pytest.mark.parametrize("residue", [HELLO, HELLO[:1], HELLO[:5], HELLO[:6]])
def test_server_hands_an_early_client_hello_to_tls(residue: bytes) -> None:
    """An eager client is served: its octets are for the TLS engine, which opens them once."""
    _, early = hand_over_server(ORIGIN, residue)
    assert early is not None
    assert early.open() == residue
    assert early.open() == b""


@pytest.mark.parametrize(
    "residue",
    [
        b"NOOP\r\n",
        b"X",
        b"\r\n",
        b" ",
        b"\x00",
        b"\x16\x02",
        b"\x16\x03\x05",
        b"\x17\x03\x03",
        b"\x16\x03\x01\x00\x10\x02",
        b"\x16\x03\x01\xff\xff\x01",
        b"\x16\x03\x01\x00\x00\x01",
    ],
)
def test_server_refuses_bytes_after_starttls(residue: bytes) -> None:
    """Anything that does not begin as a ClientHello record is refused, and kept as evidence."""
    with pytest.raises(PlaintextAfterUpgrade) as caught:
        hand_over_server(ORIGIN, residue)
    assert caught.value.residue == residue
    assert (caught.value.code, caught.value.enhanced) == (554, "5.5.0")


@pytest.mark.parametrize("residue", [b"\x16", HELLO, b"250 ok\r\n"])
def test_client_refuses_any_byte_behind_the_go_ahead(residue: bytes) -> None:
    """A server speaks next inside TLS, so a client takes nothing at all."""
    with pytest.raises(PlaintextAfterUpgrade):
        hand_over_client(ORIGIN, residue)
    assert hand_over_client(ORIGIN, b"").role is Role.CLIENT


def test_constructors_are_closed() -> None:
    """Nobody but the upgrade and the handshake makes a token, an early hello or evidence."""
    with pytest.raises(LocalProtocolError):
        UpgradeReady(ORIGIN, Role.SERVER, _mint=object())  # type: ignore[arg-type]
    with pytest.raises(LocalProtocolError):
        EarlyHello(b"", _mint=object())  # type: ignore[arg-type]
    with pytest.raises(LocalProtocolError):
        TLSEvidence("TLSv1.3", "c", 256, None, None, None, (), Verification("none"), False, None, None, _mint=object())  # type: ignore[arg-type]
