"""Content through an SMTP gate, behind DATA and in chunks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.attacks.raw import Raw
from tests.interop.patience import until
from tests.unit.service.gate.smtp_behind import LISTED, Behind
from tests.unit.service.gate.smtp_gate import envelope, gate, hello, secured, send


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_content_passes_unharmed(tmp_path: Path, stack: ExitStack) -> None:
    """Dots at the beginning of lines, octets above 127, NULs within a line, and half a megabyte of it."""
    behind = stack.enter_context(Behind(strict=True))
    front = stack.enter_context(gate(tmp_path, behind))
    body = b"Subject: x\r\n\r\n..\r\n.a\r\nd\xf6ts\0x\r\n" + bytes(range(32, 256)) + b"\r\n"
    body += b"x" * 70 + b"\r\n" + (b"0123456789" * 7 + b"\r\n") * 7000
    with Raw(front.port("front")) as client:
        secured(client, front.ca_file)
        assert send(client, body.replace(b"\r\n.", b"\r\n..") + b".") == b"250 2.0.0 taken"
    (message,) = behind.messages
    assert message.replace(b"\r\n..", b"\r\n.") + b"\r\n" == body


@pytest.mark.parametrize("chunking", [True, False])
def test_chunks_pass_as_chunks_or_as_data(tmp_path: Path, stack: ExitStack, chunking: bool) -> None:
    """Only the last chunk is answered by the server; where it takes none, the content goes behind DATA."""
    listed = LISTED if chunking else tuple(each for each in LISTED if each != "CHUNKING")
    behind = stack.enter_context(Behind(listed, strict=True))
    front = stack.enter_context(gate(tmp_path, behind))
    with Raw(front.port("front")) as client:
        assert (b"CHUNKING" in hello(client)) == chunking
        envelope(client)
        first, second = b"Subject: x\r\n\r\n.\r", b"\n.dot\r\nend\r\n"
        client.send(b"BDAT %d\r\n" % len(first) + first + b"BDAT %d LAST\r\n" % len(second) + second)
        assert client.reply() == b"250 2.0.0 %d octets received" % len(first)
        assert client.reply() == b"250 2.0.0 taken"
        assert send(client) == b"250 2.0.0 taken"
        client.say(b"QUIT")
    behind.finished(1)
    stuffed = b"Subject: x\r\n\r\n.\r\n.dot\r\nend\r\n" if chunking else b"Subject: x\r\n\r\n..\r\n..dot\r\nend"
    assert behind.messages == [stuffed, b"Subject: hello\r\n\r\nhello"]
    assert any(line.startswith(b"BDAT") for line in behind.said) == chunking


def test_large_chunks_arrive_whole(tmp_path: Path, stack: ExitStack) -> None:
    """Longer than what is held of one, cut anew."""
    behind = stack.enter_context(Behind())
    front = stack.enter_context(gate(tmp_path, behind))
    content = b"Subject: x\r\n\r\n" + b"".join(b"%060d\r\n" % number for number in range(20000))
    half = len(content) // 2
    with Raw(front.port("front")) as client:
        secured(client, front.ca_file)
        envelope(client)
        client.send(b"BDAT %d\r\n" % half + content[:half])
        client.send(b"BDAT %d LAST\r\n" % (len(content) - half) + content[half:])
        assert client.reply().startswith(b"250")
        assert client.reply() == b"250 2.0.0 taken"
    assert behind.messages == [content]


def test_refused_chunk_is_answered_with_the_servers_words(tmp_path: Path, stack: ExitStack) -> None:
    """At the end of the client's chunk; the transaction is over on both sides."""
    behind = stack.enter_context(Behind(answers={"BDAT": b"452 4.3.1 full\r\n"}))
    front = stack.enter_context(gate(tmp_path, behind))
    with Raw(front.port("front")) as client:
        secured(client, front.ca_file)
        envelope(client)
        client.send(b"BDAT 5 LAST\r\nabc\r\n")
        assert client.reply() == b"452 4.3.1 full"
        assert client.say(b"RCPT TO:<a@b>").startswith(b"503")


def test_server_that_refuses_in_the_middle_of_content_is_heard(tmp_path: Path, stack: ExitStack) -> None:
    """What it said is the answer to the message, once the client has sent all of it."""
    behind = stack.enter_context(Behind(answers={"DATA": b"!354 go on\r\n552 5.3.4 too big\r\n"}))
    front = stack.enter_context(gate(tmp_path, behind))
    with Raw(front.port("front")) as client:
        hello(client)
        envelope(client)
        said = client.say(b"DATA")
        if said.startswith(b"354"):  # else both came in one segment, and the first word is not believed
            assert client.say(b"x\r\n" * 100000 + b".").startswith((b"552 5.3.4", b"451"))
        else:
            assert said.startswith(b"421")
    assert behind.messages == []


def test_refusal_in_the_middle_of_content_is_the_answer_to_it(tmp_path: Path, stack: ExitStack) -> None:
    """The server said it before the end, and hears no end."""
    behind = stack.enter_context(Behind())
    front = stack.enter_context(gate(tmp_path, behind))
    with Raw(front.port("front")) as client:
        secured(client, front.ca_file)
        envelope(client)
        assert client.say(b"DATA").startswith(b"354")
        session = behind.sessions[0]
        until(lambda: len(behind._open) == 1, what="the check's connection is gone")
        (sock,) = behind._open
        client.send(b"x\r\n" * 40000)
        sock.sendall(b"552 5.3.4 too much\r\n")
        assert client.say(b"x\r\n" * 40000 + b".") == b"552 5.3.4 too much"
        assert send(client) == b"250 2.0.0 taken"
    behind.finished(2)
    assert len(behind.messages) == 1
    assert not session.content.endswith(b"\r\n.\r\n")


def test_client_that_is_gone_in_the_middle_of_content_ends_no_message(tmp_path: Path, stack: ExitStack) -> None:
    """The server never hears the final dot."""
    behind = stack.enter_context(Behind(strict=True))
    front = stack.enter_context(gate(tmp_path, behind))
    with Raw(front.port("front")) as client:
        secured(client, front.ca_file)
        envelope(client)
        client.say(b"DATA")
        client.send(b"Subject: half\r\n\r\nhalf\r\n")
    (session,) = behind.finished(1)
    assert behind.messages == []
    assert b"\r\n.\r\n" not in session.content


def test_client_that_stops_in_the_middle_is_timed_out(tmp_path: Path, stack: ExitStack) -> None:
    """421, and the server hears no final dot."""
    behind = stack.enter_context(Behind())
    front = stack.enter_context(
        gate(tmp_path, behind, settings={"limits": {"data_timeout": "1s", "command_timeout": "20s"}})
    )
    with Raw(front.port("front")) as client:
        hello(client)
        envelope(client)
        client.say(b"DATA")
        client.send(b"half")
        assert client.reply().startswith(b"421 4.4.2 Timeout")
    behind.finished(1)
    assert behind.messages == []


def test_server_that_is_gone_behind_the_final_dot_is_no_250(tmp_path: Path, stack: ExitStack) -> None:
    """Nobody answered for the message, so it is the client's still."""
    behind = stack.enter_context(Behind())
    behind.end = b"!"
    front = stack.enter_context(gate(tmp_path, behind))
    with Raw(front.port("front")) as client:
        hello(client)
        assert send(client).startswith(b"451 4.4.2")
        behind.end = b"250 2.0.0 taken\r\n"
        assert send(client) == b"250 2.0.0 taken"
    assert front.total("gate_messages_total", listener="front") == 1
