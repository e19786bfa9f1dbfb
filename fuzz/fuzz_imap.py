"""Invariant: whatever both sides say, no exception escapes, a server hears only what its client said, in order, memory
is bounded, an end is an end, and before TLS nobody logs in."""

from __future__ import annotations

from gatepost.wire.imap.client import Opening
from gatepost.wire.imap.events import Ended, LoggedIn, StartTLSRequested, UpgradeAgreed
from gatepost.wire.imap.passing import PassingServer
from gatepost.wire.imap.profile import Profile
from gatepost.wire.imap.relay import ClearServer
from gatepost.wire.imap.server import PlainServer
from gatepost.wire.imap.states import State
from gatepost.wire.upgrade import Origin, PlaintextAfterUpgrade

ORIGIN = Origin(("192.0.2.1", 1), ("192.0.2.2", 143), "imap", 0.0, "c1")
PROFILE = Profile(hostname="mx.example.org", max_errors=50)
OPENING = Opening(b"* OK hi\r\n", (b"IMAP4rev1", b"LITERAL+"))
HELD = 1 << 17  # a line of either side, and a piece


def plain(pieces: list[bytes]) -> None:
    """The gate by itself."""
    engine = PlainServer(ORIGIN, PROFILE)
    engine.greet()
    for piece in pieces:
        engine.receive(piece)
        while (event := engine.next_event()) is not None:
            assert not isinstance(event, LoggedIn)
            if isinstance(event, StartTLSRequested):
                try:
                    engine.grant_upgrade()
                except PlaintextAfterUpgrade:
                    assert engine.state is State.ENDED
                return
        assert engine.backlog <= HELD


def between(engine: ClearServer | PassingServer, pieces: list[bytes]) -> None:
    """With a server: the pieces are the client's and the server's by turns."""
    engine.opened(OPENING, greet=True)
    said, heard, ended = b"", b"", False
    for number, piece in enumerate(pieces):
        if number % 2:
            engine.receive_from_server(piece)
        else:
            said += piece
            engine.receive(piece)
        while (event := engine.next_event()) is not None:
            assert not ended
            ended = isinstance(event, Ended)
            if isinstance(event, UpgradeAgreed):
                assert isinstance(engine, PassingServer)
                try:
                    engine.hand_over(ORIGIN)
                except PlaintextAfterUpgrade:
                    assert engine.state is State.ENDED
                return
        heard += engine.to_server()
        engine.outgoing()
    at = 0
    for line in heard.splitlines(keepends=True):
        at = said.index(line, at) + len(line)


def target(data: bytes) -> None:
    """Every engine, in pieces of the size that the first octet names."""
    step = (data[0] % 60 if data else 0) + 1
    pieces = [data[start : start + step] for start in range(0, len(data), step)]
    plain(pieces)
    between(ClearServer(ORIGIN, PROFILE, logins=True), pieces)
    between(PassingServer(ORIGIN, PROFILE), pieces)
    between(ClearServer(ORIGIN, PROFILE, logins=True), [b"l LOGIN a b\r\n", b"l OK in\r\n", *pieces])
