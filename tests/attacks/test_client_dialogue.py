"""What a hostile server, or somebody between, tries on a client.

Each test states the attacker's goal. The classes are A5, A7, A9, A10, A14, A15, A17, C5, C7, C8 and C9.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gatepost.errors import DeadlineExceeded, GatepostError, HandshakeError, LocalProtocolError
from gatepost.testing.memory import CLOSE, ORIGIN, MemoryDriver, ScriptedPeer
from gatepost.testing.tls import evidence, upgrader
from gatepost.wire.dialogue import Dialogue
from gatepost.wire.sasl import ClientLogin, ClientPlain, Credentials, PreparationError, Secret
from gatepost.wire.smtp.client import PlainClient, SecureClient, converse_starttls
from gatepost.wire.smtp.envelope import Envelope, EnvelopeRecipient
from gatepost.wire.smtp.refusals import ConnectionLost, Refused, StartTLSRefused, UnexpectedReply
from gatepost.wire.smtp.replies import MalformedReply
from gatepost.wire.upgrade import PlaintextAfterUpgrade

EHLO = b"EHLO c.example\r\n"
LISTED = b"250-mx\r\n250-PIPELINING\r\n250-SIZE 10\r\n250 STARTTLS\r\n"
ENVELOPE = Envelope("a@example.org", (EnvelopeRecipient("b@example.com"),))
GROUP = b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n"


def upgrading(*said: bytes) -> ScriptedPeer:
    """A server up to STARTTLS and what it says to that."""
    return ScriptedPeer((b"", b"220 mx\r\n"), (EHLO, LISTED), *((b"STARTTLS\r\n", answer) for answer in said))


def converse(*, required: bool = True) -> Dialogue[Any]:
    return converse_starttls(ORIGIN, hostname="c.example", required=required)


def secure(
    *script: tuple[bytes, bytes], listed: bytes = b"250-mx\r\n250 PIPELINING\r\n"
) -> tuple[SecureClient, MemoryDriver]:
    client = SecureClient(ORIGIN, evidence(), hostname="c.example")
    driver = MemoryDriver(ScriptedPeer((EHLO, listed), *script))
    driver.run(client.hello())
    return client, driver


# A5: replies behind the go-ahead


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize("chunks", [None, 1, 9, 12])
@pytest.mark.parametrize(
    "behind",
    [b"250-mx\r\n250 AUTH PLAIN LOGIN\r\n", b"2", b"\r\n", b"\x16", b"\x16\x03\x03\x00\x31\x02", b"\0", b"220 go\r\n"],
)
def test_attacker_cannot_answer_the_first_command_inside_tls(behind: bytes, chunks: int | None, required: bool) -> None:
    """Goal: a list of his own, read as if it had come through TLS. Every octet is refused before the handshake."""
    inside = ScriptedPeer()
    driver = MemoryDriver(upgrading(b"220 go\r\n" + behind), chunks=chunks, upgrade=upgrader(inside))
    with pytest.raises(PlaintextAfterUpgrade):
        driver.run(converse(required=required))
    assert driver.evidence is None
    assert inside.transcript == b""


def test_attacker_cannot_answer_in_advance_and_then_be_silent_inside() -> None:
    """Goal: a client that goes on without having heard anything inside TLS. It waits, in vain."""
    inside = ScriptedPeer((EHLO, b""))
    driver = MemoryDriver(upgrading(b"220 go\r\n"), upgrade=upgrader(inside))
    with pytest.raises(DeadlineExceeded):
        driver.run(converse())
    assert inside.transcript == EHLO


# A7: stripping, in every form


@pytest.mark.parametrize(
    "listed",
    [
        b"250 mx\r\n",
        b"250-mx\r\n250 XXXXXXXX\r\n",
        b"250-mx\r\n250 STARTTLSX\r\n",
        b"250-mx\r\n250-PIPELINING\r\n250 XTARTTLS\r\n",
        b"250 STARTTLS\r\n",
        b"250-mx\r\n250  STARTTLS\r\n",
    ],
)
def test_attacker_who_removes_the_keyword_gets_no_plaintext(listed: bytes) -> None:
    """Goal: a client that requires TLS goes on without. It ends, having said EHLO and nothing else."""
    peer = ScriptedPeer((b"", b"220 mx\r\n"), (EHLO, listed))
    with pytest.raises(StartTLSRefused):
        MemoryDriver(peer).run(converse())
    assert peer.transcript == EHLO


@pytest.mark.parametrize(
    "reply", [b"500 what\r\n", b"502 no\r\n", b"421 no\r\n", b"554 no\r\n", b"250\r\n", b"220 x\r\n"]
)
def test_attacker_who_refuses_ehlo_gets_no_helo(reply: bytes) -> None:
    """Goal: HELO, which lists nothing. A client that requires TLS does not say it."""
    peer = ScriptedPeer((b"", b"220 mx\r\n"), (EHLO, reply))
    with pytest.raises(GatepostError):
        MemoryDriver(peer).run(converse())
    assert peer.transcript == EHLO


@pytest.mark.parametrize("code", [454, 501, 502, 503, 530, 554, 450, 421])
def test_attacker_who_refuses_the_command_gets_no_plaintext(code: int) -> None:
    """Goal: as above, by a refusal of STARTTLS itself."""
    peer = upgrading(b"%d no\r\n" % code)
    with pytest.raises(StartTLSRefused) as caught:
        MemoryDriver(peer).run(converse())
    assert caught.value.temporary is (code < 500)
    assert peer.transcript == EHLO + b"STARTTLS\r\n"


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize(
    "reply",
    [
        b"250 ok\r\n", b"354 go\r\n", b"221 bye\r\n", b"235 ok\r\n", b"334 \r\n", b"220-go\r\n454 no\r\n",
        b"220-go\r\n250 ok\r\n", b"454-no\r\n220 go\r\n", b"+ go\r\n", b"+OK\r\n", b"* OK\r\n", b"a1 OK\r\n",
        b"220\tgo\r\n", b"2200 go\r\n", b" 220 go\r\n", b"220 go\n", b"220 go\r", b"454 no\r\n250 ok\r\n",
        b"502 no\r\n220 go\r\n", b"\r\n", b"\x16\x03\x01", CLOSE, b"", b"220 g", b"220-go\r\n", b"HTTP/1.1 200 OK\r\n",
    ],
)  # fmt: skip
def test_attacker_cannot_confuse_the_step_with_an_odd_reply(reply: bytes, required: bool) -> None:
    """Goal: a client that is neither refused nor upgraded, and goes on. It ends, where TLS is optional too."""
    peer = upgrading(reply)
    driver = MemoryDriver(peer, upgrade=upgrader(ScriptedPeer()))
    with pytest.raises(GatepostError) as caught:
        driver.run(converse(required=required))
    assert not isinstance(caught.value, StartTLSRefused)
    assert peer.transcript == EHLO + b"STARTTLS\r\n"
    assert driver.evidence is None


def test_attacker_who_strips_gets_no_credentials_where_tls_is_optional() -> None:
    """Goal: a login in the clear. The client that may go on without TLS has no way to log in."""
    driver = MemoryDriver(ScriptedPeer((b"", b"220 mx\r\n"), (EHLO, b"250-mx\r\n250 AUTH PLAIN LOGIN\r\n")))
    client = driver.run(converse(required=False))
    assert isinstance(client, PlainClient)
    assert not hasattr(client, "authenticate")


# A10: what was listed in the clear


def test_attacker_cannot_make_the_client_use_what_was_listed_in_the_clear() -> None:
    """Goal: PIPELINING and a SIZE of his choice inside TLS. The second list, without them, is the one that counts."""
    inside = ScriptedPeer(
        (EHLO, b"250 mx\r\n"), (b"MAIL FROM:<a@example.org>\r\n", b"250 ok\r\n"),
        (b"RCPT TO:<b@example.com>\r\n", b"250 ok\r\n"),
        (b"DATA\r\n", b"354 go\r\n"), (b"x\r\n.\r\n", b"250 ok\r\n"),
    )  # fmt: skip
    driver = MemoryDriver(upgrading(b"220 go\r\n"), upgrade=upgrader(inside))
    client = driver.run(converse())
    envelope = Envelope("a@example.org", ENVELOPE.recipients, size=5000)
    assert driver.run(client.submit(envelope, [b"x\r\n"])).delivered
    assert inside.finished


def test_attacker_cannot_make_the_client_upgrade_twice() -> None:
    """Goal: TLS inside TLS. A list inside TLS may say STARTTLS; there is nothing that would use it."""
    client, _ = secure(listed=b"250-mx\r\n250 STARTTLS\r\n")
    assert not hasattr(client, "start_tls")


# A14, A15: what follows a failed handshake


@pytest.mark.parametrize("required", [True, False])
def test_attacker_who_breaks_the_handshake_gets_no_plaintext(required: bool) -> None:
    """Goal: the message in the clear after a failed handshake. Nothing is said on that connection any more."""
    peer = upgrading(b"220 go\r\n")
    client = PlainClient(ORIGIN, hostname="c.example")
    driver = MemoryDriver(peer)
    with pytest.raises(HandshakeError):
        driver.run(converse(required=required))
    assert peer.transcript == EHLO + b"STARTTLS\r\n"
    driver = MemoryDriver(upgrading(b"220 go\r\n"))
    driver.run(client.greeting())
    driver.run(client.hello())
    driver.run(client.start_tls())
    dialogues: list[Callable[[], Dialogue[Any]]] = [
        client.quit, client.reset, client.noop, client.hello, client.start_tls, client.greeting,
        lambda: client.submit(ENVELOPE, [b"x\r\n"]),
    ]  # fmt: skip
    for dialogue in dialogues:
        with pytest.raises(LocalProtocolError):
            driver.run(dialogue())


# A17: truncation


@pytest.mark.parametrize("reply", [b"", b"2", b"250", b"250 ok", b"250 ok\r", b"250-ok\r\n", b"250-ok\r\n250"])
def test_attacker_who_cuts_the_final_reply_does_not_lose_mail(reply: bytes) -> None:
    """Goal: a message counted as delivered that never was. Half a 250 is none: the recipient stays undecided."""
    client, driver = secure((GROUP, b"250 m\r\n250 r\r\n354 d\r\n"))

    class Cut:
        closed = True
        said = b"250 m\r\n250 r\r\n354 d\r\n"

        def receive(self, data: bytes) -> None:
            if data.endswith(b".\r\n"):
                self.said = reply

        def outgoing(self) -> bytes:
            said, self.said = self.said, b""
            return said

    driver.peer = Cut()
    with pytest.raises(ConnectionLost) as caught:
        driver.run(client.submit(ENVELOPE, [b"x\r\n"]))
    assert caught.value.temporary
    assert client.decided == (None,)
    assert not client.usable


# C5: values that come from outside

BAD = ["\r\n", "\n", "\r", "\0", "\x85", "\u2028", "\x1b", "\r\nRCPT TO:<x@y>"]


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize(
    "build",
    [
        lambda bad: PlainClient(ORIGIN, hostname=f"c{bad}.example"),
        lambda bad: SecureClient(ORIGIN, evidence(), hostname=f"c.example{bad}"),
        lambda bad: Envelope(f"a{bad}@example.org", ENVELOPE.recipients),
        lambda bad: Envelope(f"a@example.org{bad}", ENVELOPE.recipients),
        lambda bad: Envelope("", ENVELOPE.recipients, envid=f"x{bad}"),
        lambda bad: Envelope("", ENVELOPE.recipients, size=f"1{bad}"),  # type: ignore[arg-type]
        lambda bad: Envelope("", ENVELOPE.recipients, ret=f"FULL{bad}"),  # type: ignore[arg-type]
        lambda bad: Envelope("", ENVELOPE.recipients, body=f"7BIT{bad}"),  # type: ignore[arg-type]
        lambda bad: EnvelopeRecipient(f"{bad}b@example.com"),
        lambda bad: EnvelopeRecipient(f"b@example{bad}.com"),
        lambda bad: EnvelopeRecipient(f'"b{bad}"@example.com'),
        lambda bad: EnvelopeRecipient(f"b@[192.0.2.1{bad}]"),
        lambda bad: EnvelopeRecipient("b@example.com", notify=frozenset({f"NEVER{bad}"})),
        lambda bad: EnvelopeRecipient("b@example.com", orcpt=f"rfc822{bad};b@example.com"),
        lambda bad: EnvelopeRecipient("b@example.com", orcpt=f"rfc822;b{bad}@example.com"),
    ],
)
def test_attacker_who_chooses_a_value_cannot_add_a_command(build: Callable[[str], object], bad: str) -> None:
    """Goal: a second command by way of a name, an address or a parameter. The value is refused when it is made."""
    with pytest.raises(LocalProtocolError):
        build(bad)


@pytest.mark.parametrize("bad", ["\r\n", "\0", "\x85", "\u2028", "\x1b", "\n"])
def test_attacker_who_chooses_a_login_name_cannot_add_a_command(bad: str) -> None:
    """Goal: the same by way of user and password, which travel in base64 and are prepared before that."""
    for user, password in ((f"u{bad}", "p"), ("u", f"p{bad}")):
        for mechanism in (ClientPlain, ClientLogin):
            with pytest.raises(PreparationError):
                mechanism(Credentials(user, Secret(password)))


@pytest.mark.parametrize(
    "smuggled", [b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r.\r\n", b"\r\n.\n", b"\r\n.\r", b"\r\r\n.\r\n", b"\r\n.\r\r\n"]
)
@pytest.mark.parametrize("cut", [0, 1, 2, 3])
def test_attacker_who_writes_a_message_cannot_end_it_early(smuggled: bytes, cut: int) -> None:
    """Goal: SMTP smuggling through us. Content with a lone CR or LF is never sent, wherever it is cut."""
    content = b"Subject: x\r\n\r\nhello" + smuggled + b"MAIL FROM:<evil@example.org>\r\n"
    at = content.index(smuggled) + cut
    client, driver = secure((GROUP, b"250 m\r\n250 r\r\n354 d\r\n"))
    with pytest.raises(LocalProtocolError):
        driver.run(client.submit(ENVELOPE, [content[:at], content[at:]]))
    assert not any(data.endswith(b".\r\n") for data in driver.sent)
    assert not any(b"evil" in data for data in driver.sent)


# C7: floods


@pytest.mark.parametrize(
    "flood",
    [
        b"250-x\r\n" * 100_000,
        b"250-" + b"x" * (4 << 20),
        b"x" * (16 << 20),
        (b"250-" + b"x" * 8000 + b"\r\n") * 600,
        b"250-\r\n" * 513,
        b"\r\n" * 100_000,
    ],
)
@pytest.mark.parametrize("size", [None, 65536])
def test_attacker_who_floods_a_reply_is_cut_off(flood: bytes, size: int | None) -> None:
    """Goal: memory or time without end. Lines, lines of a reply and octets of a reply are bounded."""
    client = PlainClient(ORIGIN, hostname="c.example")
    driver = MemoryDriver(ScriptedPeer((b"", b"220 mx\r\n"), (EHLO, flood)), chunks=size)
    driver.run(client.greeting())
    with pytest.raises(MalformedReply):
        driver.run(client.hello())
    assert sum(wait.step == "reply to EHLO" for wait in driver.waited) < 12


def test_attacker_who_sends_a_huge_challenge_is_cut_off() -> None:
    """Goal: 400 kB of base64 in one AUTH challenge."""
    client, driver = secure((b"AUTH LOGIN\r\n", b"334 " + b"A" * 400_000 + b"\r\n"))
    with pytest.raises(MalformedReply):
        driver.run(client.authenticate(ClientLogin(Credentials("u", Secret("p")))))


def test_attacker_who_drips_does_not_stretch_the_deadline() -> None:
    """Goal: a client that waits for ever. Every wait for one reply has the same step, and so one deadline."""
    client, driver = secure()
    driver = MemoryDriver(ScriptedPeer((b"NOOP\r\n", b"250-a\r\n" * 50 + b"250 b\r\n")), chunks=1)
    driver.run(client.noop())
    assert {(wait.step, wait.seconds) for wait in driver.waited} == {("reply to NOOP", 60.0)}
    assert len(driver.waited) > 100


# C8: premature and wrong replies


def test_attacker_who_answers_everything_at_once_is_not_believed() -> None:
    """Goal: a message counted as delivered by a script that listens to nothing."""
    everything = b"220 mx\r\n250 mx\r\n250 ok\r\n250 ok\r\n354 go\r\n250 queued\r\n221 bye\r\n"
    for count in range(2, 8):
        said = b"".join(everything.splitlines(keepends=True)[:count])
        client = PlainClient(ORIGIN, hostname="c.example")
        with pytest.raises(UnexpectedReply):
            MemoryDriver(ScriptedPeer((b"", said))).run(client.greeting())


@pytest.mark.parametrize(
    "replies",
    [
        b"250 m\r\n250 r\r\n354 d\r\n250 queued\r\n",
        b"250 m\r\n250 r\r\n354 d\r\n2",
        b"250 m\r\n250 r\r\n250 queued\r\n",
        b"250 m\r\n250 r\r\n235 d\r\n",
        b"250 m\r\n250 r\r\n334 d\r\n",
        b"354 m\r\n250 r\r\n354 d\r\n",
        b"250 m\r\n354 r\r\n354 d\r\n",
        b"250 m\r\n250 r\r\n354-d\r\n250 d\r\n",
        b"250 m\r\n250-r\r\n550 r\r\n354 d\r\n",
    ],
)
def test_attacker_cannot_take_content_without_354_or_answer_it_early(replies: bytes) -> None:
    """Goal: success without a message. The content is not sent, and nobody counts as delivered to."""
    client, driver = secure((GROUP, replies))
    with pytest.raises((UnexpectedReply, MalformedReply)) as caught:
        driver.run(client.submit(ENVELOPE, [b"secret\r\n"]))
    assert caught.value.temporary
    assert not any(b"secret" in data for data in driver.sent)
    assert client.decided == (None,)
    assert not client.usable


@pytest.mark.parametrize("final", [b"354 more\r\n", b"334 more\r\n", b"25 ok\r\n", b"250-ok\r\n550 no\r\n", b"+OK\r\n"])
def test_attacker_cannot_confuse_the_final_reply(final: bytes) -> None:
    """Goal: a message lost by a reply that means nothing. It is kept."""
    client, driver = secure((GROUP, b"250 m\r\n250 r\r\n354 d\r\n"), (b"x\r\n.\r\n", final))
    with pytest.raises((UnexpectedReply, MalformedReply)) as caught:
        driver.run(client.submit(ENVELOPE, [b"x\r\n"]))
    assert caught.value.temporary
    assert client.decided == (None,)


def test_attacker_who_speaks_unasked_ends_the_connection() -> None:
    """Goal: a reply that is counted for the next command. What came behind a reply is found before that is sent."""
    client, driver = secure((GROUP, b"250 m\r\n250 r\r\n354 d\r\n"), (b"x\r\n.\r\n", b"250 one\r\n250 two\r\n"))
    assert driver.run(client.submit(ENVELOPE, [b"x\r\n"])).delivered
    sent = len(driver.sent)
    with pytest.raises(UnexpectedReply):
        driver.run(client.submit(ENVELOPE, [b"x\r\n"]))
    assert len(driver.sent) == sent


def test_a_421_that_waits_is_named() -> None:
    """Not an attack: a server that closes an idle connection says so, and that is what the error says."""
    client, driver = secure((GROUP, b"250 m\r\n250 r\r\n354 d\r\n"), (b"x\r\n.\r\n", b"250 one\r\n421 4.4.2 idle\r\n"))
    driver.run(client.submit(ENVELOPE, [b"x\r\n"]))
    with pytest.raises(UnexpectedReply, match="421") as caught:
        driver.run(client.noop())
    assert caught.value.temporary


def test_attacker_cannot_send_the_message_elsewhere() -> None:
    """Goal: redirection by 551. It is a refusal like any other (A16)."""
    client, driver = secure(
        (GROUP, b"250 m\r\n551 5.1.6 try <x@evil.example>\r\n503 d\r\n"), (b"NOOP\r\n", b"250 ok\r\n")
    )
    assert driver.run(client.submit(ENVELOPE, [b"x\r\n"])).replies[0].code == 551
    driver.run(client.noop())
    assert not any(b"evil" in data for data in driver.sent)


# C9: silence


def test_attacker_who_is_silent_is_left_at_each_step() -> None:
    """Goal: a client that hangs. Each step has its own deadline (RFC 5321 §4.5.3.2), and no message is lost."""
    outside = [(b"", b"220 mx\r\n"), (EHLO, LISTED), (b"STARTTLS\r\n", b"220 go\r\n")]
    for silent_at, step in enumerate(("greeting", "reply to EHLO", "reply to STARTTLS")):
        script = [(heard, said if i < silent_at else b"") for i, (heard, said) in enumerate(outside)]
        driver = MemoryDriver(ScriptedPeer(*script))
        with pytest.raises(DeadlineExceeded, match=step):
            driver.run(converse())
        assert 0 < driver.waited[-1].seconds <= 300
    replies = [b"250 m\r\n", b"250 r\r\n", b"354 d\r\n"]
    for count, step in enumerate(
        ("reply to MAIL", "reply to RCPT 1", "reply to DATA", "reply to the end of the message")
    ):
        client, driver = secure((GROUP, b"".join(replies[:count])), (b"x\r\n.\r\n", b""))
        with pytest.raises(DeadlineExceeded, match=step):
            driver.run(client.submit(ENVELOPE, [b"x\r\n"]))
        assert client.decided == (None,)
        assert not client.usable
        assert 0 < driver.waited[-1].seconds <= 600


def test_a_delivered_message_stays_delivered_when_quit_hangs() -> None:
    """Not even silence at QUIT takes a 250 back."""
    client, driver = secure((GROUP, b"250 m\r\n250 r\r\n354 d\r\n"), (b"x\r\n.\r\n", b"250 ok\r\n"), (b"QUIT\r\n", b""))
    found = driver.run(client.submit(ENVELOPE, [b"x\r\n"]))
    assert driver.run(client.quit()) is None
    assert found.delivered
    assert client.decided == (found.final,)


def test_refusals_cannot_forge_log_lines() -> None:
    """Goal: a line of his own in our log, by way of a refusal's text (D12)."""
    driver = MemoryDriver(ScriptedPeer((b"", b"554 no\x1b[1A\xe2\x80\xa8accepted\x00\r\n")))
    with pytest.raises(Refused) as caught:
        driver.run(PlainClient(ORIGIN, hostname="c.example").greeting())
    assert str(caught.value).isprintable()
