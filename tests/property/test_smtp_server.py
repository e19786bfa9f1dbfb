"""The server engines against anything at all: what they never do, whatever comes and however it is cut."""

from __future__ import annotations

import itertools
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from gatepost.errors import LocalProtocolError
from gatepost.wire.smtp import reply
from gatepost.wire.smtp.events import (
    AuthRequested,
    AuthResponse,
    Content,
    ContentAborted,
    ContentBegins,
    ContentEnds,
    Ended,
    Event,
    Mail,
    Recipient,
    StartTLSRequested,
)
from gatepost.wire.smtp.profile import ServerProfile
from gatepost.wire.smtp.reply import Reply
from gatepost.wire.smtp.server import PlainServer, SecureServer
from gatepost.wire.smtp.states import State, Trigger
from gatepost.wire.upgrade import Origin, PlaintextAfterUpgrade, TLSEvidence, Verification, _mint_evidence

ORIGIN = Origin(("192.0.2.1", 1), ("192.0.2.2", 25), "mx", 0.0, "c1")
EVIDENCE: TLSEvidence = _mint_evidence(
    version="TLSv1.3", cipher="c", bits=256, group=None, server_name=None, alpn=None, peer_chain=(),
    verification=Verification("none"), resumed=False, tls_exporter=b"e", tls_server_end_point=None,
)  # fmt: skip
REPLY = re.compile(rb"(?:[2345][0-9]{2}-[ -~]*\r\n)*[2345][0-9]{2} [ -~]*\r\n")
NO = Reply(451, "4.3.0", "No")
LINES = st.sampled_from(
    [
        b"EHLO a", b"HELO a", b"LHLO a", b"MAIL FROM:<a@b>", b"MAIL FROM:<> SIZE=5 BODY=8BITMIME", b"RCPT TO:<c@d>",
        b"RCPT TO:<postmaster> NOTIFY=NEVER", b"DATA", b"RSET", b"NOOP", b"VRFY x", b"EXPN x", b"HELP", b"QUIT",
        b"STARTTLS", b"STARTTLS x", b"AUTH PLAIN AGE=", b"AUTH LOGIN", b"YQ==", b"*", b"BDAT 0", b"BDAT 4",
        b"BDAT 3 LAST", b"BDAT 0 LAST", b"BDAT x", b".", b"..", b"text", b"", b"GET / HTTP/1.1", b"x" * 700,
        b"\xff", b"\x00",
    ]
)  # fmt: skip
ENDS = st.sampled_from([b"\r\n"] * 12 + [b"\n", b"\r", b""])
WIRE = st.lists(st.tuples(LINES, ENDS).map(b"".join), max_size=25).map(b"".join)
PROFILES = st.builds(
    lambda dialect, starttls, require, login, normalise: ServerProfile(
        hostname="mx.example.org",
        dialect="LMTP" if dialect else "SMTP",
        starttls=starttls or require,
        require_tls=require,
        require_auth=login,
        auth_mechanisms=("PLAIN", "LOGIN"),
        normalise=normalise,
        line_limit=600,
        max_errors=6,
        max_recipients=3,
        max_size=200,
    ),
    *[st.booleans()] * 5,
)


def build(profile: ServerProfile, *, inside: bool) -> PlainServer | SecureServer:
    """An engine that has greeted."""
    engine = SecureServer(ORIGIN, EVIDENCE, profile) if inside else PlainServer(ORIGIN, profile)
    engine.greet()
    return engine


class Watch:
    """Drives an engine with answers drawn from a seed, and checks each event against what may be at that moment."""

    def __init__(self, engine: PlainServer | SecureServer, votes: list[bool]) -> None:
        self.engine = engine
        self.votes = votes
        self.events: list[Event] = []
        self.said = b""
        self.asked = 0
        self.inside_content = False

    def receive(self, data: bytes) -> None:
        """Take a segment, unless the conversation has left this engine."""
        if self.engine.state is State.UPGRADED:
            return
        self.engine.receive(data)
        self.run()

    def run(self) -> None:
        while (event := self.engine.next_event()) is not None:
            self.check(event)
            self.events.append(event)
            if self.engine.waiting:
                self.answer(event)
        self.said += self.engine.outgoing()

    def check(self, event: Event) -> None:
        """Content stands between its beginning and its end, and nothing stands behind the end."""
        assert not any(isinstance(earlier, Ended) for earlier in self.events)
        if isinstance(event, Content):
            assert self.inside_content
            assert event.data
        elif isinstance(event, (ContentEnds, ContentAborted)):
            assert self.inside_content
            self.inside_content = False
        elif isinstance(event, (Mail, Recipient)):
            assert not self.inside_content
        if isinstance(event, Recipient):
            assert self.engine.recipients < self.engine.profile.max_recipients

    def answer(self, event: Event) -> None:
        vote = self.votes[self.asked % len(self.votes)] if self.votes else True
        self.asked += 1
        engine = self.engine
        if isinstance(event, StartTLSRequested):
            assert isinstance(engine, PlainServer)
            self.upgrade(engine) if vote else engine.answer(reply.TLS_UNAVAILABLE)
        elif isinstance(event, (AuthRequested, AuthResponse)):
            assert isinstance(engine, SecureServer)
            assert engine.identity is None
            if isinstance(event, AuthRequested) and event.initial is None:
                engine.challenge(b"?")
            elif vote:
                engine.authenticated("alice")
            else:
                engine.answer(reply.AUTH_FAILED)
        elif not vote:
            engine.answer(NO)
        else:
            self.inside_content |= isinstance(event, ContentBegins)
            engine.answer(reply.DATA_GO_AHEAD if isinstance(event, ContentBegins) else reply.OK)

    def upgrade(self, engine: PlainServer) -> None:
        try:
            engine.grant_upgrade()
        except PlaintextAfterUpgrade as refused:
            assert refused.residue
            assert engine.state is State.ENDED


