"""Mail through an SMTP gate: what goes in comes out, and what is refused on the way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.attacks.raw import Raw
from tests.unit.service.gate.smtp_behind import Behind
from tests.unit.service.gate.smtp_gate import LETTER, envelope, gate, hello, secured, send


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_parameters_reach_the_server_as_they_were_meant(tmp_path: Path, stack: ExitStack) -> None:
    """DSN, SIZE, BODY, SMTPUTF8 and addresses, spelled anew."""
    behind = stack.enter_context(Behind())
    front = stack.enter_context(gate(tmp_path, behind))
    with Raw(front.port("front")) as client:
        hello(client)
        mail = "MAIL FROM:<jörg@Example.COM> body=8bitmime size=100 ret=hdrs envid=a+2Bb smtputf8".encode()
        assert client.say(mail).startswith(b"250")
        rcpt = b"RCPT TO:<@route.example:bob@near.example> NOTIFY=success,FAILURE ORCPT=rfc822;b+2Bc@d"
        assert client.say(rcpt).startswith(b"250")
        client.say(b"QUIT")
    behind.finished(1)
    assert behind.said == [
        "MAIL FROM:<jörg@example.com> SIZE=100 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+2Bb".encode(),
        b"RCPT TO:<bob@near.example> NOTIFY=FAILURE,SUCCESS ORCPT=rfc822;b+2Bc@d",
    ]


def test_pipelined_session_is_answered_in_order(tmp_path: Path, stack: ExitStack) -> None:
    """A whole transaction in one packet, and another behind it."""
    behind = stack.enter_context(Behind(answers={"RCPT": lambda line: b"250 ok " + line[8:] + b"\r\n"}))
    front = stack.enter_context(gate(tmp_path, behind))
    with Raw(front.port("front")) as client:
        client.send(
            b"EHLO a\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<one@b.c>\r\nRCPT TO:<two@b.c>\r\nDATA\r\nx\r\n.\r\n"
            b"MAIL FROM:<>\r\nRCPT TO:<three@b.c>\r\nRSET\r\nNOOP\r\nQUIT\r\n"
        )
        said = [client.reply() for _ in range(11)]
    assert [each[:3] for each in said] == [b"250"] * 4 + [b"354"] + [b"250"] * 5 + [b"221"]
    assert (said[2], said[3], said[7]) == (b"250 ok <one@b.c>", b"250 ok <two@b.c>", b"250 ok <three@b.c>")
    assert behind.messages == [b"x"]


def test_refusals_of_the_server_are_passed_on(tmp_path: Path, stack: ExitStack) -> None:
    """Sender, recipient, DATA and message: code, enhanced code and text; and the next transaction begins clean."""
    behind = stack.enter_context(
        Behind(answers={"RCPT": lambda line: b"550 5.1.1 no such user\r\n" if b"bad" in line else b"250 ok\r\n"})
    )
    front = stack.enter_context(gate(tmp_path, behind))
    with Raw(front.port("front")) as client:
        hello(client)
        assert envelope(client, b"bad@x.y", b"good@x.y") == [b"550 5.1.1 no such user", b"250 ok"]
        behind.end = b"554-5.7.1 no thanks,\r\n554 5.7.1 really\r\n"
        client.say(b"DATA")
        assert client.say(LETTER) == b"554-5.7.1 no thanks,\r\n554 5.7.1 really"
        behind.answers["MAIL"] = b"451 4.3.0 not now\r\n"
        assert client.say(b"MAIL FROM:<a@b>") == b"451 4.3.0 not now"
        assert client.say(b"RCPT TO:<a@b>").startswith(b"503")
        del behind.answers["MAIL"]
        behind.answers["DATA"] = b"452 4.3.1 no room\r\n"
        envelope(client)
        assert client.say(b"DATA") == b"452 4.3.1 no room"
        del behind.answers["DATA"]
        behind.end = b"250 2.0.0 taken\r\n"
        client.say(b"RSET")
        assert send(client) == b"250 2.0.0 taken"


def test_commands_that_only_the_server_knows_are_its_own(tmp_path: Path, stack: ExitStack) -> None:
    """VRFY is asked, NOOP and HELP where there is a server to ask."""
    behind = stack.enter_context(Behind(answers={"NOOP": b"250 2.0.0 behind is awake\r\n"}))
    front = stack.enter_context(gate(tmp_path, behind))
    with Raw(front.port("front")) as client:
        hello(client)
        assert client.say(b"NOOP") == b"250 2.0.0 Ok"
        assert client.say(b"VRFY bob") == b"252 2.1.5 perhaps"
        assert client.say(b"NOOP") == b"250 2.0.0 behind is awake"
        assert client.say(b"HELP") == b"214 2.0.0 no help behind"
        assert client.say(b"EXPN list").startswith(b"502")


@pytest.mark.parametrize("at", ["rcpt", "data"])
def test_stranger_is_put_off(tmp_path: Path, stack: ExitStack, at: str) -> None:
    """Inside TLS too; before the server knows of the recipient, or before it sees any content."""
    behind = stack.enter_context(Behind())
    greylist = {"enabled": True, "delay": "1h", "at": at}
    front = stack.enter_context(gate(tmp_path, behind, settings={"greylist": greylist}))
    with Raw(front.port("front")) as client:
        secured(client, front.ca_file)
        (said,) = envelope(client)
        if at == "data":
            assert said.startswith(b"250")
            assert client.say(b"DATA").startswith(b"354")
            said = client.say(LETTER)
        assert said.startswith(b"451 4.7.1 Greylisted")
        client.say(b"RSET")
        envelope(client)
        client.say(b"QUIT")
    (session,) = behind.finished(1)
    assert behind.messages == []
    assert not any(line.startswith(b"DATA") for line in session.lines)
    assert any(line.startswith(b"RCPT") for line in session.lines) == (at == "data")


def test_listed_senders_are_refused(tmp_path: Path, stack: ExitStack) -> None:
    """The server is not asked."""
    behind = stack.enter_context(Behind())
    front = stack.enter_context(gate(tmp_path, behind, settings={"refused_senders": ["@evil.example"]}))
    with Raw(front.port("front")) as client:
        hello(client)
        assert client.say(b"MAIL FROM:<a@evil.example>").startswith(b"550 5.7.1")
        assert send(client) == b"250 2.0.0 taken"
    assert len(behind.said) == 3


def test_too_many_refused_recipients_end_the_session(tmp_path: Path, stack: ExitStack) -> None:
    """Who is refused more than he is accepted guesses addresses."""
    behind = stack.enter_context(Behind(answers={"RCPT": b"550 5.1.1 no\r\n"}))
    front = stack.enter_context(gate(tmp_path, behind, settings={"limits": {"errors": 3}}))
    with Raw(front.port("front")) as client:
        hello(client)
        assert [each[:3] for each in envelope(client, *[b"a@b"] * 4)] == [b"550"] * 4
        assert client.reply().startswith(b"421")


def test_lmtp_answers_each_recipient_with_the_servers_words(tmp_path: Path, stack: ExitStack) -> None:
    """RFC 2033: as many answers as recipients were taken."""
    behind = stack.enter_context(Behind())
    behind.end = b"250 2.0.0 one\r\n550 5.2.2 two is full\r\n"
    front = stack.enter_context(gate(tmp_path, behind, protocol="lmtp"))
    with Raw(front.port("front")) as client:
        assert client.say(b"LHLO client.example").startswith(b"250")
        assert [each[:3] for each in envelope(client, b"one@x.y", b"two@x.y")] == [b"250", b"250"]
        client.say(b"DATA")
        assert client.say(LETTER) == b"250 2.0.0 one"
        assert client.reply() == b"550 5.2.2 two is full"
        assert client.say(b"QUIT").startswith(b"221")


def test_helo_is_enough(tmp_path: Path, stack: ExitStack) -> None:
    """A client of the old kind."""
    behind = stack.enter_context(Behind())
    front = stack.enter_context(gate(tmp_path, behind))
    with Raw(front.port("front")) as client:
        assert client.say(b"HELO old.example") == b"250 gate.example.test"
        assert send(client) == b"250 2.0.0 taken"


def test_hello_again_is_the_servers_too(tmp_path: Path, stack: ExitStack) -> None:
    """In a private session it hears it, and what was open is dropped; its refusal is passed on."""
    behind = stack.enter_context(Behind())
    front = stack.enter_context(gate(tmp_path, behind))
    with Raw(front.port("front")) as client:
        secured(client, front.ca_file)
        envelope(client)
        behind.listed = behind.private = ("8BITMIME",)
        assert hello(client) == [b"PIPELINING", b"SIZE 52428800", b"8BITMIME", b"LIMITS RCPTMAX=1000"]
        assert client.say(b"DATA").startswith(b"503")
        assert send(client) == b"250 2.0.0 taken"
        behind.answers["EHLO"] = b"550 5.7.1 no more\r\n"
        assert client.say(b"EHLO again") == b"550 5.7.1 no more"
        assert client.say(b"QUIT").startswith(b"221")
