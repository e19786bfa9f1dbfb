"""One half of a recipe against a script."""

from __future__ import annotations

from gatepost.testing.memory import CLOSE, MemoryDriver, ScriptedPeer
from gatepost.testing.recipes import CLIENT_TERMS, SERVER_TERMS, ServedPeer, serve
from gatepost.wire.recipes.recipe import ClientTerms, ServerTerms
from gatepost.wire.recipes.table import RECIPES
from gatepost.wire.upgrade import Origin, UpgradeReady

ORIGIN = Origin(("192.0.2.1", 1), ("192.0.2.2", 2), "test", 0.0, "c1")


def ask(name: str, *script: tuple[bytes, bytes], terms: ClientTerms = CLIENT_TERMS) -> UpgradeReady:
    """Run a client half against a server that says what the script says, and then closes."""
    peer = ScriptedPeer(*script, (b"", CLOSE))
    ready = MemoryDriver(peer).run(RECIPES[name].client(ORIGIN, terms))
    assert ready.spend() is ORIGIN
    assert peer.finished
    return ready


def served(name: str, *words: bytes, terms: ServerTerms = SERVER_TERMS) -> tuple[list[bytes], ServedPeer]:
    """Say words to a server half: its greeting and its answer to each, and the half itself."""
    peer = serve(RECIPES[name], terms)
    said = [peer.outgoing()]
    for word in words:
        peer.receive(word)
        said.append(peer.outgoing())
    return said, peer
