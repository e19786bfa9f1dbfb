"""The attacks of the mail server's suite, against the library's server with a handler that believes everything.

The handler here is as naive as a handler can be: it keeps whatever it hears on itself, and the extension does so too.
Nothing of it may be there inside TLS.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.attacks.raw import Raw, hello_record
from tests.attacks.test_plaintext_injection import INJECTED
from tests.unit.smtp.publicserver import Box, Running

from gatepost.smtp import Auth, Extension, Reply, ServerLimits


class Naive:
    """Remembers everything, never forgets, and acts on it."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self.heard: list[str] = []
        self.trusted = False

    async def on_hello(self, session: Any, name: str) -> None:
        self.heard.append(f"hello {name}")
        self.trusted = self.trusted or name == "trust.me"

    async def on_mail(self, session: Any, sender: Any, parameters: Any) -> None:
        self.heard.append(f"mail {sender}")

    async def on_rcpt(self, session: Any, recipient: Any, parameters: Any) -> Reply | None:
        self.heard.append(f"rcpt {recipient}")
        if recipient.local == "slow":
            await asyncio.sleep(3600)
        if recipient.local == "broken":
            raise RuntimeError("a naive handler breaks")
        return None if self.trusted or recipient.domain == "example.test" else Reply(550, "5.7.1", "No relaying")

    async def on_message(self, session: Any, message: Any) -> None:
        content = await message.read()
        self.box.messages.append(content)
        self.box.note(f"{session.private} {self.heard} {session.user if session.private else None}")


class Notebook(Extension):
    """Keeps what it is told."""

    keywords = ("XNOTE",)
    verbs = ("XNOTE",)

    def __init__(self) -> None:
        self.notes: list[str] = []

    async def on_verb(self, session: Any, verb: str, argument: str) -> Reply:
        self.notes.append(argument)
        return Reply(250, "2.0.0", " ".join(self.notes))


@pytest.fixture(scope="module")
def module_box() -> Box:
    return Box()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, module_box: Box) -> Iterator[Running]:
    settings: dict[str, Any] = {
        "extensions": [Notebook],
        "auth": Auth.from_passwords({"alice": "wonderland"}),
        "limits": ServerLimits(login_delay=0.0, connections_per_address=0),
    }
    with Running(lambda: Naive(module_box), tmp_path_factory.mktemp("public"), **settings) as running:
        yield running


@pytest.fixture
def public(shared: Running, module_box: Box) -> Iterator[Running]:
    """A running server. After the attack it must still take an honest message over TLS."""
    module_box.messages.clear()
    module_box.calls.clear()
    yield shared
    with Raw(shared.port) as client:
        deliver(client, shared.ca_file)


def deliver(client: Raw, ca_file: Path) -> None:
    client.upgrade(ca_file)
    assert client.say(b"MAIL FROM:<friend@elsewhere.example>").startswith(b"250")
    assert client.say(b"RCPT TO:<alice@example.test>").startswith(b"250")
    assert client.say(b"DATA").startswith(b"354")
    assert client.say(b"Subject: honest\r\n\r\nhello\r\n.").startswith(b"250")
    assert client.say(b"QUIT").startswith(b"221")


@pytest.mark.parametrize("injected", INJECTED, ids=ascii)
def test_attacker_cannot_have_a_command_run_inside_tls(public: Running, injected: bytes) -> None:
    """Goal: a command in the STARTTLS segment is answered inside TLS. It is refused in the clear; the session ends."""
    with Raw(public.port) as client:
        client.say(b"EHLO attacker.example")
        client.send(b"STARTTLS\r\n" + injected)
        if injected == b"\x16":
            assert client.reply().startswith(b"220")
            client.send(b"NOOP\r\nNOOP\r\n")
            assert b"250" not in client.rest()
            return
        answers = client.rest()
        assert answers.count(b"\r\n") == 1
        assert answers.startswith(b"554 5.5.0")


