"""The handshake engines, back to back and against hostile octets."""

from __future__ import annotations

import contextlib
import gc
import weakref

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

from gatepost.errors import HandshakeError, LocalProtocolError, VerificationError
from gatepost.testing.ca import CLIENT_ONLY, TestAuthority, key_for, self_signed
from gatepost.testing.handshakes import (
    CLIENT_ORIGIN,
    SERVER_ORIGIN,
    carry,
    client_side,
    private_pair,
    run_handshake,
    server_side,
)
from gatepost.tls import engine
from gatepost.tls.contexts import (
    ClientContext,
    ClientTLS,
    ServerContexts,
    TLSProfile,
    client_context,
    server_contexts,
)
from gatepost.tls.engine import ClientHandshake, ServerHandshake
from gatepost.tls.sessions import SessionCache
from gatepost.tls.trust import TrustStore
from gatepost.wire.upgrade import hand_over_client, hand_over_server

NAME = "mx.example.test"
AUTHORITY = TestAuthority()
CONTEXTS = server_contexts([AUTHORITY.issue(NAME).credential])


def client(profile: TLSProfile | None = None, **trusted: TestAuthority) -> ClientContext:
    authority = trusted.get("authority", AUTHORITY)
    return client_context(profile=profile, trust=TrustStore([authority.certificate]))


def settings(context: ClientContext | None = None, **changes: object) -> ClientTLS:
    return ClientTLS(context or client(), NAME, **changes)  # type: ignore[arg-type]


def test_handshake_proves_both_sides_the_same_parameters() -> None:
    """Version, cipher, group and both channel bindings are equal on both sides; only the client verified anything."""
    server, peer = private_pair(CONTEXTS, settings())
    ours, theirs = server.evidence, peer.evidence
    assert ours.version == theirs.version == "TLSv1.3"
    assert ours.cipher == theirs.cipher
    assert ours.bits == theirs.bits >= 128
    assert ours.group == theirs.group == "X25519MLKEM768"
    assert ours.server_name == NAME
    assert ours.tls_exporter is not None
    assert ours.tls_exporter == theirs.tls_exporter
    assert len(ours.tls_exporter) == 32
    assert ours.tls_server_end_point is not None
    assert ours.tls_server_end_point == theirs.tls_server_end_point
    assert ours.verification.status == "none"
    assert theirs.verification.status == "verified"
    assert theirs.verification.names == (NAME,)
    assert len(theirs.peer_chain) == 1
    assert not ours.resumed
    assert not theirs.resumed
    assert server.origin is SERVER_ORIGIN
    assert peer.origin is CLIENT_ORIGIN


def test_parameters_are_the_same_when_read_from_memory_of_an_earlier_handshake() -> None:
    """The second handshake of a kind takes its names from the first one's, the third of another kind does not."""
    first, _ = private_pair(CONTEXTS, settings())
    second, _ = private_pair(CONTEXTS, settings())
    other, peer = private_pair(CONTEXTS, settings(client(TLSProfile(suites="TLS_CHACHA20_POLY1305_SHA256"))))
    for name in ("version", "cipher", "bits", "group"):
        assert getattr(first.evidence, name) == getattr(second.evidence, name)
        assert getattr(other.evidence, name) == getattr(peer.evidence, name)
    assert other.evidence.cipher == "TLS_CHACHA20_POLY1305_SHA256"


def test_tls12_handshake_proves_the_same_parameters() -> None:
    """TLS 1.2 with extended master secret has the same bindings and parameters."""
    server, peer = private_pair(CONTEXTS, settings(client(TLSProfile(maximum="TLSv1.2"))))
    assert server.evidence.version == peer.evidence.version == "TLSv1.2"
    assert server.evidence.tls_exporter == peer.evidence.tls_exporter is not None
    assert not server.evidence.resumed


@pytest.mark.parametrize("piece", [1, 2, 7, 100, 1500])
@pytest.mark.parametrize("maximum", ["TLSv1.2", "TLSv1.3"])
def test_handshake_completes_however_the_octets_are_cut(piece: int, maximum: str) -> None:
    """Octets may arrive one at a time."""
    server, peer = run_handshake(
        server_side(CONTEXTS), client_side(settings(client(TLSProfile(maximum=maximum)))), piece=piece
    )
    peer.send(b"EHLO there\r\n")
    assert carry(peer, server) == b"EHLO there\r\n"


