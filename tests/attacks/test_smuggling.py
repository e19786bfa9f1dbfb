"""The attacker hides a second message in the first by odd line ends (VU#302671, CVE-2023-51764, CVE-2023-51766)."""

from __future__ import annotations

import pytest
from tests.attacks.raw import Raw

from gatepost.testing.server import MailServer

FALSE_ENDS = [
    b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\n", b"\r.\r\n", b"\n.\r", b"\r\n.\r", b"\r\n.\r\r\n",
    b"\r\r\n.\r\r\n", b"\r\n\0.\r\n", b"\r\n.\0\r\n", b"\r\n. \r\n",
]  # fmt: skip
SMUGGLED = (
    b"MAIL FROM:<ceo@bank.example>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n"
    b"From: ceo@bank.example\r\n\r\nsmuggled\r\n.\r\n"
)
HARMLESS = {b"\r\n. \r\n"}  # a dot, a space: an ordinary line


def begin(client: Raw) -> None:
    for line in (b"EHLO attacker.example", b"MAIL FROM:<a@b.example>", b"RCPT TO:<alice@example.test>"):
        assert client.say(line).startswith(b"250")
    assert client.say(b"DATA").startswith(b"354")


@pytest.mark.parametrize("false_end", FALSE_ENDS, ids=ascii)
@pytest.mark.parametrize("pieces", ["one segment", "cut before", "cut inside", "cut behind"])
def test_attacker_cannot_smuggle_a_second_message(server: MailServer, false_end: bytes, pieces: str) -> None:
    """Goal: what follows a false end is run as commands. It stays content, and the message is one or refused."""
    server.messages()
    start, rest = b"Subject: x\r\n\r\nouter", SMUGGLED
    cuts = {
        "one segment": [start + false_end + rest],
        "cut before": [start, false_end + rest],
        "cut inside": [start + false_end[:2], false_end[2:] + rest],
        "cut behind": [start + false_end, rest],
    }[pieces]
    with Raw(server.ports["mx"]) as client:
        begin(client)
        for piece in cuts:
            client.send(piece)
        answer = client.reply()
        assert answer.startswith(b"250" if false_end in HARMLESS else b"550")
        assert client.say(b"NOOP").startswith(b"250")
        assert client.silent()
    stored = server.messages()
    assert len(stored) == (1 if false_end in HARMLESS else 0)
    assert all(message.sender == "a@b.example" for message, _, _ in stored)


def test_dots_survive_and_do_not_end_a_message(server: MailServer) -> None:
    """Goal: stuffed dots that are undone twice, or not at all, end a message early further on."""
    server.messages()
    with Raw(server.ports["mx"]) as client:
        begin(client)
        client.send(b"Subject: dots\r\n\r\n..\r\n...\r\n.x\r\n..x\r\n.\r\n")
        assert client.reply().startswith(b"250")
    [(_, body, _)] = server.messages()
    assert body.endswith(b"\r\n\r\n.\r\n..\r\nx\r\n.x\r\n")


@pytest.mark.parametrize("line", [b"NOOP\nNOOP", b"NOOP\rNOOP", b"NOOP\n", b"RSET\n\r\nNOOP"], ids=ascii)
def test_bare_line_ends_make_no_second_command(server: MailServer, line: bytes) -> None:
    """Goal: one line is read as two commands, or the tail of a refused line as one."""
    with Raw(server.ports["mx"]) as client:
        client.say(b"EHLO attacker.example")
        client.send(line + b"\r\n")
        assert client.reply().startswith(b"500")
        if line == b"RSET\n\r\nNOOP":
            assert client.reply().startswith(b"250")
        assert client.silent()


def test_old_peers_that_the_operator_named_may_send_bare_line_feeds(tmp_path_factory: pytest.TempPathFactory) -> None:
    """`normalise_from` takes a bare LF as a line end, and still only CRLF.CRLF ends the message."""
    limits = {"normalise_from": ["127.0.0.3"]}
    with MailServer(tmp_path_factory.mktemp("normalise"), limits=limits) as server:
        with Raw(server.ports["mx"], source="127.0.0.3") as client:
            for line in (b"EHLO old.example", b"MAIL FROM:<a@b.example>", b"RCPT TO:<alice@example.test>"):
                client.send(line + b"\n")
                assert client.reply().startswith(b"250")
            client.send(b"DATA\n")
            assert client.reply().startswith(b"354")
            client.send(b"Subject: x\n\none\n.\ntwo\n.\r\nthree\r\n.\r\n")
            assert client.reply().startswith(b"250")
            assert client.say(b"NOOP").startswith(b"250")
        [(_, body, _)] = server.messages()
        assert body.endswith(b"\r\n\r\none\r\n\r\ntwo\r\n\r\nthree\r\n")  # a leading dot is a stuffed one
        with Raw(server.ports["mx"], source="127.0.0.4") as client:
            client.send(b"EHLO stranger.example\n")
            assert client.reply().startswith(b"500")
