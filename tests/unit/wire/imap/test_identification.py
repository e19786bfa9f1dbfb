"""ID: what a client says of itself passes, what speaks for others does not."""

from __future__ import annotations

import pytest
from tests.unit.wire.imap.imap_talk import ORIGIN, PROFILE

from gatepost.wire.imap.client import Opening
from gatepost.wire.imap.identification import own_fields
from gatepost.wire.imap.relay import ClearServer


@pytest.mark.parametrize(
    "given",
    [
        b"NIL", b"nil", b"()", b'("name" "x" "version" NIL)', b'("NaMe" "a \\"b\\" (c")', b'("x-other" "\xff")',
    ],
)  # fmt: skip
def test_own_fields_pass_octet_for_octet(given: bytes) -> None:
    """Nothing is written anew where nothing is taken out."""
    assert own_fields(given) == given


@pytest.mark.parametrize(
    "name",
    [
        b"x-originating-ip", b"X-Originating-IP", b"x-originating-port", b"x-connected-ip", b"x-connected-port",
        b"x-session-ext-id", b"x-forward-user", b"x-proxy-ttl",
    ],
)  # fmt: skip
def test_fields_that_speak_for_others_are_taken_out(name: bytes) -> None:
    """Wherever they stand, however they are written."""
    assert own_fields(b'("%b" "192.0.2.1")' % name) == b"NIL"
    assert own_fields(b'("name" "x" "%b" NIL "os" "y")' % name) == b'("name" "x" "os" "y")'
    assert own_fields(b'("name" "%b")' % name) == b'("name" "%b")' % name


@pytest.mark.parametrize(
    "given",
    [
        b"", b"(", b'("name")', b'("name"  "x")', b'( "name" "x")', b'("name" "x" )', b'("name" x)', b'(NIL "x")',
        b'("na\\me" "x")', b'("x-originating-ip" "1") "x"', b'"name" "x"',
    ],
)  # fmt: skip
def test_what_can_be_read_in_two_ways_is_not_read(given: bytes) -> None:
    """A server may be laxer than the grammar."""
    assert own_fields(given) is None


def test_relay_passes_what_is_left_and_refuses_what_cannot_be_read() -> None:
    """Literals too: nobody needs them there."""
    engine = ClearServer(ORIGIN, PROFILE, logins=True)
    engine.opened(Opening(b"", (b"IMAP4rev1", b"ID")), greet=False)
    engine.receive(b'a ID ("x-originating-ip" "192.0.2.1" "name" "x")\r\nb ID (name x)\r\nc ID ({4}\r\nd id nil\r\n')
    while engine.next_event() is not None:
        pass
    assert engine.to_server() == b'a ID ("name" "x")\r\nd id nil\r\n'
    assert [line[:5] for line in engine.outgoing().splitlines()] == [b"b BAD", b"c BAD"]
