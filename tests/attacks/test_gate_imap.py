"""An IMAP gate between hostile clients and hostile servers: nothing crosses that was not meant to."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.attacks.imap_client import RawIMAP
from tests.attacks.imap_server import ScriptedIMAP
from tests.attacks.raw import hello_record

from gatepost.testing.gate import RunningGates

GATES = (
    {"name": "front", "protocol": "imap", "backend": "mail"},
    {"name": "private", "protocol": "imap", "backend": "mail", "tls": "implicit"},
    {"name": "clear", "protocol": "imap", "backend": "mail", "mode": "refuse"},
    {"name": "pass", "protocol": "imap", "backend": "mail", "mode": "pass"},
)
Start = Callable[..., RunningGates]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts gates in front of a server."""
    with contextlib.ExitStack() as stack:

        def begin(server: ScriptedIMAP, **backend: object) -> RunningGates:
            stack.enter_context(server)
            gates = [gate for gate in GATES if not (backend and gate["name"] == "pass")]  # it goes with no other keys
            return stack.enter_context(RunningGates(tmp_path, gates, [{**server.backend, **backend}]))

        yield begin


def inside(gates: RunningGates) -> RawIMAP:
    """Somebody who has logged in, inside TLS."""
    client = RawIMAP(gates.port("front"))
    client.upgrade(gates.ca_file)
    client.log_in()
    return client


# Across the upgrade


@pytest.mark.parametrize(
    "residue", [b"x INJECTED\r\n", b"x INJ", b"x INJECTED {5}\r\n", b"\0", b"\r\n", b"\x16\x03\x09"]
)
def test_what_stands_behind_starttls_is_refused(start: Start, residue: bytes) -> None:
    """A BAD in place of the OK, and the end; the server hears nothing of it."""
    server = ScriptedIMAP()
    gates = start(server)
    with RawIMAP(gates.port("front")) as client:
        client.send(b"s STARTTLS\r\n" + residue)
        assert client.rest() == b"s BAD Octets stood behind STARTTLS\r\n* BYE Closing\r\n"
    assert b"INJ" not in server.everything()


def test_plaintext_behind_the_go_ahead_fails_the_handshake(start: Start) -> None:
    """In a segment of its own it reaches the TLS engine, and nothing else."""
    server = ScriptedIMAP()
    gates = start(server)
    with RawIMAP(gates.port("front")) as client:
        assert client.say(b"s STARTTLS").startswith(b"s OK")
        client.send(b"x LOGIN mallory secret\r\n")
        assert b" OK" not in client.rest()
    assert b"mallory" not in server.everything()


def test_an_eager_hello_is_served(start: Start) -> None:
    """A ClientHello in the segment of STARTTLS is the beginning of the handshake."""
    gates = start(ScriptedIMAP())
    with RawIMAP(gates.port("front")) as client:
        engine, incoming, outgoing, hello = hello_record()
        client.send(b"s STARTTLS\r\n" + hello)
        assert client.reply().startswith(b"s OK")
        incoming.write(client.buffer)
        while True:
            try:
                engine.do_handshake()
                break
            except Exception:  # noqa: BLE001 - it wants more
                incoming.write(client.plain.recv(65536))
        client.send(outgoing.read())
        engine.write(b"a CAPABILITY\r\n")
        client.send(outgoing.read())
        text = b""
        while b"a OK" not in text:
            incoming.write(client.plain.recv(65536))
            with contextlib.suppress(Exception):
                text += engine.read(65536)
        assert b"STARTTLS" not in text


def test_nothing_said_in_the_clear_reaches_the_server(start: Start) -> None:
    """The session behind begins with the first command inside TLS."""
    server = ScriptedIMAP()
    gates = start(server)
    with RawIMAP(gates.port("front")) as client:
        for line in (b'a ID ("name" "clear")', b"b NOOP", b"c LOGIN clear clear", b"d SELECT clear", b"e CAPABILITY"):
            client.send(line + b"\r\n")
        client.send(b"s STARTTLS\r\n")
        while not client.reply().startswith(b"s OK"):
            pass
        client.start_tls(gates.ca_file)
        client.log_in()
    assert server.heard().heard.startswith((b"l LOGIN", b"g1 CAPABILITY\r\nl LOGIN"))
    assert b"clear" not in server.everything()


