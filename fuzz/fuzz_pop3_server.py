"""Invariant: whatever comes, no exception escapes, answers are well-formed, memory is bounded, and an end is an end."""

from __future__ import annotations

import re

from gatepost.wire.pop3 import reply
from gatepost.wire.pop3.events import (
    AuthRequested,
    AuthResponse,
    Ended,
    Event,
    ListAsked,
    LoginRequested,
    Retrieve,
    StartTLSRequested,
    Top,
    UidlAsked,
)
from gatepost.wire.pop3.profile import ServerProfile
from gatepost.wire.pop3.server import PlainServer, SecureServer
from gatepost.wire.pop3.states import State
from gatepost.wire.upgrade import Origin, PlaintextAfterUpgrade, Verification, _mint_evidence

ORIGIN = Origin(("192.0.2.1", 1), ("192.0.2.2", 110), "pop3", 0.0, "c1")
EVIDENCE = _mint_evidence(
    version="TLSv1.3", cipher="c", bits=256, group=None, server_name=None, alpn=None, peer_chain=(),
    verification=Verification("none"), resumed=False, tls_exporter=b"e", tls_server_end_point=None,
)  # fmt: skip
PROFILE = ServerProfile(hostname="mx.example.org", auth_mechanisms=("PLAIN", "LOGIN"), max_errors=50)
ANSWERS = re.compile(rb"(?:(?:\+OK|-ERR|\+)(?: [ -~]*)?\r\n|[ -~]*\r\n)*")


def answer(engine: PlainServer | SecureServer, event: Event) -> None:
    """Say yes."""
    if isinstance(engine, PlainServer):
        assert isinstance(event, StartTLSRequested)
        try:
            engine.grant_upgrade()
        except PlaintextAfterUpgrade:
            assert engine.state is State.ENDED
    elif isinstance(event, AuthRequested) and event.initial is None:
        engine.challenge(b"?")
    elif isinstance(event, LoginRequested | AuthRequested | AuthResponse):
        assert engine.identity is None
        engine.authenticated("alice")
    else:
        assert engine.identity == "alice"
        if isinstance(event, Retrieve | Top) or event in (ListAsked(None), UidlAsked(None)):
            engine.begin_multiline()
            engine.multiline(b".\n")
            engine.end_multiline()
        else:
            engine.answer(reply.OK)


def target(data: bytes) -> None:
    """Both engines, and one where somebody is logged in, in pieces of the size that the first octet names."""
    step = (data[0] % 40 if data else 0) + 1
    for engine, words in (
        (PlainServer(ORIGIN, PROFILE), b""),
        (SecureServer(ORIGIN, EVIDENCE, PROFILE), b""),
        (SecureServer(ORIGIN, EVIDENCE, PROFILE), b"USER alice\r\nPASS secret\r\n"),
    ):
        engine.greet()
        ended = False
        pieces = [words, *(data[start : start + step] for start in range(0, len(data), step))]
        for piece in pieces:
            if engine.state is State.UPGRADED:
                break
            engine.receive(piece)
            while (event := engine.next_event()) is not None:
                assert not ended
                ended = isinstance(event, Ended)
                if engine.waiting:
                    answer(engine, event)
            assert engine.backlog <= 12288 + step
        assert ANSWERS.fullmatch(engine.outgoing())
