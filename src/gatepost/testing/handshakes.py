"""Two TLS engines back to back, in memory. Part of the public test kit."""

from __future__ import annotations

from typing import Final

from gatepost.tls.contexts import ClientTLS, ServerContexts
from gatepost.tls.engine import ClientHandshake, ServerHandshake
from gatepost.tls.stream import TLSStream
from gatepost.wire.upgrade import Origin, hand_over_client, hand_over_server

SERVER_ORIGIN: Final = Origin(("192.0.2.9", 40000), ("192.0.2.25", 25), "mx", 1_700_000_000.0, "server-side")
CLIENT_ORIGIN: Final = Origin(("192.0.2.25", 25), ("192.0.2.9", 40000), "delivery", 1_700_000_000.0, "client-side")
ROUNDS: Final = 12


def server_side(
    contexts: ServerContexts, *, alpn: frozenset[str] = frozenset(), bindings: bool = True
) -> ServerHandshake:
    """A server's handshake after an upgrade with nothing behind the upgrade line."""
    ready, _ = hand_over_server(SERVER_ORIGIN, b"")
    return ServerHandshake(contexts, ready, alpn=alpn, bindings=bindings)


def client_side(settings: ClientTLS, *, at: float | None = None, origin: Origin = CLIENT_ORIGIN) -> ClientHandshake:
    """A client's handshake after an upgrade with nothing behind the go-ahead."""
    return ClientHandshake(settings, hand_over_client(origin, b""), at=at)


def run_handshake(
    server: ServerHandshake, client: ClientHandshake, *, piece: int = 1 << 20
) -> tuple[TLSStream, TLSStream]:
    """Carry octets between both sides until both are done; a side's error is raised here.

    :param piece: how many octets arrive at once.
    :return: the server's stream and the client's.
    """
    server_stream: TLSStream | None = None
    client_stream: TLSStream | None = None
    for _ in range(ROUNDS):
        to_server = client.outgoing() if client_stream is None else client_stream.outgoing()
        for at in range(0, len(to_server), piece):
            chunk = to_server[at : at + piece]
            if server_stream is None:
                server.receive(chunk)
                server_stream = server.advance()
            else:
                server_stream.receive(chunk)
        to_client = server.outgoing() if server_stream is None else server_stream.outgoing()
        for at in range(0, len(to_client), piece):
            chunk = to_client[at : at + piece]
            if client_stream is None:
                client.receive(chunk)
                client_stream = client.advance()
            else:
                client_stream.receive(chunk)
        if server_stream is not None and client_stream is not None and not to_server and not to_client:
            return server_stream, client_stream
    raise AssertionError(f"no handshake in {ROUNDS} rounds")


def private_pair(
    contexts: ServerContexts, settings: ClientTLS, *, origin: Origin = CLIENT_ORIGIN
) -> tuple[TLSStream, TLSStream]:
    """A server's stream and a client's, connected by a completed handshake."""
    return run_handshake(server_side(contexts), client_side(settings, origin=origin))


def carry(sender: TLSStream, receiver: TLSStream) -> bytes:
    """Give a stream what the other one has to say; the plaintext."""
    return receiver.receive(sender.outgoing())
