"""The client's logins: values that no line can carry, refusals, and SASL against a script."""

from __future__ import annotations

from base64 import b64encode

import pytest

from gatepost.errors import LocalProtocolError, RemoteProtocolError
from gatepost.testing.memory import ORIGIN, MemoryDriver, ScriptedPeer
from gatepost.testing.tls import evidence
from gatepost.wire.dialogue import Dialogue, Send
from gatepost.wire.pop3.client import SecureClient
from gatepost.wire.pop3.refusals import AuthenticationRefused, MalformedReply, UnexpectedReply
from gatepost.wire.pop3.reply import Reply
from gatepost.wire.sasl import ClientExternal, ClientLogin, ClientPlain, ClientScram, Credentials, Secret
from gatepost.wire.sasl.outcome import AuthenticationError

CREDENTIALS = Credentials("a", Secret("b"))
CONTROLS = ["\r\n", "\n", "\r", "\0", "\x1b", "\x7f", "\x85", "\u2028", "\u2029", "\ud800"]


def client(*script: tuple[bytes, bytes], chunks: int | None = None) -> tuple[SecureClient, MemoryDriver]:
    return SecureClient(ORIGIN, evidence()), MemoryDriver(ScriptedPeer(*script), chunks=chunks)


@pytest.mark.parametrize("control", CONTROLS, ids=ascii)
@pytest.mark.parametrize("where", ["user", "password"])
def test_a_value_never_becomes_a_second_line(where: str, control: str) -> None:
    """CR, LF, NUL and their relatives are refused before anything is sent, and not quoted (command injection)."""
    engine, driver = client()
    value = f"a{control}DELE 1"
    user, password = (value, "b") if where == "user" else ("a", value)
    with pytest.raises(LocalProtocolError) as caught:
        driver.run(engine.login(user, password))
    assert "DELE" not in str(caught.value)
    assert driver.sent == []
    assert engine.usable


@pytest.mark.parametrize(("user", "password"), [("", "b"), ("a", ""), (" a", "b"), ("a ", "b"), ("a", "x" * 2000)])
def test_a_login_that_cannot_be_said_is_refused(user: str, password: str) -> None:
    """Empty, with a space at an end that a server would take off, or too long."""
    engine, driver = client()
    with pytest.raises(LocalProtocolError):
        driver.run(engine.login(user, password))
    assert driver.sent == []


def test_a_password_is_text() -> None:
    """Octets that are no UTF-8 are refused."""
    engine, driver = client()
    with pytest.raises(LocalProtocolError):
        driver.run(engine.login("a", Secret(b"\xff")))


def test_a_password_is_sent_as_it_is() -> None:
    """Spaces and characters beyond ASCII included (RFC 1939 §7, RFC 6856 §3)."""
    engine, driver = client((b"USER J\xc3\xbc r\r\n", b"+OK\r\n"), (b"PASS  \xc3\xa4 b \r\n", b"+OK in\r\n"))
    assert driver.run(engine.login("Jü r", Secret(" ä b "))).text == "in"


@pytest.mark.parametrize(
    ("user", "password", "temporary"),
    [
        (b"-ERR who\r\n", b"", False),
        (b"+OK\r\n", b"-ERR [AUTH] no\r\n", False),
        (b"+OK\r\n", b"-ERR [IN-USE] busy\r\n", True),
        (b"+OK\r\n", b"-ERR [SYS/TEMP] ill\r\n", True),
        (b"+OK\r\n", b"-ERR [LOGIN-DELAY] soon\r\n", True),
        (b"+OK\r\n", b"-ERR [SYS/PERM] dead\r\n", False),
    ],
)
def test_a_refused_login_says_whether_it_may_pass(user: bytes, password: bytes, temporary: bool) -> None:
    """By its response code (RFC 3206); and another login may be tried."""
    engine, driver = client((b"USER a\r\n", user), *(((b"PASS b\r\n", password),) if password else ()))
    with pytest.raises(AuthenticationRefused) as caught:
        driver.run(engine.login("a", "b"))
    assert caught.value.temporary is temporary
    assert "b" not in str(caught.value).split()
    assert engine.usable


