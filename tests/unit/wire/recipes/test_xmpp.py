"""XMPP's way into TLS: STARTTLS (RFC 6120 §5), for clients and for servers."""

from __future__ import annotations

import re

import pytest
from tests.unit.wire.recipes.halves import ask, served

from gatepost.errors import LocalProtocolError
from gatepost.testing.memory import MemoryDriver, ScriptedPeer
from gatepost.testing.recipes import CLIENT_TERMS
from gatepost.wire.recipes.recipe import ClientTerms, PeerLeft, UnexpectedWords, UpgradeRefused
from gatepost.wire.recipes.table import RECIPES
from gatepost.wire.recipes.xmpp import STREAMS, TLS
from gatepost.wire.upgrade import Origin, PlaintextAfterUpgrade

SPACES = f"xmlns='jabber:client' xmlns:stream='{STREAMS}'"
OPENING = f"<?xml version='1.0'?><stream:stream to='server.example' version='1.0' {SPACES}>".encode()
HEADER = f"<?xml version='1.0'?><stream:stream from='s' id='1' version='1.0' {SPACES}>".encode()
FEATURES = (
    f"<stream:features><starttls xmlns='{TLS}'><required/></starttls><m xmlns='x'>PLAIN</m></stream:features>".encode()
)
STARTTLS = f"<starttls xmlns='{TLS}'/>".encode()
PROCEED = f"<proceed xmlns='{TLS}'/>".encode()
HELLO = (OPENING, HEADER + FEATURES)


@pytest.mark.parametrize(
    "go_ahead",
    [PROCEED, PROCEED.replace(b"/>", b"></proceed>"), f"<t:proceed xmlns:t='{TLS}' />".encode(), b" " + PROCEED],
)
def test_client_upgrades_where_starttls_is_a_feature(go_ahead: bytes) -> None:
    """Whatever prefix the namespace has."""
    ask("xmpp", HELLO, (STARTTLS, go_ahead))


def test_client_between_servers_says_so() -> None:
    """The namespace of the stream is jabber:server."""
    opening = OPENING.replace(b"jabber:client", b"jabber:server")
    ask("xmpp-server", (opening, HEADER + FEATURES), (STARTTLS, PROCEED))


@pytest.mark.parametrize(
    "script",
    [
        [(OPENING, HEADER + b"<stream:features/>")],
        [(OPENING, HEADER + b"<stream:features><starttls/></stream:features>")],
        [(OPENING, HEADER + b"<stream:features><m xmlns='x'>" + STARTTLS + b"</m></stream:features>")],
        [(OPENING, HEADER + b"<stream:error><host-unknown xmlns='x'/></stream:error>")],
        [(OPENING, HEADER + b"<stream:error/>")],
        [(OPENING, HEADER + b"</stream:stream>")],
        [(OPENING, HEADER.replace(b" version='1.0' xmlns", b" xmlns"))],
        [HELLO, (STARTTLS, f"<failure xmlns='{TLS}'/></stream:stream>".encode())],
        [HELLO, (STARTTLS, b"</stream:stream>")],
        [HELLO, (STARTTLS, b"<stream:error><x/></stream:error>")],
    ],
)
def test_client_gives_up_where_tls_is_not_offered_or_refused(script: list[tuple[bytes, bytes]]) -> None:
    """An offer counts where it belongs: in the features, in its namespace."""
    with pytest.raises(UpgradeRefused):
        ask("xmpp", *script)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (b"<stream:error><host-unknown xmlns='x'/></stream:error>", "host-unknown"),
        (b"<stream:error><conflict xmlns='x'>why</conflict></stream:error>", "conflict"),
        (b"<stream:error/>", "an error"),
        (b"<stream:error></stream:error>", "an error"),
    ],
)
def test_client_tells_the_condition_of_a_stream_error(error: bytes, words: str) -> None:
    """RFC 6120 §4.9.2: its name is what an operator looks up; an error without one is still told as one."""
    with pytest.raises(UpgradeRefused) as refused:
        ask("xmpp", (OPENING, HEADER + error))
    assert refused.value.words == words


