"""The attacker abuses AUTH: guesses, cuts, repeats, downgrades (RFC 4954, RFC 5802)."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator

import pytest
from tests.attacks.raw import Raw

from gatepost.testing.server import MailServer

RIGHT = b"\0alice@example.test\0wonderland"


@pytest.fixture
def client(server: MailServer) -> Iterator[Raw]:
    with Raw(server.ports["submission"]) as client:
        client.upgrade(server.ca_file)
        yield client


def plain(response: bytes) -> bytes:
    return b"AUTH PLAIN " + b64encode(response)


def test_login_works_at_all(client: Raw) -> None:
    """The proof that the refusals below are not refusals of everything."""
    assert client.say(plain(RIGHT)).startswith(b"235 2.7.0")


@pytest.mark.parametrize(
    "response",
    [b"\0alice@example.test\0wrong", b"\0nobody@example.test\0wonderland", b"\0\0wonderland", b"\0alice@example.test\0",
     b"bob@example.test\0alice@example.test\0wonderland", b"alice@example.test\0wonderland",
     b"\0alice@example.test\0wonderland\0", b"\0alice@example.test\0wonderland\0x", b"", b"\0", b"\0\0", b"\0\0\0",
     b"\0alice@elsewhere.example\0wonderland", b"\0alice@example.test\r\n\0wonderland"],
    ids=ascii,
)  # fmt: skip
def test_wrong_responses_are_refused_without_saying_what_was_wrong(client: Raw, response: bytes) -> None:
    """Goal: log in with half a response, or learn from the answer which users there are."""
    answer = client.say(plain(response) if response else b"AUTH PLAIN =")
    assert answer[:3] in (b"535", b"501")
    assert client.say(b"MAIL FROM:<alice@example.test>").startswith(b"530")


def test_unknown_user_and_wrong_password_get_the_same_answer(client: Raw) -> None:
    """Goal: enumerate users."""
    assert client.say(plain(b"\0alice@example.test\0wrong")) == client.say(plain(b"\0nobody@example.test\0wrong"))


@pytest.mark.parametrize("line", [b"!!!", b"AAA", b"A===", b"=AAA", b"\xff", b" "], ids=ascii)
def test_bad_base64_is_refused_and_the_session_goes_on(client: Raw, line: bytes) -> None:
    """Goal: a decoder that crashes, or that skips what it does not know."""
    assert client.say(b"AUTH PLAIN").startswith(b"334")
    assert client.say(line)[:1] == b"5"
    assert client.say(b"NOOP").startswith(b"250")


def test_exchange_can_be_cancelled(client: Raw) -> None:
    """A star ends the exchange with 501, and another may begin."""
    assert client.say(b"AUTH LOGIN").startswith(b"334")
    assert client.say(b"*").startswith(b"501")
    assert client.say(plain(RIGHT)).startswith(b"235")


def test_login_by_two_prompts(client: Raw) -> None:
    """LOGIN asks twice, and takes the right pair."""
    assert client.say(b"AUTH LOGIN").startswith(b"334")
    assert client.say(b64encode(b"alice@example.test")).startswith(b"334")
    assert client.say(b64encode(b"wonderland")).startswith(b"235")


def test_second_login_is_refused(client: Raw) -> None:
    """Goal: change identity inside a session."""
    client.say(plain(RIGHT))
    assert client.say(plain(RIGHT)).startswith(b"503")


def test_login_inside_a_transaction_is_refused(client: Raw, server: MailServer) -> None:
    """Goal: the login of one is used for the message of another."""
    client.say(plain(RIGHT))
    client.say(b"MAIL FROM:<alice@example.test>")
    assert client.say(plain(RIGHT)).startswith(b"503")


def test_unknown_mechanism_is_refused(client: Raw) -> None:
    """Goal: talk the server into a mechanism that was not offered."""
    for mechanism in (b"XOAUTH2", b"CRAM-MD5", b"EXTERNAL", b"NTLM", b"SCRAM-SHA-1", b"x" * 50):
        assert client.say(b"AUTH " + mechanism)[:3] in (b"504", b"501")


def test_overlong_response_is_one_error(client: Raw) -> None:
    """Goal: 32 kB of response, whose tail is read as a command."""
    assert client.say(b"AUTH PLAIN").startswith(b"334")
    assert client.say(b"A" * 32_000)[:1] == b"5"
    assert client.silent()
    assert client.say(b"NOOP").startswith(b"250")


def test_client_that_leaves_in_the_middle_leaves_nothing(server: MailServer) -> None:
    """Goal: a crash by hanging up in the middle of an exchange, or of a password check."""
    for last in (b"AUTH LOGIN\r\n", plain(RIGHT) + b"\r\n"):
        with Raw(server.ports["submission"]) as client:
            client.upgrade(server.ca_file)
            client.send(last)


def test_guessing_ends_the_session(client: Raw) -> None:
    """Goal: try passwords for ever on one connection."""
    for _ in range(3):
        assert client.say(plain(b"\0alice@example.test\0guess")).startswith(b"535")
    assert client.reply().startswith(b"421 4.7.0")
    assert client.rest() == b""


def test_pipelined_guesses_run_one_after_another(client: Raw) -> None:
    """Goal: many checks at once from one connection."""
    client.send((plain(b"\0alice@example.test\0guess") + b"\r\n") * 50)
    answers = client.rest().split(b"\r\n")
    assert [answer[:3] for answer in answers] == [b"535"] * 3 + [b"421", b""]


def test_guessing_slows_down_by_address(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Goal: try passwords over many connections. The answers to that address come later and later."""
    with MailServer(tmp_path_factory.mktemp("slow"), limits={"auth_failures": 1}) as server:

        def guess(source: str) -> None:
            with Raw(server.ports["submissions"], greeted=False, source=source) as client:
                client.start_tls(server.ca_file)
                client.reply()
                client.say(b"EHLO attacker.example")
                assert client.say(plain(b"\0alice@example.test\0guess")).startswith(b"535")

        guess("127.0.0.9")
        assert server.limits.login_delay("127.0.0.9") == 1.0
        guess("127.0.0.9")
        assert server.limits.login_delay("127.0.0.9") == 2.0
        assert server.limits.login_delay("127.0.0.10") == 0.0