def test_answers_that_come_before_their_question_end_the_connection() -> None:
    """A server that says +OK twice to USER has not seen the password."""
    engine, driver = client((b"USER a\r\n", b"+OK\r\n+OK in\r\n"))
    with pytest.raises(UnexpectedReply):
        driver.run(engine.login("a", "b"))
    assert not engine.usable
    assert b"PASS" not in b"".join(driver.sent)


@pytest.mark.parametrize("chunks", [None, 1])
def test_plain_goes_with_its_initial_response(chunks: int | None) -> None:
    """One line there, one back (RFC 5034 §4)."""
    engine, driver = client((b"AUTH PLAIN AGEAYg==\r\n", b"+OK in\r\n"), chunks=chunks)
    assert driver.run(engine.authenticate(ClientPlain(CREDENTIALS))).text == "in"


def test_what_proves_who_we_are_is_marked_for_the_trace() -> None:
    """PASS and every line of AUTH are masked where a conversation is shown; USER is not."""
    one, other = SecureClient(ORIGIN, evidence()), SecureClient(ORIGIN, evidence())
    logins: tuple[tuple[Dialogue[Reply], list[bool], list[bytes]], ...] = (
        (one.login("a", "b"), [False, True], [b"+OK\r\n", b"+OK\r\n"]),
        (other.authenticate(ClientLogin(CREDENTIALS)), [True] * 3, [b"+ \r\n", b"+ \r\n", b"+OK\r\n"]),
    )
    for conversation, marks, answers in logins:
        effect = next(conversation)
        seen = []
        with pytest.raises(StopIteration):
            while True:
                if isinstance(effect, Send):
                    seen.append(effect.secret)
                    effect = conversation.send(None)
                else:
                    effect = conversation.send(answers.pop(0))
        assert seen == marks


def test_external_says_that_it_has_nothing_to_say() -> None:
    """``=`` is the empty initial response (RFC 5034 §4)."""
    engine, driver = client((b"AUTH EXTERNAL =\r\n", b"+OK\r\n"))
    driver.run(engine.authenticate(ClientExternal()))


def test_a_long_initial_response_waits_for_its_question() -> None:
    """AUTH with its response has at most 255 octets (RFC 5034 §4)."""
    password = "x" * 200
    response = ClientPlain(Credentials("a", Secret(password)))
    engine, driver = client(
        (b"AUTH PLAIN\r\n", b"+ \r\n"),
        (b64encode(b"\0a\0" + password.encode()) + b"\r\n", b"+OK\r\n"),
    )
    driver.run(engine.authenticate(response))
    assert driver.sent[0] == b"AUTH PLAIN\r\n"


def test_login_answers_what_it_is_asked() -> None:
    """The wording means nothing."""
    engine, driver = client(
        (b"AUTH LOGIN\r\n", b"+ VXNlciBOYW1l\r\n"), (b"YQ==\r\n", b"+ UGFzc3dvcmQ=\r\n"), (b"Yg==\r\n", b"+OK\r\n")
    )
    driver.run(engine.authenticate(ClientLogin(CREDENTIALS)))


def test_a_refused_exchange_may_be_followed_by_another() -> None:
    """-ERR leaves the client where it was."""
    engine, driver = client(
        (b"AUTH PLAIN AGEAYg==\r\n", b"-ERR [AUTH] no\r\n"), (b"USER a\r\n", b"+OK\r\n"), (b"PASS b\r\n", b"+OK\r\n")
    )
    with pytest.raises(AuthenticationRefused):
        driver.run(engine.authenticate(ClientPlain(CREDENTIALS)))
    driver.run(engine.login("a", "b"))


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (b"+OK\r\n", UnexpectedReply),
        (b"+ !\r\n", UnexpectedReply),
        (b"+ eA\r\n", UnexpectedReply),
        (b"+ \r\n+OK\r\n", UnexpectedReply),
        (b"334 \r\n", MalformedReply),
        (b"+ " + b"A" * 400_000 + b"\r\n", MalformedReply),
        (b"+ cj1ldmls\r\n", AuthenticationError),
    ],
)
def test_a_server_that_breaks_the_exchange_is_left(said: bytes, error: type[Exception]) -> None:
    """Success before it proved itself, no base64, two answers, a challenge without an end."""
    scram = ClientScram(CREDENTIALS, "n" * 24, {}, plus=False)
    engine, driver = client((b"AUTH SCRAM-SHA-256 biwsbj1hLHI9bm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5u\r\n", said))
    with pytest.raises(error):
        driver.run(engine.authenticate(scram))
    assert not engine.usable