def test_starttls_is_not_served_twice(start: Start) -> None:
    """Inside TLS it is neither listed nor served, on either kind of gate."""
    server = ScriptedIMAP(listed=b"IMAP4rev1 STARTTLS LOGINDISABLED")
    gates = start(server)
    with RawIMAP(gates.port("front")) as client:
        client.upgrade(gates.ca_file)
        assert client.say(b"a CAPABILITY") == b"* CAPABILITY IMAP4rev1 LOGINDISABLED"
        assert client.reply().startswith(b"a OK")
        assert client.say(b"b STARTTLS").startswith(b"b BAD")
        client.log_in()
    assert b"STARTTLS" not in server.heard().heard


@pytest.mark.parametrize(
    "answer",
    [
        b"%TAG OK go\r\n* CAPABILITY IMAP4rev1 AUTH=INJECTED\r\n",
        b"%TAG OK go\r\ng1 OK\r\n",
        b"%TAG OK go\r\nx",
        b"%TAG NO not now\r\n",
        b"%TAG BAD what\r\n",
        b"+ go on\r\n",
        b"* PREAUTH in\r\n%TAG OK go\r\n",
        b"a9 OK go\r\n",
    ],
)
def test_a_server_behind_that_does_not_upgrade_properly_is_not_used(start: Start, answer: bytes) -> None:
    """With ``tls = "starttls"`` there is TLS with it, or nothing is said to it."""
    server = ScriptedIMAP({b"STARTTLS": answer}, listed=b"IMAP4rev1 STARTTLS AUTH=PLAIN")
    gates = start(server, tls="starttls", reply_timeout="2s", connect_timeout="2s")
    with RawIMAP(gates.port("front")) as client:
        assert client.greeting.startswith(b"* BYE [UNAVAILABLE]") or not client.greeting
    assert b"LOGIN" not in server.everything()


@pytest.mark.parametrize("greeting", [b"* PREAUTH in\r\n", b"* BYE no\r\n", b"220 smtp\r\n", b"a1 OK in\r\n", b"\r\n"])
def test_a_server_that_does_not_greet_properly_is_not_used(start: Start, greeting: bytes) -> None:
    """PREAUTH above all: whoever comes would be logged in as we are."""
    server = ScriptedIMAP(greeting=greeting)
    gates = start(server)
    for gate in ("front", "clear"):
        with RawIMAP(gates.port(gate)) as client:
            assert client.greeting.startswith(b"* BYE [UNAVAILABLE]")
            assert client.rest() == b""


class TestPassing:
    """STARTTLS that goes through to the server."""

    def test_a_client_that_talks_behind_starttls_is_refused(self, start: Start) -> None:
        """What it said reaches neither the server nor the end of the upgrade."""
        server = ScriptedIMAP({b"STARTTLS": b"%TAG OK go\r\n"})
        gates = start(server)
        with RawIMAP(gates.port("pass")) as client:
            client.send(b"s STARTTLS\r\nx INJECTED\r\n")
            assert client.rest() == b"s BAD Octets stood behind STARTTLS\r\n* BYE Closing\r\n"
        assert b"INJECTED" not in server.everything()

    def test_a_server_that_talks_behind_its_go_ahead_is_refused(self, start: Start) -> None:
        """What it said does not reach the client."""
        gates = start(ScriptedIMAP({b"STARTTLS": b"%TAG OK go\r\n* CAPABILITY AUTH=INJECTED\r\n"}))
        with RawIMAP(gates.port("pass")) as client:
            client.send(b"s STARTTLS\r\n")
            rest = client.rest()
        assert b"INJECTED" not in rest
        assert rest.startswith(b"s BAD ")

    def test_reading_goes_on_where_the_server_refuses(self, start: Start) -> None:
        """COMPRESS, which would make the gate blind, is still refused, and so is a password in the clear."""
        server = ScriptedIMAP({b"STARTTLS": b"%TAG NO later\r\n"})
        gates = start(server)
        with RawIMAP(gates.port("pass")) as client:
            assert client.say(b"s STARTTLS") == b"s NO later"
            assert client.say(b"l LOGIN bob secret").startswith(b"l NO [PRIVACYREQUIRED]")
            assert client.say(b"c COMPRESS DEFLATE").startswith(b"c BAD")
            assert client.say(b"n NOOP").startswith(b"n OK")
        assert b"COMPRESS" not in server.everything() and b"secret" not in server.everything()


# Literals


