"""Submitting messages: groups, mixed answers, parameters, content, LMTP (RFC 5321 §3.3, 2920, 2033)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

import pytest

from gatepost.errors import DeadlineExceeded, LocalProtocolError
from gatepost.testing.memory import CLOSE, ORIGIN, MemoryDriver, ScriptedPeer
from gatepost.wire.smtp.client import PlainClient
from gatepost.wire.smtp.envelope import Envelope, EnvelopeRecipient
from gatepost.wire.smtp.refusals import ConnectionLost, UnexpectedReply

MAIL = b"MAIL FROM:<a@example.org>\r\n"
ONE, TWO = b"RCPT TO:<b@example.com>\r\n", b"RCPT TO:<c@example.com>\r\n"
GROUP = MAIL + ONE + TWO + b"DATA\r\n"
TEXT = b"Subject: x\r\n\r\n.dot\r\n"
WIRE = b"Subject: x\r\n\r\n..dot\r\n.\r\n"
ENVELOPE = Envelope("a@example.org", (EnvelopeRecipient("b@example.com"), EnvelopeRecipient("c@example.com")))
AGAIN = b"RSET\r\n" + MAIL + ONE + b"DATA\r\n"
SINGLE = Envelope("a@example.org", (EnvelopeRecipient("b@example.com"),))


def ready(
    *script: tuple[bytes, bytes], listed: str = "PIPELINING", dialect: Literal["SMTP", "LMTP"] = "SMTP",
    chunks: int | None = None,
) -> tuple[PlainClient, MemoryDriver, ScriptedPeer]:  # fmt: skip
    """A client that has said hello to a server with these extensions."""
    client = PlainClient(ORIGIN, hostname="c.example", dialect=dialect)
    hello = b"LHLO c.example\r\n" if dialect == "LMTP" else b"EHLO c.example\r\n"
    answer = "".join(f"250-{word}\r\n" for word in ["mx", *listed.split(",")])[:-2]
    answer = answer[: answer.rindex("250-")] + "250 " + answer[answer.rindex("250-") + 4 :] + "\r\n"
    peer = ScriptedPeer((b"", b"220 mx\r\n"), (hello, answer.encode()), *script)
    driver = MemoryDriver(peer, chunks=chunks)
    driver.run(client.greeting())
    driver.run(client.hello())
    return client, driver, peer


@pytest.mark.parametrize("chunks", [None, 1, 5])
def test_a_pipelining_server_gets_one_group(chunks: int | None) -> None:
    """MAIL, RCPT and DATA are one write, the content another; nothing else is said."""
    client, driver, peer = ready(
        (GROUP, b"250 2.1.0 ok\r\n250 2.1.5 ok\r\n250 2.1.5 ok\r\n354 go\r\n"),
        (WIRE, b"250 2.0.0 queued\r\n"),
        chunks=chunks,
    )
    found = driver.run(client.submit(ENVELOPE, [TEXT]))
    assert driver.sent[1:] == [GROUP, WIRE]
    assert [reply.code for reply in found.replies] == [250, 250]
    assert found.stages == ("content", "content")
    assert found.final is not None and found.final.text == "queued"
    assert found.delivered and client.usable and peer.finished


def test_without_pipelining_each_command_waits_for_its_reply() -> None:
    """Nothing is sent ahead to a server that does not list it."""
    client, driver, peer = ready(
        (MAIL, b"250 ok\r\n"), (ONE, b"250 ok\r\n"), (TWO, b"550 no\r\n"), (b"DATA\r\n", b"354 go\r\n"),
        (WIRE, b"250 queued\r\n"), listed="SIZE",
    )  # fmt: skip
    found = driver.run(client.submit(ENVELOPE, [TEXT]))
    assert [reply.code for reply in found.replies] == [250, 550]
    assert found.stages == ("content", "RCPT")
    assert driver.sent[1:] == [MAIL, ONE, TWO, b"DATA\r\n", WIRE]
    assert peer.finished


def test_messages_follow_each_other_without_rset() -> None:
    """A finished transaction needs no cleaning up."""
    step = (MAIL + ONE + b"DATA\r\n", b"250 a\r\n250 b\r\n354 c\r\n")
    client, driver, peer = ready(
        step, (WIRE, b"250 one\r\n"), step, (WIRE, b"451 two\r\n"), step, (WIRE, b"250 three\r\n")
    )
    codes = [driver.run(client.submit(SINGLE, [TEXT])).replies[0].code for _ in range(3)]
    assert codes == [250, 451, 250]
    assert peer.finished


@pytest.mark.parametrize(
    ("replies", "codes", "stages"),
    [
        (b"250 m\r\n550 r\r\n250 r\r\n451 d\r\n", [550, 451], ("RCPT", "DATA")),
        (b"250 m\r\n550 r\r\n450 r\r\n503 d\r\n", [550, 450], ("RCPT", "RCPT")),
    ],
)
def test_a_refused_data_leaves_a_transaction_that_is_reset(
    replies: bytes, codes: list[int], stages: tuple[str, ...]
) -> None:
    """MAIL was taken, so the next group begins with RSET."""
    client, driver, peer = ready(
        (GROUP, replies),
        (b"RSET\r\n" + MAIL + ONE + b"DATA\r\n", b"250 z\r\n250 m\r\n250 r\r\n354 d\r\n"),
        (WIRE, b"250 ok\r\n"),
    )
    found = driver.run(client.submit(ENVELOPE, [TEXT]))
    assert [reply.code for reply in found.replies] == codes
    assert found.stages == stages
    assert found.final is None
    assert driver.run(client.submit(SINGLE, [TEXT])).delivered
    assert peer.finished


@pytest.mark.parametrize("replies", [b"250 m\r\n550 r\r\n450 r\r\n354 d\r\n", b"451 m\r\n503 r\r\n503 r\r\n354 d\r\n"])
def test_a_go_ahead_for_nobody_is_answered_by_a_lone_dot(replies: bytes) -> None:
    """RFC 2920 §3.1: no content goes to a server that took no recipient, whatever it says to the dot."""
    client, driver, peer = ready((GROUP, replies), (b".\r\n", b"250 thanks\r\n"), (b"NOOP\r\n", b"250 ok\r\n"))
    found = driver.run(client.submit(ENVELOPE, [TEXT]))
    assert not any(reply.code < 300 for reply in found.replies)
    assert found.final is None
    driver.run(client.noop())
    assert peer.finished


def test_a_refused_sender_decides_for_all() -> None:
    """What is said to the rest of the group means nothing then."""
    client, driver, peer = ready((GROUP, b"550 5.7.1 m\r\n250 r\r\n503 r\r\n503 d\r\n"), (b"NOOP\r\n", b"250 ok\r\n"))
    found = driver.run(client.submit(ENVELOPE, [TEXT]))
    assert [str(reply) for reply in found.replies] == ["550 5.7.1 m"] * 2
    assert found.stages == ("MAIL", "MAIL")
    driver.run(client.noop())
    assert peer.finished


def test_without_pipelining_a_refusal_stops_the_transaction() -> None:
    """A refused sender ends it; refused recipients end it before DATA, and the next one begins with RSET."""
    client, driver, peer = ready(
        (MAIL, b"451 m\r\n"), (MAIL, b"250 m\r\n"), (ONE, b"550 r\r\n"), (b"RSET\r\n", b"250 ok\r\n"),
        (MAIL, b"250 m\r\n"), (ONE, b"250 r\r\n"), (b"DATA\r\n", b"354 d\r\n"), (WIRE, b"250 ok\r\n"), listed="SIZE",
    )  # fmt: skip
    assert driver.run(client.submit(SINGLE, [TEXT])).stages == ("MAIL",)
    assert driver.run(client.submit(SINGLE, [TEXT])).stages == ("RCPT",)
    assert driver.run(client.submit(SINGLE, [TEXT])).delivered
    assert peer.finished


@pytest.mark.parametrize(
    ("script", "stage"),
    [
        (((GROUP, b"421 4.3.2 bye\r\n"),), "MAIL"),
        (((GROUP, b"250 m\r\n421 bye\r\n"),), "RCPT"),
        (((GROUP, b"250 m\r\n250 r\r\n250 r\r\n421 bye\r\n"),), "DATA"),
        (((GROUP, b"250 m\r\n250 r\r\n250 r\r\n354 d\r\n"), (WIRE, b"421 bye\r\n")), "content"),
    ],
)
def test_421_decides_for_the_undecided_and_closes(script: tuple[tuple[bytes, bytes], ...], stage: str) -> None:
    """RFC 5321 §3.8: it is temporary, no further reply is waited for, and the connection is not used again."""
    client, driver, _ = ready(*script)
    found = driver.run(client.submit(ENVELOPE, [TEXT]))
    assert {reply.code for reply in found.replies} == {421}
    assert set(found.stages) == {stage}
    assert not client.usable


def test_what_stands_behind_a_verdict_takes_nothing_back() -> None:
    """The message is delivered; that the server is leaving is found before anything else is said to it."""
    client, driver, _ = ready(
        (MAIL + ONE + b"DATA\r\n", b"250 m\r\n250 r\r\n354 d\r\n"), (WIRE, b"250 queued\r\n421 4.4.2 idle\r\n")
    )
    assert driver.run(client.submit(SINGLE, [TEXT])).delivered
    sent = len(driver.sent)
    with pytest.raises(UnexpectedReply, match="closes the connection"):
        driver.run(client.noop())
    assert len(driver.sent) == sent


@pytest.mark.parametrize("listed", ["PIPELINING", "SIZE"])
@pytest.mark.parametrize(
    ("replies", "step"),
    [
        ([b"354 m\r\n"], "MAIL"),
        ([b"250 m\r\n", b"354 r\r\n"], "RCPT"),
        ([b"250 m\r\n", b"250 r\r\n", b"250 d\r\n"], "DATA"),
        ([b"250 m\r\n", b"250 r\r\n", b"354 d\r\n", b"354 c\r\n"], "the end of the message"),
    ],
)
def test_a_reply_that_cannot_answer_its_command_decides_nothing(replies: list[bytes], step: str, listed: str) -> None:
    """Neither yes nor no: the recipient stays in the queue, and the connection is not used again."""
    said = [MAIL, ONE, b"DATA\r\n", WIRE]
    script = list(zip(said, replies, strict=False))
    if listed == "PIPELINING":
        script = [(b"".join(said[:3]), b"".join(replies[:3])), *script[3:]]
    client, driver, _ = ready(*script, listed=listed)
    with pytest.raises(UnexpectedReply, match=f"the reply to {step}"):
        driver.run(client.submit(SINGLE, [TEXT]))
    assert client.decided == (None,)
    assert not client.usable


def test_too_many_recipients_may_be_tried_again() -> None:
    """RFC 5321 §4.5.3.1.10: 552 to RCPT is 452, unless its enhanced code says another thing."""
    client, driver, _ = ready(
        (GROUP, b"250 m\r\n552 too many\r\n552 5.2.2 mailbox full\r\n503 d\r\n"),
    )
    found = driver.run(client.submit(ENVELOPE, [TEXT]))
    assert [(reply.code, reply.enhanced) for reply in found.replies] == [(452, "4.5.3"), (552, "5.2.2")]


def test_long_groups_are_cut_into_windows() -> None:
    """Neither side's buffers can fill: 100 commands are in flight at most, and DATA goes with the last."""
    envelope = Envelope("a@example.org", tuple(EnvelopeRecipient(f"u{n}@example.com") for n in range(250)))
    lines = [MAIL, *(b"RCPT TO:<u%d@example.com>\r\n" % n for n in range(250))]
    script = [
        (b"".join(lines[:100]), b"250 ok\r\n" * 100),
        (b"".join(lines[100:200]), b"250 ok\r\n" * 50 + b"550 no\r\n" * 50),
        (b"".join(lines[200:]) + b"DATA\r\n", b"250 ok\r\n" * 51 + b"354 go\r\n"),
        (WIRE, b"250 ok\r\n"),
    ]
    client, driver, peer = ready(*script)
    found = driver.run(client.submit(envelope, [TEXT]))
    assert sum(reply.code == 250 for reply in found.replies) == 200
    assert driver.sent[1:] == [heard for heard, _ in script]
    assert found.stages[149:199] == ("RCPT",) * 50
    assert peer.finished