@pytest.mark.parametrize("segment", [b"NOOP\r\n", b"XINJ", b"EHLO evil.example\r\n", b"\r\n"], ids=ascii)
def test_attacker_cannot_inject_in_the_next_segment(public: Running, segment: bytes) -> None:
    """Goal: the command arrives between the go-ahead and the ClientHello. It reaches TLS, which fails; no reply."""
    with Raw(public.port) as client:
        client.say(b"EHLO attacker.example")
        assert client.say(b"STARTTLS").startswith(b"220")
        client.send(segment)
        answer = client.rest()
        assert answer[:1] in (b"", b"\x15")


def test_attacker_cannot_carry_a_belief_of_the_handler_across(public: Running, module_box: Box) -> None:
    """Goal: a hello in the clear that the handler trusts lets the victim's session relay. It is another handler."""
    with Raw(public.port) as client:
        assert client.say(b"EHLO trust.me").startswith(b"250")
        client.say(b"MAIL FROM:<evil@x.example>")
        assert client.say(b"RCPT TO:<victim@relay.example>").startswith(b"250")
        client.say(b"RSET")
        assert client.say(b"STARTTLS").startswith(b"220")
        client.start_tls(public.ca_file)
        assert client.say(b"MAIL FROM:<evil@x.example>").startswith(b"503")  # no hello was said here
        assert client.say(b"EHLO honest.example").startswith(b"250")
        client.say(b"MAIL FROM:<a@b.example>")
        assert client.say(b"RCPT TO:<victim@relay.example>").startswith(b"550 5.7.1")
        assert client.say(b"RCPT TO:<alice@example.test>").startswith(b"250")
        client.say(b"DATA")
        assert client.say(b"x\r\n.").startswith(b"250")
    assert module_box.calls == [
        "True ['hello honest.example', 'mail a@b.example', 'rcpt victim@relay.example', 'rcpt alice@example.test'] None"
    ]


def test_attacker_cannot_carry_a_note_of_an_extension_across(public: Running) -> None:
    """Goal: what an extension was told in the clear is said inside TLS."""
    with Raw(public.port) as client:
        client.say(b"EHLO attacker.example")
        assert client.say(b"XNOTE evil") == b"250 2.0.0 evil"
        client.say(b"STARTTLS")
        client.start_tls(public.ca_file)
        client.say(b"EHLO victim.example")
        assert client.say(b"XNOTE honest") == b"250 2.0.0 honest"


def test_attacker_cannot_log_in_before_tls(public: Running) -> None:
    """Goal: a login in the clear counts inside. There is none to be had."""
    with Raw(public.port) as client:
        client.say(b"EHLO attacker.example")
        assert client.say(b"AUTH PLAIN AGFsaWNlAHdvbmRlcmxhbmQ=").startswith(b"502")
        client.say(b"STARTTLS")
        client.start_tls(public.ca_file)
        client.say(b"EHLO attacker.example")
        assert client.say(b"AUTH PLAIN AGFsaWNlAHdvbmRlcmxhbmQ=").startswith(b"235")


def test_attacker_cannot_start_tls_within_a_transaction(public: Running, module_box: Box) -> None:
    """Goal: an envelope opened in the clear is filled inside TLS."""
    with Raw(public.port) as client:
        client.say(b"EHLO attacker.example")
        client.say(b"MAIL FROM:<evil@x.example>")
        client.say(b"RCPT TO:<alice@example.test>")
        assert client.say(b"STARTTLS").startswith(b"503")


def test_attacker_cannot_talk_in_the_clear_after_tls(public: Running) -> None:
    """Goal: raw text on the socket inside TLS is read as commands. The connection ends."""
    with Raw(public.port) as client:
        client.upgrade(public.ca_file)
        os.set_blocking(client.sock.fileno(), True)  # a socket with a timeout is not
        os.write(client.sock.fileno(), b"NOOP\r\n" * 3)
        answer = b""
        while data := os.read(client.sock.fileno(), 65536):
            answer += data
        assert b"250" not in answer


