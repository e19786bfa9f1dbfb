"""The two halves of a recipe back to back, in memory, with a real handshake. Part of the public test kit.

>>> from gatepost.wire.recipes.table import recipe
>>> met = meet(recipe("imap"), chunks=1)
>>> met.client.version == met.server.version == "TLSv1.3"
True
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

from gatepost.errors import GatepostError, LocalProtocolError
from gatepost.testing.handshakes import CLIENT_ORIGIN, SERVER_ORIGIN, run_handshake
from gatepost.testing.memory import Chunking, MemoryDriver, Peer
from gatepost.testing.tls import client_settings, contexts
from gatepost.tls.engine import ClientHandshake, ServerHandshake
from gatepost.wire.dialogue import Dialogue, Receive, Send, upgrade
from gatepost.wire.recipes.recipe import ClientTerms, Granted, Recipe, ServerTerms
from gatepost.wire.upgrade import Origin, TLSEvidence, UpgradeReady

CLIENT_TERMS: Final = ClientTerms(hostname="client.example", server_name="server.example")
SERVER_TERMS: Final = ServerTerms(hostname="server.example")


@final
class ServedPeer:
    """A server half as the other side of a client dialogue.

    :param half: the server half, begun by nobody yet.
    """

    def __init__(self, half: Dialogue[Granted]) -> None:
        self._half: Final = half
        self._said = b""
        self.granted: Granted | None = None
        self.error: GatepostError | None = None
        self.turns: Final[list[bytes]] = []  # what was said, one entry for each answer, the go-ahead the last
        self._go(None)

    @property
    def closed(self) -> bool:
        """Whether, when what was said is heard, nothing will follow."""
        return self.error is not None

    def receive(self, data: bytes) -> None:
        """Take what the client sent.

        :raises LocalProtocolError: when the upgrade was granted: what comes then belongs to TLS.
        """
        if self.granted is not None:
            raise LocalProtocolError("the server half is spent: bytes behind the upgrade belong to TLS")
        if self.error is None:
            self._go(data)

    def outgoing(self) -> bytes:
        """What the server half says."""
        said, self._said = self._said, b""
        return said

    def _go(self, data: bytes | None) -> None:
        try:
            effect = next(self._half) if data is None else self._half.send(data)
            while isinstance(effect, Send):
                self._say(effect.data)
                effect = next(self._half)
            if not isinstance(effect, Receive):
                raise LocalProtocolError("a server half sends and receives, and hands over at its end")
        except StopIteration as stop:
            granted: Granted = stop.value
            self.granted = granted
            self._say(granted.go_ahead)
        except GatepostError as error:
            self.error = error

    def _say(self, words: bytes) -> None:
        if words:
            self._said += words
            self.turns.append(words)


@final
@dataclass(frozen=True, slots=True)
class Met:
    """Two halves that have met.

    :param client: the evidence that the client has.
    :param server: the evidence that the server has.
    :param said: what the client half said, one entry for each time.
    :param answered: what the server half said, one entry for each time.
    """

    client: TLSEvidence
    server: TLSEvidence
    said: tuple[bytes, ...]
    answered: tuple[bytes, ...]


def converse(
    recipe: Recipe, origin: Origin = CLIENT_ORIGIN, terms: ClientTerms = CLIENT_TERMS
) -> Dialogue[TLSEvidence]:
    """A client's dialogue up to and with the handshake."""
    ready = yield from recipe.client(origin, terms)
    return (yield from upgrade(ready))


def serve(recipe: Recipe, terms: ServerTerms = SERVER_TERMS) -> ServedPeer:
    """A server half that waits for its client."""
    return ServedPeer(recipe.server(SERVER_ORIGIN, terms))


def meet(
    recipe: Recipe,
    *,
    chunks: Chunking = None,
    client_terms: ClientTerms = CLIENT_TERMS,
    server_terms: ServerTerms = SERVER_TERMS,
) -> Met:
    """Let both halves speak with each other, and run the handshake.

    :param chunks: how what the server says is cut on its way to the client.
    :raises GatepostError: what either half raised.
    """
    peer = serve(recipe, server_terms)
    evidences: list[TLSEvidence] = []

    def handshake(ready: UpgradeReady, outer: Peer) -> tuple[TLSEvidence, Peer]:
        if peer.error is not None:
            raise peer.error
        if peer.granted is None:
            raise LocalProtocolError("the server granted no upgrade")
        server = ServerHandshake(contexts(), peer.granted.ready, early=peer.granted.early)
        theirs, ours = run_handshake(server, ClientHandshake(client_settings(), ready))
        evidences.append(theirs.evidence)
        return ours.evidence, outer

    driver = MemoryDriver(peer, chunks=chunks, upgrade=handshake)
    evidence = driver.run(converse(recipe, terms=client_terms))
    return Met(evidence, evidences[0], tuple(driver.sent), tuple(peer.turns))