def test_a_refused_sender_stops_a_long_group() -> None:
    """The second window is not sent."""
    envelope = Envelope("a@example.org", tuple(EnvelopeRecipient(f"u{n}@example.com") for n in range(150)))
    client, driver, _ = ready()
    driver.peer = peer = ScriptedPeer((re.compile(rb"MAIL.*", re.DOTALL), b"550 no\r\n" + b"503 no\r\n" * 99))
    assert driver.run(client.submit(envelope, [TEXT])).stages == ("MAIL",) * 150
    assert peer.transcript.count(b"RCPT") == 99
    assert b"DATA" not in peer.transcript


def test_parameters_go_to_servers_that_list_them() -> None:
    """SIZE, BODY, SMTPUTF8 and the DSN parameters, each where it was offered."""
    envelope = Envelope(
        "ä@example.org", (EnvelopeRecipient("b@example.com", frozenset({"NEVER"}), "rfc822;x@example.com"),),
        size=len(TEXT), body="8BITMIME", smtputf8=True, ret="HDRS", envid="e=1",
    )  # fmt: skip
    expected = (
        "MAIL FROM:<ä@example.org> SIZE=20 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=e+3D1\r\n"
        "RCPT TO:<b@example.com> NOTIFY=NEVER ORCPT=rfc822;x@example.com\r\nDATA\r\n"
    ).encode()
    client, driver, peer = ready(
        (expected, b"250 m\r\n250 r\r\n354 d\r\n"), (WIRE, b"250 ok\r\n"),
        listed="PIPELINING,SIZE 1000,8BITMIME,SMTPUTF8,DSN",
    )  # fmt: skip
    assert driver.run(client.submit(envelope, [TEXT])).delivered
    assert peer.finished


