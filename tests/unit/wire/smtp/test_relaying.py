"""A client that passes on another client's commands, one dialogue each."""

from __future__ import annotations

import binascii

import pytest

from gatepost.errors import LocalProtocolError
from gatepost.testing.memory import ORIGIN, MemoryDriver, ScriptedPeer
from gatepost.wire.smtp.address import Mailbox
from gatepost.wire.smtp.capabilities import Capabilities
from gatepost.wire.smtp.client import PlainClient
from gatepost.wire.smtp.events import Mail, MailParameters, RcptParameters, Recipient
from gatepost.wire.smtp.grammar import parse_mail, parse_rcpt
from gatepost.wire.smtp.refusals import ConnectionLost, UnexpectedReply
from gatepost.wire.smtp.relaying import Relaying, challenge, mail_command, rcpt_command
from gatepost.wire.smtp.reply import Reply

EVERYTHING = Capabilities(Reply(250, "", ("mx", "SIZE 9", "8BITMIME", "SMTPUTF8", "DSN", "CHUNKING", "AUTH PLAIN")))
NOTHING = Capabilities(Reply(250, "", "mx"))
ANN, BOB = Mailbox("ann", "far.example"), Mailbox("bob", "near.example")
MAIL, RCPT = Mail(ANN, MailParameters()), Recipient(BOB, RcptParameters())
OK = b"250 2.0.0 ok\r\n"


def relaying(*script: tuple[bytes, bytes], dialect: str = "SMTP") -> tuple[Relaying, MemoryDriver]:
    """A conversation after hello, and what runs its dialogues."""
    client = PlainClient(ORIGIN, hostname="gate.example", dialect="LMTP" if dialect == "LMTP" else "SMTP")
    verb = b"LHLO" if dialect == "LMTP" else b"EHLO"
    peer = ScriptedPeer((b"", b"220 mx\r\n"), (verb + b" gate.example\r\n", b"250-mx\r\n250 SIZE\r\n"), *script)
    driver = MemoryDriver(peer)
    driver.run(client.greeting())
    driver.run(client.hello())
    return client.relaying(), driver


@pytest.mark.parametrize(
    ("argument", "line"),
    [
        ("FROM:<>", "MAIL FROM:<>"),
        ("FROM: <@a.b,@c:Ann@FAR.Example.>  body=7bit", "MAIL FROM:<Ann@far.example>"),
        ('FROM:<"a b"@far.example> SIZE=7', 'MAIL FROM:<"a b"@far.example> SIZE=7'),
        ("FROM:<a@b> BODY=8bitmime RET=full ENVID=x+2By", "MAIL FROM:<a@b> BODY=8BITMIME RET=FULL ENVID=x+2By"),
        ("FROM:<a@b> AUTH=<> SMTPUTF8", "MAIL FROM:<a@b> SMTPUTF8 AUTH=<>"),
        ("FROM:<a@b> AUTH=c+2Bd@e", "MAIL FROM:<a@b> AUTH=c+2Bd@e"),
        ("FROM:<ö@b> SMTPUTF8", "MAIL FROM:<ö@b> SMTPUTF8"),
    ],
)
def test_mail_is_said_as_it_was_meant(argument: str, line: str) -> None:
    """Parameters and path, spelled anew."""
    assert mail_command(parse_mail(argument, smtputf8=True, auth=True), EVERYTHING) == line


@pytest.mark.parametrize(
    ("argument", "line"),
    [
        ("TO:<postmaster>", "RCPT TO:<postmaster>"),
        ("TO:<bob@NEAR.example> NOTIFY=never", "RCPT TO:<bob@near.example> NOTIFY=NEVER"),
        (
            "TO:<b@c> ORCPT=RFC822;d+2Be@f NOTIFY=delay,success",
            "RCPT TO:<b@c> NOTIFY=DELAY,SUCCESS ORCPT=rfc822;d+2Be@f",
        ),
        ("TO:<b@c> ORCPT=utf-8;\\x{F6}+2B@f", "RCPT TO:<b@c> ORCPT=utf-8;\\x{F6}+2B@f"),
    ],
)
def test_rcpt_is_said_as_it_was_meant(argument: str, line: str) -> None:
    """An address of the type utf-8 has an encoding of its own, which is left as it is."""
    assert rcpt_command(parse_rcpt(argument, utf8=True)) == line


