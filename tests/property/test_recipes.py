"""The client half of each recipe under three drivers: the same words, the same end, for every cut."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import threading
from collections.abc import Iterator
from typing import TypeAlias

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.attacks.exchanges import HANG_UP, TALKATIVE, Turn, answers, cut_off, turns

from gatepost.errors import GatepostError
from gatepost.net.blocking import BlockingWire
from gatepost.net.dial import dial
from gatepost.testing.handshakes import server_side
from gatepost.testing.memory import CLOSE, MemoryDriver, ScriptedPeer
from gatepost.testing.recipes import converse, meet
from gatepost.testing.tls import client_settings, contexts, upgrader
from gatepost.wire.dialogue import Dialogue, Effect, Result, Send
from gatepost.wire.recipes.table import RECIPES
from gatepost.wire.upgrade import TLSEvidence

SECONDS = 30.0
Events: TypeAlias = list[tuple[str, object]]
CUTS = st.lists(st.integers(0, 400), max_size=6)


def pieces(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    """The data, cut at these places."""
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return (data[start:end] for start, end in itertools.pairwise(edges) if start < end)


def watched(dialogue: Dialogue[TLSEvidence], events: Events) -> Dialogue[None]:
    """Run a dialogue as it is, and note what was said, what was heard between, and how it ended."""
    result: Result = None
    heard = b""
    try:
        effect: Effect = next(dialogue)
        while True:
            if isinstance(effect, Send):
                events += [("heard", heard), ("said", effect.data)]
                heard = b""
            try:
                result = yield effect
            except Exception as error:  # noqa: BLE001  # as a driver does
                effect = dialogue.throw(error)
                continue
            if isinstance(result, bytes):
                heard += result
            effect = dialogue.send(result)
    except StopIteration as stop:
        evidence: TLSEvidence = stop.value
        events += [("heard", heard), ("evidence", (evidence.version, evidence.cipher, evidence.verification.status))]
    except GatepostError as error:
        events += [("heard", heard), (type(error).__name__, str(error))]


class Player:
    """The other side on a socket: plays an exchange, cut as it is told, and ends in a handshake or by hanging up."""

    def __init__(self, script: tuple[Turn, ...], cuts: list[int]) -> None:
        self._sock = socket.create_server(("127.0.0.1", 0))
        self.port = self._sock.getsockname()[1]
        self._script = script
        self._cuts = cuts
        self._thread = threading.Thread(target=self._play)

    def __enter__(self) -> Player:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(SECONDS)
        self._sock.close()
        assert not self._thread.is_alive()

    def _play(self) -> None:
        self._sock.settimeout(SECONDS)
        peer, _ = self._sock.accept()
        with peer:
            peer.settimeout(SECONDS)
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for expected, said in self._script:
                heard = b""
                while len(heard) < len(expected):
                    heard += peer.recv(len(expected) - len(heard))
                if said == CLOSE:
                    return
                for piece in pieces(said, self._cuts):
                    peer.sendall(piece)
            self._shake_hands(peer)

    def _shake_hands(self, peer: socket.socket) -> None:
        handshake = server_side(contexts())
        while (stream := handshake.advance()) is None:
            peer.sendall(handshake.outgoing())
            handshake.receive(peer.recv(65536))
        with contextlib.suppress(OSError):  # the client has what it wants, and may be gone
            peer.sendall(stream.outgoing())
            while peer.recv(65536):
                pass


def by_asyncio(name: str, script: tuple[Turn, ...], cuts: list[int]) -> Events:
    events: Events = []

    async def main(port: int) -> None:
        wire = await dial("127.0.0.1", port, tls=client_settings())
        try:
            await wire.run(watched(converse(RECIPES[name], wire.origin), events))
        finally:
            wire.close()

    with Player(script, cuts) as player:
        asyncio.run(main(player.port))
    return events


def by_blocking(name: str, script: tuple[Turn, ...], cuts: list[int]) -> Events:
    events: Events = []
    with Player(script, cuts) as player, BlockingWire("127.0.0.1", player.port, tls=client_settings()) as wire:
        wire.run(watched(converse(RECIPES[name], wire.origin), events))
    return events


def in_memory(name: str, script: tuple[Turn, ...], cuts: list[int]) -> Events:
    events: Events = []
    driver = MemoryDriver(
        ScriptedPeer(*script), chunks=lambda data: pieces(data, cuts), upgrade=upgrader(ScriptedPeer())
    )
    driver.run(watched(converse(RECIPES[name]), events))
    return events


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(TALKATIVE), CUTS)
def test_honest_exchange_is_the_same_under_every_driver(name: str, cuts: list[int]) -> None:
    """What is said, what is heard in between, and the evidence."""
    expected = in_memory(name, turns(name), [])
    assert [data for kind, data in expected if kind == "said"] == list(meet(RECIPES[name]).said)
    assert expected[-1][0] == "evidence"
    assert in_memory(name, turns(name), cuts) == expected
    assert by_asyncio(name, turns(name), cuts) == expected
    assert by_blocking(name, turns(name), cuts) == expected


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(TALKATIVE), st.integers(0, 10_000), CUTS)
def test_broken_exchange_is_the_same_under_every_driver(name: str, at: int, cuts: list[int]) -> None:
    """The server hangs up somewhere: the same words until then, and the same error."""
    script = cut_off(name, at % len(answers(name)), HANG_UP)
    expected = in_memory(name, script, [])
    assert expected[-1][0] in ("PeerLeft", "ConnectionLost")
    assert in_memory(name, script, cuts) == expected
    assert by_asyncio(name, script, cuts) == expected
    assert by_blocking(name, script, cuts) == expected


@settings(deadline=None)
@given(st.sampled_from(sorted(RECIPES)), CUTS)
def test_two_halves_meet_however_their_words_are_cut(name: str, cuts: list[int]) -> None:
    """Client half and server half, in memory: the same words for every cut."""
    whole = meet(RECIPES[name])
    met = meet(RECIPES[name], chunks=lambda data: pieces(data, cuts))
    assert (met.said, met.answered) == (whole.said, whole.answered)
    assert met.client.cipher == met.server.cipher
