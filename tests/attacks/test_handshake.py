"""Rows B1, B4, B5, B7 and B8 at the engine: what an attacker can do before anything is private."""

from __future__ import annotations

import contextlib
import dataclasses
import time

import pytest
from OpenSSL import SSL
from tests.foreign_client import accept

from gatepost.errors import HandshakeError, VerificationError
from gatepost.testing.ca import TestAuthority
from gatepost.testing.handshakes import CLIENT_ORIGIN, carry, client_side, private_pair, run_handshake, server_side
from gatepost.tls.contexts import ClientTLS, TLSProfile, client_context, server_contexts
from gatepost.tls.engine import ServerHandshake
from gatepost.tls.trust import TrustStore
from gatepost.wire.upgrade import Origin

NAME = "mx.example.test"
AUTHORITY = TestAuthority()
TRUST = TrustStore([AUTHORITY.certificate])
CONTEXTS = server_contexts([AUTHORITY.issue(NAME).credential])


def warm(settings: ClientTLS, origin: Origin = CLIENT_ORIGIN) -> None:
    """One connection that leaves a session in the client's cache."""
    server, client = private_pair(CONTEXTS, settings, origin=origin)
    server.send(b"250 hello\r\n")
    carry(server, client)
    client.close()


def resumed(settings: ClientTLS, origin: Origin = CLIENT_ORIGIN) -> bool:
    """Whether a connection with these settings resumes."""
    server, client = private_pair(CONTEXTS, settings, origin=origin)
    assert server.evidence.resumed == client.evidence.resumed
    return client.evidence.resumed


class TestSessionsAcrossPolicies:
    """B1: a session that was good enough for one question must not answer another."""

    @pytest.mark.parametrize("maximum", ["TLSv1.2", "TLSv1.3"])
    def test_attacker_answers_with_a_session_of_another_name(self, maximum: str) -> None:
        """The session made under a good name is never offered, nor the name check skipped, under another."""
        context = client_context(profile=TLSProfile(maximum=maximum), trust=TRUST)
        warm(ClientTLS(context, NAME))
        with pytest.raises(VerificationError) as caught:
            run_handshake(server_side(CONTEXTS), client_side(ClientTLS(context, "bank.example")))
        assert caught.value.reason == "wrong-name"

    def test_session_stays_with_its_whole_question(self) -> None:
        """Address, port, name, names, level, protocols: with one of them changed, the handshake is a full one."""
        context = client_context(trust=TRUST)
        base = ClientTLS(context, NAME, "encrypt")
        for changed in (
            dataclasses.replace(base, server_name=f"{NAME}."),
            dataclasses.replace(base, level="verify"),
            dataclasses.replace(base, level="may"),
            dataclasses.replace(base, names=(NAME,)),
        ):
            warm(base)
            assert not resumed(changed)
            assert resumed(base)
        for peer in (("192.0.2.26", 25), ("192.0.2.25", 26)):
            warm(base)
            assert not resumed(base, dataclasses.replace(CLIENT_ORIGIN, peer=peer))
            assert resumed(base)

    def test_session_stays_with_its_trust(self) -> None:
        """A client that trusts others does not take over the session of one that trusted this authority."""
        warm(ClientTLS(client_context(trust=TRUST), NAME))
        stricter = ClientTLS(client_context(trust=TrustStore([TestAuthority("another").certificate])), NAME)
        with pytest.raises(VerificationError):
            run_handshake(server_side(CONTEXTS), client_side(stricter))

    def test_opportunistic_session_never_counts_as_verified(self) -> None:
        """A session with an impostor, made at level may, does not help him at level verify."""
        impostor = server_contexts([TestAuthority("an impostor").issue(NAME).credential])
        context = client_context(trust=TRUST)
        server, client = private_pair(impostor, ClientTLS(context, NAME, "may"))
        server.send(b"250 hello\r\n")
        carry(server, client)
        client.close()
        _, again = private_pair(impostor, ClientTLS(context, NAME, "may"))
        assert again.evidence.resumed
        assert again.evidence.verification.status == "untrusted"
        with pytest.raises(VerificationError):
            run_handshake(server_side(impostor), client_side(ClientTLS(context, NAME, "verify")))

    def test_ticket_of_one_vhost_is_worth_nothing_at_another(self) -> None:
        """Each certificate's context has ticket keys of its own."""
        contexts = server_contexts([AUTHORITY.issue(NAME).credential, AUTHORITY.issue("b.example.test").credential])
        raw = SSL.Context(SSL.TLS_CLIENT_METHOD)
        session: SSL.Session | None = None
        seen: list[bool] = []
        for name in (NAME, NAME, "b.example.test"):
            peer = SSL.Connection(raw)
            peer.set_tlsext_host_name(name.encode())
            if session is not None:
                peer.set_session(session)
            stream = accept(server_side(contexts), peer)
            with contextlib.suppress(SSL.WantReadError):
                peer.recv(1)
            session = peer.get_session()
            peer.set_shutdown(SSL.SENT_SHUTDOWN)
            seen.append(stream.evidence.resumed)
        assert seen == [False, True, False]


