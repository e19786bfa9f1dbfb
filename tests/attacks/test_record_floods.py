"""Row B7, once records flow: the attacker sends what is legal one at a time, without end."""

from __future__ import annotations

import hmac

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from gatepost.errors import HandshakeError
from gatepost.net.channel import SecureChannel
from gatepost.net.transport import Transport
from gatepost.testing.ca import TestAuthority
from gatepost.testing.handshakes import client_side, run_handshake, server_side
from gatepost.tls.contexts import ClientTLS, TLSProfile, client_context, server_contexts
from gatepost.tls.engine import HANDSHAKE_LIMIT, ClientHandshake, ServerHandshake
from gatepost.tls.stream import TLSStream
from gatepost.tls.trust import TrustStore

NAME = "mx.example.test"
AUTHORITY = TestAuthority()
TRUST = TrustStore([AUTHORITY.certificate])
CONTEXTS = server_contexts([AUTHORITY.issue(NAME).credential])
CHANGE_CIPHER_SPEC = b"\x14\x03\x03\x00\x01\x01"  # means nothing in TLS 1.3 (RFC 8446 §D.4), may come at any time
KEY_UPDATE = b"\x18\x00\x00\x01\x01"  # an answer is requested (RFC 8446 §4.6.3)
HANDSHAKE, DATA = 22, 23


class Forger:
    """Makes a client's protected TLS 1.3 records by hand, also those that no TLS library lets one send.

    :param secret: client_traffic_secret_0.
    :param cipher: the name of the cipher suite.
    """

    def __init__(self, secret: bytes, cipher: str) -> None:
        self._secret = secret
        self._hash = "sha384" if cipher.endswith("384") else "sha256"
        self._size = 16 if "128" in cipher else 32
        self._aead = ChaCha20Poly1305 if "CHACHA" in cipher else AESGCM
        self._count = 0

    def record(self, kind: int, content: bytes) -> bytes:
        """One record (RFC 8446 §5.2)."""
        key, iv = self._expand(b"key", self._size), self._expand(b"iv", 12)
        nonce = (int.from_bytes(iv) ^ self._count).to_bytes(12)
        self._count += 1
        header = b"\x17\x03\x03" + (len(content) + 17).to_bytes(2)
        return header + self._aead(key).encrypt(nonce, content + bytes((kind,)), header)

    def key_update(self) -> bytes:
        """A KeyUpdate; the next record has the next key (RFC 8446 §7.2)."""
        record = self.record(HANDSHAKE, KEY_UPDATE)
        self._secret = self._expand(b"traffic upd", len(self._secret))
        self._count = 0
        return record

    def _expand(self, label: bytes, size: int) -> bytes:
        info = size.to_bytes(2) + bytes((6 + len(label),)) + b"tls13 " + label + b"\0\1"
        return hmac.new(self._secret, info, self._hash).digest()[:size]


class Listening:
    """Receives what is decrypted, and answers nothing: a message streams in."""

    def __init__(self) -> None:
        self.text = b""

    def data_received(self, data: bytes) -> None:
        self.text += data

    def eof_received(self) -> None: ...

    def connection_lost(self, error: OSError | None) -> None: ...


def forged_session() -> tuple[TLSStream, Forger]:
    """A server's private side, and who knows the client's keys."""
    keys: list[bytes] = []
    context = client_context(profile=TLSProfile(minimum="TLSv1.3"), trust=TRUST, keylog=keys.append)
    server, client = run_handshake(server_side(CONTEXTS), client_side(ClientTLS(context, NAME)))
    secret = next(line.split()[2] for line in keys if line.startswith(b"CLIENT_TRAFFIC_SECRET_0"))
    return server, Forger(bytes.fromhex(secret.decode()), client.evidence.cipher)


def begun(side: str) -> ServerHandshake | ClientHandshake:
    """A handshake in which the other side's next flight is due."""
    client = client_side(ClientTLS(client_context(trust=TRUST), NAME))
    if side == "client":
        client.outgoing()
        return client
    server = server_side(CONTEXTS)
    server.receive(client.outgoing())
    assert server.advance() is None
    server.outgoing()
    return server


@pytest.mark.parametrize("side", ["server", "client"])
@pytest.mark.parametrize("records", [1, 1000])
def test_attacker_cannot_fill_a_handshake_with_changes_of_cipher(side: str, records: int) -> None:
    """Goal: memory and time without bound, by records that are dropped unread until another one follows."""
    handshake = begun(side)
    sent = 0
    with pytest.raises(HandshakeError):
        while sent <= HANDSHAKE_LIMIT + records * len(CHANGE_CIPHER_SPEC):
            handshake.receive(CHANGE_CIPHER_SPEC * records)
            sent += records * len(CHANGE_CIPHER_SPEC)
            handshake.advance()


def test_answers_to_key_updates_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: memory outside every limit. Between octets of a message the keys are updated; each update asks for an
    answer. The answers must reach the transport, which hangs up on a peer that does not read.
    """
    written: list[bytes] = []
    monkeypatch.setattr(Transport, "__init__", lambda self: setattr(self, "tap", None))
    monkeypatch.setattr(Transport, "write", lambda _, data: written.append(data))
    stream, attacker = forged_session()
    channel = SecureChannel(Transport(), stream)  # type: ignore[call-arg]  # only its writing is of interest
    channel.start(listening := Listening())
    for count in range(1, 21):
        channel.data_received(attacker.key_update() + attacker.key_update() + attacker.record(DATA, b"x"))
        assert len(listening.text) == count
        assert stream.outgoing() == b""
    assert sum(map(len, written)) > 20 * len(KEY_UPDATE)
