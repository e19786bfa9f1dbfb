"""LDAP's way into TLS: the StartTLS extended operation (RFC 4511 §4.14)."""

from __future__ import annotations

import pytest
from tests.unit.wire.recipes.halves import ask, served

from gatepost.wire.recipes import ber
from gatepost.wire.recipes.ldap import STARTTLS
from gatepost.wire.recipes.recipe import PeerLeft, UnexpectedWords, UpgradeRefused

DISCONNECTION = b"1.3.6.1.4.1.1466.20036"


def message(identity: int, operation: bytes, controls: bytes = b"") -> bytes:
    return ber.element(ber.SEQUENCE, ber.integer(identity), operation, controls)


def request(name: bytes = STARTTLS, *more: bytes) -> bytes:
    return ber.element(0x77, ber.element(0x80, name), *more)


def response(code: int, *more: bytes, tag: int = 0x78, words: bytes = b"") -> bytes:
    result = (ber.integer(code, ber.ENUMERATED), ber.element(4), ber.element(4, words))
    return ber.element(tag, *result, *more)


REQUEST = message(1, request())
NAME = ber.element(0x8A, STARTTLS)
REFERRAL = ber.element(0xA3, ber.element(4, b"ldap://other/"))
CONTROL = ber.element(0xA0, ber.element(0x30, ber.element(4, b"1.2.3")))


@pytest.mark.parametrize(
    "answer",
    [message(1, response(0)), message(1, response(0, NAME)), message(1, response(0), CONTROL)],
)
def test_client_takes_success_for_a_go_ahead(answer: bytes) -> None:
    """The name may be left out; controls that nobody asked for are none of ours."""
    ask("ldap", (REQUEST, answer))


@pytest.mark.parametrize(
    ("answer", "words", "temporary"),
    [
        (message(1, response(2, words=b"unsupported")), "protocolError (2) unsupported", False),
        (message(1, response(52, NAME)), "unavailable (52)", True),
        (message(1, response(10, REFERRAL, NAME)), "referral (10)", False),
        (message(1, response(99)), "result (99)", False),
        (message(0, response(52, ber.element(0x8A, DISCONNECTION))), "notice of disconnection", False),
    ],
)
def test_client_gives_up_with_the_result_in_words(answer: bytes, words: str, temporary: bool) -> None:
    """Whatever is not success; the notice of disconnection among it."""
    with pytest.raises(UpgradeRefused) as refused:
        ask("ldap", (REQUEST, answer))
    assert refused.value.words == words
    assert refused.value.temporary is temporary


@pytest.mark.parametrize(
    "answer",
    [
        message(2, response(0)),
        message(0, response(0)),
        message(1, response(0, tag=0x61)),
        message(1, response(0, ber.element(0x8A, DISCONNECTION))),
        message(1, response(0, NAME, REFERRAL)),
        message(1, ber.element(0x78, ber.integer(0, ber.ENUMERATED))),
        message(1, response(0), b"\4\1x"),
        ber.element(0x30, ber.integer(1)),
        ber.element(0x30, response(0), ber.integer(1)),
        b"+OK go\r\n",
    ],
)
def test_client_takes_nothing_else_for_a_go_ahead(answer: bytes) -> None:
    """A reply to something else, of another kind, or in another order."""
    with pytest.raises(UnexpectedWords):
        ask("ldap", (REQUEST, answer))


def test_server_grants_under_the_number_of_the_request() -> None:
    """With the name of the operation; a control that need not be understood is let be."""
    said, peer = served("ldap", message(77, request(), CONTROL))
    assert said[1] == message(77, response(0, NAME))
    assert peer.granted is not None


@pytest.mark.parametrize(
    ("operation", "answer"),
    [(0x60, 0x61), (0x63, 0x65), (0x66, 0x67), (0x68, 0x69), (0x4A, 0x6B), (0x6C, 0x6D), (0x6E, 0x6F), (0x77, 0x78)],
)
def test_server_serves_nothing_before_tls(operation: int, answer: int) -> None:
    """confidentialityRequired, in the response that goes with each request."""
    said, peer = served("ldap", *[message(5, ber.element(operation, ber.element(0x80, b"1.2.3")))] * 11)
    assert said[1] == message(5, response(13, tag=answer, words=b"TLS first: StartTLS"))
    assert isinstance(peer.error, UnexpectedWords)
    assert DISCONNECTION in said[-1]


def test_server_does_not_answer_what_has_no_answer() -> None:
    """Abandon and unbind."""
    said, peer = served("ldap", message(2, ber.element(0x50, b"\1")), message(3, ber.element(0x42)))
    assert said == [b"", b"", b""]
    assert isinstance(peer.error, PeerLeft)


def test_server_does_not_understand_what_must_be_understood() -> None:
    """A critical control: RFC 4511 §4.1.11."""
    critical = ber.element(0xA0, ber.element(0x30, ber.element(4, b"1.2.3"), ber.element(1, b"\xff")))
    said, peer = served("ldap", message(4, request(), critical))
    assert said[1] == message(4, response(12))
    assert peer.granted is None


@pytest.mark.parametrize(
    "octets",
    [
        message(0, request()), message(1, ber.element(0x61)), message(1, request(), ber.element(0xA0, b"\4\0")),
        message(1, request()).replace(b"\x77", b"\x9f"), b"\x16\x03\x01\0\x05\x01\0\0\0\0\0", b"GET / HTTP/1.1\r\n",
    ],
)  # fmt: skip
def test_server_ends_at_what_is_no_request(octets: bytes) -> None:
    """With the one message that may come unasked: the notice of disconnection."""
    said, peer = served("ldap", octets)
    assert isinstance(peer.error, UnexpectedWords)
    assert DISCONNECTION in said[1]


def test_server_does_not_take_a_value_for_starttls() -> None:
    """RFC 4511 §4.14.1: the request has none."""
    said, peer = served("ldap", message(1, request(STARTTLS, ber.element(0x81, b"x"))))
    assert said[1] == message(1, response(13, words=b"TLS first: StartTLS"))
    assert peer.granted is None
