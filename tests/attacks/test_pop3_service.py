"""The attacker talks to the POP3 service: he wants another's mail, another's login, or that nobody is served."""

from __future__ import annotations

import base64
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.attacks.pop3_client import ALICE, PASSWORD, RawPOP3
from tests.attacks.raw import hello_record

from gatepost.mailbox import deliver, mailbox_root, unique_name
from gatepost.testing.server import MailServer

USERS = {"alice@example.test": "wonderland", "mallory@example.test": "malice"}
MALLORY, MALICE = b"mallory@example.test", b"malice"
LARGE = b"Subject: large\r\n\r\n" + (b"x" * 998 + b"\r\n") * 8000


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    with MailServer(tmp_path_factory.mktemp("data"), USERS) as server:
        for user in USERS:
            for number, content in enumerate((b"Subject: one\r\n\r\none\r\n", LARGE)):
                unique = unique_name(1000.0 + number, str(number), user, "h")
                deliver(mailbox_root(server.data, user), [content], unique=unique)
        yield server


@pytest.fixture
def server(shared_server: MailServer) -> Iterator[MailServer]:
    """A running server. After the attack Alice's mail is all there, and she can read it."""
    yield shared_server
    with honest(shared_server) as alice:
        assert alice.say(b"STAT") == b"+OK 2 %d" % (21 + len(LARGE))
        assert alice.say(b"RETR 1").startswith(b"+OK")
        assert alice.message() == b"Subject: one\r\n\r\none\r\n"
        assert alice.say(b"QUIT") == b"+OK Bye"


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    """A server whose deadlines are short."""
    limits = {"data_timeout": "1s", "handshake_timeout": "1s", "pop3_login_timeout": "2s", "exempt": []}
    with MailServer(tmp_path_factory.mktemp("impatient"), USERS, limits={**limits, "auth_failures": 2}) as server:
        deliver(mailbox_root(server.data, "alice@example.test"), [LARGE], unique=unique_name(1000.0, "1", "alice", "h"))
        yield server
        with honest(server) as alice:
            assert alice.say(b"STAT").startswith(b"+OK 1 ")


def honest(server: MailServer) -> RawPOP3:
    """Alice logs in, as soon as her mailbox is free."""
    for _ in range(300):
        client = RawPOP3(server.ports["pop3"])
        client.upgrade(server.ca_file)
        answer = client.log_in()
        if answer.startswith(b"+OK"):
            return client
        assert answer.startswith(b"-ERR [IN-USE]"), answer
        client.say(b"QUIT")
        client.rest()
        client.close()
        time.sleep(0.05)  # the session before is being noticed to be gone
    pytest.fail("the mailbox never became free")


def private(server: MailServer) -> RawPOP3:
    """A client inside TLS, not logged in."""
    client = RawPOP3(server.ports["pop3"])
    client.upgrade(server.ca_file)
    return client


# Plaintext that is to be read as if it came through TLS


@pytest.mark.parametrize("injected", [b"USER x\r\n", b"NOOP\r\n", b"CAPA\r\n", b"QUIT\r\n", b"x", b"\r\n", b"\0" * 64])
def test_plaintext_behind_stls_is_refused(server: MailServer, injected: bytes) -> None:
    """Goal: a command in the segment of STLS is obeyed inside TLS. One -ERR, and the connection ends."""
    before = server.total("plaintext_after_upgrade_total", side="server")
    with RawPOP3(server.ports["pop3"]) as client:
        client.send(b"STLS\r\n" + injected)
        answer = client.rest()
    assert answer.startswith(b"-ERR ")
    assert answer.count(b"\r\n") == 1
    assert server.total("plaintext_after_upgrade_total", side="server") == before + 1


def test_plaintext_in_a_later_segment_fails_the_handshake(server: MailServer) -> None:
    """Goal: the same, one segment later. Nothing is said in the clear any more."""
    before = server.total("plaintext_after_upgrade_total", side="server")
    with RawPOP3(server.ports["pop3"]) as client:
        assert client.say(b"STLS").startswith(b"+OK")
        client.send(b"USER alice@example.test\r\nPASS wonderland\r\n")
        assert b"+OK" not in client.rest()
    assert server.total("plaintext_after_upgrade_total", side="server") == before + 1


def test_eager_hello_is_no_injection(server: MailServer) -> None:
    """A client that sends its ClientHello together with STLS is served: only the TLS engine sees those octets."""
    _, _, _, hello = hello_record()
    with RawPOP3(server.ports["pop3"]) as client:
        client.send(b"STLS\r\n" + hello)
        assert client.reply().startswith(b"+OK")
        assert (client.buffer or client.sock.recv(1))[:1] == b"\x16"


