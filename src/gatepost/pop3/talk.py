"""What a client says to a POP3 server, from the greeting to QUIT, as dialogues: one body for both clients.

There is no login in the clear, and no way to ask for one: it takes the engine that only a handshake makes. Nothing is
deleted but by a QUIT that was answered (RFC 1939 §6).
"""

from __future__ import annotations

import secrets
from typing import Final, final

from gatepost.errors import LocalProtocolError
from gatepost.net.calling import Call
from gatepost.wire.dialogue import Dialogue, upgrade
from gatepost.wire.pop3.capabilities import Capabilities
from gatepost.wire.pop3.client import Maildrop, PlainClient, SecureClient
from gatepost.wire.pop3.exchange import Sink
from gatepost.wire.pop3.reply import Reply
from gatepost.wire.pop3.timeouts import ClientTimeouts
from gatepost.wire.sasl.mechanisms import PREFERENCE, choose
from gatepost.wire.sasl.outcome import Credentials, bindings_of
from gatepost.wire.sasl.secret import Secret
from gatepost.wire.upgrade import Origin, TLSEvidence


@final
class POP3Talk:
    """One connection to a POP3 server.

    :param origin: where it leads.
    :param call: whether it must become private, how long to wait.
    """

    __slots__ = ("_call", "_client", "_origin", "_timeouts")

    def __init__(self, origin: Origin, call: Call) -> None:
        seconds = call.seconds
        self._origin: Final = origin
        self._call: Final = call
        self._client: PlainClient | SecureClient | None = None
        self._timeouts: Final = ClientTimeouts(
            greeting=seconds, reply=seconds, login=seconds, content=seconds, quit=seconds
        )

    @property
    def evidence(self) -> TLSEvidence | None:
        """What the handshake proved; None in the clear."""
        return self._client.evidence if isinstance(self._client, SecureClient) else None

    @property
    def usable(self) -> bool:
        """Whether anything but the end can be begun."""
        return self._client is not None and self._client.usable

    @property
    def capabilities(self) -> Capabilities:
        """What the server listed last.

        :raises LocalProtocolError: before it did.
        """
        if self._client is None or self._client.listed is None:
            raise LocalProtocolError("nothing was said to this server yet")
        return self._client.listed

    def open(self) -> Dialogue[Capabilities]:
        """Greeting, CAPA, and as ``starttls`` says: the upgrade, and CAPA again.

        :raises StartTLSRefused: when TLS is required and not offered, and whenever it is offered and then refused.
        """
        plain = PlainClient(self._origin, timeouts=self._timeouts)
        yield from plain.greeting()
        listed = yield from plain.capabilities()
        if self._call.starttls == "never" or (self._call.starttls == "may" and not listed.stls):
            self._client = plain
            return listed
        evidence = yield from upgrade((yield from plain.start_tls()))
        return (yield from self._secure(evidence).capabilities())

    def open_inside(self, evidence: TLSEvidence) -> Dialogue[Capabilities]:
        """Greeting and CAPA inside TLS (RFC 8314 §3.3)."""
        client = self._secure(evidence)
        yield from client.greeting()
        return (yield from client.capabilities())

    def login(self, user: str, password: str | bytes | Secret) -> Dialogue[str]:
        """Log in with the best mechanism that the server lists inside TLS; with USER and PASS where it lists none.

        :return: the mechanism, or ``USER``.
        """
        client = self.client
        secret = password if isinstance(password, Secret) else Secret(password)
        listed = self.capabilities.sasl
        if not set(listed) & set(PREFERENCE):
            yield from client.login(user, secret)
            return "USER"
        credentials, bindings = Credentials(user, secret), bindings_of(client.evidence)
        mechanism = choose(listed, credentials, bindings, nonce=secrets.token_urlsafe(24))
        yield from client.authenticate(mechanism)
        return mechanism.name

    @property
    def client(self) -> SecureClient:
        """The engine inside TLS.

        :raises LocalProtocolError: in the clear.
        """
        if not isinstance(self._client, SecureClient):
            raise LocalProtocolError(
                "nobody logs in, and no message is read, in the clear",
                hint='use TLS: starttls="require", or implicit',
            )
        return self._client

    def stat(self) -> Dialogue[Maildrop]:
        """STAT."""
        return (yield from self.client.stat())

    def list(self) -> Dialogue[dict[int, int]]:
        """LIST."""
        return (yield from self.client.list())

    def uidl(self) -> Dialogue[dict[int, str]]:
        """UIDL."""
        return (yield from self.client.uidl())

    def retrieve(self, number: int, sink: Sink, limit: int) -> Dialogue[int]:
        """RETR, piece by piece."""
        return (yield from self.client.retrieve(number, sink, limit=limit))

    def fetch(self, number: int, limit: int) -> Dialogue[bytes]:
        """RETR, in one piece."""
        pieces: list[bytes] = []
        yield from self.client.retrieve(number, pieces.append, limit=limit)
        return b"".join(pieces)

    def top(self, number: int, lines: int, limit: int) -> Dialogue[bytes]:
        """TOP, in one piece."""
        pieces: list[bytes] = []
        yield from self.client.top(number, lines, pieces.append, limit=limit)
        return b"".join(pieces)

    def delete(self, number: int) -> Dialogue[Reply]:
        """DELE."""
        return (yield from self.client.delete(number))

    def reset(self) -> Dialogue[Reply]:
        """RSET."""
        return (yield from self.client.reset())

    def noop(self) -> Dialogue[Reply]:
        """NOOP."""
        return (yield from self.client.noop())

    def quit(self) -> Dialogue[Reply | None]:
        """QUIT."""
        if self._client is None:
            raise LocalProtocolError("nothing was said to this server yet")
        return (yield from self._client.quit())

    def _secure(self, evidence: TLSEvidence) -> SecureClient:
        self._client = client = SecureClient(self._origin, evidence, timeouts=self._timeouts)
        return client