@pytest.mark.parametrize(
    "answer",
    [
        b"<proceed/>", b"<message><proceed/></message>", b"<proceed xmlns='x'/>", STARTTLS, FEATURES,
        PROCEED.replace(b"/>", b"><x/></proceed>"), b"text" + PROCEED, b"<iq type='result'/>",
    ],
)  # fmt: skip
def test_client_takes_nothing_but_proceed_for_a_go_ahead(answer: bytes) -> None:
    """In its namespace, empty, at the top of the stream."""
    with pytest.raises(UnexpectedWords):
        ask("xmpp", HELLO, (STARTTLS, answer))


@pytest.mark.parametrize(
    "answer", [b"<html>", b"<stream:stream/>", b"HTTP/1.1 400 Bad Request\r\n\r\n<", HEADER + b"<message/>"]
)
def test_client_knows_a_stream(answer: bytes) -> None:
    """A header first, and features before anything else."""
    with pytest.raises(UnexpectedWords):
        ask("xmpp", (OPENING, answer))


def test_client_refuses_words_before_and_behind() -> None:
    """Not even white space stands behind proceed (RFC 6120 §5.3.3)."""
    with pytest.raises(PlaintextAfterUpgrade):
        ask("xmpp", HELLO, (STARTTLS, PROCEED + b" "))
    with pytest.raises(UnexpectedWords):
        ask("xmpp", (OPENING, HEADER + FEATURES + PROCEED))


@pytest.mark.parametrize("name", ["", "a b", "x' from='y", "a>b", "&lt;"])
def test_client_needs_a_domain_to_ask_for(name: str) -> None:
    """What would be read as XML is no domain; nothing was sent."""
    driver = MemoryDriver(ScriptedPeer())
    with pytest.raises(LocalProtocolError):
        driver.run(RECIPES["xmpp"].client(Origin(("a", 1), ("b", 2), "t", 0.0, "c"), ClientTerms("me", name)))
    assert driver.sent == []
    assert CLIENT_TERMS.server_name


@pytest.mark.parametrize("words", [b"<stream", OPENING, OPENING + b"<start"])
def test_server_notices_that_the_client_has_gone(words: bytes) -> None:
    """Half a tag is none."""
    _, peer = served("xmpp", words, b"")
    assert isinstance(peer.error, PeerLeft)


@pytest.mark.parametrize("request_", [STARTTLS, STARTTLS.replace(b"/>", b"></starttls>"), b"\n" + STARTTLS])
def test_server_offers_nothing_but_tls(request_: bytes) -> None:
    """starttls is the one feature, and required."""
    said, peer = served("xmpp", OPENING, request_)
    assert said[0] == b""
    assert re.fullmatch(rb".*<stream:features><starttls [^>]*><required/></starttls></stream:features>", said[1])
    assert said[2] == PROCEED
    assert peer.granted is not None


@pytest.mark.parametrize(
    ("words", "condition", "error"),
    [
        ([b"<html>"], b"<not-well-formed", UnexpectedWords),
        ([b"GET / HTTP/1.1\r\n\r\n<"], b"<not-well-formed", UnexpectedWords),
        ([OPENING.replace(b" version='1.0' x", b" x")], b"<not-well-formed", UnexpectedWords),
        ([OPENING, b"<!DOCTYPE x>"], b"<not-well-formed", UnexpectedWords),
        ([OPENING, STARTTLS.replace(b"/>", b"><x/></starttls>")], b"<not-well-formed", UnexpectedWords),
        (
            [OPENING, b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>"],
            b"<policy-violation",
            UnexpectedWords,
        ),
        ([OPENING, b"<starttls/>"], b"<policy-violation", UnexpectedWords),
        ([OPENING, b"</stream:stream>"], b"</stream:stream>", PeerLeft),
        ([OPENING, STARTTLS + b"<auth/>"], b"<failure", PlaintextAfterUpgrade),
        ([OPENING, STARTTLS + b" "], b"<failure", PlaintextAfterUpgrade),
    ],
)
def test_server_serves_nothing_before_tls(words: list[bytes], condition: bytes, error: type[Exception]) -> None:
    """Everything else ends the stream, with the error that RFC 6120 has for it."""
    said, peer = served("xmpp", *words)
    assert condition in said[-1]
    assert said[-1].endswith(b"</stream:stream>")
    assert type(peer.error) is error
