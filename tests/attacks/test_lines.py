"""The attacker sends lines that no parser expects: too long, with NUL, without end, too many."""

from __future__ import annotations

import pytest
from tests.attacks.raw import Raw

from gatepost.testing.server import MailServer


def test_overlong_line_is_one_error_and_its_tail_is_no_command(server: MailServer) -> None:
    """Goal: a long line is cut, and its tail runs as a command of its own."""
    with Raw(server.ports["mx"]) as client:
        client.say(b"EHLO attacker.example")
        client.send(b"NOOP " + b"x" * 20_000 + b"MAIL FROM:<a@b.example>\r\n")
        assert client.reply().startswith(b"500")
        assert client.silent()
        assert client.say(b"NOOP").startswith(b"250")


def test_line_without_end_does_not_fill_the_memory(server: MailServer) -> None:
    """Goal: eight megabytes of one line are kept."""
    with Raw(server.ports["mx"]) as client:
        client.say(b"EHLO attacker.example")
        for _ in range(128):
            client.send(b"x" * 65536)
        assert client.reply().startswith(b"500")
        client.send(b"\r\n")
        assert client.say(b"NOOP").startswith(b"250")


@pytest.mark.parametrize(
    "line",
    [b"NOOP\0", b"\0NOOP", b"EHLO a\x1b[2Jb", b"MAIL FROM:<a\0@b.example>", b"\xff\xfe", b"MAIL FROM:<\xe9@b.example>",
     b"RCPT TO:<" + b"a" * 1000 + b"@example.test>"],
    ids=ascii,
)  # fmt: skip
def test_odd_octets_are_refused_and_the_session_goes_on(server: MailServer, line: bytes) -> None:
    """Goal: a NUL cuts a string, an escape sequence reaches a terminal, a bad encoding ends in a traceback."""
    with Raw(server.ports["mx"]) as client:
        client.say(b"EHLO attacker.example")
        client.say(b"MAIL FROM:<a@b.example>") if line.startswith(b"RCPT") else None
        answer = client.say(line)
        assert answer[:1] == b"5"
        assert b"\x1b" not in answer
        assert client.say(b"NOOP").startswith(b"250")


def test_unknown_text_is_not_reflected(server: MailServer) -> None:
    """Goal: the server repeats what it was sent, to a browser that was steered here (ALPACA)."""
    with Raw(server.ports["mx"]) as client:
        client.say(b"EHLO attacker.example")
        assert b"script" not in client.say(b"<script>alert(1)</script>")


@pytest.mark.parametrize(
    "request_line", [b"GET / HTTP/1.1", b"POST /x HTTP/1.0", b"PUT / HTTP/2", b"CONNECT a:1 HTTP/1.1"]
)
def test_web_request_ends_the_session(server: MailServer, request_line: bytes) -> None:
    """Goal: a browser's request carries SMTP commands in its body (cross-protocol request)."""
    with Raw(server.ports["mx"]) as client:
        client.send(request_line + b"\r\nHost: mx.example.test\r\n\r\nEHLO x\r\nMAIL FROM:<a@b.example>\r\n")
        answer = client.rest()
        assert answer.startswith(b"421")
        assert b"250" not in answer


def test_errors_are_counted_and_end_the_session(server: MailServer) -> None:
    """Goal: guess commands or addresses for ever."""
    with Raw(server.ports["mx"]) as client:
        client.send(b"XYZZY\r\n" * 100)
        answers = client.rest().split(b"\r\n")
        assert len([answer for answer in answers if answer.startswith(b"500")]) == 10
        assert answers[10].startswith(b"421 4.7.0")
        assert len(answers) == 12


def test_thousands_of_pipelined_lines_are_answered_in_order(server: MailServer) -> None:
    """Goal: one packet of short lines exhausts the stack, or a reply goes missing (recursion for each line)."""
    with Raw(server.ports["mx"]) as client:
        client.say(b"EHLO attacker.example")
        client.send(b"NOOP\r\n" * 6000 + b"QUIT\r\n")
        assert client.rest().count(b"\r\n") == 6001


def test_whole_session_in_one_packet_is_served(server: MailServer) -> None:
    """A client that talks before the greeting keeps its place: replies in order, the message stored."""
    with Raw(server.ports["mx"], greeted=False) as client:
        client.send(
            b"EHLO early.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n"
            b"Subject: x\r\n\r\nhi\r\n.\r\nQUIT\r\n"
        )
        codes = []
        while answer := client.reply():
            codes.append(answer[:3])
        assert codes == [b"220", b"250", b"250", b"250", b"354", b"250", b"221"]


def test_recipients_beyond_the_limit_are_turned_away_one_by_one(server: MailServer) -> None:
    """Goal: a million recipients. A hundred must fit; beyond the limit each gets 452 and the message still goes."""
    with Raw(server.ports["mx"]) as client:
        client.say(b"EHLO attacker.example")
        client.say(b"MAIL FROM:<a@b.example>")
        client.send(b"".join(b"RCPT TO:<alice+%d@example.test>\r\n" % number for number in range(1010)))
        answers = [client.reply()[:3] for _ in range(1010)]
        assert answers == [b"250"] * 1000 + [b"452"] * 10
        assert client.say(b"DATA").startswith(b"354")
        assert client.say(b"Subject: x\r\n\r\n.").startswith(b"250")