def test_name_given_in_the_clear_is_unknown_inside_tls(server: MailServer) -> None:
    """Goal: USER before TLS, PASS after it."""
    with RawPOP3(server.ports["pop3"]) as client:
        assert client.say(b"USER " + ALICE).startswith(b"-ERR [AUTH]")
        client.upgrade(server.ca_file)
        assert client.say(b"PASS " + PASSWORD).startswith(b"-ERR")
        assert client.say(b"STAT").startswith(b"-ERR")


def test_stls_inside_tls_is_refused(server: MailServer) -> None:
    """Goal: a second upgrade confuses the engine."""
    with private(server) as client:
        assert client.say(b"STLS").startswith(b"-ERR")
        assert client.log_in().startswith(b"+OK")
        assert client.say(b"STLS").startswith(b"-ERR")
        assert client.say(b"QUIT").startswith(b"+OK")


def test_failed_handshake_ends_the_connection(server: MailServer) -> None:
    """Goal: go on in the clear after a broken handshake."""
    with RawPOP3(server.ports["pop3"]) as client:
        assert client.say(b"STLS").startswith(b"+OK")
        client.send(b"\x16\x03\x01\x00\x02\xff\xff")
        client.send(b"STAT\r\n")
        assert b"-ERR" not in client.rest()


# Numbers and lines


@pytest.mark.parametrize(
    "argument",
    [
        b"-1", b"0", b"00", b"01", b"+1", b"1.5", b"1 1", b"0x1", b"1e3", b"2147483648", b"4294967297",
        b"18446744073709551617", b"9" * 200, "١".encode(), b"\xb2", b"*", b"1;2", b"../1", b"%d",
    ],
)  # fmt: skip
def test_number_that_is_none_is_refused(server: MailServer, argument: bytes) -> None:
    """Goal: a negative, huge or strange number reaches an array. Every command that takes one."""
    with honest(server) as client:
        for command in (b"RETR ", b"DELE ", b"LIST ", b"UIDL ", b"TOP "):
            line = command + argument + (b" 1" if command == b"TOP " and argument != b"1 1" else b"")
            if line == b"TOP 1 1":
                continue
            answer = client.say(line)
            if not answer:  # too many errors: the session is over
                break
            assert answer.startswith(b"-ERR"), line
        client.say(b"QUIT")


@pytest.mark.parametrize("lines", [b"-1", b"99999999999999999999", b"x", b""])
def test_top_with_a_strange_count_is_refused(server: MailServer, lines: bytes) -> None:
    """Goal: the same with TOP's second number."""
    with honest(server) as client:
        assert client.say(b"TOP 1 " + lines).startswith(b"-ERR")
        client.say(b"QUIT")


def test_ten_thousand_arguments_are_one_long_line(server: MailServer) -> None:
    """Goal: many arguments take much memory or time."""
    with honest(server) as client:
        assert client.say(b"LIST" + b" 1" * 10_000).startswith(b"-ERR")
        assert client.say(b"STAT").startswith(b"+OK")
        client.say(b"QUIT")


def test_endless_line_does_not_grow_the_server(server: MailServer) -> None:
    """Goal: a line without end fills the memory. It is answered once, when it ends."""
    with private(server) as client:
        for _ in range(64):
            client.send(b"x" * 65536)
        assert client.say(b"").startswith(b"-ERR")


def test_flood_of_commands_behind_a_slow_one_is_not_read(server: MailServer) -> None:
    """Goal: fill the memory with commands while an answer is being sent: reading stops, and all are answered."""
    with honest(server) as client:
        client.sock.settimeout(30)
        client.send(b"RETR 2\r\n" + b"NOOP\r\n" * 2000)
        assert client.reply().startswith(b"+OK")
        assert client.message() == LARGE
        assert all(client.reply().startswith(b"+OK") for _ in range(2000))
        client.say(b"QUIT")


# Deletions


def test_nothing_pipelined_behind_quit_is_done(server: MailServer) -> None:
    """Goal: DELE behind QUIT deletes after the update, or is answered from the next session's state."""
    with honest(server) as client:
        client.send(b"QUIT\r\nDELE 1\r\nRSET\r\nQUIT\r\n")
        assert client.rest() == b"+OK Bye\r\n"


