"""Invariant: behind an upgrade only what begins as a ClientHello does passes, whatever the cut; everything else is a
PlaintextAfterUpgrade that has all of it, and of which a log has no secret."""

from __future__ import annotations

from fuzz.origins import ORIGIN, plan, seeds
from fuzz.words import BINARY, ENDS, SMTP

from gatepost.wire.upgrade import PlaintextAfterUpgrade, hand_over_client, hand_over_server, pass_upgrade
from gatepost.wire.witness import shown_residue

WORDS = BINARY + SMTP + ENDS
SEEDS = seeds(
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"EHLO a\r\nAUTH PLAIN AGE=\r\n",
    b"\x16\x03\x01",
    b"\x16\x03\x01\0\0",
)


def judged(pieces: list[bytes], early: bytes) -> str:
    """What a gate that passes TLS through makes of a client's octets."""
    ready, hello = hand_over_server(ORIGIN, early)
    passing = pass_upgrade(ready, hello, hand_over_client(ORIGIN, b""), b"")
    assert passing.begin() == early
    for piece in pieces:
        try:
            passing.judge_client(piece)
        except PlaintextAfterUpgrade:
            return "refused"
    if not passing.passed:
        try:
            passing.judge_server(b"220")
        except PlaintextAfterUpgrade:
            return "begun"
        raise AssertionError("a server speaks before the hello")
    return "passed"


def target(data: bytes) -> None:
    """As what came with the upgrade line, and as what comes after it."""
    told = plan(data)
    words = told.words
    for end in {0, told.votes % (len(words) + 1), len(words)}:
        try:
            _, early = hand_over_server(ORIGIN, words[:end])
        except PlaintextAfterUpgrade as refused:
            assert refused.residue == words[:end]
            assert judged([words], b"") == "refused"
            shown = shown_residue(refused.residue)
            assert all(len(line.split(b" ")) <= 2 for line in shown.split(b"\r\n"))
        else:
            assert (early.open() if early is not None else b"") == words[:end]
            assert judged([words[end:]], words[:end]) == judged([words], b"")
    assert judged(list(told.pieces()), b"") == judged([words], b"")
    try:
        hand_over_client(ORIGIN, words)
    except PlaintextAfterUpgrade as refused:
        assert refused.residue == words != b""
