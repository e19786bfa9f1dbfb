"""Invariant: whatever comes, no exception escapes, replies are well-formed, memory is bounded, and an end is an end."""

from __future__ import annotations

import re

from gatepost.wire.smtp import reply
from gatepost.wire.smtp.events import AuthRequested, AuthResponse, ContentBegins, Ended, Event, StartTLSRequested
from gatepost.wire.smtp.profile import ServerProfile
from gatepost.wire.smtp.server import PlainServer, SecureServer
from gatepost.wire.smtp.states import State
from gatepost.wire.upgrade import Origin, PlaintextAfterUpgrade, Verification, _mint_evidence

ORIGIN = Origin(("192.0.2.1", 1), ("192.0.2.2", 25), "mx", 0.0, "c1")
EVIDENCE = _mint_evidence(
    version="TLSv1.3", cipher="c", bits=256, group=None, server_name=None, alpn=None, peer_chain=(),
    verification=Verification("none"), resumed=False, tls_exporter=b"e", tls_server_end_point=None,
)  # fmt: skip
SMTP = ServerProfile(hostname="mx.example.org", auth_mechanisms=("PLAIN", "LOGIN"), max_size=1000, max_errors=50)
LMTP = ServerProfile(hostname="mx.example.org", dialect="LMTP", normalise=True, max_size=1000, max_errors=50)
REPLIES = re.compile(rb"(?:[2345][0-9]{2}[ -][ -~]*\r\n)*")


def answer(engine: PlainServer | SecureServer, event: Event) -> None:
    """Say yes."""
    if isinstance(event, StartTLSRequested) and isinstance(engine, PlainServer):
        try:
            engine.grant_upgrade()
        except PlaintextAfterUpgrade:
            assert engine.state is State.ENDED
    elif isinstance(event, (AuthRequested, AuthResponse)) and isinstance(engine, SecureServer):
        engine.challenge(b"?") if len(event.__slots__) > 1 else engine.authenticated("alice")
    else:
        engine.answer(reply.DATA_GO_AHEAD if isinstance(event, ContentBegins) else reply.OK)


def target(data: bytes) -> None:
    """Both engines, both dialects, in pieces of the size that the first octet names."""
    step = (data[0] % 40 if data else 0) + 1
    for engine in (PlainServer(ORIGIN, SMTP), SecureServer(ORIGIN, EVIDENCE, SMTP), PlainServer(ORIGIN, LMTP)):
        engine.greet()
        ended = False
        for start in range(0, len(data), step):
            if engine.state is State.UPGRADED:
                break
            engine.receive(data[start : start + step])
            while (event := engine.next_event()) is not None:
                assert not ended
                ended = isinstance(event, Ended)
                if engine.waiting:
                    answer(engine, event)
            assert engine.backlog <= 12288 + step
        assert REPLIES.fullmatch(engine.outgoing())
