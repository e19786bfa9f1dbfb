"""Hooks: when each is called, what its answer does, and what happens when it fails."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import struct
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from tests.attacks.raw import Raw
from tests.unit.smtp.publicserver import Box, Running, contexts, handler

from gatepost.errors import LocalProtocolError
from gatepost.smtp import Handler, Reply, Server, ServerLimits

Serve = Callable[..., Running]
NO = Reply(550, "5.7.1", "Not you")
LATER = Reply(450, "4.7.1", "Not now")


def noting(box: Box) -> dict[str, Any]:
    """Every hook, noting its name."""

    def hook(name: str) -> Any:
        async def called(self: object, *arguments: object) -> None:
            box.note(name)

        return called

    return {name: hook(name) for name in vars(Handler) if name.startswith("on_") and name != "on_message"}


def deliver(client: Raw) -> bytes:
    assert client.say(b"MAIL FROM:<a@b.example>").startswith(b"250")
    assert client.say(b"RCPT TO:<c@d.example>").startswith(b"250")
    assert client.say(b"DATA").startswith(b"354")
    return client.say(b"Subject: tea\r\n\r\nAt five?\r\n.")


def test_hooks_are_called_in_the_order_of_the_conversation(serve: Serve, box: Box) -> None:
    """Connect, hello, close of the plain side; then the secure side from its beginning."""
    running = serve(handler(box, **noting(box)))
    with Raw(running.port) as client:
        client.upgrade(running.ca_file)
        assert deliver(client).startswith(b"250")
        assert client.say(b"QUIT").startswith(b"221")
        assert client.rest() == b""
    running.run(asyncio.sleep(0))
    while box.calls.count("on_close") < 2:
        running.run(asyncio.sleep(0.01))
    assert box.calls == [
        "on_connect", "on_hello", "on_close", "on_secure", "on_hello", "on_mail", "on_rcpt", "on_close",
    ]  # fmt: skip
    assert box.messages == [b"Subject: tea\r\n\r\nAt five?\r\n"]


def test_the_handler_inside_tls_is_another_one(serve: Serve, box: Box) -> None:
    """What a handler kept of the plaintext side is not on the handler of the private one, nor on its session."""

    def on_hello(self: Any, session: Any, name: str) -> None:
        self.__dict__.setdefault("names", []).append(name)
        box.note(f"{session.private} {self.names} {session.hello!r}")

    running = serve(handler(box, on_hello=on_hello))
    with Raw(running.port) as client:
        client.say(b"EHLO early.example")
        client.say(b"EHLO attacker.example")
        client.say(b"STARTTLS")
        client.start_tls(running.ca_file)
        client.say(b"EHLO inside.example")
    assert box.calls == [
        "False ['early.example'] ''",
        "False ['early.example', 'attacker.example'] 'early.example'",
        "True ['inside.example'] ''",
    ]


def test_a_factory_that_returns_the_same_handler_again_is_found_out(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    """A handler of before the upgrade would bring what it believed with it: the session ends, and the log says why."""
    once = handler()()
    running = serve(lambda: once)
    with Raw(running.port) as client:
        client.say(b"EHLO client.example")
        client.say(b"STARTTLS")
        client.start_tls(running.ca_file)
        client.send(b"EHLO client.example\r\n")
        assert client.reply().startswith(b"421 4.3.0")
    assert "the handler of the plaintext side again" in caplog.text


@pytest.mark.parametrize("answer", [NO, LATER])
@pytest.mark.parametrize("name", ["on_hello", "on_mail", "on_rcpt"])
def test_a_refusal_is_what_the_client_is_told(serve: Serve, name: str, answer: Reply) -> None:
    """The reply goes out as it is; the conversation goes on."""
    refuse = [True]

    async def hook(self: object, *arguments: object) -> Reply | None:
        return answer if refuse[0] else None

    running = serve(handler(None, **{name: hook}))
    with Raw(running.port) as client:
        for command, hook_name in (
            (b"EHLO client.example", "on_hello"),
            (b"MAIL FROM:<a@b.example>", "on_mail"),
            (b"RCPT TO:<c@d.example>", "on_rcpt"),
        ):
            said = client.say(command)
            if hook_name == name:
                assert said == answer.octets.rstrip()
                refuse[0] = False
                said = client.say(command)
            assert said.startswith(b"250")


def test_a_refused_hello_leaves_the_transaction_as_it_was(serve: Serve) -> None:
    """EHLO resets only when it is accepted."""

    def on_hello(self: object, session: object, name: str) -> Reply | None:
        return NO if name == "bad.example" else None

    with Raw(serve(handler(on_hello=on_hello)).port) as client:
        client.say(b"EHLO good.example")
        client.say(b"MAIL FROM:<a@b.example>")
        client.say(b"RCPT TO:<c@d.example>")
        assert client.say(b"EHLO bad.example").startswith(b"550")
        assert client.say(b"DATA").startswith(b"354")
        assert client.say(b"x\r\n.").startswith(b"250")


def test_refused_connection_is_told_so_in_place_of_the_greeting(serve: Serve) -> None:
    """554, and then nothing but QUIT (RFC 5321 section 3.1)."""
    running = serve(handler(on_connect=lambda self, session: NO))
    with Raw(running.port) as client:
        assert client.greeting == b"554 5.7.1 Not you"
        assert client.say(b"EHLO client.example").startswith(b"503")
        assert client.say(b"QUIT").startswith(b"221")


def test_temporarily_refused_connection_is_closed(serve: Serve) -> None:
    """421 in place of the greeting."""
    running = serve(handler(on_connect=lambda self, session: LATER))
    with Raw(running.port, greeted=False) as client:
        assert client.rest() == b"421 4.7.1 Not now\r\n"


def test_a_refusal_inside_tls_answers_every_command(serve: Serve) -> None:
    """RFC 3207 section 4.1: what TLS reached was not enough."""
    running = serve(handler(on_secure=lambda self, session, evidence: NO))
    with Raw(running.port) as client:
        client.say(b"EHLO client.example")
        client.say(b"STARTTLS")
        client.start_tls(running.ca_file)
        assert client.say(b"EHLO client.example") == b"554 5.7.1 Not you"
        assert client.say(b"MAIL FROM:<a@b.example>") == b"554 5.7.1 Not you"
        assert client.say(b"QUIT").startswith(b"221")


def test_a_reply_of_421_ends_the_session(serve: Serve) -> None:
    """From any hook."""
    closing = Reply(421, "4.3.2", "Closing")
    running = serve(handler(on_mail=lambda self, session, sender, parameters: closing))
    with Raw(running.port) as client:
        client.say(b"EHLO client.example")
        client.send(b"MAIL FROM:<a@b.example>\r\nNOOP\r\n")
        assert client.rest() == closing.octets


@pytest.mark.parametrize("name", ["on_hello", "on_mail", "on_rcpt", "on_message"])
@pytest.mark.parametrize("asynchronous", [True, False])
def test_a_hook_that_raises_is_a_temporary_refusal_and_logged(
    serve: Serve, caplog: pytest.LogCaptureFixture, name: str, asynchronous: bool
) -> None:
    """451, one traceback, and the session goes on."""
    broken = [True]

    def hook(self: object, *arguments: object) -> None:
        if broken[0]:
            raise ZeroDivisionError("the handler's own fault")

    async def later(self: object, *arguments: object) -> None:
        hook(self)

    with Raw(serve(handler(None, **{name: later if asynchronous else hook})).port) as client:
        assert client.say(b"EHLO client.example").startswith(b"451" if name == "on_hello" else b"250")
        broken[0] = broken[0] and name != "on_hello"
        client.say(b"EHLO client.example")
        assert client.say(b"MAIL FROM:<a@b.example>").startswith(b"451" if name == "on_mail" else b"250")
        broken[0] = broken[0] and name != "on_mail"
        client.say(b"RSET")
        client.say(b"MAIL FROM:<a@b.example>")
        assert client.say(b"RCPT TO:<c@d.example>").startswith(b"451" if name == "on_rcpt" else b"250")
        broken[0] = broken[0] and name != "on_rcpt"
        client.say(b"RCPT TO:<c@d.example>")
        client.say(b"DATA")
        assert client.say(b"x\r\n.").startswith(b"451" if name == "on_message" else b"250")
        assert client.say(b"NOOP").startswith(b"250")
    assert "ZeroDivisionError: the handler's own fault" in caplog.text
    assert caplog.text.count(f"{name} failed: connection") == 1


@pytest.mark.parametrize(
    "answer",
    ["250 Ok", True, 250, Reply(354, "", "Go on"), object()],
    ids=["text", "true", "number", "go-ahead", "object"],
)
def test_an_answer_that_is_none_is_a_temporary_refusal(serve: Serve, answer: object) -> None:
    """Neither a string nor True is taken for a yes."""

    async def on_mail(self: object, *arguments: object) -> object:
        return answer

    with Raw(serve(handler(on_mail=on_mail)).port) as client:
        client.say(b"EHLO client.example")
        assert client.say(b"MAIL FROM:<a@b.example>").startswith(b"451 4.3.0")


@pytest.mark.parametrize("name", ["on_mail", "on_message"])
def test_a_hook_that_takes_too_long_is_cancelled(serve: Serve, box: Box, name: str) -> None:
    """451 after ``limits.hook``, never a hang."""

    async def hook(self: object, *arguments: object) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            box.note("cancelled")
            raise

    running = serve(handler(None, **{name: hook}), limits=ServerLimits(hook=0.05))
    with Raw(running.port) as client:
        client.say(b"EHLO client.example")
        said = client.say(b"MAIL FROM:<a@b.example>")
        if name == "on_message":
            client.say(b"RCPT TO:<c@d.example>")
            client.say(b"DATA")
            said = client.say(b"x\r\n.")
        assert said.startswith(b"451 4.3.0")
        assert client.say(b"NOOP").startswith(b"250")
    box.wait_for("cancelled")


def test_a_hook_is_cancelled_when_its_peer_is_gone(serve: Serve, box: Box) -> None:
    """Nobody waits for its answer any more."""

    async def on_mail(self: object, *arguments: object) -> None:
        box.note("asked")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            box.note("cancelled")
            raise

    running = serve(handler(on_mail=on_mail))
    with Raw(running.port) as client:
        client.say(b"EHLO client.example")
        client.send(b"MAIL FROM:<a@b.example>\r\n")
        box.wait_for("asked")
        client.send(b"NOOP\r\n")
        client.plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    box.wait_for("cancelled")


def test_a_hook_whose_peer_left_before_it_began_is_dropped_without_a_word() -> None:
    """The loss is found when the replies before it are written: the hook never runs, and Python warns of nothing."""

    async def scene() -> list[str]:
        near, far = socket.socketpair()
        near.setblocking(False)
        calls = []

        async def never() -> None:
            calls.append("begun")

        def on_hello(self: object, session: object, name: str) -> Any:
            near.close()
            calls.append("asked")
            return never()

        server = Server(handler(on_hello=on_hello), hostname="mx.example.test", starttls=False)
        loop = asyncio.get_running_loop()
        serving = loop.create_task(server.serve_socket(far))
        assert (await loop.sock_recv(near, 1024)).startswith(b"220")
        await loop.sock_sendall(near, b"NOOP\r\nEHLO client.example\r\n")
        async with asyncio.timeout(60):
            await serving
        await server.drain()
        return calls

    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        assert asyncio.run(scene()) == ["asked"]
        gc.collect()
    assert [str(each.message) for each in found] == []


def test_a_failed_handshake_is_told_of_with_its_reason(serve: Serve, box: Box) -> None:
    """``on_failure``, then ``on_close``; nothing is served afterwards."""

    def on_failure(self: object, failure: Any) -> None:
        box.note(f"{failure.injected} {failure.residue!r} {failure.reason}")

    def on_close(self: object, session: Any, reason: str) -> None:
        box.note(f"closed: {reason}")

    running = serve(handler(on_failure=on_failure, on_close=on_close))
    with Raw(running.port) as client:
        client.say(b"EHLO client.example")
        assert client.say(b"STARTTLS").startswith(b"220")
        client.send(b"NOOP\r\n")
        assert b"250" not in client.rest()
    box.wait_for("closed: plaintext after the upgrade")
    assert box.calls[0].startswith("True b'' ")
    assert len(box.calls) == 2


def test_plaintext_behind_starttls_is_told_of_with_its_octets(serve: Serve, box: Box) -> None:
    """The injected octets are evidence: the hook gets them, no parser does."""

    def on_failure(self: object, failure: Any) -> None:
        box.note(f"{failure.injected} {failure.residue!r}")

    running = serve(handler(on_failure=on_failure))
    with Raw(running.port) as client:
        client.say(b"EHLO client.example")
        client.send(b"STARTTLS\r\nMAIL FROM:<evil@x.example>\r\n")
        assert client.rest().startswith(b"554 5.5.0")
    box.wait_for("True b'MAIL FROM:<evil@x.example>\\r\\n'")


def test_mistakes_in_a_handler_are_found_before_anything_is_served() -> None:
    """A misspelt hook would otherwise never be called."""

    def make(factory: Any) -> Server:
        return Server(factory, hostname="mx.example.test", contexts=contexts())

    with pytest.raises(LocalProtocolError, match="on_recipient is no hook"):
        make(handler(on_recipient=lambda self: None))
    with pytest.raises(LocalProtocolError, match="no on_message"):
        make(type("Empty", (), {}))
    with pytest.raises(LocalProtocolError, match="no on_message"):
        make(type("Empty", (Handler,), {}))
    with pytest.raises(LocalProtocolError, match="the class, not an object of it"):
        make(handler()())
    with pytest.raises(LocalProtocolError, match="needs a certificate"):
        Server(handler(), hostname="mx.example.test")
    with pytest.raises(LocalProtocolError, match="starttls=False, and a certificate"):
        Server(handler(), hostname="mx.example.test", contexts=contexts(), starttls=False)


def test_a_factory_that_raises_turns_the_client_away(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """The client may try again later; the log has the traceback."""

    def broken() -> object:
        raise ZeroDivisionError("no handler today")

    caplog.set_level(logging.ERROR)
    with Raw(serve(broken).port, greeted=False) as client:
        assert client.rest().startswith(b"421 4.3.0")
    assert "no handler today" in caplog.text
