"""What holds for every POP3 conversation, every content and every cut."""

from __future__ import annotations

import itertools
import re

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.wire.pop3.maildrop_talk import ORIGIN, evidence

from gatepost.errors import DeadlineExceeded, LocalProtocolError, RemoteProtocolError
from gatepost.testing.maildrops import MaildropPeer
from gatepost.testing.memory import MemoryDriver
from gatepost.wire.framing import LineFramer
from gatepost.wire.pop3 import reply
from gatepost.wire.pop3.client import PlainClient, SecureClient
from gatepost.wire.pop3.client_states import PLAIN_TABLE, SECURE_TABLE, Phase, Trigger
from gatepost.wire.pop3.content import ContentReader
from gatepost.wire.pop3.events import (
    AuthRequested,
    AuthResponse,
    Ended,
    Event,
    ListAsked,
    LoginRequested,
    Quit,
    Retrieve,
    StartTLSRequested,
    Top,
    UidlAsked,
)
from gatepost.wire.pop3.multiline import MultilineWriter, top_filter, wire_octets
from gatepost.wire.pop3.profile import ServerProfile
from gatepost.wire.pop3.reply import Reply
from gatepost.wire.pop3.server import PlainServer, SecureServer
from gatepost.wire.pop3.states import State
from gatepost.wire.upgrade import PlaintextAfterUpgrade

LINES = st.sampled_from(
    [
        b"CAPA", b"STLS", b"STLS x", b"USER a", b"USER", b"PASS b", b"PASS", b"AUTH", b"AUTH PLAIN", b"AUTH PLAIN =",
        b"AUTH PLAIN AGEAYg==", b"AUTH X", b"AGEAYg==", b"*", b"UTF8", b"APOP a b", b"STAT", b"LIST", b"LIST 1",
        b"UIDL", b"UIDL 2", b"RETR 1", b"RETR -1", b"RETR 99999999999", b"TOP 1 0", b"TOP 1", b"DELE 1", b"RSET",
        b"NOOP", b"QUIT", b"quit", b"GET / HTTP/1.1", b"", b".", b"x" * 300, b"\xff", b"\0", b"LIST" + b" 1" * 200,
    ]
)  # fmt: skip
ENDS = st.sampled_from([b"\r\n"] * 12 + [b"\n", b"\r", b""])
WIRE = st.lists(st.tuples(LINES, ENDS).map(b"".join), max_size=25).map(b"".join)
CUTS = st.lists(st.integers(0, 500), max_size=10)
VOTES = st.lists(st.booleans(), max_size=8)
PROFILES = st.builds(
    lambda starttls, user, auth, utf8: ServerProfile(
        hostname="mx.example.org",
        starttls=starttls,
        user_pass=user,
        auth_mechanisms=("PLAIN", "LOGIN") if auth else (),
        utf8=utf8,
        line_limit=253,
        max_errors=6,
    ),
    *[st.booleans()] * 4,
)
CONTENT = st.lists(
    st.sampled_from([b".", b"\r\n", b"\r", b"\n", b"a", b"..", b"\r\n.\r\n", b"\n.\n", b"\0", b"\xff"]), max_size=30
).map(b"".join)
ANSWERS = re.compile(rb"(?:(?:\+OK|-ERR|\+)(?: [ -~]*)?\r\n|[ -~]*\r\n)*")


