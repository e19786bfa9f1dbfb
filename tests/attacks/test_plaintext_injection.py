"""The attacker puts bytes behind STARTTLS, hoping that they run as if they had come through TLS (CVE-2011-0411)."""

from __future__ import annotations

import contextlib
import os
import ssl

import pytest
from tests.attacks.raw import Raw, hello_record

from gatepost.testing.server import MailServer

INJECTED = [
    b"NOOP\r\n",
    b"NOOP",
    b"N",
    b"\r\n",
    b"\n",
    b"\0",
    b"RSET\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n",
    b"QUIT\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"\x16",  # the first octet of a record is a record's beginning; what follows in the clear fails the handshake
    b"\x16\x03NOOP\r\n",
    b"\x16\x03\x01\x00\x05NOOP\r\n",
    b"\x15\x03\x01\x00\x02\x02\x28",
    b"\x80\x2e\x01\x00\x02",
    b"\xff" * 5000,
]


@pytest.mark.parametrize("injected", INJECTED, ids=ascii)
@pytest.mark.parametrize("command", [b"STARTTLS\r\n", b"sTaRtTlS\r\n", b"STARTTLS  \r\n"], ids=ascii)
def test_attacker_cannot_have_a_command_run_inside_tls(server: MailServer, command: bytes, injected: bytes) -> None:
    """Goal: a command in the STARTTLS segment is answered inside TLS. It is refused in the clear; the session ends."""
    with Raw(server.ports["mx"]) as client:
        client.say(b"EHLO attacker.example")
        client.send(command + injected)
        if injected == b"\x16":
            assert client.reply().startswith(b"220")
            client.send(b"NOOP\r\nNOOP\r\n")
            assert b"250" not in client.rest()
            return
        answers = client.rest()
        assert answers.count(b"\r\n") == 1
        assert answers.startswith(b"554 5.5.0")


@pytest.mark.parametrize("segment", [b"NOOP\r\n", b"XINJ", b"EHLO evil.example\r\n", b"\r\n"], ids=ascii)
def test_attacker_cannot_inject_in_the_next_segment(server: MailServer, segment: bytes) -> None:
    """Goal: the command arrives after the go-ahead, before the ClientHello. It reaches TLS, which fails; no reply."""
    found = server.total("plaintext_after_upgrade_total", side="server")
    with Raw(server.ports["mx"]) as client:
        client.say(b"EHLO attacker.example")
        assert client.say(b"STARTTLS").startswith(b"220")
        client.send(segment)
        answer = client.rest()
        assert b"250" not in answer
        assert b"500" not in answer
        assert answer[:1] in (b"", b"\x15")  # at most an alert
    assert server.total("plaintext_after_upgrade_total", side="server") == found + 1


def test_attacker_cannot_leave_half_a_line_for_the_victim(server: MailServer) -> None:
    """Goal: `XINJ` behind STARTTLS becomes the beginning of the victim's first command inside TLS."""
    with Raw(server.ports["mx"]) as client:
        client.say(b"EHLO attacker.example")
        client.send(b"STARTTLS\r\nXINJ")
        assert client.reply().startswith(b"554 5.5.0")
        with pytest.raises((ssl.SSLError, OSError)):
            client.start_tls(server.ca_file)


def test_attacker_cannot_inject_behind_a_chunk(server: MailServer) -> None:
    """Goal: STARTTLS hides in BDAT octets, or behind them in one segment."""
    with Raw(server.ports["mx"]) as client:
        client.say(b"EHLO attacker.example")
        client.send(
            b"MAIL FROM:<a@b.example>\r\nRCPT TO:<alice@example.test>\r\nBDAT 10 LAST\r\nSTARTTLS\r\n"
            b"RSET\r\nSTARTTLS\r\nNOOP\r\n"
        )
        answers = [client.reply() for _ in range(5)]
        assert [answer[:3] for answer in answers] == [b"250", b"250", b"250", b"250", b"554"]
        assert client.rest() == b""


def test_eager_client_is_served(server: MailServer) -> None:
    """A ClientHello in the STARTTLS segment is handshake, not plaintext (wherever it is cut)."""
    for cut in (1, 2, 5, 6, 50, None):
        engine, incoming, outgoing, record = hello_record()
        with Raw(server.ports["mx"]) as client:
            client.say(b"EHLO eager.example")
            client.send(b"STARTTLS\r\n" + record[:cut])
            assert client.reply().startswith(b"220")
            if cut is not None:
                client.send(record[cut:])
            while True:
                if client.buffer:
                    incoming.write(client.buffer)
                    client.buffer = b""
                try:
                    engine.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    client.buffer = client.sock.recv(65536)
            engine.write(b"EHLO eager.example\r\n")
            client.send(outgoing.read())
            answer = b""
            while b"\r\n250 " not in answer:
                incoming.write(client.sock.recv(65536))
                with contextlib.suppress(ssl.SSLWantReadError):
                    answer += engine.read(65536)
            assert answer.startswith(b"250-")
            assert b"STARTTLS" not in answer


def test_attacker_cannot_inject_from_two_packets_at_once(server: MailServer) -> None:
    """Goal: many lines behind STARTTLS, so that one is missed. All are refused, and none is answered."""
    with Raw(server.ports["mx"]) as client:
        client.say(b"EHLO attacker.example")
        client.send(b"NOOP\r\n" * 100 + b"STARTTLS\r\n" + b"NOOP\r\n" * 1000)
        *answers, last, nothing = client.rest().split(b"\r\n")
        assert answers == [b"250 2.0.0 Ok"] * 100
        assert last.startswith(b"554 5.5.0")
        assert nothing == b""


def test_attacker_cannot_talk_in_the_clear_after_tls(server: MailServer) -> None:
    """Goal: raw text on the socket inside TLS is read as commands. The connection ends."""
    with Raw(server.ports["mx"]) as client:
        client.upgrade(server.ca_file)
        os.set_blocking(client.sock.fileno(), True)  # a socket with a timeout is not
        os.write(client.sock.fileno(), b"NOOP\r\n" * 3)
        answer = b""
        while data := os.read(client.sock.fileno(), 65536):
            answer += data
        assert b"250" not in answer