@pytest.mark.parametrize(
    "trick",
    [
        b'x SELECT "a{5}\r\n',
        b"x SELECT a{5}\r\n",
        b"x SELECT {-5}\r\n",
        b"x SELECT {}\r\n",
        b"x SELECT {5++}\r\n",
        b"x SELECT {18446744073709551621+}\r\n",
        b"x SELECT {9223372036854775808}\r\n",
        b"x SELECT {5+}\n",
        b"x SELECT \0{5+}\r\n",
        b"x SELECT {5+}\r\0\n",
    ],
)
def test_no_command_hides_behind_what_looks_like_a_literal(start: Start, trick: bytes) -> None:
    """Where the server could see content and the gate a command, or the other way round, nothing behind it passes."""
    server = ScriptedIMAP()
    gates = start(server)
    with inside(gates) as client:
        client.send(trick + b"y COMPRESS DEFLATE\r\nz UNAUTHENTICATE\r\n")
        assert client.rest().startswith(b"x BAD ")
    heard = server.heard()
    assert heard.ended.wait(20)
    assert b"y COMPRESS" not in server.everything()
    assert b"SELECT" not in heard.heard


def test_a_literal_is_content_whatever_it_looks_like(start: Start) -> None:
    """Commands inside a literal are not commands, to the gate as to the server."""
    server = ScriptedIMAP()
    gates = start(server)
    with inside(gates) as client:
        content = b"y COMPRESS DEFLATE\r\nz STARTTLS\r\n"
        client.send(b"x APPEND INBOX {%d+}\r\n%b\r\n" % (len(content), content))
        assert client.reply().startswith(b"x OK")
    assert content in server.heard().heard


def test_a_refused_literal_is_no_cover(start: Start) -> None:
    """Behind a literal that the server refused a command is a command, and refused where it must be."""
    server = ScriptedIMAP({b"APPEND": b"%TAG NO over quota\r\n"})
    gates = start(server)
    with inside(gates) as client:
        client.send(b"x APPEND INBOX {23}\r\ny COMPRESS DEFLATE\r\n\r\n")
        assert client.reply() == b"x NO over quota"
        assert client.reply().startswith(b"y BAD ")
    assert b"COMPRESS" not in server.everything()


def test_nothing_of_a_literal_passes_before_the_server_asks(start: Start) -> None:
    """The ``+`` is the server's: the gate never takes more than it can give on."""
    server = ScriptedIMAP({b"APPEND": b""})
    gates = start(server)
    with inside(gates) as client:
        client.send(b"x APPEND INBOX {6}\r\nsecret\r\n")
        behind = server.heard(b"APPEND")
        assert client.silent()
        assert behind.heard.endswith(b"{6}\r\n")
        behind.send(b"+ go\r\n")
        assert client.reply() == b"+ go"
        server.heard(b"{6}\r\nsecret\r\n")


def test_literals_unasked_are_refused_where_the_server_takes_none(start: Start) -> None:
    """To such a server the content would be commands."""
    server = ScriptedIMAP(listed=b"IMAP4rev1")
    gates = start(server)
    with inside(gates) as client:
        client.send(b"x APPEND INBOX {20+}\r\ny COMPRESS DEFLATE\r\n\r\nz NOOP\r\n")
        assert client.reply().startswith(b"x BAD ")
        assert client.reply().startswith(b"z OK")
    assert b"COMPRESS" not in server.everything()


def test_huge_literals_before_a_login_are_refused(start: Start) -> None:
    """Asked for or not, nobody who is nobody fills the server."""
    server = ScriptedIMAP()
    gates = start(server)
    with RawIMAP(gates.port("front")) as client:
        client.upgrade(gates.ca_file)
        assert client.say(b"a LOGIN {4294967296}").startswith(b"a NO [TOOBIG]")
        client.send(b"b LOGIN {4294967296+}\r\n" + b"x" * 20000)
        assert b"* BYE [TOOBIG]" in client.rest()
    assert b"LOGIN" not in server.everything()


# Lines


@pytest.mark.parametrize("private", [False, True])
def test_endless_lines_are_not_held(start: Start, private: bool) -> None:
    """A line of a million octets is one BAD and the end, and the server does not hear of it."""
    server = ScriptedIMAP()
    gates = start(server)
    with inside(gates) if private else RawIMAP(gates.port("front")) as client:
        with contextlib.suppress(OSError):
            client.send(b"x SEARCH " + b"a" * 1_000_000 + b"\r\n")
        with contextlib.suppress(OSError):
            assert b"BAD line too long" in client.rest()
    assert b"SEARCH" not in server.everything()
    with RawIMAP(gates.port("front")) as client:
        assert client.greeting.startswith(b"* OK")


