"""Messages: streaming, back-pressure, what becomes of one that is not completed, LMTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tests.attacks.raw import Raw
from tests.unit.smtp.publicserver import Box, Running, handler

from gatepost.smtp import MessageAborted, MessageTooLong, Reply, ServerLimits
from gatepost.smtp.incoming import HIGH_WATER

Serve = Callable[..., Running]


def open_message(client: Raw, recipients: int = 1, hello: bytes = b"EHLO") -> None:
    client.say(hello + b" client.example")
    assert client.say(b"MAIL FROM:<a@b.example>").startswith(b"250")
    for number in range(recipients):
        assert client.say(b"RCPT TO:<c%d@d.example>" % number).startswith(b"250")
    assert client.say(b"DATA").startswith(b"354")


def test_content_streams_with_its_envelope(serve: Serve, box: Box) -> None:
    """Dots unstuffed, CRLF kept; sender, recipients and parameters stand on the message."""

    async def on_message(self: object, session: Any, message: Any) -> None:
        pieces = [piece async for piece in message]
        box.messages.append(b"".join(pieces))
        box.note(f"{message.sender} {[str(each) for each in message.recipients]} {message.mail.size} {message.size}")
        box.messages.append(message.trace())

    with Raw(serve(handler(on_message=on_message)).port) as client:
        client.say(b"EHLO client.example")
        client.say(b"MAIL FROM:<a@b.example> SIZE=9")
        client.say(b"RCPT TO:<c@d.example>")
        client.say(b"RCPT TO:<e@f.example> NOTIFY=NEVER")
        client.say(b"DATA")
        assert client.say(b"..a\r\n\r\nb\r\n.").startswith(b"250 2.0.0")
    assert box.messages[0] == b".a\r\n\r\nb\r\n"
    assert box.calls == ["a@b.example ['c@d.example', 'e@f.example'] 9 9"]
    assert box.messages[1].startswith(b"Received: from client.example (unknown [127.0.0.1])")
    assert b"with ESMTP id" in box.messages[1]


def test_parsed_content_is_an_email_message(serve: Serve, box: Box) -> None:
    """Also beyond ASCII."""

    async def on_message(self: object, session: Any, message: Any) -> None:
        box.note((await message.parsed())["Subject"])

    with Raw(serve(handler(on_message=on_message)).port) as client:
        open_message(client)
        assert client.say("Subject: grüße\r\n\r\n\r\n.".encode()).startswith(b"250")
    assert box.calls == ["grüße"]


def test_the_answer_may_carry_a_text(serve: Serve) -> None:
    """A positive reply of the hook is said as it is."""

    async def on_message(self: object, session: Any, message: Any) -> Reply:
        await message.read()
        return Reply(250, "2.6.0", "Queued as 17")

    with Raw(serve(handler(on_message=on_message)).port) as client:
        open_message(client)
        assert client.say(b"x\r\n.") == b"250 2.6.0 Queued as 17"


@pytest.mark.parametrize("answer", [None, Reply(554, "5.7.1", "No")])
def test_a_hook_that_returns_early_is_answered_at_the_end(serve: Serve, answer: Reply | None) -> None:
    """The rest of the content is dropped; the client hears nothing before it has sent it all."""

    async def on_message(self: object, session: Any, message: Any) -> Reply | None:
        return answer

    with Raw(serve(handler(on_message=on_message)).port) as client:
        open_message(client)
        client.send(b"x" * 900 + b"\r\n")
        client.send((b"y" * 900 + b"\r\n") * 2000)
        assert client.say(b".").startswith(b"250" if answer is None else b"554")
        assert client.say(b"NOOP").startswith(b"250")


def test_a_slow_reader_slows_its_sender_and_nobody_else(serve: Serve, box: Box) -> None:
    """While nobody reads, no more than the bound is taken; when somebody does, all of it arrives."""
    go_on = asyncio.Event()

    async def on_message(self: object, session: Any, message: Any) -> None:
        if message.recipients[0].local == "c0":
            box.note("waiting")
            await go_on.wait()
            box.note(f"held {message.size}")
        box.messages.append(await message.read())

    running = serve(handler(on_message=on_message))
    content = (b"z" * 998 + b"\r\n") * 20000
    with Raw(running.port) as slow, Raw(running.port) as quick:
        open_message(slow)
        slow.plain.setblocking(False)
        sent = 0
        box.wait_for("waiting")
        while True:  # until the kernel takes no more, though the server had every turn of its loop to read it
            try:
                sent += slow.plain.send(content[sent : sent + 65536])
            except BlockingIOError:
                running.run(asyncio.sleep(0.05))
                try:
                    sent += slow.plain.send(content[sent : sent + 1])
                except BlockingIOError:
                    break
        assert sent < len(content)
        quick.say(b"EHLO quick.example")
        quick.say(b"MAIL FROM:<a@b.example>")
        quick.say(b"RCPT TO:<quick@d.example>")
        quick.say(b"DATA")
        assert quick.say(b"quick\r\n.").startswith(b"250")
        running.run(_set(go_on))
        slow.plain.settimeout(30)
        slow.send(content[sent:])
        assert slow.say(b".").startswith(b"250")
    assert box.messages == [b"quick\r\n", content]
    held = int(box.calls[1].split()[1])
    assert held < HIGH_WATER + (1 << 18)


async def _set(event: asyncio.Event) -> None:
    event.set()


@pytest.mark.parametrize("end", ["gone", "nul", "too big"])
def test_half_a_message_is_never_taken_for_a_whole_one(serve: Serve, box: Box, end: str) -> None:
    """Whoever reads it gets MessageAborted."""

    async def on_message(self: object, session: Any, message: Any) -> None:
        box.note("begun")
        try:
            box.messages.append(await message.read())
        except MessageAborted:
            box.note("aborted")
            raise

    running = serve(handler(on_message=on_message), limits=ServerLimits(message_size=100000))
    with Raw(running.port) as client:
        open_message(client)
        client.send(b"Subject: half\r\n")
        box.wait_for("begun")
        if end == "nul":
            assert client.say(b"a\0b\r\n.").startswith(b"550 5.6.0")
        elif end == "too big":
            client.send(b"x" * 900 + b"\r\n")
            assert client.say((b"x" * 900 + b"\r\n") * 200 + b".").startswith(b"552 5.3.4")
    box.wait_for("aborted")
    assert box.messages == []


def test_a_hook_that_outlives_its_message_delays_the_next_one(serve: Serve, box: Box) -> None:
    """One message of a session is written at a time, also when the one before was not completed."""
    go_on = asyncio.Event()

    async def on_message(self: object, session: Any, message: Any) -> None:
        try:
            box.messages.append(await message.read())
        except MessageAborted:
            box.note("aborted")
            await go_on.wait()
            box.note("cleaned up")

    running = serve(handler(on_message=on_message))
    with Raw(running.port) as client:
        open_message(client)
        assert client.say(b"a\0b\r\n.").startswith(b"550")
        client.say(b"MAIL FROM:<a@b.example>")
        client.say(b"RCPT TO:<c@d.example>")
        client.send(b"DATA\r\n")
        box.wait_for("aborted")
        assert client.silent()
        running.run(_set(go_on))
        assert client.reply().startswith(b"354")
        assert client.say(b"x\r\n.").startswith(b"250")
    assert box.calls == ["aborted", "cleaned up"]
    assert box.messages == [b"x\r\n"]


def test_a_limit_of_read_is_an_exception(serve: Serve, box: Box) -> None:
    """A handler that catches it says what it likes."""

    async def on_message(self: object, session: Any, message: Any) -> Reply | None:
        try:
            await message.read(limit=10)
        except MessageTooLong:
            return Reply(552, "5.3.4", "Ten octets, no more")
        return None

    with Raw(serve(handler(on_message=on_message)).port) as client:
        open_message(client)
        assert client.say(b"0123456789\r\n.") == b"552 5.3.4 Ten octets, no more"


def test_lmtp_answers_for_each_recipient(serve: Serve) -> None:
    """RFC 2033 section 4.2: a sequence, in the order of the recipients; one reply counts for all."""
    answers: list[Any] = [(None, Reply(452, "4.2.2", "Full")), None, Reply(550, "5.0.0", "No"), (None,)]

    async def on_message(self: object, session: Any, message: Any) -> Any:
        await message.read()
        return answers.pop(0)

    with Raw(serve(handler(on_message=on_message), dialect="LMTP").port) as client:
        said = []
        for _ in range(4):
            open_message(client, recipients=2, hello=b"LHLO")
            said.append([client.say(b"x\r\n.")[:3], client.reply()[:3]])
    assert said == [[b"250", b"452"], [b"250", b"250"], [b"550", b"550"], [b"451", b"451"]]


def test_chunks_arrive_as_data_does(serve: Serve, box: Box) -> None:
    """BDAT (RFC 3030), pipelined."""
    with Raw(serve(handler(box)).port) as client:
        client.say(b"EHLO client.example")
        client.send(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nBDAT 6\r\nab\r\nc\r")
        client.send(b"BDAT 3 LAST\r\n\nd\r")
        assert [client.reply()[:3] for _ in range(3)] == [b"250"] * 3
        assert client.reply()[:3] in (b"250", b"550")