def test_parameters_stay_away_from_servers_that_do_not() -> None:
    """RFC 3461 §4.1: without DSN none of its parameters; without SIZE no size."""
    envelope = Envelope(
        "", (EnvelopeRecipient("b@bücher.example", frozenset({"NEVER"})),), size=5, ret="HDRS", envid="e"
    )
    group = b"MAIL FROM:<>\r\nRCPT TO:<b@xn--bcher-kva.example>\r\nDATA\r\n"
    client, driver, peer = ready((group, b"250 m\r\n250 r\r\n354 d\r\n"), (WIRE, b"250 ok\r\n"))
    assert driver.run(client.submit(envelope, [TEXT])).delivered
    assert peer.finished


@pytest.mark.parametrize(
    ("envelope", "listed", "enhanced"),
    [
        (Envelope("ä@example.org", SINGLE.recipients), "PIPELINING", "5.6.7"),
        (Envelope("", (EnvelopeRecipient("ä@example.org"),)), "PIPELINING", "5.6.7"),
        (Envelope("", SINGLE.recipients, smtputf8=True), "8BITMIME", "5.6.7"),
        (Envelope("", SINGLE.recipients, body="8BITMIME"), "SMTPUTF8", "5.6.3"),
        (Envelope("", SINGLE.recipients, size=1001), "SIZE 1000", "5.3.4"),
    ],
)
def test_what_a_server_cannot_take_is_refused_here(envelope: Envelope, listed: str, enhanced: str) -> None:
    """A permanent verdict of our own for every recipient; nothing is sent and the connection stays good."""
    client, driver, _ = ready(listed=listed)
    sent = len(driver.sent)
    found = driver.run(client.submit(envelope, [TEXT]))
    assert {(reply.enhanced, reply.code // 100) for reply in found.replies} == {(enhanced, 5)}
    assert found.stages == ("local",)
    assert found.final is None
    assert len(driver.sent) == sent
    assert client.usable


def test_bad_content_at_the_beginning_costs_no_connection() -> None:
    """It is judged before MAIL is sent."""
    client, driver, _ = ready()
    sent = len(driver.sent)
    with pytest.raises(LocalProtocolError):
        driver.run(client.submit(SINGLE, [b"a\nb\r\n", b"c\r\n"]))
    assert len(driver.sent) == sent
    assert client.usable


def test_bad_content_in_the_middle_never_gets_its_final_dot() -> None:
    """The message is left unfinished, and the connection cannot be used for another."""
    client, driver, peer = ready((MAIL + ONE + b"DATA\r\n", b"250 m\r\n250 r\r\n354 d\r\n"))
    with pytest.raises(LocalProtocolError):
        driver.run(client.submit(SINGLE, [b"a\r\n", b"b\r\n", b"c\nd\r\n", b"e\r\n"]))
    assert not peer.transcript.endswith(b".\r\n")
    assert b"c\nd" not in peer.transcript
    assert not client.usable


def test_content_that_cannot_be_read_never_gets_its_final_dot() -> None:
    """A disk error in the middle is no end of message."""

    def chunks() -> Iterator[bytes]:
        yield b"a\r\n"
        yield b"b\r\n"
        raise OSError("disk")

    client, driver, peer = ready((MAIL + ONE + b"DATA\r\n", b"250 m\r\n250 r\r\n354 d\r\n"))
    waited = len(driver.waited)
    with pytest.raises(OSError, match="disk"):
        driver.run(client.submit(SINGLE, chunks()))
    assert len(driver.waited) == waited + 1
    assert not peer.transcript.endswith(b".\r\n")
    assert not client.usable


@pytest.mark.parametrize(
    ("chunks", "wire"),
    [([], b".\r\n"), ([b""], b".\r\n"), ([b"x"], b"x\r\n.\r\n"), ([b"x\r\n", b".y\r\n"], b"x\r\n..y\r\n.\r\n")],
)
def test_content_ends_with_its_own_line_end(chunks: list[bytes], wire: bytes) -> None:
    """The final dot stands on a line of its own, with whatever content."""
    client, driver, peer = ready((MAIL + ONE + b"DATA\r\n", b"250 m\r\n250 r\r\n354 d\r\n"), (wire, b"250 ok\r\n"))
    assert driver.run(client.submit(SINGLE, chunks)).delivered
    assert peer.finished


def test_long_content_is_sent_piece_by_piece() -> None:
    """One chunk is held at a time, so that the peer's pace is kept."""
    held = 0
    seen: list[int] = []

    def chunks() -> Iterator[bytes]:
        nonlocal held
        for _ in range(50):
            held += 1
            seen.append(held - sum(data.count(b"\r\n") for data in driver.sent[2:]))
            yield b"x" * 70 + b"\r\n"

    client, driver, _ = ready((MAIL + ONE + b"DATA\r\n", b"250 m\r\n250 r\r\n354 d\r\n"))
    with pytest.raises(DeadlineExceeded):
        driver.run(client.submit(SINGLE, chunks()))
    assert max(seen) <= 2
    assert len(driver.sent) == 2 + 50


def test_a_refusal_in_the_middle_of_content_is_worth_more_than_the_broken_pipe() -> None:
    """A server that says 552 and closes while we are sending has given its reason."""
    client, driver, _ = ready()

    class Refuser:
        closed = True

        def __init__(self, last: bytes) -> None:
            self.said = b"250 m\r\n250 r\r\n354 d\r\n"
            self.last = last

        def receive(self, data: bytes) -> None:
            if not data.startswith(b"MAIL"):
                self.said = self.last
                raise BrokenPipeError("gone")

        def outgoing(self) -> bytes:
            said, self.said = self.said, b""
            return said

    driver.peer = Refuser(b"552 5.3.4 too big\r\n")
    found = driver.run(client.submit(SINGLE, [b"a\r\n", b"b\r\n"]))
    assert found.replies[0].enhanced == "5.3.4"
    assert not client.usable
    client, driver, _ = ready()
    driver.peer = Refuser(b"250 ok\r\n")
    with pytest.raises(BrokenPipeError):
        driver.run(client.submit(SINGLE, [b"a\r\n", b"b\r\n"]))


def test_lmtp_answers_for_each_recipient_that_was_taken() -> None:
    """RFC 2033 §4.2: as many final replies as taken recipients, in their order."""
    three = Envelope("a@example.org", (*ENVELOPE.recipients, EnvelopeRecipient("d@example.com")))
    group = MAIL + ONE + TWO + b"RCPT TO:<d@example.com>\r\nDATA\r\n"
    client, driver, peer = ready(
        (group, b"250 m\r\n250 r\r\n550 r\r\n250 r\r\n354 d\r\n"),
        (WIRE, b"250 one\r\n452 4.2.2 three\r\n"),
        dialect="LMTP",
    )
    found = driver.run(client.submit(three, [TEXT]))
    assert [reply.code for reply in found.replies] == [250, 550, 452]
    assert found.stages == ("content", "RCPT", "content")
    assert client.usable and peer.finished


def test_lmtp_keeps_what_it_learned_when_the_connection_breaks() -> None:
    """The first recipient was delivered to; only the second may be tried again."""
    client, driver, _ = ready((GROUP, b"250 m\r\n250 r\r\n250 r\r\n354 d\r\n"), (WIRE, b"250 one\r\n"), dialect="LMTP")
    with pytest.raises(DeadlineExceeded):
        driver.run(client.submit(ENVELOPE, [TEXT]))
    first, second = client.decided
    assert first is not None and first.code == 250
    assert second is None


def test_lmtp_421_decides_for_the_rest() -> None:
    """One was delivered to, the other gets the 421."""
    client, driver, _ = ready(
        (GROUP, b"250 m\r\n250 r\r\n250 r\r\n354 d\r\n"), (WIRE, b"250 one\r\n421 bye\r\n"), dialect="LMTP"
    )
    found = driver.run(client.submit(ENVELOPE, [TEXT]))
    assert [reply.code for reply in found.replies] == [250, 421]
    assert not client.usable


def test_lmtp_go_ahead_for_nobody_ends_the_connection() -> None:
    """No reply would follow a lone dot there, so none is sent."""
    client, driver, _ = ready((GROUP, b"250 m\r\n550 r\r\n550 r\r\n354 d\r\n"), dialect="LMTP")
    with pytest.raises(UnexpectedReply):
        driver.run(client.submit(ENVELOPE, [TEXT]))
    assert len(client.decided) == 2
    assert all(reply is not None and reply.code == 550 for reply in client.decided)


def test_refusals_before_a_loss_are_not_forgotten() -> None:
    """What RCPT decided is decided, though the final reply never came."""
    client, driver, peer = ready((GROUP, b"250 m\r\n550 r\r\n250 r\r\n354 d\r\n"), (WIRE, CLOSE))
    with pytest.raises(ConnectionLost):
        driver.run(client.submit(ENVELOPE, [TEXT]))
    first, second = client.decided
    assert first is not None and first.code == 550
    assert second is None
    assert peer.finished


def test_submit_needs_a_hello() -> None:
    """A client that has heard no list sends no mail."""
    client = PlainClient(ORIGIN, hostname="c.example")
    with pytest.raises(LocalProtocolError):
        next(client.submit(SINGLE, [TEXT]))


def test_each_wait_names_its_step() -> None:
    """A driver counts a deadline for each step; no two recipients share one."""
    client, driver, _ = ready(
        (MAIL, b"250 ok\r\n"), (ONE, b"250 ok\r\n"), (TWO, b"250 ok\r\n"), (b"DATA\r\n", b"354 go\r\n"),
        (WIRE, b"250 ok\r\n"), listed="SIZE", chunks=3,
    )  # fmt: skip
    driver.run(client.submit(ENVELOPE, [TEXT]))
    steps = list(dict.fromkeys((wait.step, wait.seconds) for wait in driver.waited[-20:]))
    assert steps[-5:] == [
        ("reply to MAIL", 300.0), ("reply to RCPT 1", 300.0), ("reply to RCPT 2", 300.0), ("reply to DATA", 120.0),
        ("reply to the end of the message", 600.0),
    ]  # fmt: skip


def test_421_to_a_lone_dot_or_to_rset_closes() -> None:
    """Wherever a server announces that it closes, it is not used again; what RCPT decided stands."""
    client, driver, _ = ready((GROUP, b"250 m\r\n550 r\r\n550 r\r\n354 d\r\n"), (b".\r\n", b"421 bye\r\n"))
    found = driver.run(client.submit(ENVELOPE, [TEXT]))
    assert [reply.code for reply in found.replies] == [550, 550]
    assert not client.usable
    client, driver, _ = ready((GROUP, b"250 m\r\n550 r\r\n550 r\r\n503 d\r\n"), (AGAIN, b"421 bye\r\n"))
    driver.run(client.submit(ENVELOPE, [TEXT]))
    assert driver.run(client.submit(SINGLE, [TEXT])).replies[0].code == 421
    assert not client.usable


def test_a_server_that_does_not_reset_is_left() -> None:
    """RFC 5321 §4.1.1.5: it must, so nobody knows which transaction would take the message."""
    client, driver, _ = ready((GROUP, b"250 m\r\n550 r\r\n550 r\r\n503 d\r\n"), (AGAIN, b"500 what\r\n250 m\r\n"))
    driver.run(client.submit(ENVELOPE, [TEXT]))
    with pytest.raises(UnexpectedReply):
        driver.run(client.submit(SINGLE, [TEXT]))
    assert client.decided == (None,)


def test_a_driver_that_answers_receive_with_nothing_is_a_bug_that_shows() -> None:
    """None is no end of stream."""
    client = PlainClient(ORIGIN, hostname="c.example")
    dialogue = client.greeting()
    next(dialogue)
    with pytest.raises(ConnectionLost):
        dialogue.send(b"")
    client = PlainClient(ORIGIN, hostname="c.example")
    dialogue = client.greeting()
    next(dialogue)
    with pytest.raises(LocalProtocolError):
        dialogue.send(None)


@pytest.mark.parametrize("said", [b"", CLOSE, b"nonsense\r\n"])
def test_silence_after_a_lone_dot_costs_the_connection_only(said: bytes) -> None:
    """Every recipient was decided before it; the server is not spoken to again."""
    client, driver, _ = ready((GROUP, b"250 m\r\n550 r\r\n550 r\r\n354 d\r\n"), (b".\r\n", said))
    assert [reply.code for reply in driver.run(client.submit(ENVELOPE, [TEXT])).replies] == [550, 550]
    assert not client.usable
