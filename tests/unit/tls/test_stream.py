"""The private stream: plaintext is never lost, work is bounded, endings are told apart."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL
from tests.foreign_client import accept

from gatepost.errors import LocalProtocolError
from gatepost.testing.ca import TestAuthority
from gatepost.testing.handshakes import carry, client_side, private_pair, server_side
from gatepost.tls.contexts import ClientTLS, TLSProfile, client_context, server_contexts
from gatepost.tls.stream import TLSClosed, TLSStream, error_reason
from gatepost.tls.trust import TrustStore

NAME = "mx.example.test"
AUTHORITY = TestAuthority()
CONTEXTS = server_contexts([AUTHORITY.issue(NAME).credential])
TRUST = TrustStore([AUTHORITY.certificate])


def pair(maximum: str = "TLSv1.3") -> tuple[TLSStream, TLSStream]:
    """A server's and a client's stream."""
    return private_pair(CONTEXTS, ClientTLS(client_context(profile=TLSProfile(maximum=maximum), trust=TRUST), NAME))


@pytest.mark.parametrize("maximum", ["TLSv1.2", "TLSv1.3"])
@pytest.mark.parametrize("size", [0, 1, 16383, 16384, 16385, 100_000, 1_000_000])
def test_content_of_any_size_arrives_whole(size: int, maximum: str) -> None:
    """Both directions, below and above one record."""
    server, client = pair(maximum)
    content = bytes(range(256)) * (size // 256 + 1)
    content = content[:size]
    client.send(content)
    assert carry(client, server) == content
    server.send(memoryview(content))
    assert carry(server, client) == content


@settings(max_examples=60, deadline=None)
@given(
    cuts=st.lists(st.integers(1, 5000), max_size=30),
    messages=st.lists(st.binary(min_size=1, max_size=400), min_size=1, max_size=8),
)
def test_plaintext_is_the_same_however_the_octets_are_cut(cuts: list[int], messages: list[bytes]) -> None:
    """Whatever the segments, the plaintext is the same, and no octet is lost before the close."""
    server, client = pair()
    octets = b""
    for message in messages:
        client.send(message)
        octets += client.outgoing()
    client.close()
    octets += client.outgoing()
    received = b""
    at = 0
    for cut in [*cuts, len(octets)]:
        chunk = octets[at : at + cut]
        at += cut
        try:
            received += server.receive(chunk)
        except TLSClosed as closed:
            assert closed.clean
            break
    assert received == b"".join(messages)
    assert server.closed is not None


@pytest.mark.parametrize("piece", [1, 3, 5, 6])
def test_single_octets_are_put_together(piece: int) -> None:
    """A header cut anywhere, a record cut anywhere."""
    server, client = pair()
    client.send(b"NOOP\r\n")
    client.send(b"QUIT\r\n")
    octets = client.outgoing()
    received = [server.receive(octets[at : at + piece]) for at in range(0, len(octets), piece)]
    assert b"".join(received) == b"NOOP\r\nQUIT\r\n"
    assert server.receive(b"") == b""
    assert server.receive(bytearray()) == b""


def test_plaintext_before_a_close_is_handed_out_first() -> None:
    """A QUIT and the close_notify in one segment: the QUIT is read, then the end is raised, again and again."""
    server, client = pair()
    client.send(b"QUIT\r\n")
    client.close()
    client.close()
    assert carry(client, server) == b"QUIT\r\n"
    assert server.closed is not None
    assert server.closed.clean
    for _ in range(2):
        with pytest.raises(TLSClosed) as caught:
            server.receive(b"more")
        assert caught.value.clean
        assert caught.value is not server.closed
    assert server.receive_eof().clean
    server.send(b"221 bye\r\n")  # the other direction is still open
    assert carry(server, client) == b"221 bye\r\n"


def test_octets_behind_the_close_are_nobody_s() -> None:
    """What stands behind the close_notify is dropped unread."""
    server, client = pair()
    client.send(b"QUIT\r\n")
    client.close()
    assert server.receive(client.outgoing() + b"\x17\x03\x03\x00\x05hello" * 3) == b"QUIT\r\n"
    assert server.closed is not None
    assert server.closed.clean


def test_nothing_in_the_middle_of_a_record_is_nothing() -> None:
    """An empty read changes nothing."""
    server, client = pair()
    client.send(b"NOOP\r\n")
    octets = client.outgoing()
    assert server.receive(octets[:9]) == b""
    assert server.receive(b"") == b""
    assert server.receive(octets[9:]) == b"NOOP\r\n"


def test_close_alone_raises_at_once() -> None:
    """Nothing to hand out, so the end is raised."""
    server, client = pair()
    client.close()
    with pytest.raises(TLSClosed) as caught:
        carry(client, server)
    assert caught.value.clean
    assert not caught.value.temporary


def test_plaintext_before_an_error_is_handed_out_first() -> None:
    """A good record and a forged one in one segment: the good one is read, then the break is raised, with its alert."""
    server, client = pair()
    client.send(b"RSET\r\n")
    good = client.outgoing()
    client.send(b"NOOP\r\n")
    forged = bytearray(client.outgoing())
    forged[-1] ^= 1
    assert server.receive(good + forged) == b"RSET\r\n"
    assert server.closed is not None
    assert not server.closed.clean
    alert = server.outgoing()
    with pytest.raises(TLSClosed) as caught:
        client.receive(alert)
    assert caught.value.alert == "bad_record_mac"
    with pytest.raises(TLSClosed):
        server.receive(b"")
    server.close()
    assert server.outgoing() == b""


def test_plaintext_inside_tls_breaks_the_stream() -> None:
    """Raw text on a private connection never reaches anybody."""
    server, _ = pair()
    with pytest.raises(TLSClosed) as caught:
        server.receive(b"MAIL FROM:<a@example.test>\r\n")
    assert not caught.value.clean


def test_record_that_cannot_be_is_refused_at_once() -> None:
    """A header of 64 KiB is not waited for."""
    server, _ = pair()
    with pytest.raises(TLSClosed):
        server.receive(b"\x17\x03\x03\xff\xff" + bytes(10))


def test_cut_off_connection_is_a_truncation() -> None:
    """The network's end without a close_notify is never clean."""
    server, _ = pair()
    end = server.receive_eof()
    assert not end.clean
    assert end.temporary
    assert server.receive_eof() is end
    with pytest.raises(TLSClosed):
        server.receive(b"")


