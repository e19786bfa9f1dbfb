"""The client engines: greeting, hello, STARTTLS, RSET, NOOP, QUIT."""

from __future__ import annotations

import pytest

from gatepost.errors import DeadlineExceeded, HandshakeError, LocalProtocolError
from gatepost.testing.memory import CLOSE, ORIGIN, MemoryDriver, ScriptedPeer
from gatepost.testing.tls import evidence, upgrader
from gatepost.wire.smtp.client import PlainClient, SecureClient, converse_starttls
from gatepost.wire.smtp.refusals import ConnectionLost, Refused, StartTLSRefused, UnexpectedReply
from gatepost.wire.upgrade import PlaintextAfterUpgrade, UpgradeReady

EHLO = b"EHLO client.example\r\n"
LISTED = b"250-mx.example.org\r\n250-PIPELINING\r\n250 STARTTLS\r\n"


def plain() -> PlainClient:
    return PlainClient(ORIGIN, hostname="client.example")


def secure() -> SecureClient:
    return SecureClient(ORIGIN, evidence(), hostname="client.example")


def ready(*more: tuple[bytes, bytes], listed: bytes = LISTED) -> tuple[PlainClient, MemoryDriver]:
    """A plaintext client that has said hello."""
    client = plain()
    driver = MemoryDriver(ScriptedPeer((b"", b"220 mx\r\n"), (EHLO, listed), *more))
    driver.run(client.greeting())
    driver.run(client.hello())
    return client, driver


@pytest.mark.parametrize("chunks", [None, 1, 7])
def test_upgrades_and_says_hello_again(chunks: int | None) -> None:
    """Greeting, EHLO, STARTTLS, handshake, EHLO: and only the second list is believed."""
    inside = ScriptedPeer((EHLO, b"250-mx\r\n250 AUTH PLAIN\r\n"))
    outside = ScriptedPeer((b"", b"220 mx\r\n"), (EHLO, LISTED), (b"STARTTLS\r\n", b"220 go\r\n"))
    driver = MemoryDriver(outside, chunks=chunks, upgrade=upgrader(inside))
    client = driver.run(converse_starttls(ORIGIN, hostname="client.example"))
    assert isinstance(client, SecureClient)
    assert client.evidence is driver.evidence
    assert client.capabilities.auth == ("PLAIN",)
    assert not client.capabilities.pipelining
    assert outside.finished and inside.finished


def test_goes_on_in_the_clear_only_where_that_is_allowed() -> None:
    """Not listed, or refused: a client that requires TLS stops, one that may stays a PlainClient."""
    for listed, more in ((b"250 mx\r\n", ()), (LISTED, ((b"STARTTLS\r\n", b"454 4.7.0 later\r\n"),))):
        script = ((b"", b"220 mx\r\n"), (EHLO, listed), *more)
        client = MemoryDriver(ScriptedPeer(*script)).run(
            converse_starttls(ORIGIN, hostname="client.example", required=False)
        )
        assert isinstance(client, PlainClient)
        assert client.usable
        with pytest.raises(StartTLSRefused):
            MemoryDriver(ScriptedPeer(*script)).run(converse_starttls(ORIGIN, hostname="client.example"))


def test_a_failed_handshake_ends_the_conversation_also_where_tls_is_not_required() -> None:
    """There is no plaintext behind a handshake."""
    peer = ScriptedPeer((b"", b"220 mx\r\n"), (EHLO, LISTED), (b"STARTTLS\r\n", b"220 go\r\n"))
    with pytest.raises(HandshakeError):
        MemoryDriver(peer).run(converse_starttls(ORIGIN, hostname="client.example", required=False))
    assert peer.transcript.endswith(b"STARTTLS\r\n")


def test_a_spent_client_does_nothing_any_more() -> None:
    """After the go-ahead every use is an error, reading what was listed in the clear included."""
    client, driver = ready((b"STARTTLS\r\n", b"220 go\r\n"))
    token = driver.run(client.start_tls())
    assert isinstance(token, UpgradeReady)
    assert not client.usable
    assert client.decided == ()
    with pytest.raises(LocalProtocolError):
        client.capabilities  # noqa: B018
    for dialogue in (client.greeting, client.hello, client.start_tls, client.reset, client.noop, client.quit):
        with pytest.raises(LocalProtocolError):
            driver.run(dialogue())


@pytest.mark.parametrize(("reply", "temporary"), [(b"454 4.7.0 later\r\n", True), (b"502 no\r\n", False)])
def test_a_refusal_of_starttls_says_whether_it_may_pass(reply: bytes, temporary: bool) -> None:
    """The reply is on the error, and the connection is still in the clear."""
    client, driver = ready((b"STARTTLS\r\n", reply), (b"QUIT\r\n", b"221 bye\r\n"))
    with pytest.raises(StartTLSRefused) as caught:
        driver.run(client.start_tls())
    assert caught.value.reply is not None
    assert caught.value.reply.code == int(reply[:3])
    assert caught.value.temporary is temporary
    assert client.usable
    quitting = driver.run(client.quit())
    assert quitting is not None and quitting.code == 221


