"""An SMTP client that does everything a client can, before a server that says what the input says."""

from __future__ import annotations

from typing import Literal

from fuzz.origins import EVIDENCE, ORIGIN, Plan
from fuzz.talking import talk_three_ways

from gatepost.wire.dialogue import Dialogue
from gatepost.wire.sasl.mechanisms import choose
from gatepost.wire.sasl.outcome import Credentials
from gatepost.wire.sasl.secret import Secret
from gatepost.wire.smtp.address import parse_mailbox
from gatepost.wire.smtp.client import PlainClient, SecureClient
from gatepost.wire.smtp.envelope import Envelope, EnvelopeRecipient
from gatepost.wire.smtp.events import Mail, MailParameters, RcptParameters, Recipient

SESSIONS = 4
ENVELOPE = Envelope(
    "a@example.org",
    (EnvelopeRecipient("b@example.com", frozenset({"NEVER"}), "rfc822;b"), EnvelopeRecipient("c@example.com")),
    size=20,
    body="8BITMIME",
    ret="HDRS",
    envid="x=y",
)
GREETED = b"220 mx\r\n250-mx\r\n250-PIPELINING\r\n250-DSN\r\n250-SIZE\r\n250 8BITMIME\r\n"
CONTENT = (b"Subject: hi\r\n\r\n.d", b"ot\r\n")

Dialect = Literal["SMTP", "LMTP"]


def in_the_clear(dialect: Dialect) -> Dialogue[None]:
    """Up to the upgrade."""
    client = PlainClient(ORIGIN, hostname="client.example", dialect=dialect)
    yield from client.greeting()
    yield from client.hello(helo_fallback=True)
    yield from client.start_tls()


def private(dialect: Dialect) -> Dialogue[None]:
    """A login, two messages, and the small commands."""
    client = SecureClient(ORIGIN, EVIDENCE, hostname="client.example", dialect=dialect)
    yield from client.greeting()
    listed = yield from client.hello()
    if listed.auth:
        credentials = Credentials("alice", Secret("secret"))
        yield from client.authenticate(choose(listed.auth, credentials, {}, nonce="n" * 24))
    for _ in range(2):
        submission = yield from client.submit(ENVELOPE, iter(CONTENT))
        assert len(submission.replies) == len(ENVELOPE.recipients)
        assert all(line.isprintable() for each in submission.replies for line in each.lines)
        if not client.usable:
            return
    yield from client.noop()
    yield from client.reset()
    yield from client.quit()


def passing(dialect: Dialect) -> Dialogue[None]:
    """What a gate passes on."""
    client = SecureClient(ORIGIN, EVIDENCE, hostname="client.example", dialect=dialect)
    yield from client.greeting()
    yield from client.hello()
    relaying = client.relaying()
    sender = parse_mailbox("a@example.org")
    yield from relaying.xclient("ADDR=192.0.2.9")
    reply = yield from relaying.authenticate("LOGIN", None)
    while reply.code == 334:
        reply = yield from relaying.respond(b"x")
    yield from relaying.mail(Mail(sender, MailParameters(size=9, envid="x")))
    for _ in range(2):
        yield from relaying.recipient(Recipient(sender, RcptParameters(orcpt="rfc822;c=d")))
    if (yield from relaying.data()).code == 354:
        yield from relaying.content(CONTENT[0])
        yield from relaying.end(CONTENT[1])
    yield from relaying.mail(Mail(None, MailParameters()))
    yield from relaying.recipient(Recipient(sender, RcptParameters()))
    if (yield from relaying.chunk(b"ab\r\n")).code < 300:
        yield from relaying.last_chunk(b"c\r\n")
    yield from relaying.say("RSET")


def ask(plan: Plan, dialect: Dialect) -> None:
    """One session."""
    session = (in_the_clear, private, passing, private)[plan.choice]
    talk_three_ways(lambda: session(dialect), plan, GREETED if plan.choice == 3 else b"")
