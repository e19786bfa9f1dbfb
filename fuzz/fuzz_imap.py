"""Invariant: whatever both sides of a gate say, nothing escapes, a server hears only what its client said, in order,
memory is bounded, an end is an end, before TLS nobody logs in, and what is told there is the same for every cut."""

from __future__ import annotations

from collections.abc import Iterable

from fuzz.measure import held
from fuzz.origins import EVIDENCE, ORIGIN, cut, plan, seeds
from fuzz.words import ENDS, IMAP

from gatepost.wire.imap.client import Opening
from gatepost.wire.imap.events import Ended, LoggedIn, StartTLSRequested, UpgradeAgreed
from gatepost.wire.imap.passing import PassingServer
from gatepost.wire.imap.profile import Profile
from gatepost.wire.imap.relay import ClearServer, SecureServer
from gatepost.wire.imap.server import PlainServer
from gatepost.wire.imap.states import State
from gatepost.wire.upgrade import PlaintextAfterUpgrade

ENGINES = 5
PROFILE = Profile(hostname="mx.example.org", max_errors=50)
OPENING = Opening(b"* OK hi\r\n", (b"IMAP4rev1", b"LITERAL+"))
TOLD = 1 << 17  # octets: a line of either side, and a piece
LOGIN = (b"l LOGIN a b\r\n", b"l OK in\r\n")
WORDS = IMAP + ENDS
SEEDS = seeds(
    b'a CAPABILITY\r\nb NOOP\r\nc ID ("name" "x" "x-originating-ip" "192.0.2.1")\r\nd STARTTLS\r\n\x16\x03\x01',
    b"a LOGIN alice secret\r\n\0a OK [CAPABILITY IMAP4rev1 IDLE LITERAL+] in\r\n\0b SELECT INBOX\r\n"
    b"\0* 3 EXISTS\r\n* OK [UIDVALIDITY 1] x\r\nb OK [READ-WRITE] done\r\n\0c FETCH 1 BODY[]\r\n"
    b"\0* 1 FETCH (BODY[] {5}\r\nab\r\nc)\r\nc OK done\r\n\0d IDLE\r\n\0+ idling\r\n* 4 EXISTS\r\n\0DONE\r\n"
    b"\0d OK\r\n\0e LOGOUT\r\n"
    b"\0* BYE\r\ne OK\r\n",
    b"a APPEND x (\\Seen) {3}\r\n\0+ go\r\n\0abc\r\n\0a OK done\r\n\0b LOGIN {5+}\r\nalice {6}\r\n\0+ more\r\n"
    b"\0secret\r\n\0b NO no\r\n",
    b"a AUTHENTICATE PLAIN\r\n\0+ \r\n\0AGFsaWNlAHNlY3JldA==\r\n\0a OK in\r\n\0b ENABLE UTF8=ACCEPT\r\n"
    b"\0* ENABLED\r\nb OK\r\n",
    b"a STARTTLS\r\n\0a OK go\r\n",
    choices=ENGINES,
)


def alone(pieces: Iterable[bytes]) -> tuple[list[str], bytes]:
    """The gate by itself, before TLS; what it reported and said."""
    engine, told = PlainServer(ORIGIN, PROFILE), []
    engine.greet()
    before, said, longest = held(engine, PROFILE), engine.outgoing(), 0
    for piece in pieces:
        longest = max(longest, len(piece))
        engine.receive(piece)
        while (event := engine.next_event()) is not None:
            assert not isinstance(event, LoggedIn)
            told.append(repr(event))
            if isinstance(event, StartTLSRequested):
                said += engine.outgoing()
                try:
                    engine.grant_upgrade()
                except PlaintextAfterUpgrade:
                    assert engine.state is State.ENDED
                return told, said
        said += engine.outgoing()
        assert engine.backlog <= TOLD
    assert held(engine, PROFILE) - before <= TOLD + longest
    return told, said


def between(engine: ClearServer | SecureServer | PassingServer, turns: Iterable[bytes], step: int) -> None:
    """With a server behind: the turns are the client's and the server's."""
    engine.opened(OPENING, greet=True)
    before, said, heard, ended = held(engine, PROFILE), b"", b"", False
    for number, turn in enumerate(turns):
        for piece in cut(turn, step):
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
    assert held(engine, PROFILE) - before <= TOLD + len(said) if not engine.halfway else True
    at = 0
    for line in heard.splitlines(keepends=True):
        if b" ID " in line.upper():
            continue  # what speaks for somebody else is left out of it
        at = said.index(line, at) + len(line)


def target(data: bytes) -> None:
    """The gate before TLS; in the clear, inside TLS, and passing STARTTLS on, where NULs part the turns."""
    told = plan(data, ENGINES)
    if told.choice == 0:
        assert alone(told.pieces()) == alone([told.words])
        return
    turns = told.words.split(b"\0")
    if told.choice == 1:
        between(ClearServer(ORIGIN, PROFILE, logins=bool(told.votes & 1)), turns, told.step)
    elif told.choice == 2:
        between(PassingServer(ORIGIN, PROFILE), turns, told.step)
    else:
        engine = SecureServer(ORIGIN, EVIDENCE, PROFILE)
        between(engine, [*LOGIN, *turns] if told.choice == 3 else turns, told.step)