class TestOldAndWeak:
    """B4: the attacker asks for what can be broken."""

    @staticmethod
    def offer(ciphers: bytes = b"ALL:@SECLEVEL=0", newest: int = SSL.TLS1_2_VERSION) -> HandshakeError:
        """A client that offers only this; the server's refusal."""
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_min_proto_version(SSL.TLS1_VERSION)
        context.set_max_proto_version(newest)
        context.set_cipher_list(ciphers)
        peer = SSL.Connection(context)
        peer.set_connect_state()
        with contextlib.suppress(SSL.WantReadError):
            peer.do_handshake()
        server = server_side(CONTEXTS)
        server.receive(peer.bio_read(65536))
        with pytest.raises(HandshakeError) as caught:
            server.advance()
        assert server.outgoing()[0] == 21
        return caught.value

    @pytest.mark.parametrize("version", [SSL.TLS1_VERSION, SSL.TLS1_1_VERSION])
    def test_old_versions_are_refused(self, version: int) -> None:
        """TLS 1.0 and 1.1 are below the default minimum (RFC 8997)."""
        assert self.offer(newest=version).alert == "protocol_version"

    @pytest.mark.parametrize("ciphers", [b"aNULL:@SECLEVEL=0", b"eNULL:@SECLEVEL=0", b"RSA:@SECLEVEL=0"])
    def test_anonymous_and_unencrypted_ciphers_are_refused(self, ciphers: bytes) -> None:
        """No anonymity, no cipher without encryption, no key exchange without forward secrecy."""
        assert self.offer(ciphers).alert == "handshake_failure"

    def test_old_versions_work_where_the_operator_asks(self) -> None:
        """A lower minimum is a setting, and it is a working one."""
        profile = TLSProfile(minimum="TLSv1", maximum="TLSv1.1", ciphers="ALL")
        contexts = server_contexts([AUTHORITY.issue(NAME).credential], profile)
        server, client = private_pair(contexts, ClientTLS(client_context(profile=profile, trust=TRUST), NAME))
        assert server.evidence.version == client.evidence.version == "TLSv1.1"
        assert server.evidence.tls_exporter is None