def cut(data: bytes, at: list[int]) -> list[bytes]:
    edges = [0, *sorted(position % (len(data) + 1) for position in at), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


class Watch:
    """Drives an engine with answers drawn from a seed, and checks each event against what may be at that moment."""

    def __init__(self, engine: PlainServer | SecureServer, votes: list[bool]) -> None:
        self.engine = engine
        self.votes = votes
        self.events: list[Event] = []
        self.said = b""
        self.asked = 0

    def receive(self, data: bytes) -> None:
        if self.engine.state is not State.UPGRADED:
            self.engine.receive(data)
            self.run()

    def run(self) -> None:
        while (event := self.engine.next_event()) is not None:
            assert not any(isinstance(earlier, Ended) for earlier in self.events)
            self.events.append(event)
            if self.engine.waiting:
                self.answer(event)
        self.said += self.engine.outgoing()

    def answer(self, event: Event) -> None:
        vote = self.votes[self.asked % len(self.votes)] if self.votes else True
        self.asked += 1
        engine = self.engine
        if isinstance(event, StartTLSRequested):
            assert isinstance(engine, PlainServer)
            if not vote:
                engine.answer(reply.TLS_UNAVAILABLE)
                return
            try:
                engine.grant_upgrade()
            except PlaintextAfterUpgrade:
                assert engine.state is State.ENDED
            return
        assert isinstance(engine, SecureServer)
        if isinstance(event, (LoginRequested, AuthRequested, AuthResponse)):
            assert engine.identity is None
            if isinstance(event, AuthRequested) and event.initial is None:
                engine.challenge(b"?")
            elif vote:
                engine.authenticated("alice")
            else:
                engine.answer(reply.AUTH_FAILED)
            return
        assert engine.identity == "alice"
        if vote and (isinstance(event, (Retrieve, Top)) or event in (ListAsked(None), UidlAsked(None))):
            engine.begin_multiline("x")
            engine.multiline(b".\nx")
            engine.end_multiline()
        else:
            engine.answer(reply.OK if vote else reply.NO_SUCH_MESSAGE)


def build(profile: ServerProfile, *, inside: bool) -> PlainServer | SecureServer:
    engine = SecureServer(ORIGIN, evidence(), profile) if inside else PlainServer(ORIGIN, profile)
    engine.greet()
    return engine


@settings(max_examples=300, deadline=None)
@given(PROFILES, st.booleans(), WIRE, VOTES)
def test_engine_stays_within_its_rules_whatever_comes(
    profile: ServerProfile, inside: bool, wire: bytes, votes: list[bool]
) -> None:
    """Nothing escapes, answers are well-formed, every change of state is an edge, memory is bounded."""
    watch = Watch(build(profile, inside=inside), votes)
    table = (profile.secure_rules if inside else profile.plain_rules).table
    reachable = {state: set(row.values()) | {state} for state, row in table.edges.items()}
    before = watch.engine.state
    for start in range(len(wire)):
        watch.receive(wire[start : start + 1])
        after = watch.engine.state
        # One octet completes at most one line, and one line follows at most two edges (a login and its end).
        assert after in {two for one in reachable[before] for two in reachable[one]}
        assert watch.engine.backlog <= 12288 + 1
        before = after
    if watch.engine.state is not State.UPGRADED:
        watch.engine.receive_eof()
        watch.run()
        assert isinstance(watch.events[-1], Ended)
    assert ANSWERS.fullmatch(watch.said)


@settings(max_examples=300, deadline=None)
@given(PROFILES, st.booleans(), WIRE, VOTES, CUTS)
def test_engine_says_the_same_for_every_cut(
    profile: ServerProfile, inside: bool, wire: bytes, votes: list[bool], at: list[int]
) -> None:
    """Events and answers do not depend on segments (STLS aside: there the segment is the point)."""
    wire = wire.replace(b"STLS", b"STLX")

    def run(segments: list[bytes]) -> tuple[list[Event], bytes]:
        watch = Watch(build(profile, inside=inside), votes)
        for segment in segments:
            watch.receive(segment)
        return watch.events, watch.said

    assert run(cut(wire, at)) == run([wire])


@settings(max_examples=200, deadline=None)
@given(WIRE, VOTES, st.booleans())
def test_nothing_is_deleted_without_quit(wire: bytes, votes: list[bool], starttls: bool) -> None:
    """The event that deletes comes of a QUIT that was said after a login, once, and it is the last but the end."""
    profile = ServerProfile(hostname="mx.example.org", starttls=starttls, max_errors=50)
    watch = Watch(build(profile, inside=True), votes)
    watch.receive(b"USER a\r\nPASS b\r\n" + wire)
    watch.engine.receive_eof()
    watch.run()
    updates = [number for number, event in enumerate(watch.events) if event == Quit(True)]
    assert len(updates) <= 1
    if updates:
        assert b"quit" in wire.lower()
        assert updates[0] == len(watch.events) - 2
        assert isinstance(watch.engine, SecureServer) and watch.engine.identity == "alice"


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.sampled_from([0, 1, 7]))
def test_no_residue_is_ever_parsed(residue: bytes, step: int) -> None:
    """Whatever stands behind STLS is a ClientHello for TLS or a refusal; no event comes of it."""
    engine = PlainServer(ORIGIN, ServerProfile(hostname="mx.example.org"))
    engine.greet()
    engine.receive(b"STLS\r\n" + residue[:step])
    assert engine.next_event() == StartTLSRequested()
    engine.receive(residue[step:])
    assert engine.next_event() is None
    engine.outgoing()
    try:
        _, early = engine.grant_upgrade()
    except PlaintextAfterUpgrade as refused:
        assert refused.residue == residue
        assert engine.outgoing() == reply.PLAINTEXT_BEHIND_UPGRADE.octets
        assert engine.next_event() == Ended("plaintext behind STLS")
    else:
        assert (early.open() if early is not None else b"") == residue
        assert engine.outgoing() == reply.TLS_GO_AHEAD.octets
    assert engine.next_event() is None
    assert engine.backlog == 0