@pytest.mark.parametrize("ending", ["drop", "reset", "garbage", "half a quit"])
def test_nothing_is_deleted_without_quit(server: MailServer, ending: str) -> None:
    """Goal: cut the connection of a client that has marked its mail, and it is gone."""
    with honest(server) as client:
        assert client.say(b"DELE 1").startswith(b"+OK")
        assert client.say(b"DELE 2").startswith(b"+OK")
        if ending == "garbage":
            client.send_raw(b"\x17\x03\x03\x00\x20" + b"x" * 32)
        elif ending == "half a quit":
            client.send(b"QUIT")
        elif ending == "reset":
            client.die()


def test_quit_that_is_cut_off_before_its_answer_is_still_a_quit(tmp_path: Path) -> None:
    """The client said QUIT and vanished: its messages are deleted, each wholly, and the lock is free."""
    with MailServer(tmp_path, USERS) as server:
        root = mailbox_root(server.data, "alice@example.test")
        for number in range(20):
            deliver(root, [b"x\r\n"], unique=unique_name(1000.0 + number, str(number), "alice", "h"))
        with honest(server) as client:
            client.send(b"".join(b"DELE %d\r\n" % number for number in range(1, 21)) + b"QUIT\r\n")
            client.sock.shutdown(socket.SHUT_WR)
            client.rest()
        with honest(server) as client:
            assert client.say(b"STAT") == b"+OK 0 0"


# Locks


def test_lock_of_a_dead_peer_is_freed(server: MailServer) -> None:
    """Goal: hold a mailbox for ever by dying with a session open. (``honest`` waits until it is free.)"""
    for ending in ("close", "reset"):
        client = honest(server)
        if ending == "reset":
            client.die()
        else:
            client.close()


def test_stranger_cannot_lock_a_mailbox(server: MailServer) -> None:
    """Goal: keep Alice out without her password."""
    strangers = [private(server) for _ in range(5)]
    for stranger in strangers:
        assert stranger.log_in(ALICE, b"guess").startswith(b"-ERR [AUTH]")
    with honest(server) as alice:
        assert alice.say(b"QUIT").startswith(b"+OK")
    for stranger in strangers:
        stranger.close()


def test_one_users_mail_is_not_anothers(server: MailServer) -> None:
    """Goal: Mallory reads Alice's mail by her name as authorization identity, or by her numbers."""
    with private(server) as client:
        assert client.log_in(MALLORY, MALICE).startswith(b"+OK")
        assert client.say(b"RETR 3").startswith(b"-ERR")
        client.say(b"QUIT")
    with private(server) as client:
        answer = client.say(b"AUTH PLAIN " + base64.b64encode(ALICE + b"\0" + MALLORY + b"\0" + MALICE))
        assert answer.startswith(b"-ERR")


# Time


def test_peer_that_stops_reading_is_cut_off_and_its_lock_freed(impatient: MailServer) -> None:
    """Goal: hold a mailbox and memory by not taking a message. What waits in the server is bounded."""
    with RawPOP3(impatient.ports["pop3"]) as client:
        client.stall()
        client.upgrade(impatient.ca_file)
        assert client.log_in().startswith(b"+OK")
        client.send(b"RETR 1\r\n")
        with honest(impatient) as alice:  # comes in only when the stalled session is over
            assert alice.say(b"QUIT").startswith(b"+OK")


def test_silent_client_has_no_place_for_long(impatient: MailServer) -> None:
    """Goal: occupy connections without logging in, silent or talking: the time to log in is one for all commands."""
    with RawPOP3(impatient.ports["pop3"]) as silent, private(impatient) as talking:
        begun = time.monotonic()
        while talking.say(b"CAPA"):
            talking.lines()
            assert time.monotonic() - begun < 60
            time.sleep(0.1)  # a client at its leisure
        assert silent.rest() == b""


def test_half_a_handshake_is_cut_off(impatient: MailServer) -> None:
    """Goal: occupy connections inside the handshake."""
    with RawPOP3(impatient.ports["pop3s"], greeted=False) as client:
        client.send(hello_record()[3][:50])
        assert client.rest() == b""


def test_guessing_is_slowed_down(impatient: MailServer) -> None:
    """Goal: try many passwords. After a few failures from an address every answer takes longer."""
    for _ in range(12):
        with RawPOP3(impatient.ports["pop3"], source="127.0.0.9") as client:
            client.sock.settimeout(60)
            client.upgrade(impatient.ca_file)
            begun = time.monotonic()
            assert client.log_in(ALICE, b"guess").startswith(b"-ERR [AUTH]")
            if time.monotonic() - begun >= 2.0:  # the delay: no password check of this server takes as long
                return
    pytest.fail("no answer took longer")