class TestCrossProtocol:
    """B5: the attacker steers a browser's request to the mail port."""

    @pytest.mark.parametrize("speaks", [frozenset[str](), frozenset({"smtp", "esmtp"})])
    def test_browser_with_its_own_protocols_gets_alert_120(self, speaks: frozenset[str]) -> None:
        """RFC 7301 §3.2: no_application_protocol, fatal, before any certificate is shown."""
        server = server_side(CONTEXTS, alpn=speaks)
        client = client_side(ClientTLS(client_context(trust=TRUST), NAME, alpn=("h2", "http/1.1")))
        server.receive(client.outgoing())
        with pytest.raises(HandshakeError) as caught:
            server.advance()
        assert caught.value.alert == "no_application_protocol"
        assert "'h2'" in caught.value.message
        alert = server.outgoing()
        assert alert == bytes((21, 3, 3, 0, 2, 2, 120))
        client.receive(alert)
        with pytest.raises(HandshakeError) as seen:
            client.advance()
        assert seen.value.alert == "no_application_protocol"

    def test_hostile_protocol_names_do_not_reach_the_log_raw(self) -> None:
        """What the client calls itself is escaped and cut."""
        server = server_side(CONTEXTS)
        client = client_side(ClientTLS(client_context(trust=TRUST), NAME, alpn=("a\r\nb", "x" * 255)))
        server.receive(client.outgoing())
        with pytest.raises(HandshakeError) as caught:
            server.advance()
        assert "\n" not in caught.value.message
        assert len(caught.value.message) < 300

    def test_client_without_alpn_is_served(self) -> None:
        """Mail clients send none."""
        run_handshake(
            server_side(CONTEXTS, alpn=frozenset({"smtp"})), client_side(ClientTLS(client_context(trust=TRUST), NAME))
        )


class TestStarvation:
    """B7: the attacker begins a handshake and does not finish it."""

    def test_half_a_hello_waits_and_its_end_is_a_failure(self) -> None:
        """The engine only waits: the deadline is the driver's; the end of the connection is a handshake error."""
        server = server_side(CONTEXTS)
        server.receive(client_side(ClientTLS(client_context(trust=TRUST), NAME)).outgoing()[:100])
        assert server.advance() is None
        assert server.outgoing() == b""
        with pytest.raises(HandshakeError):
            server.receive_eof()

    def test_octets_one_by_one_cost_little(self) -> None:
        """16 KiB of a hello, octet by octet, is no work that grows with what came before."""
        server = server_side(CONTEXTS)
        octets = b"\x16\x03\x01\x3f\xff\x01\x00\x3f\xfb" + bytes(16300)
        begin = time.process_time()
        for octet in octets:
            server.receive(bytes((octet,)))
            assert server.advance() is None
        assert time.process_time() - begin < 1.0

    @pytest.mark.parametrize(
        "garbage",
        [b"\x16\x03\x01\xff\xff" + bytes(100), b"\x16\x03\x01\x00\x00", b"\x16\x03\x01\x00\x04\x02\x00\x00\x00",
         b"\x16\x02\x00\x00\x05hello", bytes(range(128, 256)), b"\xff" * 70000],
    )  # fmt: skip
    def test_garbage_records_end_the_handshake(self, garbage: bytes) -> None:
        """One error, never a traceback of another kind."""
        server = server_side(CONTEXTS)
        server.receive(garbage)
        with pytest.raises(HandshakeError):
            server.advance()

    def test_silence_after_the_server_hello_holds_nothing_but_memory(self) -> None:
        """The client goes away between two flights."""
        server = server_side(CONTEXTS)
        server.receive(client_side(ClientTLS(client_context(trust=TRUST), NAME)).outgoing())
        assert server.advance() is None
        with pytest.raises(HandshakeError):
            server.receive_eof()
        assert isinstance(server, ServerHandshake)


class TestServerName:
    """B8: no name and unknown names get the default certificate, never a refusal (RFC 7672 §8.1)."""

    CONTEXTS = server_contexts([AUTHORITY.issue(NAME).credential, AUTHORITY.issue("b.example.test").credential])

    @pytest.mark.parametrize("asked", ["unknown.example", None])
    def test_unknown_and_absent_names_get_the_default(self, asked: str | None) -> None:
        """The evidence keeps what was asked for."""
        settings = ClientTLS(client_context(trust=TRUST), asked, names=(NAME,))
        server, client = private_pair(self.CONTEXTS, settings)
        assert client.evidence.verification.names == (NAME,)
        assert server.evidence.server_name == asked

    def test_known_name_gets_its_own(self) -> None:
        """The control."""
        _, client = private_pair(self.CONTEXTS, ClientTLS(client_context(trust=TRUST), "b.example.test"))
        assert client.evidence.verification.names == ("b.example.test",)
