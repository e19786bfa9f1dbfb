"""DATA, BDAT and LMTP at the server engine."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.wire.smtp.serving import ORIGIN, Talk, accept, codes, opened, plain, profile

from gatepost.errors import LocalProtocolError
from gatepost.wire.smtp import reply
from gatepost.wire.smtp.events import (
    Content,
    ContentAborted,
    ContentBegins,
    ContentEnds,
    Ended,
    Event,
    Hello,
    Mail,
    Quit,
    Reset,
)
from gatepost.wire.smtp.reply import Reply
from gatepost.wire.smtp.server import PlainServer
from gatepost.wire.smtp.states import State

NO = Reply(452, "4.3.1", "Full")
VARIANTS = [
    b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\n", b"\r.\r\n", b"\n.\r", b"\r\n.\r", b"\r\n.\r\r\n",
    b"\r\r\n.\r\r\n", b"\r\n\0.\r\n", b"\r\n.\0\r\n", b"\r\n. \r\n",
]  # fmt: skip


def refuse_content(event: Event) -> Reply | None:
    """Say no to the content, yes to the rest."""
    return NO if isinstance(event, ContentBegins) else accept(event)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("step", [1, 1000])
@pytest.mark.parametrize("normalise", [False, True])
def test_smuggled_command_is_never_run(variant: bytes, step: int, normalise: bool) -> None:
    """The attacker wants a second message inside his first: its MAIL is content, whatever stands before it."""
    talk = opened(plain(normalise=normalise))
    talk.say(b"DATA\r\n")
    wire = b"a" + variant + b"MAIL FROM:<evil@example.org>\r\nRCPT TO:<x@y>\r\nDATA\r\nevil\r\n.\r\nRSET\r\n"
    replies = b"".join(talk.say(wire[start : start + step]) for start in range(0, len(wire), step))
    assert len(talk.of(Mail)) == 1
    only_bare_lf = b"\r" not in variant.replace(b"\r\n", b"") and b"\0" not in variant
    clean = variant == b"\r\n. \r\n" or (normalise and only_bare_lf)
    assert codes(replies) == [250 if clean else 550, 250]
    assert isinstance(talk.last(), Reset)


def test_content_refusal_is_answered_by_the_engine() -> None:
    """The service is told to drop it, and is not asked."""
    talk = opened(plain())
    assert codes(talk.say(b"DATA\r\na\nb\r\n.\r\nNOOP\r\n")) == [354, 550, 250]
    assert talk.last() == ContentEnds(reply.BARE_CONTENT_END)
    assert talk.engine.state is State.READY
    with pytest.raises(LocalProtocolError):
        talk.engine.answer(reply.OK)


def test_content_above_the_size_is_refused_at_its_end() -> None:
    """552, in sync, and nothing of it is given out beyond the limit."""
    talk = opened(plain(max_size=1000))
    assert codes(talk.say(b"DATA\r\n" + b"x" * 70 + b"\r\n")) == [354]
    assert codes(talk.say((b"x" * 70 + b"\r\n") * 1000 + b".\r\nNOOP\r\n")) == [552, 250]
    assert len(talk.content) <= 1000
    assert talk.last() == ContentEnds(reply.TOO_BIG)


def test_large_content_does_not_stay_in_memory() -> None:
    """What was given out is forgotten: the engine holds no more than the end of what came last."""
    talk = opened(plain(max_size=10**9))
    talk.say(b"DATA\r\n")
    piece = b"0123456789abcde\r\n" * 1000
    for _ in range(300):
        talk.engine.receive(piece)
        while (event := talk.engine.next_event()) is not None:
            assert isinstance(event, Content)
            assert len(event.data) <= 262144
        assert talk.engine.backlog <= 4


def test_refused_data_leaves_the_transaction_as_it_was() -> None:
    """The next command is a command."""
    talk = opened(plain(refuse_content))
    assert codes(talk.say(b"DATA\r\nNOOP\r\nRSET\r\n")) == [452, 250, 250]


def test_lost_connection_aborts_the_message() -> None:
    """Half a message is never a message."""
    talk = opened(plain())
    talk.say(b"DATA\r\nhalf\r\n.\r")
    talk.hang_up()
    assert talk.events[-2:] == [ContentAborted(), Ended("connection lost")]


def test_answer_to_content_may_come_after_the_client_has_gone() -> None:
    """A message that was complete is answered and kept; then comes the end."""
    talk = opened(plain(lambda event: None if isinstance(event, ContentEnds) else accept(event)))
    talk.say(b"DATA\r\nx\r\n.\r\n")
    talk.hang_up()
    assert isinstance(talk.last(), ContentEnds)
    talk.engine.answer(reply.OK)
    assert codes(talk.run()) == [250]
    assert talk.last() == Ended("connection lost")
    assert not talk.of(ContentAborted)


@pytest.mark.parametrize("step", [1, 2, 7, 10_000])
def test_chunks_are_counted_and_joined(step: int) -> None:
    """RFC 3030: octets are counted, lines in them are no commands, dots mean nothing."""
    talk = opened(plain())
    wire = b"BDAT 13\r\nQUIT\r\n.\r\nRSETBDAT 0\r\nBDAT 4 LAST\r\n\r\n\r\nNOOP\r\n"
    replies = b"".join(talk.say(wire[start : start + step]) for start in range(0, len(wire), step))
    assert codes(replies) == [250, 250, 250, 250]
    assert replies.startswith(b"250 2.0.0 13 octets received\r\n250 2.0.0 0 octets received\r\n")
    assert talk.content == b"QUIT\r\n.\r\nRSET\r\n\r\n"
    assert len(talk.of(ContentBegins)) == len(talk.of(ContentEnds)) == 1
    assert not talk.of(Quit)


def test_empty_last_chunk_is_legal() -> None:
    """``BDAT 0 LAST`` ends a message, or is one."""
    talk = opened(plain())
    assert codes(talk.say(b"BDAT 0 LAST\r\nNOOP\r\n")) == [250, 250]
    assert talk.content == b""


@pytest.mark.parametrize("first", [b"", b"EHLO a\r\n", b"EHLO a\r\nMAIL FROM:<a@b>\r\n"])
@pytest.mark.parametrize("last", [b"", b" LAST"])
def test_misplaced_chunk_is_consumed(first: bytes, last: bytes) -> None:
    """Its octets are not commands because it was refused."""
    talk = plain()
    talk.say(first)
    assert codes(talk.say(b"BDAT 6" + last + b"\r\nQUIT\r\nNOOP\r\n")) == [503, 250]
    assert not talk.of(Quit)


def test_refused_chunk_is_consumed_and_ends_the_transaction() -> None:
    """A service that says no to the content gets no octet of it, and what is pipelined behind is refused too."""
    talk = opened(plain(refuse_content))
    assert codes(talk.say(b"BDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n")) == [452, 503, 250]
    assert talk.content == b""
    assert talk.engine.state is State.READY


@pytest.mark.parametrize("size", [b"-1", b"0x6", b"", b"99999999999999", b"6 FIRST", b"6\x00", b"6" + b" " * 3000])
def test_chunk_whose_end_nobody_knows_ends_the_session(size: bytes) -> None:
    """Behind an unreadable BDAT nothing can be told from a command, so nothing is read."""
    talk = opened(plain())
    replies = codes(talk.say(b"BDAT " + size + b"\r\nMAIL FROM:<evil@b>\r\n"))
    assert replies in ([501], [500])
    assert talk.last() == Ended("malformed BDAT")
    assert len(talk.of(Mail)) == 1
    early = plain()
    assert codes(early.say(b"BDAT " + size + b"\r\nEHLO a\r\n")) == replies
    assert early.last() == Ended("malformed BDAT")


@pytest.mark.parametrize("chunk", [b"a\nb\r\n", b"a\rb\r\n", b"a\0b\r\n"])
def test_chunk_with_bare_line_ends_is_refused(chunk: bytes) -> None:
    """The rule of DATA holds for chunks; the transaction is over, the session goes on."""
    talk = opened(plain())
    assert codes(talk.say(b"BDAT 5\r\n" + chunk + b"BDAT 2 LAST\r\n\r\nNOOP\r\n")) == [550, 503, 250]
    assert talk.of(ContentEnds) in ([ContentEnds(reply.BARE_CONTENT_END)], [ContentEnds(reply.NUL_CONTENT)])


def test_chunk_above_the_size_is_refused_and_consumed() -> None:
    """552, and in sync."""
    talk = opened(plain(max_size=10))
    assert codes(talk.say(b"BDAT 12 LAST\r\n0123456789\r\nNOOP\r\n")) == [552, 250]
    assert talk.content == b""


@pytest.mark.parametrize(("line", "event"), [(b"RSET", Reset()), (b"EHLO b", Hello("b", True))])
def test_rset_between_chunks_aborts_the_message(line: bytes, event: Event) -> None:
    """The service is told to drop the content before it hears why."""
    talk = opened(plain())
    assert codes(talk.say(b"BDAT 3\r\nabc" + line + b"\r\n")) == [250, 250]
    assert talk.events[-2:] == [ContentAborted(), event]


@pytest.mark.parametrize("line", [b"DATA", b"MAIL FROM:<a@b>", b"RCPT TO:<a@b>", b"STARTTLS"])
def test_other_commands_between_chunks_are_refused(line: bytes) -> None:
    """DATA is not mixed with BDAT (RFC 3030 §2), nor is anything else of a transaction."""
    talk = opened(plain())
    assert codes(talk.say(b"BDAT 3\r\nabc" + line + b"\r\nBDAT 2 LAST\r\n\r\n")) == [250, 503, 250]
    assert talk.content == b"abc\r\n"


def test_quit_and_loss_inside_chunks_abort_the_message() -> None:
    """Also in the middle of a chunk."""
    talk = opened(plain())
    talk.say(b"BDAT 3\r\nabcQUIT\r\n")
    assert talk.events[-3:] == [ContentAborted(), Quit(), Ended("quit")]
    lost = opened(plain())
    lost.say(b"BDAT 100\r\nabc")
    lost.hang_up()
    assert lost.events[-2:] == [ContentAborted(), Ended("connection lost")]


def test_many_tiny_chunks_in_one_segment_are_linear() -> None:
    """Six thousand chunks of one octet in one input cost no copies of the rest."""
    talk = opened(plain())
    assert codes(talk.say(b"BDAT 1\r\nx" * 6000)) == [250] * 6000
    assert talk.content == b"x" * 6000


def lmtp(**settings: Any) -> Talk:
    """An LMTP conversation with three recipients."""
    talk = plain(lambda event: None if isinstance(event, ContentEnds) else accept(event), dialect="LMTP", **settings)
    return opened(talk, recipients=3)


def test_lmtp_has_its_own_words() -> None:
    """RFC 2033 §4.1: LHLO, and neither HELO nor EHLO."""
    engine = PlainServer(ORIGIN, profile(dialect="LMTP"))
    engine.greet()
    assert engine.outgoing() == b"220 mx.example.org LMTP gatepost\r\n"
    assert codes(Talk(engine).say(b"HELO a\r\nEHLO a\r\nLHLO a\r\n")) == [500, 500, 250]
    assert codes(plain().say(b"LHLO a\r\n")) == [500]


def test_lmtp_message_is_answered_for_each_recipient() -> None:
    """RFC 2033 §4.2: as many replies as accepted recipients, in their order."""
    talk = lmtp()
    talk.say(b"DATA\r\nx\r\n.\r\n")
    for wrong in ([reply.OK], [reply.OK] * 4, [reply.DATA_GO_AHEAD] * 3):
        with pytest.raises(LocalProtocolError):
            talk.engine.answer_each(wrong)
    talk.engine.answer_each([reply.OK, NO, reply.OK])
    assert codes(talk.run()) == [250, 452, 250]
    assert talk.engine.state is State.READY
    with pytest.raises(LocalProtocolError):
        talk.engine.answer_each([])


def test_lmtp_engine_answers_for_each_recipient_too() -> None:
    """One verdict for all, the engine's own refusals, and the last chunk."""
    talk = lmtp()
    assert codes(talk.say(b"DATA\r\na\nb\r\n.\r\n")) == [354, 550, 550, 550]
    again = lmtp()
    again.say(b"BDAT 3\r\nabcBDAT 0 LAST\r\n")
    again.engine.answer(NO)
    assert codes(again.run()) == [452, 452, 452]


def test_lmtp_chunk_that_is_not_the_last_has_one_answer() -> None:
    """Only the end of the message is answered for each recipient."""
    assert codes(lmtp().say(b"BDAT 3\r\na\nbBDAT 0 LAST\r\n")) == [550, 503]
