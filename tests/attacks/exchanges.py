"""What both halves of a recipe say to each other, recorded, so that an attack can be made of it.

A recipe is asked for nothing but its two halves: an attack on a new recipe needs no line of code.
"""

from __future__ import annotations

import functools
from typing import Final, final

from gatepost.testing.handshakes import CLIENT_ORIGIN, SERVER_ORIGIN
from gatepost.testing.memory import CLOSE, Chunking, MemoryDriver, Peer, ScriptedPeer
from gatepost.testing.recipes import CLIENT_TERMS, SERVER_TERMS, converse, meet, serve
from gatepost.wire.dialogue import Dialogue
from gatepost.wire.recipes.recipe import Granted
from gatepost.wire.recipes.table import RECIPES
from gatepost.wire.upgrade import UpgradeReady

Turn = tuple[bytes, bytes]  # what the client says, and what the server answers
NAMES: Final = tuple(RECIPES)
TALKATIVE: Final = tuple(name for name in NAMES if name != "raw")  # those that say anything in the clear
ENOUGH: Final = 1 << 20  # octets that nobody may take without having had enough


@functools.cache
def turns(name: str) -> tuple[Turn, ...]:
    """The honest exchange. The first turn is the server's greeting, where there is one, to nothing."""
    said = meet(RECIPES[name]).said
    peer = serve(RECIPES[name])
    found = [(b"", peer.outgoing())]
    for words in said:
        peer.receive(words)
        found.append((words, peer.outgoing()))
    assert peer.granted is not None
    return tuple(found)


def last_answer(name: str) -> int:
    """The number of the turn with the go-ahead, or with whatever was answered last."""
    return max((number for number, (_, answer) in enumerate(turns(name)) if answer), default=0)


def requests(name: str) -> bytes:
    """Everything that the client says."""
    return b"".join(said for said, _ in turns(name))


def answers(name: str) -> bytes:
    """Everything that the server says, the go-ahead at the end."""
    return b"".join(answer for _, answer in turns(name))


def with_answer(name: str, number: int, answer: bytes) -> tuple[Turn, ...]:
    """The exchange with another answer in one turn."""
    return tuple((said, answer if at == number else honest) for at, (said, honest) in enumerate(turns(name)))


def cut_off(name: str, octets: int, *end: Turn) -> tuple[Turn, ...]:
    """The exchange up to an octet of the server's, and how it ends then: by default in silence."""
    found: list[Turn] = []
    for said, answer in turns(name):
        found.append((said, answer[:octets]))
        octets -= len(answer)
        if octets < 0:
            break
    return (*found, *end)


HANG_UP: Final[Turn] = (b"", CLOSE)


def drive_client(name: str, peer: Peer, chunks: Chunking = None) -> MemoryDriver:
    """Run the client half against a peer, up to and with an upgrade that cannot succeed."""
    driver = MemoryDriver(peer, chunks=chunks)
    driver.run(converse(RECIPES[name]))
    raise AssertionError("a driver without TLS has upgraded")


def client_half(name: str) -> Dialogue[UpgradeReady]:
    """A client half, begun by nobody."""
    return RECIPES[name].client(CLIENT_ORIGIN, CLIENT_TERMS)


def server_half(name: str) -> Dialogue[Granted]:
    """A server half, begun by nobody."""
    return RECIPES[name].server(SERVER_ORIGIN, SERVER_TERMS)


def drive_server(name: str, *script: Turn) -> tuple[Granted, ScriptedPeer]:
    """Run the server half against a client that says what the script says."""
    peer = ScriptedPeer(*script)
    return MemoryDriver(peer).run(server_half(name)), peer


@final
class Flood:
    """A peer that follows the exchange up to a turn, and then says the same thing for ever."""

    def __init__(self, words: bytes, script: tuple[Turn, ...] = ()) -> None:
        self._script: Final = ScriptedPeer(*script)
        self._words: Final = words * (4096 // len(words) + 1)
        self.closed = False
        self.said = 0
        self.heard = 0

    def receive(self, data: bytes) -> None:
        """Take what the victim says."""
        self.heard += len(data)
        if not self._script.finished:
            self._script.receive(data)
        assert self.heard < ENOUGH, "the victim does not stop answering"

    def outgoing(self) -> bytes:
        """What there is to say now: always something."""
        honest = self._script.outgoing()
        if honest or not self._script.finished:
            return honest
        self.said += len(self._words)
        assert self.said < ENOUGH, "the victim does not stop listening"
        return self._words
