"""The only door between the clear and the private world."""

from __future__ import annotations

import dataclasses

import pytest
from tests.unit.wire.smtp.serving import evidence

from gatepost.errors import LocalProtocolError
from gatepost.wire.upgrade import (
    UNCHECKED,
    EarlyHello,
    Origin,
    PassReady,
    PlaintextAfterUpgrade,
    Role,
    TLSEvidence,
    UpgradeReady,
    Verification,
    hand_over_client,
    hand_over_server,
    pass_upgrade,
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
    with pytest.raises(LocalProtocolError):
        PassReady(ORIGIN, ORIGIN, None, _mint=object())  # type: ignore[arg-type]


def test_names_are_a_claim_of_the_certificate_until_they_are_verified() -> None:
    """What the certificate says is there for logs; what was proved of it is said beside it, and never in its place."""
    names = ("mx.example.org", "email:alice@example.org")
    for status in ("untrusted", "verified"):
        proof = evidence(status=status, names=names)
        assert proof.peer_names == names
        assert proof.verification.status == status


@pytest.mark.parametrize(
    ("reason", "unchecked"),
    [
        ("", False),
        ("expired", False),
        (UNCHECKED, True),
        (f"{UNCHECKED}: unable to get certificate CRL", True),
        (f"expired, {UNCHECKED}", False),
    ],
)
def test_revocation_that_is_unknown_is_told_from_every_other_fault(reason: str, unchecked: bool) -> None:
    """A list that is out of date is the operator's to mend; a certificate with any other fault stays one."""
    assert Verification("untrusted", reason).unchecked is unchecked


BEHIND = Origin(("192.0.2.9", 25), ("192.0.2.2", 2), "backend:mail", 0.0, "c2")


def passing(early: bytes = b"", waiting: bytes = b"") -> PassReady:
    client_side, hello = hand_over_server(ORIGIN, early)
    return pass_upgrade(client_side, hello, hand_over_client(BEHIND, b""), waiting)


def test_pass_spends_both_sides() -> None:
    """What lets TLS through has two origins, and neither token is good for a handshake of ours afterwards."""
    (client_side, early), server_side = hand_over_server(ORIGIN, b""), hand_over_client(BEHIND, b"")
    ready = pass_upgrade(client_side, early, server_side, b"")
    assert (ready.client, ready.server) == (ORIGIN, BEHIND)
    for token in (client_side, server_side):
        with pytest.raises(LocalProtocolError):
            token.spend()


def test_pass_takes_each_side_for_what_it_is() -> None:
    """A token of the wrong side leads nowhere."""
    client_side, _ = hand_over_server(ORIGIN, b"")
    server_side = hand_over_client(BEHIND, b"")
    with pytest.raises(LocalProtocolError):
        pass_upgrade(server_side, None, client_side, b"")


def test_pass_refuses_what_the_server_said_since_its_go_ahead() -> None:
    """A server speaks next inside TLS, whoever the TLS is with."""
    with pytest.raises(PlaintextAfterUpgrade) as caught:
        passing(waiting=b"250 ok\r\n")
    assert (caught.value.residue, caught.value.role) == (b"250 ok\r\n", Role.CLIENT)


@pytest.mark.parametrize("size", [0, 1, 5, 6, 20])
def test_pass_gives_the_early_hello_up_once(size: int) -> None:
    """What an eager client sent goes on to the server, once."""
    ready = passing(HELLO[:size])
    assert ready.begin() == HELLO[:size]
    with pytest.raises(LocalProtocolError):
        ready.begin()


@pytest.mark.parametrize("cut", range(8))
def test_pass_lets_a_hello_through_however_it_is_cut(cut: int) -> None:
    """The judgement is the same for every cut; until it is made the server says nothing."""
    ready = passing(HELLO[:cut])
    ready.begin()
    if cut < 6:
        with pytest.raises(PlaintextAfterUpgrade):
            ready.judge_server(b"\x16")
    for at in range(cut, len(HELLO)):
        ready.judge_client(HELLO[at : at + 1])
    assert ready.passed
    ready.judge_server(b"\x16\x03\x03")
    ready.judge_client(b"anything")


@pytest.mark.parametrize("early", [b"", HELLO[:1], HELLO[:5]])
@pytest.mark.parametrize("then", [b"NOOP\r\n", b"\x00", b"\xff"])
def test_pass_refuses_a_client_that_speaks_in_the_clear(early: bytes, then: bytes) -> None:
    """Plaintext in a later segment is found as what stands right behind STARTTLS is."""
    ready = passing(early)
    ready.begin()
    with pytest.raises(PlaintextAfterUpgrade) as caught:
        for _ in range(6):  # within the octets that are judged
            ready.judge_client(then)
    assert caught.value.role is Role.SERVER
    assert not ready.passed
