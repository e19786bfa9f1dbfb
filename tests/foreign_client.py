"""Our server's handshake with a client that is not ours: one of OpenSSL's, set up as a test wants it."""

from __future__ import annotations

import contextlib

from OpenSSL import SSL

from gatepost.tls.engine import ServerHandshake
from gatepost.tls.stream import TLSStream


def accept(server: ServerHandshake, client: SSL.Connection) -> TLSStream:
    """The server's stream, when the handshake is over and the client was given all that the server said."""
    client.set_connect_state()
    stream: TLSStream | None = None
    while stream is None:
        with contextlib.suppress(SSL.WantReadError):
            client.do_handshake()
        server.receive(client.bio_read(65536))
        stream = server.advance()
        client.bio_write(server.outgoing() if stream is None else stream.outgoing())
    return stream