@pytest.mark.parametrize("said", [b"+ !\r\n", b"+ =AAA\r\n", b"+ AAA=BBB\r\n", b"+ eA\r\n", b"+ cj1ldmls\r\n"])
def test_a_challenge_that_cannot_be_answered_is_cancelled(said: bytes) -> None:
    """``*`` is the last line (RFC 5034 §4)."""
    scram = ClientScram(CREDENTIALS, "n" * 24, {}, plus=False)
    engine, driver = client(
        (b"AUTH SCRAM-SHA-256 biwsbj1hLHI9bm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5u\r\n", said), (b"*\r\n", b"")
    )
    with pytest.raises(RemoteProtocolError):
        driver.run(engine.authenticate(scram))
    assert driver.sent[-1] == b"*\r\n"


def test_without_a_listed_mechanism_nothing_goes_with_auth() -> None:
    """No initial response where CAPA did not list SASL (RFC 5034 §3)."""
    engine, driver = client((b"CAPA\r\n", b"-ERR\r\n"), (b"AUTH PLAIN\r\n", b"+ \r\n"), (b"AGEAYg==\r\n", b"+OK\r\n"))
    driver.run(engine.capabilities())
    driver.run(engine.authenticate(ClientPlain(CREDENTIALS)))


def test_a_server_that_does_not_stop_asking_is_left() -> None:
    """There is an end to the rounds."""

    class Endless:
        name = "X-ENDLESS"
        complete = True

        def initial(self) -> bytes | None:
            return None

        def respond(self, challenge: bytes) -> bytes:
            return b"x"

    engine, driver = client((b"AUTH X-ENDLESS\r\n", b"+ \r\n"), *([(b"eA==\r\n", b"+ \r\n")] * 20))
    with pytest.raises(UnexpectedReply):
        driver.run(engine.authenticate(Endless()))


def test_utf8_is_said_before_the_login() -> None:
    """And not after it (RFC 6856 §2)."""
    engine, driver = client((b"UTF8\r\n", b"+OK\r\n"), (b"USER a\r\n", b"+OK\r\n"), (b"PASS b\r\n", b"+OK\r\n"))
    driver.run(engine.utf8())
    driver.run(engine.login("a", "b"))
    with pytest.raises(LocalProtocolError):
        driver.run(engine.utf8())


def test_a_server_that_asks_before_it_was_told_is_left() -> None:
    """A question in place of the empty one, when our initial response is held back."""
    engine, driver = client((b"AUTH PLAIN\r\n", b"+ eA==\r\n"), (b"*\r\n", b""))
    with pytest.raises(UnexpectedReply):
        driver.run(engine.authenticate(ClientPlain(Credentials("a", Secret("x" * 200)))))
    assert driver.sent[-1] == b"*\r\n"


@pytest.mark.parametrize(("name", "response"), [("plain", b""), ("X Y", b""), ("", b""), ("X-LONG", b"x" * 10_000)])
def test_a_mechanism_that_cannot_be_said_is_our_own_misuse(name: str, response: bytes) -> None:
    """Its name is no name, or its response is longer than a line."""

    class Odd:
        complete = True

        def __init__(self) -> None:
            self.name = name

        def initial(self) -> bytes | None:
            return None

        def respond(self, challenge: bytes) -> bytes:
            return response

    engine, driver = client((b"AUTH X-LONG\r\n", b"+ \r\n"))
    with pytest.raises(LocalProtocolError):
        driver.run(engine.authenticate(Odd()))
    assert not any(b"x" in sent for sent in driver.sent)