@pytest.mark.parametrize("said", [b"250 ok\r\n", b"354 go on\r\n", b"221 bye\r\n"])
def test_an_answer_to_starttls_that_is_neither_yes_nor_no_ends_it(said: bytes) -> None:
    """Nobody knows whether the server waits for a ClientHello: nothing more is said to it."""
    client, driver = ready((b"STARTTLS\r\n", said))
    with pytest.raises(UnexpectedReply, match="neither"):
        driver.run(client.start_tls())
    assert not client.usable


@pytest.mark.parametrize("said", [b"220 mx\r\n", b"354 go on\r\n"])
def test_a_hello_is_accepted_by_250_and_nothing_else(said: bytes) -> None:
    """RFC 5321 §4.3.2: what another code lists is not believed, and nothing is sent after it."""
    client, driver = plain(), MemoryDriver(ScriptedPeer((b"", b"220 mx\r\n"), (EHLO, said)))
    driver.run(client.greeting())
    with pytest.raises(UnexpectedReply, match="EHLO is not 250"):
        driver.run(client.hello())
    assert not client.usable


def test_a_server_that_says_421_unasked_is_named() -> None:
    """RFC 5321 §3.8: it may at any time; the command is not sent, and who reads the error knows that it may pass."""
    client, driver = ready((b"NOOP\r\n", b"250 ok\r\n421 4.3.2 shutting down\r\n"))
    with pytest.raises(UnexpectedReply, match="closes the connection") as caught:
        driver.run(client.noop())
    assert caught.value.reply is not None and caught.value.reply.code == 421


def test_starttls_that_is_not_listed_is_not_sent() -> None:
    """The refusal has no reply, because nothing was asked."""
    client, driver = ready(listed=b"250 mx\r\n")
    sent = len(driver.sent)
    with pytest.raises(StartTLSRefused) as caught:
        driver.run(client.start_tls())
    assert caught.value.reply is None
    assert caught.value.temporary
    assert "does not list STARTTLS" in caught.value.message
    assert len(driver.sent) == sent
    assert client.usable


def test_421_to_starttls_closes() -> None:
    """A server that closes refuses, and cannot be used any more."""
    client, driver = ready((b"STARTTLS\r\n", b"421 4.3.2 closing\r\n"))
    with pytest.raises(StartTLSRefused):
        driver.run(client.start_tls())
    assert not client.usable


def test_refuses_one_octet_behind_the_go_ahead() -> None:
    """The octets are evidence, and the client is spent."""
    client, driver = ready((b"STARTTLS\r\n", b"220 go\r\n2"))
    with pytest.raises(PlaintextAfterUpgrade) as caught:
        driver.run(client.start_tls())
    assert caught.value.residue == b"2"
    with pytest.raises(LocalProtocolError):
        driver.run(client.quit())


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (b"554 no service\r\n", Refused),
        (b"421 busy\r\n", Refused),
        (b"250 hello\r\n", UnexpectedReply),
        (b"354 hello\r\n", UnexpectedReply),
        (b"220 mx\r\n250 EHLO\r\n", UnexpectedReply),
        (CLOSE, ConnectionLost),
        (b"220 half", DeadlineExceeded),
        (b"", DeadlineExceeded),
    ],
)
def test_a_greeting_is_220_and_nothing_else(said: bytes, error: type[Exception]) -> None:
    """Refusals, wrong codes, early replies, silence, the end."""
    client = plain()
    driver = MemoryDriver(ScriptedPeer((b"", said)))
    with pytest.raises(error):
        driver.run(client.greeting())
    with pytest.raises(LocalProtocolError):
        driver.run(client.hello())


def test_after_a_refused_greeting_quit_is_left() -> None:
    """RFC 5321 §3.1: a server that says 554 waits for QUIT."""
    client = plain()
    driver = MemoryDriver(ScriptedPeer((b"", b"554 no\r\n"), (b"QUIT\r\n", b"221 bye\r\n")))
    with pytest.raises(Refused) as caught:
        driver.run(client.greeting())
    assert not caught.value.temporary
    assert driver.run(client.quit()) is not None


def test_helo_only_in_the_clear_and_only_where_allowed() -> None:
    """Without leave a refused EHLO is an error; inside TLS it always is."""
    script = ((b"", b"220 mx\r\n"), (EHLO, b"502 what\r\n"), (b"HELO client.example\r\n", b"250 mx\r\n"))
    client, driver = plain(), MemoryDriver(ScriptedPeer(*script))
    driver.run(client.greeting())
    assert not driver.run(client.hello(helo_fallback=True)).extended
    client, driver = plain(), MemoryDriver(ScriptedPeer(*script))
    driver.run(client.greeting())
    with pytest.raises(Refused):
        driver.run(client.hello())
    inside = MemoryDriver(ScriptedPeer((EHLO, b"502 what\r\n")))
    with pytest.raises(Refused):
        inside.run(secure().hello())