def test_handshake_after_a_retry_request_reads_the_second_server_hello() -> None:
    """A client whose key share the server does not want is asked for another (RFC 8446 §4.1.4)."""
    context = server_contexts([AUTHORITY.issue(NAME).credential])
    raw = SSL.Context(SSL.TLS_CLIENT_METHOD)
    raw.set_tmp_ecdh(ec.SECP521R1())
    server = server_side(context)
    peer = SSL.Connection(raw)
    peer.set_connect_state()
    stream = None
    for _ in range(6):
        with contextlib.suppress(SSL.WantReadError):
            peer.do_handshake()
        try:
            server.receive(peer.bio_read(65536))
        except SSL.WantReadError:
            continue
        stream = server.advance()
        if stream is not None:
            break
        peer.bio_write(server.outgoing())
    assert stream is not None
    assert stream.evidence.group == "secp521r1"
    assert not stream.evidence.resumed


def test_implicit_handshake_needs_no_token() -> None:
    """Implicit TLS begins with the connection (RFC 8314)."""
    server, peer = run_handshake(
        ServerHandshake.implicit(CONTEXTS, SERVER_ORIGIN), ClientHandshake.implicit(settings(), CLIENT_ORIGIN)
    )
    assert server.evidence.version == peer.evidence.version


def test_early_hello_is_opened_by_the_engine() -> None:
    """A ClientHello that came in the segment of the upgrade line is used, in whole or in part."""
    for cut in (3, 300, 100000):
        peer = client_side(settings())
        hello = peer.outgoing()
        ready, early = hand_over_server(SERVER_ORIGIN, hello[:cut])
        server = ServerHandshake(CONTEXTS, ready, early=early)
        assert server.origin is SERVER_ORIGIN
        server.receive(hello[cut:])
        assert server.advance() is None
        peer.receive(server.outgoing())
        assert peer.advance() is not None


def test_token_of_the_other_side_is_refused() -> None:
    """A client's token starts no server's handshake, and the other way round."""
    ready, _ = hand_over_server(SERVER_ORIGIN, b"")
    with pytest.raises(LocalProtocolError):
        ClientHandshake(settings(), ready)
    with pytest.raises(LocalProtocolError):
        ServerHandshake(CONTEXTS, hand_over_client(CLIENT_ORIGIN, b""))


def test_token_starts_one_handshake_only() -> None:
    """The token is spent by the first engine."""
    ready, _ = hand_over_server(SERVER_ORIGIN, b"")
    ServerHandshake(CONTEXTS, ready)
    with pytest.raises(LocalProtocolError):
        ServerHandshake(CONTEXTS, ready)


def test_plaintext_behind_the_handshake_is_read_first() -> None:
    """A client may send its first command together with its last handshake message."""
    server, peer = server_side(CONTEXTS), client_side(settings())
    server.receive(peer.outgoing())
    server.advance()
    peer.receive(server.outgoing())
    stream = peer.advance()
    assert stream is not None
    stream.send(b"EHLO eager\r\n")
    server.receive(stream.outgoing())
    received = server.advance()
    assert received is not None
    assert received.receive(b"") == b"EHLO eager\r\n"


@pytest.mark.parametrize(
    "octets",
    [b"EHLO again\r\n", b"\r\n", b"\0" * 20, b"\x16NOOP\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"],
)
def test_server_reports_plaintext_in_place_of_the_handshake(octets: bytes) -> None:
    """Text in the segment behind the upgrade ends the connection, is reported as plaintext, and is not answered."""
    server = server_side(CONTEXTS)
    server.receive(octets)
    with pytest.raises(HandshakeError) as caught:
        server.advance()
    assert caught.value.plaintext
    assert server.outgoing() == b""


