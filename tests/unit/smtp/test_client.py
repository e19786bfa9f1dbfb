"""``gatepost.smtp.Client`` and ``BlockingClient``: the same promises, against a whole server and against bad ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from tests.unit.connecting.peers import SECONDS, Awaited, Server, Talker

import gatepost
from gatepost.errors import GatepostError, LocalProtocolError, RemoteProtocolError, VerificationError
from gatepost.smtp import (
    AuthenticationRefused,
    BlockingClient,
    Client,
    Envelope,
    EnvelopeRecipient,
    MessageRefused,
    NoMechanism,
    StartTLSRefused,
)
from gatepost.testing.ca import TestAuthority
from gatepost.testing.server import MailServer

ME, PASSWORD = "alice@example.test", "wonderland"
Make = Callable[..., Any]


@pytest.fixture(params=["asyncio", "blocking"])
def make(request: pytest.FixtureRequest) -> Make:
    """``Client``, or ``BlockingClient`` made awaitable."""
    if request.param == "asyncio":
        return lambda *given, **how: Client(*given, **{"timeout": SECONDS, **how})
    return lambda *given, **how: Awaited(lambda: BlockingClient(*given, **{"timeout": SECONDS, **how}))


@pytest.fixture(scope="module")
def mail_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    with MailServer(tmp_path_factory.mktemp("data")) as running:
        yield running


def letter(**fields: str) -> EmailMessage:
    message = EmailMessage()
    for name, value in {"From": f"Alice <{ME}>", "To": "bob@elsewhere.test", **fields}.items():
        message[name.replace("_", "-")] = value
    message.set_content("At five?\n.\n")
    return message


@pytest.mark.parametrize("implicit", [False, True], ids=["starttls", "implicit"])
def test_message_is_sent_logged_in_and_verified(make: Make, mail_server: MailServer, implicit: bool) -> None:
    """SCRAM with channel binding, one recipient each of To, Cc and Bcc, and no Bcc in what was sent."""
    port = mail_server.port("submissions" if implicit else "submission")

    async def talk() -> None:
        async with make("localhost", port, ca_file=mail_server.ca_file, implicit=implicit) as client:
            assert client.evidence.verification.status == "verified"
            assert await client.login(ME, PASSWORD) == "SCRAM-SHA-256-PLUS"
            assert client.capabilities.pipelining
            message = letter(Cc="Carol <carol@elsewhere.test>", Bcc="dave@elsewhere.test", Subject="tea")
            outcome = await client.send_message(message)
            assert outcome.accepted == ("bob@elsewhere.test", "carol@elsewhere.test", "dave@elsewhere.test")
            assert outcome.refused == {} and outcome.require_all() is outcome
            assert outcome.reply.code == 250
            assert message["Bcc"] == "dave@elsewhere.test", "the caller's message is as it was"
            await client.noop()
            await client.reset()
            assert (await client.send_message(letter())).accepted == ("bob@elsewhere.test",)

    mail_server.messages()
    asyncio.run(talk())
    (first, content, recipients), _ = mail_server.messages()
    assert first.sender == ME and len(recipients) == 3
    assert b"dave" not in content and b"\r\n\r\nAt five?\r\n.\r\n" in content and b"with ESMTPSA" in content


def test_octets_are_sent_as_they_are(make: Make, mail_server: MailServer) -> None:
    """Line ends become CRLF, Bcc goes, and the envelope may be given."""
    raw = b"From: <alice@example.test>\nBcc: dave@elsewhere.test,\n erin@elsewhere.test\nSubject: x\n\nno end"

    async def talk() -> None:
        async with make("localhost", mail_server.port("submission"), ca_file=mail_server.ca_file) as client:
            await client.login(ME, PASSWORD)
            outcome = await client.send_message(raw)
            assert outcome.accepted == ("dave@elsewhere.test", "erin@elsewhere.test")
            assert (await client.send_message(raw, ME, "frank@elsewhere.test")).accepted == ("frank@elsewhere.test",)

    mail_server.messages()
    asyncio.run(talk())
    for _, content, _ in mail_server.messages():
        assert content.endswith(b"Subject: x\r\n\r\nno end\r\n") and b"elsewhere" not in content.partition(b"From: ")[2]


def test_streamed_content_is_submitted(make: Make, mail_server: MailServer) -> None:
    """An envelope and pieces, for what is too large to hold."""

    async def talk() -> None:
        async with make("localhost", mail_server.port("mx"), ca_file=mail_server.ca_file) as client:
            envelope = Envelope("x@y.example", (EnvelopeRecipient(ME),))
            pieces = (b"Subject: x\r\n\r\n", *[b"x" * 998 + b"\r\n"] * 500)
            assert (await client.submit(envelope, iter(pieces))).delivered

    mail_server.messages()
    asyncio.run(talk())
    assert len(mail_server.messages()[0][1]) > 500_000


def test_refused_recipients_are_values(make: Make, mail_server: MailServer) -> None:
    """One is taken, one is not: the outcome says which and why, and raises when asked to."""

    async def talk() -> None:
        async with make("localhost", mail_server.port("mx"), ca_file=mail_server.ca_file) as client:
            outcome = await client.send_message(letter(), "x@y.example", [ME, "bob@elsewhere.test"])
            assert outcome.accepted == (ME,) and outcome.total == 2
            assert outcome.refused["bob@elsewhere.test"].code == 550
            with pytest.raises(MessageRefused, match="1 of 2 recipients") as caught:
                outcome.require_all()
            assert caught.value.outcome is outcome and not caught.value.temporary

    asyncio.run(talk())


def test_wrong_password_leaves_the_connection_good(make: Make, mail_server: MailServer) -> None:
    """A second try may follow on the same connection, and the password is in no error."""

    async def talk() -> None:
        async with make("localhost", mail_server.port("submission"), ca_file=mail_server.ca_file) as client:
            with pytest.raises(AuthenticationRefused) as caught:
                await client.login(ME, "looking-glass")
            assert "looking-glass" not in repr(caught.value)
            assert await client.login(ME, PASSWORD.encode()) == "SCRAM-SHA-256-PLUS"

    asyncio.run(talk())


def test_certificate_of_a_stranger_gets_nothing(make: Make, mail_server: MailServer, tmp_path: Path) -> None:
    """Verification is on; what turns it into something else is named."""
    other = tmp_path / "other.pem"
    other.write_bytes(TestAuthority("another").pem)

    async def talk(**how: Any) -> str:
        async with make("localhost", mail_server.port("mx"), **how) as client:
            return str(client.evidence.verification.status)

    for how in ({"ca_file": other}, {"ca_file": mail_server.ca_file, "server_name": "x.test"}, {"pins": ["00" * 32]}):
        with pytest.raises(VerificationError):
            asyncio.run(talk(**how))
    assert asyncio.run(talk(ca_file=other, level="encrypt")) == "untrusted"


def dialogue(*steps: tuple[bytes, bytes]) -> Callable[[Talker], None]:
    """A server that greets, hears the beginning of each line and answers."""

    def script(talker: Talker) -> None:
        talker.say(b"220 hello\r\n")
        for expected, answer in steps:
            line = talker.line()
            assert line.startswith(expected), line
            if answer == b"TLS":
                talker.say(b"220 go\r\n")
                talker.upgrade()
            else:
                talker.say(answer)
        while talker.hear():
            pass

    return script


HELLO = (b"EHLO ", b"250-hello\r\n250 PIPELINING\r\n")
OFFER = (b"EHLO ", b"250-hello\r\n250 STARTTLS\r\n")


def test_may_goes_on_in_the_clear_only_where_tls_is_not_offered(make: Make, tmp_path: Path) -> None:
    """Not offered: in the clear, without any login. Offered and refused, or failed: over."""

    async def talk(**how: Any) -> None:
        async with make("localhost", server.port, ca_file=server.ca_file, **how) as client:
            assert client.evidence is None
            with pytest.raises(LocalProtocolError, match="in the clear"):
                await client.login(ME, PASSWORD)

    with Server(dialogue(HELLO, (b"QUIT", b"221 bye\r\n")), tmp_path) as server:
        asyncio.run(talk(starttls="may"))
        asyncio.run(talk(starttls="never"))
    with Server(dialogue(HELLO), tmp_path) as server:
        with pytest.raises(StartTLSRefused, match="does not list"):
            asyncio.run(talk())
    with Server(dialogue(OFFER, (b"STARTTLS", b"454 4.7.0 later\r\n")), tmp_path) as server:
        with pytest.raises(StartTLSRefused, match="later"):
            asyncio.run(talk(starttls="may"))
    with Server(dialogue(OFFER, (b"STARTTLS", b"TLS")), tmp_path) as server:
        with pytest.raises(VerificationError):
            asyncio.run(talk(starttls="may", server_name="x.test"))


def test_injected_reply_is_refused(make: Make, tmp_path: Path) -> None:
    """Bytes behind the go-ahead end it before the handshake (CVE-2011-0411)."""

    async def talk() -> None:
        async with make("localhost", server.port, ca_file=server.ca_file):
            raise AssertionError("connected")

    injected = b"220 go\r\n250 AUTH PLAIN\r\n"
    with Server(dialogue(OFFER, (b"STARTTLS", injected)), tmp_path) as server:
        with pytest.raises(gatepost.PlaintextAfterUpgrade):
            asyncio.run(talk())


def test_capabilities_of_the_clear_are_forgotten(make: Make, tmp_path: Path) -> None:
    """AUTH that was listed before TLS and not after is not there."""
    lying = (b"EHLO ", b"250-hello\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n")

    async def talk() -> None:
        async with make("localhost", server.port, ca_file=server.ca_file) as client:
            assert client.capabilities.auth == ()
            with pytest.raises(NoMechanism):
                await client.login(ME, PASSWORD)

    steps = (lying, (b"STARTTLS", b"TLS"), HELLO, (b"QUIT", b"221 bye\r\n"))
    with Server(dialogue(*steps), tmp_path) as server:
        asyncio.run(talk())


def test_eight_bit_message_is_encoded_where_it_must_be(make: Make, tmp_path: Path) -> None:
    """A server without 8BITMIME gets seven bits; one without SMTPUTF8 gets no such address."""
    heard: list[bytes] = []

    def script(talker: Talker) -> None:
        talker.say(b"220 hello\r\n")
        for answer in (b"250 hello\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"):
            talker.line()
            talker.say(answer)
        while not b"".join(heard).endswith(b"\r\n.\r\n"):
            heard.append(talker.line())
        talker.say(b"250 taken\r\n")
        talker.line()

    async def talk() -> None:
        message = letter()
        message.set_content("Grüße\n", cte="8bit")
        beyond = letter(Cc="jürgen@elsewhere.test")
        async with make("localhost", server.port, starttls="never") as client:
            assert (await client.send_message(message)).accepted
            refused = (await client.send_message(beyond)).refused
            assert {reply.enhanced for reply in refused.values()} == {"5.6.7"}

    with Server(script, tmp_path) as server:
        asyncio.run(talk())
    assert b"".join(heard).isascii() and b"Content-Transfer-Encoding: base64" in b"".join(heard)


def test_reports_are_asked_for(make: Make, tmp_path: Path) -> None:
    """RET, ENVID and NOTIFY where the server lists DSN."""
    heard: list[bytes] = []

    def script(talker: Talker) -> None:
        talker.say(b"220 hello\r\n")
        talker.line()
        talker.say(b"250-hello\r\n250 DSN\r\n")
        for answer in (b"250 ok\r\n", b"550 no\r\n"):
            heard.append(talker.line())
            talker.say(answer)
        talker.hear()

    async def talk() -> None:
        async with make("localhost", server.port, starttls="never") as client:
            await client.send_message(letter(), ret="HDRS", envid="a b", notify=["SUCCESS", "FAILURE"])

    with Server(script, tmp_path) as server:
        asyncio.run(talk())
    assert heard[0] == b"MAIL FROM:<alice@example.test> RET=HDRS ENVID=a+20b\r\n"
    assert heard[1] == b"RCPT TO:<bob@elsewhere.test> NOTIFY=FAILURE,SUCCESS\r\n"


def test_server_that_breaks_the_protocol_closes_the_client(make: Make, tmp_path: Path) -> None:
    """What comes next cannot be known: nothing more is said, and every call says so."""

    async def talk() -> None:
        async with make("localhost", server.port, starttls="never") as client:
            with pytest.raises(RemoteProtocolError):
                await client.noop()
            with pytest.raises((LocalProtocolError, OSError)):
                await client.noop()

    with Server(dialogue(HELLO, (b"NOOP", b"what?\r\n")), tmp_path) as server:
        asyncio.run(talk())


def test_arguments_that_contradict_are_refused(make: Make) -> None:
    """Before anything is opened."""

    async def talk(**how: Any) -> None:
        async with make("localhost", 1, **how):
            raise AssertionError("connected")

    for how in ({"starttls": "maybe"}, {"implicit": True, "starttls": "may"}, {"pins": ["x"]}, {"hostname": "a b"}):
        with pytest.raises((GatepostError, OSError)):
            asyncio.run(talk(**how))


def test_client_that_is_not_connected_says_so() -> None:
    """No call opens a connection by itself."""
    client = BlockingClient("localhost", 1)
    with pytest.raises(LocalProtocolError, match="not connected"):
        client.noop()
    client.quit()
    client.close()


def test_tasks_share_a_client(mail_server: MailServer) -> None:
    """Their messages take turns; a call that is cancelled half-way closes the connection."""

    async def main() -> None:
        async with Client("localhost", mail_server.port("mx"), ca_file=mail_server.ca_file, timeout=SECONDS) as client:
            outcomes = await asyncio.gather(*(client.send_message(letter(), "x@y.example", ME) for _ in range(5)))
            assert all(outcome.accepted == (ME,) for outcome in outcomes)
            task = asyncio.create_task(client.noop())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            with pytest.raises((LocalProtocolError, OSError)):
                await client.noop()

    asyncio.run(main())