def test_announcements_are_left_out_where_they_are_not_listed() -> None:
    """SIZE asks for nothing; what asks for something is said, so that the server can refuse it."""
    mail = parse_mail("FROM:<a@b> SIZE=5 BODY=8BITMIME RET=HDRS", smtputf8=True, auth=True)
    assert mail_command(mail, NOTHING) == "MAIL FROM:<a@b> BODY=8BITMIME RET=HDRS"


def test_replies_come_back_as_they_are() -> None:
    """Refusals are values; a message is one command at a time."""
    relay, driver = relaying(
        (b"MAIL FROM:<ann@far.example>\r\n", b"250 2.1.0 yes\r\n"),
        (b"RCPT TO:<bob@near.example>\r\n", b"550-5.1.1 no\r\n550 5.1.1 never\r\n"),
        (b"RCPT TO:<bob@near.example>\r\n", OK),
        (b"DATA\r\n", b"354 go\r\n"),
        (b"..a\r\nb\r\n.\r\n", b"250 2.0.0 queued\r\n"),
    )
    assert driver.run(relay.mail(MAIL)) == Reply(250, "2.1.0", "yes")
    assert driver.run(relay.recipient(RCPT)) == Reply(550, "5.1.1", ("no", "never"))
    assert driver.run(relay.recipient(RCPT)).code == 250
    assert relay.accepted == 1
    assert driver.run(relay.data()).code == 354
    driver.run(relay.content(b".a\r"))
    assert driver.run(relay.end(b"\nb")) == (Reply(250, "2.0.0", "queued"),)


def test_chunks_are_answered_one_by_one() -> None:
    """The last one answers for the message."""
    relay, driver = relaying((b"BDAT 3\r\na\r\n", OK), (b"BDAT 0 LAST\r\n", b"552 5.3.4 too big\r\n"))
    assert driver.run(relay.chunk(b"a\r\n")).code == 250
    assert driver.run(relay.last_chunk()) == (Reply(552, "5.3.4", "too big"),)


def test_lmtp_answers_for_each_recipient_that_was_taken() -> None:
    """RFC 2033 §4.2; a 421 answers for all that are left."""
    rcpt = b"RCPT TO:<bob@near.example>\r\n"
    relay, driver = relaying(
        (b"MAIL FROM:<ann@far.example>\r\n", OK), (rcpt, OK), (rcpt, b"550 no\r\n"), (rcpt, OK), (rcpt, OK),
        (b"DATA\r\n", b"354 go\r\n"), (b".\r\n", b"250 one\r\n421 closing\r\n"), dialect="LMTP",
    )  # fmt: skip
    driver.run(relay.mail(MAIL))
    for _ in range(4):
        driver.run(relay.recipient(RCPT))
    driver.run(relay.data())
    assert [each.code for each in driver.run(relay.end())] == [250, 421, 421]


def test_login_goes_step_by_step() -> None:
    """334, 235 or a refusal; ``*`` must be refused."""
    relay, driver = relaying(
        (b"AUTH LOGIN\r\n", b"334 dXNlcg==\r\n"), (b"YW5u\r\n", b"334 \r\n"), (b"*\r\n", b"501 5.7.0 ok\r\n"),
        (b"AUTH PLAIN =\r\n", b"235 2.7.0 in\r\n"),
    )  # fmt: skip
    first = driver.run(relay.authenticate("LOGIN", None))
    assert challenge(first) == b"user"
    assert challenge(driver.run(relay.respond(b"ann"))) == b""
    assert driver.run(relay.cancel()).code == 501
    assert driver.run(relay.authenticate("PLAIN", b"")).code == 235


