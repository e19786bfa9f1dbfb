"""Invariant: whatever a server says, a client ends with a value or a RemoteProtocolError, and texts are printable."""

from __future__ import annotations

from gatepost.errors import DeadlineExceeded, RemoteProtocolError
from gatepost.testing.memory import ORIGIN, MemoryDriver
from gatepost.wire.dialogue import Dialogue
from gatepost.wire.pop3.client import SecureClient
from gatepost.wire.upgrade import Verification, _mint_evidence

EVIDENCE = _mint_evidence(
    version="TLSv1.3", cipher="c", bits=256, group=None, server_name=None, alpn=None, peer_chain=(),
    verification=Verification("none"), resumed=False, tls_exporter=b"e", tls_server_end_point=None,
)  # fmt: skip
# Answers must not come before their questions, so each is a piece of its own.
LOGGED_IN = [b"+OK\r\n", b"+OK\r\n.\r\n", b"+OK\r\n", b"+OK\r\n"]


class Server:
    """Says its octets piece by piece, whatever it hears, and closes."""

    closed = True

    def __init__(self, data: bytes, step: int) -> None:
        self.left = [data[start : start + step] for start in range(0, len(data), step)]

    def receive(self, data: bytes) -> None:
        """Not heard."""

    def outgoing(self) -> bytes:
        """The next piece."""
        return self.left.pop(0) if self.left else b""


def session(client: SecureClient) -> Dialogue[None]:
    """Everything that a client can ask, as long as it is answered."""
    yield from client.greeting()
    yield from client.capabilities()
    yield from client.login("a", "b")
    assert all(size >= 0 for size in (yield from client.stat()))
    assert all(number > 0 for number in (yield from client.list()))
    assert all(name.isprintable() for name in (yield from client.uidl()).values())
    taken: list[bytes] = []
    octets = yield from client.retrieve(1, taken.append, limit=1000)
    assert octets == sum(map(len, taken)) <= 1000
    yield from client.top(1, 0, taken.append, limit=1000)
    reply = yield from client.quit()
    assert reply is None or reply.text.isprintable()


def target(data: bytes) -> None:
    """Two sessions: with these octets, and with these behind a login that went well."""
    step = (data[0] % 40 if data else 0) + 1
    for before in ([], LOGGED_IN):
        client, server = SecureClient(ORIGIN, EVIDENCE), Server(data, step)
        server.left[:0] = before
        try:
            MemoryDriver(server).run(session(client))
        except (RemoteProtocolError, DeadlineExceeded) as error:
            assert str(error).isprintable()
