"""What holds for every reply, every content and every cut."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from gatepost.errors import GatepostError, LocalProtocolError, RemoteProtocolError
from gatepost.testing.memory import ORIGIN, MemoryDriver, ScriptedPeer
from gatepost.wire.smtp.client import PlainClient
from gatepost.wire.smtp.client_states import PLAIN_TABLE, SECURE_TABLE, Phase, Trigger
from gatepost.wire.smtp.envelope import Envelope, EnvelopeRecipient
from gatepost.wire.smtp.exchange import command
from gatepost.wire.smtp.replies import ReplyReader
from gatepost.wire.smtp.reply import Reply
from gatepost.wire.smtp.stuffing import stuffed

ODD = st.lists(
    st.sampled_from(
        [
            b"250",
            b"354",
            b"421",
            b"550",
            b"-",
            b" ",
            b"\r\n",
            b"\r",
            b"\n",
            b"ok",
            b"5.1.1 ",
            b"\x00",
            b"\xff",
            b"x" * 600,
        ]
    )
).map(b"".join)
BITS = st.lists(st.sampled_from([b".", b"\r\n", b"\r", b"\n", b"a", b"..", b"\r\n.\r\n", b"\x00"]), max_size=30)


def outcome(data: bytes, cuts: list[int]) -> list[Reply | str]:
    """Every reply of ``data`` cut at these places, and the error that ends them."""
    reader = ReplyReader()
    found: list[Reply | str] = []
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    try:
        for start, end in itertools.pairwise(edges):
            reader.receive(data[start:end])
            while (reply := reader.next_reply()) is not None:
                found.append(reply)
    except RemoteProtocolError as error:
        found.append(type(error).__name__)
    return found


@given(ODD, st.lists(st.integers(0, 5000)))
def test_replies_do_not_depend_on_how_they_are_cut(data: bytes, cuts: list[int]) -> None:
    """The same replies and the same end, whatever the segments."""
    assert outcome(data, cuts) == outcome(data, [])


@given(st.binary(max_size=300))
def test_only_protocol_errors_escape_the_reader(data: bytes) -> None:
    """Whatever octets come, a reply that is read is printable and has a code."""
    for found in outcome(data, []):
        if isinstance(found, Reply):
            assert 200 <= found.code <= 599
            assert all(line.isprintable() for line in found.lines)


def unstuffed(wire: bytes) -> bytes:
    """What a receiver makes of content before the final dot (RFC 5321 §4.5.2), line by line."""
    return b"".join(
        line[1:] if line.startswith(b".") else line for line in wire.split(b"\r\n") for line in [line + b"\r\n"]
    )[:-2]


@given(BITS, st.lists(st.integers(0, 80)))
def test_content_arrives_as_it_was_or_not_at_all(bits: list[bytes], cuts: list[int]) -> None:
    """A receiver gets exactly the content, never the end of the message within it; a lone CR or LF is refused."""
    content = b"".join(bits)
    edges = [0, *sorted(cut % (len(content) + 1) for cut in cuts), len(content)]
    chunks = [content[start:end] for start, end in itertools.pairwise(edges)]
    lone = content.replace(b"\r\n", b"")
    try:
        wire = b"".join(stuffed(chunks))
    except LocalProtocolError:
        assert b"\r" in lone or b"\n" in lone
        return
    assert b"\r" not in lone and b"\n" not in lone
    assert wire == b"" or wire.endswith(b"\r\n")
    assert b"\r\n.\r\n" not in b"\r\n" + wire
    complete = content if not content or content.endswith(b"\r\n") else content + b"\r\n"
    assert unstuffed(wire) == complete


@given(st.text(max_size=40))
def test_a_command_line_is_one_line(text: str) -> None:
    """Whatever is written, there is one CRLF, at the end, and no other control."""
    try:
        line = command(text)
    except LocalProtocolError:
        return
    assert line.endswith(b"\r\n")
    assert not any(octet < 32 or octet == 127 for octet in line[:-2])
    assert len(line.decode().splitlines()) <= 1


@given(st.text(max_size=40))
def test_an_address_is_an_address_or_refused(text: str) -> None:
    """Nothing that stands between angle brackets can close them or end the line."""
    try:
        path = EnvelopeRecipient(text).path
    except LocalProtocolError:
        return
    assert command(f"RCPT TO:<{path}>")
    if not path.startswith('"'):
        assert not set(path) & set("<> \t")


REPLIES = st.lists(
    st.sampled_from([b"250 ok\r\n", b"354 go\r\n", b"550 no\r\n", b"451 no\r\n", b"421 bye\r\n", b"250-x\r\n"]),
    max_size=8,
)


@given(REPLIES, st.sampled_from([None, 1, 3, 8]), st.booleans())
def test_no_success_without_go_ahead_and_final_reply(
    replies: list[bytes], chunks: int | None, pipelining: bool
) -> None:
    """Whatever a server says, a recipient is delivered to only after 354, our final dot, and a complete 2xx."""
    client = PlainClient(ORIGIN, hostname="c.example")
    listed = b"250-mx\r\n250 PIPELINING\r\n" if pipelining else b"250 mx\r\n"
    driver = MemoryDriver(ScriptedPeer((b"", b"220 mx\r\n"), (b"EHLO c.example\r\n", listed)), chunks=chunks)
    driver.run(client.greeting())
    driver.run(client.hello())
    envelope = Envelope("a@example.org", (EnvelopeRecipient("b@example.com"), EnvelopeRecipient("c@example.com")))
    said = list(replies)

    class Server:
        closed = False
        out = b""

        def receive(self, data: bytes) -> None:
            lines = data.count(b"\r\n") if b"secret" not in data else 1
            self.out = b"".join(said[:lines])
            del said[:lines]

        def outgoing(self) -> bytes:
            out, self.out = self.out, b""
            return out

    driver.peer = Server()
    try:
        found = driver.run(client.submit(envelope, [b"secret\r\n"]))
    except GatepostError:
        assert all(reply is None or reply.code >= 400 for reply in client.decided)
        return
    sent = b"".join(driver.sent)
    assert len(found.replies) == 2
    if any(reply.code < 300 for reply in found.replies):
        assert sent.endswith(b"secret\r\n.\r\n")
        assert b"354 go\r\n" in replies
        assert found.final is not None and found.final.code == 250


@given(st.lists(st.sampled_from(list(Trigger)), max_size=8))
def test_every_path_through_the_tables_is_legal(triggers: list[Trigger]) -> None:
    """No trigger leads out of an end, none leads back before the greeting, and only the clear has an upgrade."""
    for table in (PLAIN_TABLE, SECURE_TABLE):
        phase = table.initial
        for trigger in triggers:
            after = table.next(phase, trigger)
            if after is None:
                continue
            assert not table.terminal(phase)
            assert after is not Phase.NEW
            phase = after
    assert not any(trigger is Trigger.AUTH for _, trigger, _ in PLAIN_TABLE.transitions())
    assert not any(trigger is Trigger.STARTTLS for _, trigger, _ in SECURE_TABLE.transitions())
