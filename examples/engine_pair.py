"""An upgrade without a network: a client's engines and a server's, back to back in memory.

    python examples/engine_pair.py

Watch what crosses. The plaintext engines leave a token that has no field for bytes, and are spent; the engines inside
TLS are made from ``Origin`` and ``TLSEvidence``, and from nothing else.
"""

from __future__ import annotations

import sys

from gatepost.errors import LocalProtocolError
from gatepost.testing.ca import TestAuthority
from gatepost.testing.handshakes import CLIENT_ORIGIN, SERVER_ORIGIN, carry, run_handshake
from gatepost.tls.contexts import ClientTLS, client_context, server_contexts
from gatepost.tls.engine import ClientHandshake, ServerHandshake
from gatepost.tls.trust import TrustStore
from gatepost.wire.smtp.events import StartTLSRequested
from gatepost.wire.smtp.profile import ServerProfile
from gatepost.wire.smtp.server import PlainServer, SecureServer
from gatepost.wire.upgrade import PlaintextAfterUpgrade, hand_over_client

NAME = "mx.example.test"
PROFILE = ServerProfile(hostname=NAME)


def asked(segment: bytes) -> PlainServer:
    """A server in the clear that has read ``segment`` and now waits for an answer to STARTTLS."""
    server = PlainServer(SERVER_ORIGIN, PROFILE)
    server.greet()
    server.receive(b"EHLO client.example\r\n" + segment)
    while not isinstance(server.next_event(), StartTLSRequested):
        pass
    return server


def main() -> int:
    """Upgrade once as it should be, and once with a command injected behind STARTTLS."""
    plain = asked(b"STARTTLS\r\n")
    token, early = plain.grant_upgrade()
    print(plain.outgoing().decode(), end="")  # 220, the answer to EHLO, the go-ahead
    print(f"the server's engine is {plain.state.name}; the token holds {sorted(token.__slots__)}")
    try:
        plain.receive(b"NOOP\r\n")
    except LocalProtocolError as error:
        print(f"... and takes no more bytes: {error}")

    authority = TestAuthority()
    settings = ClientTLS(client_context(trust=TrustStore([authority.certificate])), NAME, level="verify")
    theirs, ours = run_handshake(
        ServerHandshake(server_contexts([authority.issue(NAME).credential]), token, early=early),
        ClientHandshake(settings, hand_over_client(CLIENT_ORIGIN, b"")),
    )
    print(f"the handshake proved: {ours.evidence.version}, certificate {ours.evidence.verification.status}")

    secure = SecureServer(theirs.origin, theirs.evidence, PROFILE)
    ours.send(b"MAIL FROM:<alice@example.net>\r\n")
    secure.receive(carry(ours, theirs))
    secure.next_event()
    print(f"inside TLS the EHLO of before is unknown: {secure.outgoing().decode()}", end="")

    injected = asked(b"STARTTLS\r\nMAIL FROM:<attacker@example.net>\r\n")
    injected.outgoing()
    try:
        injected.grant_upgrade()
    except PlaintextAfterUpgrade as finding:
        print(f"injected: {finding}; evidence {finding.residue!r}")
        print(f"answered: {injected.outgoing().decode()}", end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
