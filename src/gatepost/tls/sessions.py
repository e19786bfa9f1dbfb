"""The sessions a client may resume (RFC 8446 §2.2, RFC 5077), kept so that resumption never skips a check.

A session belongs to the context it was made with (its trust anchors, its own certificate, its versions), so each
``ClientContext`` has a cache of its own, or shares one that keeps the contexts, too; either way a session is offered
only by the context that made it (``ClientHandshake`` looks). The key is everything else that decided whether the peer
was good enough: address, port, server name, level, names, protocols, pins. The verification is repeated on resumption
with the chain that is kept here, so neither the name nor the validity is ever taken for granted.

A TLS 1.3 ticket is used once (RFC 8446 §C.4): ``take`` removes it. The cache is bounded in peers and in
sessions a peer.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias, final

from OpenSSL import SSL

if TYPE_CHECKING:
    from gatepost.tls.contexts import ClientContext

SessionKey: TypeAlias = tuple[str, int, str | None, str, tuple[str, ...], tuple[str, ...], tuple[str, ...]]

_CONTEXTS_LIMIT: Final = 16


class StoredSession(NamedTuple):
    """A session, the chain that the peer showed when it was made (DER, leaf first), and the context that made it."""

    session: SSL.Session
    chain: tuple[bytes, ...]
    context: SSL.Context | None = None


@final
class SessionCache:
    """The newest sessions for each key.

    :param peers: how many keys are kept; the one least recently stored goes first. 0 keeps nothing.
    :param per_peer: how many sessions are kept for a key.
    """

    __slots__ = ("_sessions", "contexts", "peers", "per_peer")

    def __init__(self, peers: int = 1024, per_peer: int = 4) -> None:
        self.peers: Final = peers
        self.per_peer: Final = per_peer
        self._sessions: dict[SessionKey, list[StoredSession]] = {}
        self.contexts: Final[dict[Hashable, ClientContext]] = {}

    def keep(self, key: Hashable, context: ClientContext) -> ClientContext:
        """Keep a context for connections that are set up alike; of too many the oldest goes."""
        if len(self.contexts) >= _CONTEXTS_LIMIT:
            del self.contexts[next(iter(self.contexts))]
        self.contexts[key] = context
        return context

    def __len__(self) -> int:
        return len(self._sessions)

    def take(self, key: SessionKey) -> StoredSession | None:
        """Take the newest session for a key out of the cache."""
        stored = self._sessions.get(key)
        if stored is None:
            return None
        session = stored.pop()
        if not stored:
            del self._sessions[key]
        return session

    def store(self, key: SessionKey, session: StoredSession) -> None:
        """Keep a session."""
        if not self.peers:
            return
        stored = self._sessions.pop(key, [])
        self._sessions[key] = [*stored[-(self.per_peer - 1) :], session] if self.per_peer > 1 else [session]
        if len(self._sessions) > self.peers:
            del self._sessions[next(iter(self._sessions))]