def test_eager_client_is_served(public: Running) -> None:
    """A ClientHello in the STARTTLS segment is handshake, not plaintext."""
    engine, incoming, outgoing, record = hello_record()
    with Raw(public.port) as client:
        client.say(b"EHLO eager.example")
        client.send(b"STARTTLS\r\n" + record)
        assert client.reply().startswith(b"220")
        while True:
            incoming.write(client.buffer or client.sock.recv(65536))
            client.buffer = b""
            with contextlib.suppress(ssl.SSLWantReadError):
                engine.do_handshake()
                break
        engine.write(b"EHLO eager.example\r\n")
        client.send(outgoing.read())
        answer = b""
        while b"\r\n250 " not in answer:
            incoming.write(client.sock.recv(65536))
            with contextlib.suppress(ssl.SSLWantReadError):
                answer += engine.read(65536)
        assert b"STARTTLS" not in answer


def test_attacker_cannot_hold_others_with_a_slow_hook(public: Running) -> None:
    """Goal: a hook that never returns stops the server. Ten of them wait; others are served."""
    with contextlib.ExitStack() as stack:
        for _ in range(10):
            client = stack.enter_context(Raw(public.port))
            client.say(b"EHLO attacker.example")
            client.send(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<slow@example.test>\r\n" + b"NOOP\r\n" * 100)
            assert client.reply().startswith(b"250")
        deliver(stack.enter_context(Raw(public.port)), public.ca_file)


def test_attacker_cannot_hang_a_session_with_a_broken_hook(public: Running) -> None:
    """Goal: a handler's exception leaves the client, or the server, waiting. It is a 451 each time."""
    with Raw(public.port) as client:
        client.say(b"EHLO attacker.example")
        client.say(b"MAIL FROM:<a@b.example>")
        for _ in range(5):
            assert client.say(b"RCPT TO:<broken@example.test>").startswith(b"451 4.3.0")
        assert client.say(b"RCPT TO:<alice@example.test>").startswith(b"250")


def test_attacker_cannot_smuggle_a_second_message(public: Running, module_box: Box) -> None:
    """Goal: a bare LF around the dot ends the content for us and not for the next server. It is refused."""
    with Raw(public.port) as client:
        client.say(b"EHLO attacker.example")
        client.say(b"MAIL FROM:<a@b.example>")
        client.say(b"RCPT TO:<alice@example.test>")
        client.say(b"DATA")
        client.send(
            b"first\n.\r\nMAIL FROM:<evil@x.example>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\nsecond\r\n.\r\n"
        )
        assert client.reply().startswith(b"550 5.5.2")
        assert client.say(b"NOOP").startswith(b"250")
    assert module_box.messages == []


def test_attacker_cannot_use_up_descriptors_with_failed_upgrades(tmp_path: Path) -> None:
    """Goal: handshakes that fail in every way leave something behind. Nothing is: no socket, task or table entry."""
    with Running(lambda: Naive(Box()), tmp_path) as running:
        before = len(os.listdir("/proc/self/fd"))
        for attempt in range(120):
            with Raw(running.port) as client:
                client.say(b"EHLO attacker.example")
                if attempt % 4 == 0:
                    client.send(b"STARTTLS\r\nNOOP\r\n")
                    assert client.rest().startswith(b"554")
                    continue
                assert client.say(b"STARTTLS").startswith(b"220")
                if attempt % 4 == 1:
                    client.send(hello_record()[3][: attempt * 2])
                elif attempt % 4 == 2:
                    client.send(b"\x16\x03\x01\x00\x04\x01\x00\x00\x00")
                    client.rest()
        while running.server.connections or len(os.listdir("/proc/self/fd")) > before:
            running.run(asyncio.sleep(0.01))
        with Raw(running.port) as client:
            deliver(client, running.ca_file)
