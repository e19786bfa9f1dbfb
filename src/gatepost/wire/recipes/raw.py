"""No protocol at all: the caller has said what was to be said, and the handshake comes next.

What the peer has sent meanwhile and nobody has read is refused by the driver, as it is for every recipe.
"""

from __future__ import annotations

from typing import Final

from gatepost.wire.dialogue import Dialogue
from gatepost.wire.recipes.recipe import ClientTerms, Granted, Recipe, ServerTerms
from gatepost.wire.upgrade import Origin, UpgradeReady, hand_over_client, hand_over_server


def _client(origin: Origin, terms: ClientTerms) -> Dialogue[UpgradeReady]:
    """Nothing is said."""
    yield from ()
    return hand_over_client(origin, b"")


def _server(origin: Origin, terms: ServerTerms) -> Dialogue[Granted]:
    """Nothing is heard."""
    yield from ()
    ready, early = hand_over_server(origin, b"")
    return Granted(ready, early, b"")


RAW: Final = Recipe("raw", 0, None, _client, _server, summary="whatever you have said yourself; then TLS")
