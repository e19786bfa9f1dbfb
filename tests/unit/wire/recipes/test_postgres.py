"""PostgreSQL's way into TLS: SSLRequest."""

from __future__ import annotations

import pytest
from tests.unit.wire.recipes.halves import ask, served

from gatepost.wire.recipes.postgres import SSL_REQUEST
from gatepost.wire.recipes.recipe import PeerLeft, UnexpectedWords, UpgradeRefused
from gatepost.wire.upgrade import PlaintextAfterUpgrade

GSSENC_REQUEST = b"\0\0\0\x08\x04\xd2\x16\x30"


def test_the_request_is_the_one_of_the_manual() -> None:
    """Length 8, code 80877103."""
    assert SSL_REQUEST == b"\0\0\0\x08\x04\xd2\x16\x2f"
    ask("postgres", (SSL_REQUEST, b"S"))


@pytest.mark.parametrize("answer", [b"N", b"E", b"EFATAL: unsupported frontend protocol\0"])
def test_client_gives_up_where_tls_is_refused(answer: bytes) -> None:
    """An error's text is nobody's word: it is not shown (CVE-2024-10977)."""
    with pytest.raises(UpgradeRefused) as refused:
        ask("postgres", (SSL_REQUEST, answer))
    assert "FATAL" not in str(refused.value)


@pytest.mark.parametrize("answer", [b"s", b"\0", b"R\0\0\0\x08\0\0\0\0", b"G"])
def test_client_takes_nothing_but_s_for_a_go_ahead(answer: bytes) -> None:
    """One octet, and it is S."""
    with pytest.raises(UnexpectedWords):
        ask("postgres", (SSL_REQUEST, answer))


def test_client_refuses_octets_behind_the_go_ahead() -> None:
    """CVE-2021-23222: a query's result in the segment of the S."""
    with pytest.raises(PlaintextAfterUpgrade) as finding:
        ask("postgres", (SSL_REQUEST, b"SR\0\0\0\x08\0\0\0\0"))
    assert finding.value.residue == b"R\0\0\0\x08\0\0\0\0"


def test_server_refuses_octets_behind_the_request() -> None:
    """CVE-2021-23214: a startup message and a query in the segment of the request."""
    said, peer = served("postgres", SSL_REQUEST + b"\0\0\0\x10\0\3\0\0user\0a\0\0")
    assert isinstance(peer.error, PlaintextAfterUpgrade)
    assert said[1][:1] == b"E"
    assert int.from_bytes(said[1][1:5]) == len(said[1]) - 1
    assert b"C08P01\0" in said[1]


def test_server_says_no_to_gss_and_goes_on() -> None:
    """libpq asks for GSSENC first where it has credentials; once is enough."""
    said, peer = served("postgres", GSSENC_REQUEST, SSL_REQUEST)
    assert said == [b"", b"N", b"S"]
    assert peer.granted is not None
    _, again = served("postgres", GSSENC_REQUEST, GSSENC_REQUEST)
    assert isinstance(again.error, UnexpectedWords)


def test_server_turns_away_who_does_not_ask() -> None:
    """A startup message is answered with an error, a cancel request with nothing."""
    said, peer = served("postgres", b"\0\0\0\x10\0\3\0\0user\0a\0\0")
    assert b"C28000\0MTLS first" in said[1]
    assert isinstance(peer.error, PeerLeft)
    said, peer = served("postgres", b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\1\0\0\0\2")
    assert said[1] == b""
    assert isinstance(peer.error, PeerLeft)


def test_server_ends_at_what_is_no_postgres() -> None:
    """A browser, for instance."""
    said, peer = served("postgres", b"GET / HTTP/1.1\r\n")
    assert said[1] == b""
    assert isinstance(peer.error, UnexpectedWords)
