"""What a client says to an SMTP server, from the greeting to QUIT, as dialogues: one body for both clients.

There is no login in the clear, and no way to ask for one: it takes the engine that only a handshake makes.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Final, final

from gatepost.errors import LocalProtocolError
from gatepost.net.calling import Call
from gatepost.smtp.letter import Letter
from gatepost.smtp.outcome import Outcome, outcome_of
from gatepost.wire.dialogue import Dialogue, upgrade
from gatepost.wire.sasl.mechanisms import choose
from gatepost.wire.sasl.outcome import Credentials, bindings_of
from gatepost.wire.sasl.secret import Secret
from gatepost.wire.smtp.capabilities import Capabilities
from gatepost.wire.smtp.client import PlainClient, SecureClient
from gatepost.wire.smtp.envelope import Envelope, Submission
from gatepost.wire.smtp.reply import Reply
from gatepost.wire.smtp.timeouts import ClientTimeouts
from gatepost.wire.upgrade import Origin, TLSEvidence

_FINAL_SECONDS: Final = 600.0  # RFC 5321 §4.5.3.2.6: the reply to the content may rightly take longest
_QUIT_SECONDS: Final = 10.0


@final
class SMTPTalk:
    """One connection to an SMTP server.

    :param origin: where it leads.
    :param call: whether it must become private, our name, how long to wait.
    """

    __slots__ = ("_call", "_client", "_origin", "_timeouts")

    def __init__(self, origin: Origin, call: Call) -> None:
        seconds = call.seconds
        self._origin: Final = origin
        self._call: Final = call
        self._client: PlainClient | SecureClient | None = None
        self._timeouts: Final = ClientTimeouts(
            greeting=seconds, hello=seconds, starttls=seconds, authenticate=seconds, mail=seconds, recipient=seconds,
            data=seconds, final=max(seconds, _FINAL_SECONDS), reset=seconds, quit=min(seconds, _QUIT_SECONDS),
        )  # fmt: skip

    @property
    def client(self) -> PlainClient | SecureClient:
        """The engine that speaks now.

        :raises LocalProtocolError: before ``open``.
        """
        if self._client is None:
            raise LocalProtocolError("nothing was said to this server yet")
        return self._client

    @property
    def evidence(self) -> TLSEvidence | None:
        """What the handshake proved; None in the clear."""
        return self._client.evidence if isinstance(self._client, SecureClient) else None

    @property
    def usable(self) -> bool:
        """Whether another message may be sent."""
        return self._client is not None and self._client.usable

    def open(self) -> Dialogue[Capabilities]:
        """Greeting, EHLO, and as ``starttls`` says: the upgrade, and EHLO again.

        :raises StartTLSRefused: when TLS is required and not offered, and whenever it is offered and then refused.
        """
        starttls, name = self._call.starttls, self._call.hostname
        plain = PlainClient(self._origin, hostname=name, timeouts=self._timeouts)
        yield from plain.greeting()
        listed = yield from plain.hello(helo_fallback=starttls != "require")
        if starttls == "never" or (starttls == "may" and not listed.starttls):
            self._client = plain
            return listed
        evidence = yield from upgrade((yield from plain.start_tls()))
        return (yield from self._secure(evidence).hello())

    def open_inside(self, evidence: TLSEvidence) -> Dialogue[Capabilities]:
        """Greeting and EHLO inside TLS (RFC 8314 §3.3)."""
        client = self._secure(evidence)
        yield from client.greeting()
        return (yield from client.hello())

    def login(self, user: str, password: str | bytes | Secret) -> Dialogue[str]:
        """Log in with the best mechanism that the server lists inside TLS, and say which that was.

        :raises LocalProtocolError: in the clear.
        :raises NoMechanism: when the server lists none that we take.
        :raises AuthenticationRefused: when it refuses; ``AuthenticationError`` when it does not prove itself.
        """
        client = self.client
        if not isinstance(client, SecureClient):
            raise LocalProtocolError(
                "no password is sent in the clear", hint='log in over TLS: starttls="require", or implicit'
            )
        credentials = Credentials(user, password_of(password))
        bindings = bindings_of(client.evidence)
        mechanism = choose(client.capabilities.auth, credentials, bindings, nonce=secrets.token_urlsafe(24))
        yield from client.authenticate(mechanism)
        return mechanism.name

    def send(self, letter: Letter) -> Dialogue[Outcome]:
        """Send a message; it is written as the server's extensions allow."""
        envelope, content = letter.ready(self.client.capabilities)
        return outcome_of(envelope, (yield from self.client.submit(envelope, content)))

    def submit(self, envelope: Envelope, content: Iterable[bytes]) -> Dialogue[Submission]:
        """Send a message whose envelope is made and whose content streams."""
        return (yield from self.client.submit(envelope, content))

    def noop(self) -> Dialogue[Reply]:
        """NOOP."""
        return (yield from self.client.noop())

    def reset(self) -> Dialogue[Reply]:
        """RSET."""
        return (yield from self.client.reset())

    def quit(self) -> Dialogue[Reply | None]:
        """QUIT."""
        return (yield from self.client.quit())

    def _secure(self, evidence: TLSEvidence) -> SecureClient:
        client = SecureClient(self._origin, evidence, hostname=self._call.hostname, timeouts=self._timeouts)
        self._client = client
        return client


def password_of(password: str | bytes | Secret) -> Secret:
    """A password as a value that does not print."""
    return password if isinstance(password, Secret) else Secret(password)
