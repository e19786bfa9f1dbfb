"""Reading replies (RFC 5321 §4.2)."""

from __future__ import annotations

import pytest

from gatepost.wire.smtp.replies import LINES_LIMIT, OCTETS_LIMIT, MalformedReply, ReplyReader, printable
from gatepost.wire.smtp.reply import Reply


def read(*chunks: bytes) -> list[Reply]:
    reader = ReplyReader()
    found: list[Reply] = []
    for chunk in chunks:
        reader.receive(chunk)
        while (reply := reader.next_reply()) is not None:
            found.append(reply)
    return found


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        (b"250 2.1.0 Ok", Reply(250, "2.1.0", "Ok")),
        (b"250 Ok", Reply(250, "", "Ok")),
        (b"250 ", Reply(250, "", "")),
        (b"250", Reply(250, "", "")),
        (b"354 go ahead", Reply(354, "", "go ahead")),
        (b"571 5.7.1 no", Reply(571, "5.7.1", "no")),
        (b"550 5.1.1", Reply(550, "5.1.1", "")),
        (b"250 4.1.0 odd", Reply(250, "", "4.1.0 odd")),
        (b"550 5.1.1234 odd", Reply(550, "", "5.1.1234 odd")),
        (b"250 2.0.0: odd", Reply(250, "", "2.0.0: odd")),
        (b"250 gr\xc3\xbc\xc3\x9fe", Reply(250, "", "grüße")),
    ],
)
def test_reads_one_line(line: bytes, reply: Reply) -> None:
    """Code, enhanced code where it goes with the code, text."""
    assert read(line + b"\r\n") == [reply]


def test_reads_several_lines_as_one_reply() -> None:
    """The text is a tuple, without the repeated enhanced code."""
    assert read(b"550-5.1.1 no\r\n550-\r\n550 5.1.1 such user\r\n") == [Reply(550, "5.1.1", ("no", "", "such user"))]


def test_reads_several_replies_of_one_segment_in_order() -> None:
    """A pipelining server answers a group at once."""
    assert [reply.code for reply in read(b"250 a\r\n250-b\r\n250 c\r\n354 d\r\n")] == [250, 250, 354]


def test_reads_the_same_however_it_is_cut() -> None:
    """One octet at a time gives what one segment gives."""
    data = b"220-mx\r\n220 ready\r\n250 2.0.0 queued\r\n"
    assert read(*(data[i : i + 1] for i in range(len(data)))) == read(data)


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n",
        b"ok\r\n",
        b"25 x\r\n",
        b"2500 x\r\n",
        b"250x\r\n",
        b"250\tx\r\n",
        b"150 x\r\n",
        b"650 x\r\n",
        b"050 x\r\n",
        b" 250 x\r\n",
        b"+OK\r\n",
        b"\xb2\xb5\xb0 x\r\n",
        b"250-a\r\n251 b\r\n",
        b"220-go\r\n454 no\r\n",
        b"250-a\r\n\r\n",
        b"250 a\n250 b\r\n",
        b"250 a\r250 b\r\n",
        b"250 a\nb",
        b"250 " + b"x" * 9000,
        b"250-x\r\n" * (LINES_LIMIT + 1),
        (b"250-" + b"x" * 4000 + b"\r\n") * (OCTETS_LIMIT // 4000 + 1),
    ],
)
def test_refuses_malformed_and_endless_replies(data: bytes) -> None:
    """Wrong codes, mixed codes, lone CR or LF, long lines, many lines, many octets."""
    with pytest.raises(MalformedReply) as caught:
        read(data)
    assert caught.value.temporary
    assert len(str(caught.value)) < 500


def test_text_cannot_steer_a_terminal_or_forge_a_log_line() -> None:
    """Escapes, C1 controls, line separators and bidirectional controls are spelled out."""
    (reply,) = read(b"550 \x1b[2J\x00\x07\xc2\x85\xe2\x80\xa8\xe2\x80\xae\xff\r\n")
    assert reply.text == r"\x1b[2J\x00\x07\x85\u2028\u202e\xff"
    assert printable(b"plain") == "plain"


def test_says_what_is_left() -> None:
    """Octets behind a reply, and the beginning of one, are pending; taking them ends that."""
    reader = ReplyReader()
    assert not reader.pending
    reader.receive(b"220 go\r\n250")
    assert reader.next_reply() == Reply(220, "", "go")
    assert reader.pending
    assert reader.take() == b"250"
    assert not reader.pending
    reader.receive(b"250-x\r\n")
    assert reader.next_reply() is None
    assert reader.pending


@pytest.mark.parametrize("cut", [0, 2, 3, 10, 29])
def test_challenge_is_never_remembered(cut: int) -> None:
    """It was said to one login alone: nothing of it stays behind when that is over, however it was cut."""
    said = b"334 cj1ub25jZSxzPXNhbHQsaT0xMA==\r\n"
    (first,), (second,) = read(said[:cut], said[cut:]), read(said[:cut], said[cut:])
    assert first == second == Reply(334, "", "cj1ub25jZSxzPXNhbHQsaT0xMA==")
    assert first is not second


def test_long_reply_is_never_remembered() -> None:
    """What is kept of servers has a bound; what they all say alike is read once."""
    long, usual = b"250 " + b"x" * 1100 + b"\r\n", b"250 2.1.0 Ok\r\n"
    assert read(long)[0] is not read(long)[0]
    assert read(usual)[0] is read(usual)[0]
