"""The sessions a client may resume (RFC 8446 §2.2, RFC 5077), kept so that resumption never skips a check.

A session belongs to the context it was made with (its trust anchors, its own certificate, its versions), so each
``ClientContext`` has a cache of its own. Inside it the key is everything else that decided whether the peer was good
enough: address, port, server name, level, names, protocols, pins. The verification is repeated on resumption with the
chain that is kept here, so neither the name nor the validity is ever taken for granted.

A TLS 1.3 ticket is used once (RFC 8446 §C.4): ``take`` removes it. The cache is bounded in peers and in
sessions a peer.
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias, final

from OpenSSL import SSL

SessionKey: TypeAlias = tuple[str, int, str | None, str, tuple[str, ...], tuple[str, ...], tuple[str, ...]]


class StoredSession(NamedTuple):
    """A session and the chain that the peer showed when it was made (DER, leaf first)."""

    session: SSL.Session
    chain: tuple[bytes, ...]


@final
class SessionCache:
    """The newest sessions for each key.

    :param peers: how many keys are kept; the one least recently stored goes first. 0 keeps nothing.
    :param per_peer: how many sessions are kept for a key.
    """

    __slots__ = ("_sessions", "peers", "per_peer")

    def __init__(self, peers: int = 1024, per_peer: int = 4) -> None:
        self.peers: Final = peers
        self.per_peer: Final = per_peer
        self._sessions: dict[SessionKey, list[StoredSession]] = {}

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
