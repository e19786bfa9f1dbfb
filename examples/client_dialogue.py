"""Submit a message over STARTTLS, logged in, with the server's certificate verified.

    python examples/client_dialogue.py HOST PORT USER PASSWORD CA_FILE < message.eml

The conversation is a generator. ``BlockingWire`` runs it on a socket that waits; ``gatepost.net.dial`` runs the same
one on asyncio, and ``gatepost.testing.memory`` without a network.
"""

from __future__ import annotations

import secrets
import sys
from pathlib import Path

from gatepost.net.blocking import BlockingWire
from gatepost.tls.contexts import ClientTLS, client_context
from gatepost.wire.dialogue import Dialogue
from gatepost.wire.sasl.mechanisms import choose
from gatepost.wire.sasl.outcome import Credentials, bindings_of
from gatepost.wire.sasl.secret import Secret
from gatepost.wire.smtp.client import converse_starttls
from gatepost.wire.smtp.envelope import Envelope, EnvelopeRecipient, Submission
from gatepost.wire.upgrade import Origin


def conversation(origin: Origin, login: Credentials, envelope: Envelope, content: bytes) -> Dialogue[Submission]:
    """Upgrade, log in, submit, leave."""
    client = yield from converse_starttls(origin, hostname="client.example")  # a SecureClient, or an exception
    offered, bindings = client.capabilities.auth, bindings_of(client.evidence)
    yield from client.authenticate(choose(offered, login, bindings, nonce=secrets.token_urlsafe(24)))
    submission = yield from client.submit(envelope, [content])
    yield from client.quit()
    return submission


def submit(
    host: str, port: int, login: Credentials, envelope: Envelope, content: bytes, ca_file: Path | None = None
) -> Submission:
    """Submit ``content`` (CRLF lines) and return what became of it, recipient by recipient."""
    tls = ClientTLS(client_context(ca_file), host, level="verify")
    with BlockingWire(host, port, tls=tls) as wire:
        return wire.run(conversation(wire.origin, login, envelope, content))


def main() -> int:
    """Send standard input to the user who sends it."""
    host, port, user, password, ca_file = sys.argv[1:]
    content = b"\r\n".join(sys.stdin.buffer.read().splitlines()) + b"\r\n"
    login, envelope = Credentials(user, Secret(password.encode())), Envelope(user, (EnvelopeRecipient(user),))
    submission = submit(host, int(port), login, envelope, content, Path(ca_file))
    print(submission.final)
    return 0 if submission.delivered else 1


if __name__ == "__main__":
    sys.exit(main())
