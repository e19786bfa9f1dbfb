"""The client's session cache."""

from __future__ import annotations

from typing import cast

from OpenSSL import SSL

from gatepost.tls.sessions import SessionCache, SessionKey, StoredSession


def key(number: int) -> SessionKey:
    return ("192.0.2.1", number, None, "may", (), (), ())


def session(number: int) -> StoredSession:
    return StoredSession(cast(SSL.Session, object()), (b"%d" % number,))


def test_session_is_used_once_newest_first() -> None:
    """RFC 8446 §C.4: a ticket is not used twice."""
    cache = SessionCache(per_peer=2)
    for number in range(3):
        cache.store(key(1), session(number))
    assert [taken.chain if (taken := cache.take(key(1))) else None for _ in range(3)] == [(b"2",), (b"1",), None]
    assert len(cache) == 0


def test_one_session_a_peer_keeps_the_newest() -> None:
    """The smallest cache."""
    cache = SessionCache(per_peer=1)
    cache.store(key(1), session(1))
    cache.store(key(1), session(2))
    taken = cache.take(key(1))
    assert taken is not None
    assert taken.chain == (b"2",)
    assert cache.take(key(1)) is None


def test_peers_are_bounded_and_the_oldest_goes() -> None:
    """A key stored again is young again."""
    cache = SessionCache(peers=2)
    cache.store(key(1), session(1))
    cache.store(key(2), session(2))
    cache.store(key(1), session(3))
    cache.store(key(3), session(4))
    assert cache.take(key(2)) is None
    assert cache.take(key(1)) is not None
    assert cache.take(key(3)) is not None


def test_cache_of_nothing_keeps_nothing() -> None:
    """peers=0 turns resumption off."""
    cache = SessionCache(0)
    cache.store(key(1), session(1))
    assert cache.take(key(1)) is None