def test_logins_in_the_clear_are_refused_unseen(start: Start) -> None:
    """In every form; the server hears of none."""
    server = ScriptedIMAP()
    gates = start(server)
    with RawIMAP(gates.port("front")) as client:
        for login in (b"LOGIN bob secret", b"LOGIN {3}", b"AUTHENTICATE PLAIN", b"AUTHENTICATE PLAIN AGEAYg=="):
            assert client.say(b"x " + login).startswith(b"x NO [PRIVACYREQUIRED]")
    assert b"bob" not in server.everything()


def test_mechanisms_that_would_be_the_gates_do_not_pass(start: Start) -> None:
    """EXTERNAL would log clients in by the gate's own certificate."""
    server = ScriptedIMAP(listed=b"IMAP4rev1 AUTH=EXTERNAL AUTH=SCRAM-SHA-256-PLUS AUTH=PLAIN")
    gates = start(server)
    with RawIMAP(gates.port("front")) as client:
        client.upgrade(gates.ca_file)
        assert client.say(b"a CAPABILITY") == b"* CAPABILITY IMAP4rev1 AUTH=PLAIN"
        client.reply()
        assert client.say(b"b AUTHENTICATE EXTERNAL =").startswith(b"b NO ")
        assert client.say(b"c authenticate scram-sha-256-plus").startswith(b"c NO ")
        client.log_in()
    assert b"EXTERNAL" not in server.heard().heard


def test_guessing_ends_the_session(start: Start) -> None:
    """After a few failed logins the session is over."""
    gates = start(ScriptedIMAP({b"LOGIN": b"%TAG NO [AUTHENTICATIONFAILED] no\r\n"}))
    with RawIMAP(gates.port("front")) as client:
        client.upgrade(gates.ca_file)
        client.send(b"".join(b"g%d LOGIN bob guess%d\r\n" % (number, number) for number in range(20)))
        rest = client.rest()
    assert rest.count(b" NO ") == 3
    assert b"* BYE" in rest


# A hostile server


@pytest.mark.parametrize(
    "said",
    [b"z9 OK done\r\n", b"* PREAUTH in\r\n", b"* OK " + b"x" * 100_000 + b"\r\n", b'* LIST () "/" "a {5}\r\nz9 OK\r\n'],
)
def test_a_server_that_breaks_the_protocol_is_left(start: Start, said: bytes) -> None:
    """An answer to what nobody asked, PREAUTH, endless statuses, false literals: goodbye, and no more."""
    gates = start(ScriptedIMAP({b"NOOP": said}))
    with inside(gates) as client:
        client.send(b"x NOOP\r\n")
        rest = client.rest()
    assert rest.endswith(b"* BYE [UNAVAILABLE] The server behind broke the protocol\r\n")
    assert b"z9" not in rest


def test_content_is_never_an_answer(start: Start) -> None:
    """``x OK`` and capabilities inside a literal pass unchanged, and complete nothing."""
    content = b"x OK done\r\n* CAPABILITY COMPRESS=DEFLATE\r\n+ go\r\n* BYE\r\n"
    answer = b"* 1 FETCH (BODY[] {%d}\r\n%b)\r\n%%TAG OK done\r\n" % (len(content), content)
    gates = start(ScriptedIMAP({b"FETCH": answer}))
    with inside(gates) as client:
        client.send(b"x FETCH 1 BODY[]\r\nc COMPRESS DEFLATE\r\n")
        expected = answer.replace(b"%TAG", b"x")
        got = b""
        while len(got) < len(expected) or not got.endswith(b"\r\n") or b"c BAD" not in got:
            got += client.sock.recv(65536)
    assert expected in got or got.replace(b"c BAD No compression through this gate\r\n", b"") == expected


def test_early_success_is_not_believed(start: Start) -> None:
    """An OK to a LOGIN that is not complete is no login."""
    gates = start(ScriptedIMAP({b"LOGIN": b"%TAG OK in\r\n"}))
    with RawIMAP(gates.port("front")) as client:
        client.upgrade(gates.ca_file)
        client.send(b"a LOGIN bob {6}\r\n")
        assert client.rest().startswith(b"* BYE [UNAVAILABLE]")


def test_a_message_cut_off_by_the_client_is_not_completed(start: Start) -> None:
    """Without a close alert in the middle of an APPEND the server's connection breaks off, too."""
    server = ScriptedIMAP({b"APPEND": b"+ go\r\n"})
    gates = start(server)
    client = inside(gates)
    client.send(b"x APPEND INBOX {1000}\r\n")
    assert client.reply() == b"+ go"
    client.send(b"half of it\r\n")
    behind = server.heard(b"half of it")
    client.plain.close()
    socket.socket.close(client.sock)
    assert behind.ended.wait(20)
    assert behind.heard.endswith(b"half of it\r\n")