@pytest.mark.parametrize(
    "octets", [b"\x80\x2e\x01\x00\x02", b"\x15\x03\x01\x00\x02\x02\x28", b"\x17\x03\x03\x00\x05hello"]
)
def test_server_tells_broken_tls_from_plaintext(octets: bytes) -> None:
    """An SSL 2 hello, an alert or a data record first is no injection."""
    server = server_side(CONTEXTS)
    server.receive(octets)
    with pytest.raises(HandshakeError) as caught:
        server.advance()
    assert not caught.value.plaintext
    assert caught.value.alert == "unexpected_message"
    assert server.outgoing() == b"\x15\x03\x03\x00\x02\x02\x0a"


def test_client_reports_plaintext_in_place_of_the_handshake() -> None:
    """Text behind the go-ahead, one segment later, is the same finding on the client's side."""
    peer = client_side(settings())
    peer.outgoing()
    peer.receive(b"250 AUTH PLAIN LOGIN\r\n")
    with pytest.raises(HandshakeError) as caught:
        peer.advance()
    assert caught.value.plaintext


def test_plaintext_in_the_middle_of_a_handshake_is_reported() -> None:
    """Text between two flights fails the handshake as plaintext, on both sides."""
    server, peer = server_side(CONTEXTS), client_side(settings())
    server.receive(peer.outgoing())
    server.advance()
    server.receive(b"RSET\r\nNOOP\r\n")
    with pytest.raises(HandshakeError) as caught:
        server.advance()
    assert caught.value.plaintext
    other = client_side(settings())
    server = server_side(CONTEXTS)
    server.receive(other.outgoing())
    server.advance()
    flight = server.outgoing()
    end = 5 + int.from_bytes(flight[3:5])
    other.receive(flight[:end])
    assert other.advance() is None
    other.receive(b"250 injected\r\n")
    with pytest.raises(HandshakeError) as caught:
        other.advance()
    assert caught.value.plaintext


def test_failed_handshake_is_over() -> None:
    """After a failure the engine does nothing more."""
    server = server_side(CONTEXTS)
    server.receive(b"QUIT\r\n")
    with pytest.raises(HandshakeError):
        server.advance()
    assert server._received == b""  # nor is what came in the clear kept anywhere
    with pytest.raises(LocalProtocolError):
        server.advance()
    with pytest.raises(LocalProtocolError):
        server.receive_eof()
    peer = client_side(settings())
    with pytest.raises(HandshakeError):
        peer.receive_eof()
    with pytest.raises(LocalProtocolError):
        peer.advance()


def test_completed_handshake_is_over() -> None:
    """The engine gives one stream and keeps no second way to the connection."""
    server, peer = server_side(CONTEXTS), client_side(settings())
    run_handshake(server, peer)
    with pytest.raises(LocalProtocolError):
        server.advance()
    with pytest.raises(LocalProtocolError):
        peer.advance()


def test_failed_handshake_is_freed_at_once() -> None:
    """A failure leaves no reference cycle behind: thousands of bad handshakes must not wait for the collector."""
    gc.collect()
    gc.disable()
    try:
        server, peer = server_side(CONTEXTS), client_side(settings())
        server.receive(peer.outgoing())
        server.advance()
        server.receive(b"\x15\x03\x03\x00\x02\x02\x28")
        connection = weakref.ref(server._connection)
        with pytest.raises(HandshakeError):
            server.advance()
        assert connection() is None
    finally:
        gc.enable()


def test_alert_of_the_peer_is_named() -> None:
    """What the peer complained about is in the error."""
    server, peer = server_side(CONTEXTS), client_side(settings())
    server.receive(peer.outgoing())
    server.advance()
    server.receive(b"\x15\x03\x03\x00\x02\x02\x30")  # unknown_ca
    with pytest.raises(HandshakeError) as caught:
        server.advance()
    assert caught.value.alert == "unknown_ca"


def test_record_longer_than_any_is_refused_without_waiting_for_it() -> None:
    """A record header that claims 64 KiB is refused when it comes, not when the octets do."""
    server, peer = server_side(CONTEXTS), client_side(settings())
    server.receive(peer.outgoing())
    server.advance()
    server.receive(b"\x16\x03\x03\xff\xff" + bytes(20))
    with pytest.raises(HandshakeError):
        server.advance()


def test_handshake_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The octets of one side's handshake are bounded."""
    monkeypatch.setattr(engine, "HANDSHAKE_LIMIT", 1000)
    server, peer = server_side(CONTEXTS), client_side(settings())
    server.receive(peer.outgoing())
    with pytest.raises(HandshakeError, match="longer than any"):
        server.advance()
    with pytest.raises(LocalProtocolError):
        server.advance()