def test_implicit_tls_hears_a_greeting_first() -> None:
    """RFC 8314 §3.3: inside TLS from the first octet, then as always; a forgotten greeting is no EHLO reply."""
    script = ((b"", b"220 mx\r\n"), (EHLO, b"250 mx\r\n"))
    client, driver = secure(), MemoryDriver(ScriptedPeer(*script))
    driver.run(client.greeting())
    driver.run(client.hello())
    assert client.usable
    with pytest.raises(UnexpectedReply):
        MemoryDriver(ScriptedPeer(*script)).run(secure().hello())


def test_lmtp_says_lhlo() -> None:
    """RFC 2033 §4.1; there is no HELO to fall back to."""
    client = PlainClient(ORIGIN, hostname="client.example", dialect="LMTP")
    driver = MemoryDriver(ScriptedPeer((b"", b"220 mx\r\n"), (b"LHLO client.example\r\n", b"500 what\r\n")))
    driver.run(client.greeting())
    with pytest.raises(Refused):
        driver.run(client.hello(helo_fallback=True))


def test_reset_and_noop() -> None:
    """Each is one line and one reply; a refusal leaves the client usable, nonsense does not."""
    client, driver = ready((b"NOOP\r\n", b"250 ok\r\n"), (b"RSET\r\n", b"250 ok\r\n"), (b"NOOP\r\n", b"500 no\r\n"),
                           (b"NOOP\r\n", b"354 go\r\n"))  # fmt: skip
    assert driver.run(client.noop()).code == 250
    assert driver.run(client.reset()).code == 250
    with pytest.raises(Refused):
        driver.run(client.noop())
    assert client.usable
    with pytest.raises(UnexpectedReply):
        driver.run(client.noop())
    assert not client.usable


@pytest.mark.parametrize("said", [b"", CLOSE, b"nonsense\r\n", b"500 no\r\n"])
def test_quit_never_fails(said: bytes) -> None:
    """What was delivered stays delivered."""
    client, driver = ready((b"QUIT\r\n", said))
    driver.run(client.quit())
    assert not client.usable


def test_a_dialogue_that_was_broken_off_leaves_nothing_to_use() -> None:
    """Nobody knows what the peer will say next."""
    client, driver = ready()
    dialogue = client.noop()
    next(dialogue)
    dialogue.close()
    assert not client.usable
    with pytest.raises(LocalProtocolError):
        driver.run(client.quit())


def test_two_dialogues_never_run_at_once() -> None:
    """The second is refused before it says anything."""
    client, _ = ready()
    next(client.noop())
    with pytest.raises(LocalProtocolError):
        next(client.noop())


@pytest.mark.parametrize("name", ["", "a b", "a\r\nMAIL", "-a", "a\0", "a" * 300, "[1.2.3.4", "é.example", "a\x85b"])
def test_the_hello_name_is_a_domain_or_a_literal(name: str) -> None:
    """A name that could break the line makes no client."""
    with pytest.raises(LocalProtocolError):
        PlainClient(ORIGIN, hostname=name)
    with pytest.raises(LocalProtocolError):
        SecureClient(ORIGIN, evidence(), hostname=name)
    PlainClient(ORIGIN, hostname="[IPv6:2001:db8::1]")


def test_a_secure_client_needs_evidence() -> None:
    """Nothing that merely looks like it will do."""
    with pytest.raises(LocalProtocolError):
        SecureClient(ORIGIN, object(), hostname="client.example")  # type: ignore[arg-type]
    with pytest.raises(LocalProtocolError):
        PlainClient(ORIGIN, hostname="client.example", dialect="POP3")  # type: ignore[arg-type]


def test_the_plain_client_has_no_login_and_the_secure_one_no_upgrade() -> None:
    """Not a check, but code that is not there."""
    assert not hasattr(PlainClient, "authenticate")
    assert not hasattr(SecureClient, "start_tls")


def test_a_second_hello_replaces_the_list_and_its_refusal_leaves_only_quit() -> None:
    """RFC 2920 §3.1: what counts is the list of the last EHLO; where there is none, nothing can be sent."""
    client, driver = ready((EHLO, b"250-mx\r\n250 DSN\r\n"), (EHLO, b"503 enough\r\n"), (b"QUIT\r\n", b"221 bye\r\n"))
    driver.run(client.hello())
    assert client.capabilities.dsn and not client.capabilities.pipelining
    with pytest.raises(Refused):
        driver.run(client.hello())
    assert not client.usable
    with pytest.raises(LocalProtocolError):
        client.capabilities  # noqa: B018
    assert driver.run(client.quit()) is not None
