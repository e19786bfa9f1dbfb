"""Invariant: whatever a server says, a client ends with a value or a RemoteProtocolError, texts are printable, memory
is bounded, and the end does not depend on how the octets of a line are cut."""

from __future__ import annotations

from fuzz.origins import EVIDENCE, ORIGIN, plan, seeds
from fuzz.talking import talk_three_ways
from fuzz.words import ENDS, POP3_REPLIES

from gatepost.wire.dialogue import Dialogue
from gatepost.wire.pop3.client import PlainClient, SecureClient
from gatepost.wire.pop3.exchange import Exchange
from gatepost.wire.pop3.relaying import Relaying
from gatepost.wire.pop3.reply import Reply
from gatepost.wire.pop3.timeouts import DEFAULT_TIMEOUTS
from gatepost.wire.sasl.mechanisms import choose
from gatepost.wire.sasl.outcome import Credentials
from gatepost.wire.sasl.secret import Secret

SESSIONS = 4
LOGGED_IN = b"+OK\r\n+OK\r\n.\r\n+OK\r\n+OK\r\n"
WORDS = POP3_REPLIES + ENDS
SEEDS = seeds(
    b"+OK hello\r\n+OK\r\nSTLS\r\nUSER\r\nSASL PLAIN\r\n.\r\n+OK go\r\n",
    b"+OK hello\r\n+OK\r\nSASL LOGIN\r\nUSER\r\n.\r\n+ VXNlcg==\r\n+ UGFzcw==\r\n+OK\r\n+OK 1 10\r\n+OK\r\n"
    b"1 10\r\n.\r\n+OK\r\n"
    b"1 abc\r\n.\r\n+OK\r\nSubject: x\r\n\r\n..dot\r\n.\r\n+OK\r\nA: b\r\n.\r\n+OK bye\r\n",
    b"+OK 1 10\r\n+OK\r\n1 10\r\n.\r\n+OK\r\n1 abc\r\n.\r\n+OK\r\nx\r\n.\r\n+OK\r\nA: b\r\n.\r\n+OK\r\n"
    b"-ERR [SYS/TEMP] no\r\n",
    b"+OK\r\n+OK\r\n+ \r\n-ERR [AUTH] no\r\n+OK\r\nab\r\n..\r\n.\r\n",
    choices=SESSIONS,
)


def in_the_clear() -> Dialogue[None]:
    """Up to the upgrade."""
    client = PlainClient(ORIGIN)
    yield from client.greeting()
    yield from client.capabilities()
    yield from client.start_tls()


def with_mechanism() -> Dialogue[None]:
    """A login by the best mechanism that is listed, then everything."""
    client = SecureClient(ORIGIN, EVIDENCE)
    yield from client.greeting()
    listed = yield from client.capabilities()
    yield from client.authenticate(choose(listed.sasl, Credentials("alice", Secret("secret")), {}, nonce="n" * 24))
    yield from everything(client)


def with_password() -> Dialogue[None]:
    """A login with USER and PASS, then everything."""
    client = SecureClient(ORIGIN, EVIDENCE)
    yield from client.greeting()
    yield from client.capabilities()
    yield from client.login("a", "b")
    yield from everything(client)


def everything(client: SecureClient) -> Dialogue[None]:
    """What can be asked of a maildrop, as long as it is answered."""
    assert all(size >= 0 for size in (yield from client.stat()))
    assert all(number > 0 for number in (yield from client.list()))
    assert all(name.isprintable() for name in (yield from client.uidl()).values())
    taken: list[bytes] = []
    octets = yield from client.retrieve(1, taken.append, limit=1000)
    assert octets == sum(map(len, taken)) <= 1000
    yield from client.top(1, 0, taken.append, limit=1000)
    yield from client.delete(1)
    yield from client.reset()
    yield from client.noop()
    reply = yield from client.quit()
    assert reply is None or reply.text.isprintable()


def passing() -> Dialogue[None]:
    """What a gate passes on."""
    relaying = Relaying(Exchange(), DEFAULT_TIMEOUTS)
    yield from relaying.user("a")
    yield from relaying.password(Secret("b"))
    answer = yield from relaying.authenticate("LOGIN", None)
    while not isinstance(answer, Reply):
        answer = yield from relaying.respond(b"x")
    if (yield from relaying.begin("RETR 1")).positive:
        while (yield from relaying.piece()):
            pass
    yield from relaying.quit()


def target(data: bytes) -> None:
    """Up to the upgrade, two sessions with a login, of which one is logged in already, and what a gate passes on."""
    told = plan(data, SESSIONS)
    session = (in_the_clear, with_mechanism, with_password, passing)[told.choice]
    talk_three_ways(session, told, LOGGED_IN if told.choice == 2 else b"")