def test_flood_of_cipher_changes_is_not_kept() -> None:
    """They mean nothing until something else comes, but more than anybody has reason to send OpenSSL may judge: a
    buffer that grew with them would be read from its beginning with each segment."""
    change = b"\x14\x03\x03\x00\x01\x01"
    assert engine._flight_end(change * engine._CHANGES_LIMIT) == 0
    assert engine._flight_end(change * (engine._CHANGES_LIMIT + 1)) == len(change) * (engine._CHANGES_LIMIT + 1)
    assert engine._flight_end(change + b"\x17\x03\x03\x00\x01x" + change) == len(change) + 6
    server, peer = server_side(CONTEXTS), client_side(settings())
    server.receive(peer.outgoing())
    server.advance()
    with contextlib.suppress(HandshakeError):  # OpenSSL's own limit
        for _ in range(100):
            server.receive(change)
            server.advance()
            assert len(server._received) <= len(change) * engine._CHANGES_LIMIT


@pytest.mark.parametrize("maximum", ["TLSv1.2", "TLSv1.3"])
def test_what_is_kept_of_a_long_flight_is_bounded(monkeypatch: pytest.MonkeyPatch, maximum: str) -> None:
    """A server's hello is at the beginning: of what follows only so much is kept, and the hello still tells all."""
    kept = []
    for limit in (engine._FLIGHT_LIMIT, 100):
        monkeypatch.setattr(engine, "_FLIGHT_LIMIT", limit)
        peer = client_side(settings(client(TLSProfile(maximum=maximum))))
        server, stream = run_handshake(server_side(CONTEXTS), peer)
        assert stream.evidence.version == maximum
        assert stream.evidence.tls_exporter == server.evidence.tls_exporter is not None
        kept.append(len(peer._flight))
    assert kept[1] < kept[0]


def test_advance_without_octets_waits() -> None:
    """Nothing received, nothing done; after the hello, too."""
    server, peer = server_side(CONTEXTS), client_side(settings())
    assert server.advance() is None
    assert peer.advance() is None
    server.receive(peer.outgoing())
    assert server.advance() is None
    assert server.advance() is None
    server.receive(b"\x14\x03\x03\x00\x01\x01")  # a ChangeCipherSpec alone tells nothing yet
    assert server.advance() is None


def test_bindings_can_be_left_out() -> None:
    """A listener without login need not compute them."""
    server, _ = run_handshake(server_side(CONTEXTS, bindings=False), client_side(settings()))
    assert server.evidence.tls_exporter is None
    assert server.evidence.tls_server_end_point is None


