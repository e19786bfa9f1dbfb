"""The attacker wants mail for strangers to be sent on, in every spelling of an address."""

from __future__ import annotations

import pytest
from tests.attacks.raw import Raw

from gatepost.testing.server import MailServer

SENDERS = [b"<a@b.example>", b"<alice@example.test>", b"<>", b"<root@[127.0.0.1]>"]
STRANGERS = [
    b"<victim@elsewhere.example>", b"<VICTIM@ELSEWHERE.EXAMPLE>", b"<victim@elsewhere.example.>",
    b'<"victim@elsewhere.example">', b"<@example.test:victim@elsewhere.example>",
    b"<@example.test,@mx.example.test:victim@elsewhere.example>", b"<elsewhere.example!victim@example.test>",
    b"<victim%elsewhere.example@example.test>", b"<victim@[192.0.2.1]>", b"<victim@[IPv6:2001:db8::1]>",
    b"<victim@[127.0.0.1]>", b"<victim@localhost>", b'<"victim%elsewhere.example"@example.test>', b"<victim>",
    b"<victim@elsewhere.example@example.test>", b'<"victim@elsewhere.example"@example.test>',
    b"<victim@example.test@elsewhere.example>",
]  # fmt: skip


@pytest.mark.parametrize("sender", SENDERS, ids=ascii)
@pytest.mark.parametrize("stranger", STRANGERS, ids=ascii)
def test_attacker_cannot_relay(server: MailServer, sender: bytes, stranger: bytes) -> None:
    """Goal: an open relay, loopback included. The final domain decides, and it is not ours."""
    with Raw(server.ports["mx"]) as client:
        client.say(b"EHLO attacker.example")
        assert client.say(b"MAIL FROM:" + sender).startswith(b"250")
        assert client.say(b"RCPT TO:" + stranger)[:1] == b"5"
        assert client.say(b"DATA").startswith(b"503")


def test_submission_takes_no_mail_without_a_login(server: MailServer) -> None:
    """Goal: send as anybody through the port that is meant for users."""
    with Raw(server.ports["submission"]) as client:
        client.say(b"EHLO attacker.example")
        assert client.say(b"MAIL FROM:<alice@example.test>").startswith(b"530 5.7.0")
        client.say(b"STARTTLS")
        client.start_tls(server.ca_file)
        client.say(b"EHLO attacker.example")
        assert client.say(b"MAIL FROM:<alice@example.test>").startswith(b"530 5.7.0")
        assert client.say(b"RCPT TO:<victim@elsewhere.example>").startswith(b"503")


def test_strangers_do_not_learn_who_has_a_mailbox(server: MailServer) -> None:
    """Goal: VRFY and EXPN tell which addresses exist."""
    with Raw(server.ports["mx"]) as client:
        client.say(b"EHLO attacker.example")
        assert client.say(b"VRFY alice").replace(b"alice", b"") == client.say(b"VRFY nobody").replace(b"nobody", b"")
        assert client.say(b"EXPN staff").startswith(b"502")


def test_guessing_of_recipients_ends_the_session(server: MailServer) -> None:
    """Goal: try a dictionary of names against one connection. Who is refused far more than accepted is left."""
    with Raw(server.ports["mx"]) as client:
        client.say(b"EHLO attacker.example")
        client.say(b"MAIL FROM:<a@b.example>")
        client.send(b"".join(b"RCPT TO:<guess%d@example.test>\r\n" % number for number in range(100)))
        codes = [line[:3] for line in client.rest().split(b"\r\n") if line]
        assert codes == [b"550"] * 11 + [b"421"]


def test_list_with_some_unknown_members_is_taken(server: MailServer) -> None:
    """Many recipients of which some are unknown are no guessing."""
    with Raw(server.ports["mx"]) as client:
        client.say(b"EHLO friend.example")
        client.say(b"MAIL FROM:<a@b.example>")
        names = [b"alice+%d" % number if number % 4 else b"gone%d" % number for number in range(1, 101)]
        client.send(b"".join(b"RCPT TO:<" + name + b"@example.test>\r\n" for name in names))
        codes = [client.reply()[:3] for _ in names]
        assert codes.count(b"250") == 75
        assert client.say(b"DATA").startswith(b"354")
        assert client.say(b"Subject: x\r\n\r\n.").startswith(b"250")


@pytest.mark.parametrize(
    "name",
    [b";id;", b"$(id)", b"`id`", b"../../../etc/passwd", b"|id", b"/dev/null", b":include:/etc/passwd", b"-oQ/tmp"],
)
def test_hostile_names_are_just_unknown(server: MailServer, name: bytes) -> None:
    """Goal: an address becomes a path or a command (CVE-2020-7247)."""
    with Raw(server.ports["mx"]) as client:
        client.say(b"EHLO attacker.example")
        client.say(b"MAIL FROM:<a@b.example>")
        assert client.say(b'RCPT TO:<"' + name + b'"@example.test>').startswith(b"550 5.1.1")


def test_null_sender_and_postmaster_are_always_taken(server: MailServer) -> None:
    """Reports reach us, and somebody answers for the domain (RFC 5321 §4.5.1)."""
    with Raw(server.ports["mx"]) as client:
        client.say(b"EHLO friend.example")
        assert client.say(b"MAIL FROM:<>").startswith(b"250")
        for name in (b"postmaster", b"Postmaster@example.test", b"POSTMASTER@EXAMPLE.TEST"):
            assert client.say(b"RCPT TO:<" + name + b">").startswith(b"250")