@settings(deadline=None)
@given(CONTENT, CUTS, CUTS)
def test_content_travels_unchanged_but_for_its_line_ends(content: bytes, cuts: list[int], segments: list[int]) -> None:
    """Written in any pieces and read in any segments: LF becomes CRLF, the last line is ended, nothing else changes."""
    writer = MultilineWriter()
    wire = b"".join(map(writer.write, cut(content, cuts))) + writer.finish()
    expected = content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    expected += b"" if not content or content.endswith(b"\n") else b"\r\n"
    assert writer.octets == len(expected) == wire_octets(cut(content, segments))
    framer, reader, found = LineFramer(100), ContentReader(), b""
    for segment in cut(wire + b"+OK next", segments):
        framer.receive(segment)
        while not reader.ended and (piece := reader.read(framer)):
            found += piece
    assert reader.ended
    assert found == expected
    assert framer.take() == b"+OK next"


@settings(deadline=None)
@given(CONTENT, CONTENT, st.integers(0, 5), CUTS)
def test_top_is_a_beginning_and_does_not_depend_on_cuts(head: bytes, body: bytes, lines: int, at: list[int]) -> None:
    """It is a prefix, holds the header, and at most so many lines behind the blank one."""
    message = head + b"\n\n" + body
    found = b"".join(top_filter(cut(message, at), lines))
    assert found == b"".join(top_filter([message], lines))
    assert message.startswith(found)
    ends = [found_.end() for found_ in re.finditer(rb"(?<=\n)\r?\n|\A\r?\n", message)]
    assert found.count(b"\n") <= message[: ends[0]].count(b"\n") + lines
    assert len(found) >= ends[0]


@settings(deadline=None)
@given(st.text(max_size=40), st.text(max_size=40))
def test_a_login_is_two_lines_whatever_it_holds(user: str, password: str) -> None:
    """USER and PASS with what was given, each with one CRLF at its end, or nothing at all."""
    engine = SecureServer(ORIGIN, evidence(), ServerProfile(hostname="mx.example.org"))
    driver = MemoryDriver(MaildropPeer(engine))
    client = SecureClient(ORIGIN, evidence())
    try:
        driver.run(client.login(user, password))
    except LocalProtocolError:
        assert driver.sent == []
        return
    except RemoteProtocolError:
        pass
    peer = driver.peer
    assert isinstance(peer, MaildropPeer)
    assert [len(sent.splitlines()) for sent in driver.sent[:1]] == [1]
    assert [(event.user, event.password.reveal()) for event in peer.events if isinstance(event, LoginRequested)] == [
        (user, password.encode())
    ]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from([b"+OK\r\n", b"-ERR\r\n", b"+ \r\n", b".\r\n", b"1 1\r\n", b"x", b"\xff\r\n", b"\n"])),
    CUTS,
)
def test_only_protocol_errors_escape_the_client(said: list[bytes], at: list[int]) -> None:
    """Whatever a server says to whatever it is asked, the client ends with a value or with an error of ours."""
    data = b"".join(said)

    class Server:
        closed = True

        def __init__(self) -> None:
            self.left = cut(data, at)

        def receive(self, data: bytes) -> None:
            """Not heard."""

        def outgoing(self) -> bytes:
            return self.left.pop(0) if self.left else b""

    for name in ("greeting", "capabilities", "list", "uidl", "stat", "quit", "noop", "login", "retrieve"):
        client = SecureClient(ORIGIN, evidence())
        if name in ("list", "uidl", "stat", "noop", "retrieve"):
            client._phase = Phase.LOGGED_IN
        arguments = {"login": ("a", "b"), "retrieve": (1, lambda piece: None)}.get(name, ())
        try:
            MemoryDriver(Server()).run(getattr(client, name)(*arguments))
        except (RemoteProtocolError, DeadlineExceeded, LocalProtocolError) as error:
            assert not isinstance(error, LocalProtocolError) or name == "quit"


@settings(deadline=None)
@given(st.lists(st.sampled_from(list(Trigger)), max_size=8))
def test_every_path_through_the_tables_is_legal(triggers: list[Trigger]) -> None:
    """No trigger leads out of an end, and none leads to a mailbox without a login or in the clear."""
    for table in (PLAIN_TABLE, SECURE_TABLE):
        phase, logged_in = table.initial, False
        for trigger in triggers:
            after = table.next(phase, trigger)
            if after is None:
                continue
            assert not table.terminal(phase)
            logged_in |= trigger in (Trigger.LOGIN, Trigger.AUTH)
            assert (after is Phase.LOGGED_IN) <= logged_in
            phase = after
        assert table is SECURE_TABLE or phase is not Phase.LOGGED_IN


@settings(deadline=None)
@given(st.binary(max_size=300), st.booleans())
def test_engine_survives_noise(noise: bytes, inside: bool) -> None:
    """Octets that nobody meant for a mail server raise nothing."""
    watch = Watch(build(ServerProfile(hostname="mx.example.org", auth_mechanisms=("PLAIN",)), inside=inside), [])
    watch.receive(noise)
    assert isinstance(PlainClient(ORIGIN).usable, bool)
    assert watch.said.startswith(Reply(True, "mx.example.org POP3 gatepost").octets)