@settings(max_examples=400, deadline=None)
@given(PROFILES, st.booleans(), WIRE, st.lists(st.booleans(), max_size=8))
def test_engine_stays_within_its_rules_whatever_comes(
    profile: ServerProfile, inside: bool, wire: bytes, votes: list[bool]
) -> None:
    """Nothing escapes, every reply is well-formed, every change of state is an edge, memory is bounded."""
    watch = Watch(build(profile, inside=inside), votes)
    table = (profile.secure_rules if inside else profile.plain_rules).table
    reachable = {state: set(row.values()) | {state} for state, row in table.edges.items()}
    before = watch.engine.state
    for start in range(len(wire)):
        watch.receive(wire[start : start + 1])
        after = watch.engine.state
        # One octet completes at most one line, and one line follows at most two edges (AUTH and its end).
        assert after in {two for one in reachable[before] for two in reachable[one]}
        assert watch.engine.backlog <= 12288 + 1
        before = after
    if watch.engine.state is not State.UPGRADED:
        watch.engine.receive_eof()
        watch.run()
        assert isinstance(watch.events[-1], Ended)
        assert not watch.inside_content
    assert re.fullmatch(rb"(?:" + REPLY.pattern + rb")*", watch.said)


@settings(max_examples=300, deadline=None)
@given(PROFILES, st.booleans(), WIRE, st.lists(st.booleans(), max_size=8), st.lists(st.integers(0, 400), max_size=10))
def test_engine_says_the_same_for_every_cut(
    profile: ServerProfile, inside: bool, wire: bytes, votes: list[bool], at: list[int]
) -> None:
    """Events and replies do not depend on segments (STARTTLS aside: there the segment is the point)."""
    wire = wire.replace(b"STARTTLS", b"STARTTLX")

    def run(pieces: list[bytes]) -> tuple[list[Event], bytes, bytes]:
        watch = Watch(build(profile, inside=inside), votes)
        for piece in pieces:
            watch.receive(piece)
        others: list[Event] = [event for event in watch.events if not isinstance(event, Content)]
        content = b"".join(event.data for event in watch.events if isinstance(event, Content))
        refused = any(isinstance(event, ContentEnds) and event.refusal for event in others)
        return others, watch.said, b"" if refused else content

    edges = [0, *sorted(min(position, len(wire)) for position in at), len(wire)]
    assert run([wire[a:b] for a, b in itertools.pairwise(edges)]) == run([wire])


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), st.sampled_from([0, 1, 7]))
def test_no_residue_is_ever_parsed(residue: bytes, step: int) -> None:
    """Whatever stands behind STARTTLS is a ClientHello for TLS or a refusal; no event comes of it."""
    engine = PlainServer(ORIGIN, ServerProfile(hostname="mx.example.org"))
    engine.greet()
    engine.receive(b"EHLO a\r\nSTARTTLS\r\n" + residue[:step])
    engine.next_event()
    assert engine.next_event() == StartTLSRequested()
    engine.receive(residue[step:])
    assert engine.next_event() is None
    engine.outgoing()
    try:
        _, early = engine.grant_upgrade()
    except PlaintextAfterUpgrade as refused:
        assert refused.residue == residue
        assert engine.outgoing() == reply.PLAINTEXT_BEHIND_UPGRADE.octets
        assert engine.next_event() == Ended("plaintext behind STARTTLS")
    else:
        assert (early.open() if early is not None else b"") == residue
        assert engine.outgoing() == reply.TLS_GO_AHEAD.octets
    assert engine.next_event() is None
    assert engine.backlog == 0


@given(st.binary(max_size=300), st.booleans())
def test_engine_survives_noise(noise: bytes, inside: bool) -> None:
    """Octets that nobody meant for a mail server raise nothing but what our own misuse raises."""
    watch = Watch(build(ServerProfile(hostname="mx.example.org", auth_mechanisms=("PLAIN",)), inside=inside), [])
    try:
        watch.receive(noise)
    except LocalProtocolError as error:  # pragma: no cover
        raise AssertionError("noise is never our own misuse") from error
    assert Trigger.CLOSE in watch.engine._row or watch.engine.state in (State.ENDED, State.UPGRADED)