def test_nothing_is_sent_behind_our_close() -> None:
    """The close_notify is the last record."""
    server, _ = pair()
    server.close()
    with pytest.raises(LocalProtocolError):
        server.send(b"250 too late\r\n")


def test_send_on_a_broken_stream_raises() -> None:
    """What broke stays broken."""
    server, _ = pair()
    with pytest.raises(TLSClosed):
        server.receive(b"\x17\x03\x03\x00\x20" + bytes(32))
    with pytest.raises(TLSClosed) as caught:
        server.send(b"250 ok\r\n")
    assert not caught.value.clean


def test_many_small_replies_come_out_in_order() -> None:
    """Replies queued before one write are all in it, also when they are more than one record."""
    server, client = pair()
    replies = [b"250 reply %d\r\n" % number * 20 for number in range(200)]
    for reply in replies:
        server.send(reply)
    server.send(b"")
    assert carry(server, client) == b"".join(replies)
    assert server.outgoing() == b""


def test_tickets_wait_for_the_first_write() -> None:
    """What the handshake left to send stands before the first reply."""
    server = server_side(CONTEXTS)
    client = client_side(ClientTLS(client_context(trust=TRUST), NAME))
    server.receive(client.outgoing())
    server.advance()
    client.receive(server.outgoing())
    private_client = client.advance()
    assert private_client is not None
    server.receive(private_client.outgoing())
    private = server.advance()
    assert private is not None
    assert private_client.outgoing() == b""
    private.send(b"220 ready\r\n")
    assert carry(private, private_client) == b"220 ready\r\n"


def test_renegotiation_is_refused() -> None:
    """A TLS 1.2 client that asks for it gets a warning and no handshake; the stream goes on."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    peer = SSL.Connection(context)
    stream = accept(server_side(CONTEXTS), peer)
    peer.do_handshake()
    peer.renegotiate()
    with pytest.raises((SSL.WantReadError, SSL.Error)):
        peer.do_handshake()
    assert stream.receive(peer.bio_read(65536)) == b""
    answer = stream.outgoing()
    assert answer[0] == 21  # an alert, not a handshake
    peer.bio_write(answer)
    with pytest.raises(SSL.Error, match="renegotiation"):
        peer.do_handshake()


def test_error_reason_reads_every_shape_of_error() -> None:
    """pyOpenSSL's errors come with and without details."""
    assert error_reason(SSL.Error([("SSL routines", "", "no shared cipher")])) == "no shared cipher"
    assert error_reason(SSL.Error([("SSL routines", "", "")])) == "unknown"
    assert error_reason(SSL.SysCallError(-1, "Unexpected EOF")) == "Unexpected EOF"
    assert error_reason(SSL.Error()) == "unexpected end or unknown error"


def test_closing_a_stream_that_openssl_gave_up_is_quiet() -> None:
    """close never raises."""
    server, _ = pair()
    server._connection.set_shutdown(SSL.SENT_SHUTDOWN | SSL.RECEIVED_SHUTDOWN)
    server.close()
    assert server.outgoing() == b""