@pytest.mark.parametrize("reply", [Reply(334, "", ("a", "b")), Reply(334, "", "not base64!"), Reply(334, "", "YQ")])
def test_challenge_that_is_none_is_refused(reply: Reply) -> None:
    """Its octets are what the client gets, so they must be there."""
    with pytest.raises(UnexpectedReply):
        challenge(reply)


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        ("mail", b"354 go\r\n"), ("recipient", b"354 go\r\n"), ("data", b"250 taken\r\n"), ("data", b"334 \r\n"),
        ("mail", b"250 ok\r\n250 more\r\n"), ("data", b"354 go\r\n2"), ("auth", b"250 ok\r\n"), ("auth", b"354 go\r\n"),
        ("cancel", b"235 in\r\n"), ("end", b"354 go on\r\n"),
    ],
)  # fmt: skip
def test_answer_that_cannot_be_one_ends_the_conversation(ask: str, said: bytes) -> None:
    """Nobody knows any more which reply belongs to what."""
    relay, driver = relaying((b"", b""))
    driver.peer.receive = lambda data: None  # type: ignore[method-assign]
    dialogue = {
        "mail": relay.mail(MAIL), "recipient": relay.recipient(RCPT), "data": relay.data(), "cancel": relay.cancel(),
        "auth": relay.authenticate("PLAIN", None), "end": relay.end(),
    }[ask]  # fmt: skip
    next(dialogue)  # the command
    next(dialogue)  # the wait
    with pytest.raises(UnexpectedReply):
        dialogue.send(said)


def test_end_of_the_stream_is_no_answer() -> None:
    """Half a reply says nothing."""
    relay, _ = relaying()
    dialogue = relay.mail(MAIL)
    next(dialogue)
    next(dialogue)
    dialogue.send(b"250 half")
    with pytest.raises(ConnectionLost):
        dialogue.send(b"")


@pytest.mark.parametrize("argument", ["a\r\nMAIL", "a\nb", "\0", "\x1b", "a\u2028b"])
def test_no_argument_breaks_a_line(argument: str) -> None:
    """Nothing is sent."""
    relay, driver = relaying()
    with pytest.raises(LocalProtocolError):
        driver.run(relay.say("VRFY", argument))
    with pytest.raises(LocalProtocolError):
        driver.run(relay.xclient(argument))
    with pytest.raises(LocalProtocolError):
        driver.run(relay.say(argument))
    with pytest.raises(LocalProtocolError):
        driver.run(relay.authenticate(argument, None))


def test_lone_line_end_in_content_is_refused() -> None:
    """Before any octet of the piece is sent."""
    relay, driver = relaying((b"DATA\r\n", b"354 go\r\n"))
    driver.run(relay.data())
    with pytest.raises(LocalProtocolError):
        driver.run(relay.content(b"a\nb\r\n"))


def test_conversation_that_became_private_is_not_gone_on_with_in_the_clear() -> None:
    """The exchange is spent with its engine."""
    client = PlainClient(ORIGIN, hostname="gate.example")
    peer = ScriptedPeer(
        (b"", b"220 mx\r\n"),
        (b"EHLO gate.example\r\n", b"250-mx\r\n250 STARTTLS\r\n"),
        (b"STARTTLS\r\n", b"220 go\r\n"),
    )
    driver = MemoryDriver(peer)
    driver.run(client.greeting())
    with pytest.raises(LocalProtocolError):
        client.relaying()
    driver.run(client.hello())
    relay = client.relaying()
    driver.run(client.start_tls())
    with pytest.raises(LocalProtocolError):
        driver.run(relay.mail(MAIL))
    with pytest.raises(LocalProtocolError):
        client.relaying()


def test_reset_forgets_the_recipients() -> None:
    """An LMTP message after it has none of them."""
    relay, driver = relaying((b"RCPT TO:<bob@near.example>\r\n", OK), (b"RSET\r\n", OK))
    driver.run(relay.recipient(RCPT))
    assert driver.run(relay.say("RSET")).code == 250
    assert relay.accepted == 0


def test_login_that_is_too_long_is_not_sent() -> None:
    """RFC 4954 §4: 12288 octets, in Base64."""
    relay, driver = relaying((binascii.b2a_base64(b"x" * 9216, newline=False) + b"\r\n", b"535 5.7.8 no\r\n"))
    with pytest.raises(LocalProtocolError):
        driver.run(relay.respond(b"x" * 9217))
    assert driver.run(relay.respond(b"x" * 9216)).code == 535


def test_words_of_a_server_that_was_not_asked_can_be_heard() -> None:
    """To tell what it was."""
    relay, _ = relaying()
    dialogue = relay.heard()
    next(dialogue)
    with pytest.raises(StopIteration) as stopped:
        dialogue.send(b"421 closing\r\n")
    assert stopped.value.value.code == 421
