"""Drives the IMAP engines in memory: what was said, what came of it."""

from __future__ import annotations

from gatepost.wire.imap.client import Opening
from gatepost.wire.imap.commands import CommandReader
from gatepost.wire.imap.engine import Engine
from gatepost.wire.imap.events import ClientPiece, Event, LiteralData, Passing, ServerPiece
from gatepost.wire.imap.profile import Profile
from gatepost.wire.imap.relay import ClearServer, Relay
from gatepost.wire.imap.responses import ResponseReader
from gatepost.wire.upgrade import Origin

ORIGIN = Origin(("192.0.2.1", 40000), ("192.0.2.2", 143), "imap", 0.0, "test")
PROFILE = Profile(hostname="mx.example.test", capabilities=(b"IMAP4rev1", b"LITERAL+", b"IDLE", b"AUTH=PLAIN"))
OPENING = Opening(b"* OK ready\r\n", (b"IMAP4rev1", b"LITERAL+"))


def events_of(engine: Engine) -> list[Event]:
    """Everything that an engine reports now."""
    found: list[Event] = []
    while (event := engine.next_event()) is not None:
        found.append(event)
    return found


def hear(engine: Engine, data: bytes) -> list[Event]:
    """Let an engine hear its client."""
    engine.receive(data)
    return events_of(engine)


def answer(engine: Relay, data: bytes) -> list[Event]:
    """Let an engine hear its server."""
    engine.receive_from_server(data)
    return events_of(engine)


def relay(opening: Opening = OPENING, *, authenticated: bool = False, profile: Profile = PROFILE) -> ClearServer:
    """An engine whose server is ready, with nothing outgoing."""
    engine = ClearServer(ORIGIN, profile, logins=True)
    engine.opened(opening, greet=False)
    if authenticated:
        hear(engine, b"a0 LOGIN bob pw\r\n")
        answer(engine, b"a0 OK in\r\n")
    engine.outgoing()
    engine.to_server()
    return engine


def commands(reader: CommandReader, data: bytes = b"") -> list[ClientPiece]:
    """Everything that a reader finds now, the pieces of a literal joined."""
    reader.receive(data)
    found: list[ClientPiece] = []
    while (piece := reader.next()) is not None:
        last = found[-1] if found else None
        if isinstance(piece, LiteralData) and isinstance(last, LiteralData):
            found[-1] = LiteralData(last.octets + piece.octets, piece.hidden)
        else:
            found.append(piece)
    return found


def responses(reader: ResponseReader, data: bytes = b"") -> list[ServerPiece]:
    """Everything that a reader finds now, what passes unread joined."""
    reader.receive(data)
    found: list[ServerPiece] = []
    while (piece := reader.next()) is not None:
        last = found[-1] if found else None
        if isinstance(piece, Passing) and isinstance(last, Passing):
            found[-1] = Passing(last.octets + piece.octets)
        else:
            found.append(piece)
    return found