class TestVerdict:
    """The client's verdict, given after the handshake."""

    def test_verify_stops_before_any_application_octet(self) -> None:
        """A certificate for somebody else ends the connection; the server sees a goodbye and no data."""
        contexts = server_contexts([AUTHORITY.issue("other.example.test").credential])
        server, peer = server_side(contexts), client_side(settings())
        server.receive(peer.outgoing())
        server.advance()
        peer.receive(server.outgoing())
        with pytest.raises(VerificationError) as caught:
            peer.advance()
        assert caught.value.reason == "wrong-name"
        server.receive(peer.outgoing())
        stream = server.advance()
        assert stream is not None
        with pytest.raises(Exception, match="closed"):
            stream.receive(b"")
        assert stream.closed is not None
        assert stream.closed.clean

    @pytest.mark.parametrize("level", ["may", "encrypt"])
    @pytest.mark.parametrize("maximum", ["TLSv1.2", "TLSv1.3"])
    def test_opportunistic_levels_go_on_and_say_why(self, level: str, maximum: str) -> None:
        """Whatever is wrong with the certificate, the connection is used, and the evidence has the reason."""
        broken = TestAuthority("an authority with an RSA key", key=key_for("weak issuer", "rsa2048"))
        for issued, reason in (
            (AUTHORITY.issue("other.example.test"), "wrong-name"),
            (self_signed(NAME), "self-signed"),
            (AUTHORITY.issue(NAME, usages=CLIENT_ONLY), "wrong-purpose"),
            (broken.issue(NAME), "untrusted"),
        ):
            contexts = server_contexts([issued.credential])
            _, peer = private_pair(contexts, settings(client(TLSProfile(maximum=maximum)), level=level))
            assert peer.evidence.verification.status == "untrusted"
            assert peer.evidence.verification.reason.startswith(reason)
            assert peer.evidence.verification.names

    def test_verdict_uses_the_given_time(self) -> None:
        """A year later the certificate has expired."""
        year_later = AUTHORITY.now.timestamp() + 366 * 86400
        with pytest.raises(VerificationError) as caught:
            run_handshake(server_side(CONTEXTS), client_side(settings(), at=year_later))
        assert caught.value.reason == "expired"

    def test_no_name_asked_is_trusted_not_verified(self) -> None:
        """Without a reference name only the chain is judged."""
        _, peer = private_pair(CONTEXTS, ClientTLS(client(), None, level="encrypt"))
        assert peer.evidence.verification.status == "trusted"
        assert peer.evidence.server_name is None

    def test_names_replace_the_server_name(self) -> None:
        """The reference names may be others than the SNI."""
        _, peer = private_pair(CONTEXTS, ClientTLS(client(), "else.example.test", names=("x.example.test", NAME)))
        assert peer.evidence.verification.status == "verified"

    def test_address_is_never_sent_as_server_name(self) -> None:
        """RFC 6066 §3: literal addresses are not permitted in SNI; they match iPAddress entries."""
        contexts = server_contexts([AUTHORITY.issue("192.0.2.25").credential])
        server, peer = private_pair(contexts, ClientTLS(client(), "192.0.2.25"))
        assert server.evidence.server_name is None
        assert peer.evidence.verification.status == "verified"


class TestResumption:
    """The client's session cache."""

    @staticmethod
    def exchange(contexts: ServerContexts, wanted: ClientTLS, **kwargs: object) -> tuple[bool, bool]:
        """One connection with one exchange; whether each side says it was resumed."""
        server, peer = private_pair(contexts, wanted, **kwargs)  # type: ignore[arg-type]
        server.send(b"250 hello\r\n")
        assert carry(server, peer) == b"250 hello\r\n"
        assert server.evidence.tls_exporter == peer.evidence.tls_exporter
        assert peer.evidence.verification.status == "verified"
        assert peer.evidence.peer_chain
        peer.close()
        return server.evidence.resumed, peer.evidence.resumed

    @pytest.mark.parametrize("maximum", ["TLSv1.2", "TLSv1.3"])
    def test_second_connection_resumes_and_is_verified_again(self, maximum: str) -> None:
        """Both sides know that it was resumed; chain and verdict are there as at first."""
        wanted = settings(client(TLSProfile(maximum=maximum)))
        assert self.exchange(CONTEXTS, wanted) == (False, False)
        assert self.exchange(CONTEXTS, wanted) == (True, True)
        assert self.exchange(CONTEXTS, wanted) == (True, True)

    def test_resumed_session_expires_with_its_certificate(self) -> None:
        """The verdict is given again: a session does not outlive the certificate it was made with."""
        wanted = settings()
        self.exchange(CONTEXTS, wanted)
        late = AUTHORITY.now.timestamp() + 366 * 86400
        server, peer = server_side(CONTEXTS), client_side(wanted, at=late)
        with pytest.raises(VerificationError) as caught:
            run_handshake(server, peer)
        assert caught.value.reason == "expired"

    def test_session_is_offered_by_the_context_that_made_it_alone(self) -> None:
        """Contexts that share a cache may trust others and speak otherwise: each makes a full handshake of its own."""
        cache = SessionCache()
        first, second = (
            settings(client_context(trust=TrustStore([AUTHORITY.certificate]), sessions=cache)) for _ in range(2)
        )
        assert self.exchange(CONTEXTS, first) == (False, False)
        assert self.exchange(CONTEXTS, second) == (False, False)
        assert self.exchange(CONTEXTS, second) == (True, True)

    def test_server_without_tickets_never_resumes(self) -> None:
        """Tickets can be turned off; the cache of a client, too."""
        contexts = server_contexts([AUTHORITY.issue(NAME).credential], TLSProfile(tickets=False))
        for maximum in ("TLSv1.2", "TLSv1.3"):
            wanted = settings(client(TLSProfile(maximum=maximum)))
            assert [self.exchange(contexts, wanted) for _ in range(2)] == [(False, False)] * 2
        quiet = settings(client_context(trust=TrustStore([AUTHORITY.certificate]), sessions=SessionCache(0)))
        assert [self.exchange(CONTEXTS, quiet) for _ in range(2)] == [(False, False)] * 2
        off = settings(client(TLSProfile(tickets=False)))
        assert [self.exchange(CONTEXTS, off) for _ in range(2)] == [(False, False)] * 2

    def test_shared_context_with_two_certificates_resumes(self) -> None:
        """With an ECDSA and an RSA certificate a resumed session has no end-point binding on the server."""
        contexts = server_contexts(
            [AUTHORITY.issue(NAME).credential, AUTHORITY.issue(NAME, key=key_for("rsa leaf", "rsa2048")).credential]
        )
        wanted = settings()
        server, peer = private_pair(contexts, wanted)
        assert server.evidence.tls_server_end_point == peer.evidence.tls_server_end_point is not None
        server.send(b"x")
        carry(server, peer)
        peer.close()
        server, _ = private_pair(contexts, wanted)
        assert server.evidence.resumed
        assert server.evidence.tls_server_end_point is None


