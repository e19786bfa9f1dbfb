"""Limits and deadlines of the public server, and how it ends."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.attacks.raw import Raw
from tests.unit.smtp.publicserver import Box, Running, contexts, handler

from gatepost.errors import LocalProtocolError
from gatepost.smtp import Reply, Server, ServerLimits

Serve = Callable[..., Running]
SHORT = 0.3


@pytest.mark.parametrize(
    ("limits", "said", "last"),
    [
        (ServerLimits(command=SHORT), b"", b"421 4.4.2"),
        (ServerLimits(command=SHORT), b"EHLO client.example\r\n", b"421 4.4.2"),
        (ServerLimits(session=SHORT), b"EHLO client.example\r\n", b"421 4.4.2"),
        (ServerLimits(handshake=SHORT), b"EHLO client.example\r\nSTARTTLS\r\n", b""),
        (
            ServerLimits(data=SHORT),
            b"EHLO client.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\nx",
            b"421 4.4.2",
        ),
    ],
    ids=["command", "next command", "session", "handshake", "data"],
)
def test_a_silent_client_is_not_waited_for(serve: Serve, limits: ServerLimits, said: bytes, last: bytes) -> None:
    """One last reply, where text may be said, and the end."""
    with Raw(serve(limits=limits).port) as client:
        client.send(said)
        answers = client.rest().split(b"\r\n")
    assert answers[-2].startswith(last or b"220")


def test_a_client_beyond_the_limit_is_told_so(serve: Serve) -> None:
    """421, and room again when somebody has left."""
    running = serve(limits=ServerLimits(connections=2))
    with Raw(running.port) as first, Raw(running.port):
        with Raw(running.port) as third:
            assert third.greeting.startswith(b"421 4.3.2")
            assert third.rest() == b""
        first.say(b"QUIT")
        assert first.rest() == b""
        first.close()
        while running.server.connections > 1:
            running.run(asyncio.sleep(0.01))
        with Raw(running.port) as fourth:
            assert fourth.greeting.startswith(b"220")


def test_an_address_beyond_its_limit_is_told_so(serve: Serve) -> None:
    """Other addresses are served."""
    running = serve(limits=ServerLimits(connections_per_address=1))
    with Raw(running.port), Raw(running.port) as second, Raw(running.port, source="127.0.0.2") as other:
        assert second.greeting.startswith(b"421 4.7.0")
        assert other.greeting.startswith(b"220")


def test_guessing_recipients_ends_the_session(serve: Serve) -> None:
    """Refusals of hooks count, as long as they are more than what was accepted."""
    running = serve(
        handler(on_rcpt=lambda self, session, recipient, parameters: Reply(550, "5.1.1", "No such user")),
        limits=ServerLimits(errors=3),
    )
    with Raw(running.port) as client:
        client.say(b"EHLO client.example")
        client.say(b"MAIL FROM:<a@b.example>")
        client.send(b"RCPT TO:<c@d.example>\r\n" * 10)
        answers = client.rest()
    assert answers.count(b"550") == 4
    assert answers.count(b"421 4.7.0 Too many errors") == 1


@pytest.mark.parametrize(
    "settings", [{"handshake": 0}, {"hook": -1}, {"connections": 0}, {"login_delay": -1}, {"logins": 0}], ids=str
)
def test_limits_that_refuse_everybody_are_refused(settings: dict[str, Any]) -> None:
    """At once, not when the first client comes."""
    with pytest.raises(LocalProtocolError):
        ServerLimits(**settings)


def test_drain_says_421_to_the_idle_and_lets_a_message_arrive(serve: Serve, box: Box) -> None:
    """What is under way is finished; then nobody is left."""
    running = serve(handler(box))
    with Raw(running.port) as idle, Raw(running.port) as busy:
        idle.say(b"EHLO idle.example")
        busy.say(b"EHLO busy.example")
        busy.say(b"MAIL FROM:<a@b.example>")
        busy.say(b"RCPT TO:<c@d.example>")
        busy.say(b"DATA")
        drained = threading.Thread(target=running.run, args=(running.server.drain(60.0),))
        drained.start()
        assert idle.rest().startswith(b"421 4.3.2")
        idle.close()
        assert busy.say(b"whole\r\n.").startswith(b"250")
        assert busy.rest().startswith(b"421 4.3.2")
        busy.close()
        drained.join(60)
        assert not drained.is_alive()
    assert box.messages == [b"whole\r\n"]
    assert running.server.connections == 0


def test_drain_cuts_off_what_does_not_end(serve: Serve, box: Box) -> None:
    """After its time, whatever hooks do; they are cancelled."""

    async def on_message(self: object, session: Any, message: Any) -> None:
        box.note("begun")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            box.note("cancelled")
            raise

    running = serve(handler(on_message=on_message))
    with Raw(running.port) as client:
        client.say(b"EHLO client.example")
        client.say(b"MAIL FROM:<a@b.example>")
        client.say(b"RCPT TO:<c@d.example>")
        client.say(b"DATA")
        box.wait_for("begun")
        running.run(running.server.drain(0.05))
        box.wait_for("cancelled")
        assert client.rest() == b""


def test_serve_socket_serves_one_connection_and_returns(box: Box, tmp_path: Path) -> None:
    """On any connected socket; a local one is known by its user."""

    async def on_connect(self: object, session: Any) -> None:
        box.note(f"{session.origin.peer[0]} {session.origin.uid is not None}")

    async def main() -> bytes:
        ours, theirs = socket.socketpair()
        server = Server(handler(box, on_connect=on_connect), hostname="mx.example.test", contexts=contexts())
        theirs.sendall(b"QUIT\r\n")
        with theirs:
            await server.serve_socket(ours)
            theirs.setblocking(False)
            said = await asyncio.get_running_loop().sock_recv(theirs, 4096)
            await server.drain()
            return said

    said = asyncio.run(main())
    assert said.startswith(b"220 mx.example.test")
    assert b"\r\n221 " in said
    assert box.calls == ["local True"]


def test_cancelling_serve_socket_cuts_the_connection_off() -> None:
    """Nothing is left behind."""

    async def main() -> bytes:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        server = Server(handler(), hostname="mx.example.test", contexts=contexts())
        serving = asyncio.create_task(server.serve_socket(ours))
        with theirs:
            loop = asyncio.get_running_loop()
            assert (await loop.sock_recv(theirs, 4096)).startswith(b"220")
            serving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await serving
            assert server.connections == 0
            assert ours.fileno() == -1
            await server.drain()
            return await loop.sock_recv(theirs, 4096)

    assert asyncio.run(main()) == b""


def test_two_addresses_may_be_listened_on() -> None:
    """The inner one ends alone; the outer one drains."""

    async def main() -> tuple[int, ...]:
        server = Server(handler(), hostname="mx.example.test", contexts=contexts())
        async with server.listen("127.0.0.1", 0):
            async with server.listen("127.0.0.1", 0):
                both = server.ports
            assert server.ports == both[:1]
        with pytest.raises(LocalProtocolError):
            _ = server.port
        return both

    assert len(set(asyncio.run(main()))) == 2