class TestALPN:
    """RFC 7301, on both sides."""

    def test_server_goes_on_when_one_protocol_fits_and_answers_none(self) -> None:
        """RFC 7301 allows not to answer."""
        server, peer = run_handshake(
            server_side(CONTEXTS, alpn=frozenset({"smtp"})), client_side(settings(alpn=("x", "smtp")))
        )
        assert server.evidence.alpn is None
        assert peer.evidence.alpn is None

    @staticmethod
    def answer_with(protocol: bytes, peer: ClientHandshake) -> None:
        """Let a foreign server choose a protocol."""
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        issued = AUTHORITY.issue(NAME)
        context.use_certificate(issued.certificate)
        context.use_privatekey(issued.key)
        context.set_alpn_select_callback(lambda connection, offered: protocol)
        server = SSL.Connection(context)
        server.set_accept_state()
        server.bio_write(peer.outgoing())
        with pytest.raises(SSL.WantReadError):
            server.do_handshake()
        peer.receive(server.bio_read(65536))

    def test_client_reports_the_chosen_protocol(self) -> None:
        """What the server chose of our offer is in the evidence."""
        peer = client_side(settings(alpn=("smtp",)))
        self.answer_with(b"smtp", peer)
        stream = peer.advance()
        assert stream is not None
        assert stream.evidence.alpn == "smtp"

    def test_client_refuses_a_protocol_it_did_not_offer(self) -> None:
        """A chosen protocol that we never offered ends the connection."""
        peer = client_side(settings(alpn=("smtp",)))
        with pytest.raises(HandshakeError):
            self.answer_with(b"http/1.1", peer)
            peer.advance()

    def test_client_refuses_it_where_openssl_does_not(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Not every OpenSSL compares what the server chose with what was offered."""
        monkeypatch.setattr(SSL.Connection, "get_alpn_proto_negotiated", lambda connection: b"http/1.1\r\n")
        peer = client_side(settings(alpn=("smtp",)))
        self.answer_with(b"smtp", peer)
        with pytest.raises(HandshakeError, match=r"the server chose 'http/1\.1\\r\\n' by ALPN"):
            peer.advance()

    def test_server_refuses_a_client_that_speaks_something_else(self) -> None:
        """With alert 120, before OpenSSL sees the hello; what the client offered is escaped."""
        server, peer = server_side(CONTEXTS, alpn=frozenset({"smtp"})), client_side(settings(alpn=("h2", "a\n")))
        server.receive(peer.outgoing())
        with pytest.raises(HandshakeError) as caught:
            server.advance()
        assert caught.value.alert == "no_application_protocol"
        assert caught.value.message.endswith(r"only 'h2', 'a\n'")
        assert server.outgoing() == b"\x15\x03\x03\x00\x02\x02\x78"
        with pytest.raises(LocalProtocolError):
            server.advance()
