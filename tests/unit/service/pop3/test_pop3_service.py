"""POP3 sessions over real sockets: logins, reading, deleting, terms, limits, ending."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.attacks.pop3_client import ALICE, RawPOP3

from gatepost.mailbox import deliver, mailbox_root, unique_name
from gatepost.testing.server import MailServer
from gatepost.wire.sasl.outcome import Credentials
from gatepost.wire.sasl.scram_client import ClientScram
from gatepost.wire.sasl.secret import Secret

MAIL = (
    b"Subject: first\r\n\r\n.dot\r\n..dots\r\nbody\r\n",
    b"Subject: second\r\n\r\n" + b"".join(b"line %d\r\n" % number for number in range(50)),
    b"Subject: large\r\n\r\n" + b"0123456789abcdef" * 62 + b"\r\n" + (b"x" * 998 + b"\r\n") * 3000,
)
USERS = {"alice@example.test": "wonderland", "bob@example.test": "builder"}


def fill(server: MailServer, user: str = "alice@example.test", mail: tuple[bytes, ...] = MAIL) -> Path:
    """Put messages into an empty mailbox."""
    root = mailbox_root(server.data, user)
    for path in [*root.glob("new/*"), *root.glob("cur/*")]:
        path.unlink()
    for number, content in enumerate(mail):
        deliver(root, [content], unique=unique_name(1000.0 + number, str(number), user, "h"))
    return root


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    with MailServer(tmp_path_factory.mktemp("data"), USERS) as server:
        yield server


@pytest.fixture
def server(shared_server: MailServer) -> MailServer:
    """A running server; Alice has three messages."""
    fill(shared_server)
    return shared_server


@pytest.fixture
def client(server: MailServer) -> Iterator[RawPOP3]:
    """Alice, logged in over STLS."""
    with logged_in(server) as client:
        yield client
        if not client.buffer:
            client.say(b"QUIT")
            client.rest()


def logged_in(server: MailServer) -> RawPOP3:
    client = RawPOP3(server.ports["pop3"])
    client.upgrade(server.ca_file)
    answer = client.log_in()
    assert answer.startswith(b"+OK 3 messages, "), answer
    return client


def files(root: Path) -> int:
    return len([*root.glob("new/*"), *root.glob("cur/*")])


# Reading


def test_messages_are_fetched_as_they_were_sent(client: RawPOP3) -> None:
    """Octet for octet, with the octets that LIST and STAT promise."""
    assert client.say(b"STAT") == b"+OK 3 %d" % sum(map(len, MAIL))
    for number, content in enumerate(MAIL, 1):
        assert client.say(b"LIST %d" % number) == b"+OK %d %d" % (number, len(content))
        assert client.say(b"RETR %d" % number) == b"+OK %d octets" % len(content)
        assert client.message() == content


def test_listings_have_every_message(client: RawPOP3) -> None:
    """LIST and UIDL without a number."""
    assert client.say(b"LIST").startswith(b"+OK 3 messages")
    assert client.lines() == [b"%d %d" % (number, len(content)) for number, content in enumerate(MAIL, 1)]
    assert client.say(b"UIDL") == b"+OK"
    ids = [line.split(b" ")[1] for line in client.lines()]
    assert len(set(ids)) == 3
    assert client.say(b"UIDL 2") == b"+OK 2 " + ids[1]


def test_top_gives_header_and_lines(client: RawPOP3) -> None:
    """Of a message of one piece, and of one of many."""
    assert client.say(b"TOP 1 2").startswith(b"+OK")
    assert client.message() == b"Subject: first\r\n\r\n.dot\r\n..dots\r\n"
    assert client.say(b"TOP 3 1").startswith(b"+OK")
    assert client.message() == b"Subject: large\r\n\r\n" + b"0123456789abcdef" * 62 + b"\r\n"
    assert client.say(b"TOP 3 999999999").startswith(b"+OK")
    assert client.message() == MAIL[2]
    assert client.say(b"TOP 2 0").startswith(b"+OK")
    assert client.message() == b"Subject: second\r\n\r\n"


def test_pipelined_commands_are_answered_in_order(client: RawPOP3) -> None:
    """RFC 2449 §6.6: all at once, fast and slow ones."""
    client.send(b"STAT\r\nRETR 3\r\nLIST 1\r\nRETR 1\r\nUIDL\r\nNOOP\r\n")
    assert client.reply().startswith(b"+OK 3 ")
    assert client.reply().startswith(b"+OK")
    assert client.message() == MAIL[2]
    assert client.reply() == b"+OK 1 %d" % len(MAIL[0])
    assert client.reply().startswith(b"+OK")
    assert client.message() == MAIL[0]
    assert client.reply() == b"+OK"
    assert len(client.lines()) == 3
    assert client.reply().startswith(b"+OK")


def test_missing_and_deleted_messages_are_refused(client: RawPOP3) -> None:
    """Every command that takes a number."""
    for command in (b"LIST 4", b"UIDL 4", b"RETR 4", b"TOP 4 0", b"DELE 4", b"LIST 9999999999"):
        assert client.say(command) == b"-ERR No such message"
    assert client.say(b"DELE 2").startswith(b"+OK")
    for command in (b"LIST 2", b"UIDL 2", b"RETR 2", b"TOP 2 0", b"DELE 2"):
        assert client.say(command) == b"-ERR That message is deleted"
    assert client.say(b"STAT") == b"+OK 2 %d" % (len(MAIL[0]) + len(MAIL[2]))
    assert client.say(b"LIST").startswith(b"+OK 2 messages")
    assert [line.split(b" ")[0] for line in client.lines()] == [b"1", b"3"]
    assert client.say(b"RSET").startswith(b"+OK 3 messages")
    assert client.say(b"LIST 2").startswith(b"+OK")


def test_message_that_another_program_removed_is_refused(server: MailServer, client: RawPOP3) -> None:
    """-ERR, and the session goes on."""
    root = mailbox_root(server.data, "alice@example.test")
    next(path for path in root.glob("new/*") if path.name.startswith("1001.")).unlink()
    assert client.say(b"RETR 2").startswith(b"-ERR That message is gone")
    assert client.say(b"TOP 2 0").startswith(b"-ERR That message is gone")
    assert client.say(b"RETR 1").startswith(b"+OK")
    assert client.message() == MAIL[0]


def test_listing_of_thousands_is_sent_in_parts(server: MailServer) -> None:
    """More than the peer's buffers hold, made piece by piece."""
    root = mailbox_root(server.data, "bob@example.test")
    for number in range(3000):
        path = root / "cur" / f"{number}.{'n' * 60}:2,S"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x\n")
    with RawPOP3(server.ports["pop3s"], greeted=False) as client:
        client.start_tls(server.ca_file)
        assert client.reply().startswith(b"+OK")
        assert client.log_in(b"bob@example.test", b"builder").startswith(b"+OK 3000 messages, 9000 octets")
        assert client.say(b"DELE 17").startswith(b"+OK")
        for command in (b"LIST", b"UIDL"):
            assert client.say(command).startswith(b"+OK")
            lines = client.lines()
            assert len(lines) == 2999
            assert lines[16].startswith(b"18 ")


# Deleting


def test_quit_deletes_what_was_marked(server: MailServer) -> None:
    """And only that; the answer comes when it is done, and then the lock is free."""
    root = fill(server)
    with logged_in(server) as client:
        client.send(b"DELE 1\r\nDELE 3\r\n")
        assert client.reply().startswith(b"+OK")
        assert client.reply().startswith(b"+OK")
        assert files(root) == 3
        assert client.say(b"QUIT") == b"+OK Bye"
        assert files(root) == 1
        assert client.rest() == b""
    with RawPOP3(server.ports["pop3"]) as client:
        client.upgrade(server.ca_file)
        assert client.log_in().startswith(b"+OK 1 messages")
        assert client.say(b"QUIT").startswith(b"+OK")


def test_nothing_is_deleted_without_quit(server: MailServer) -> None:
    """The connection is dropped, or closed in an orderly way, with marks set."""
    root = fill(server)
    with logged_in(server) as client:
        assert client.say(b"DELE 1").startswith(b"+OK")
    with until_free(server) as client:
        assert client.say(b"DELE 2").startswith(b"+OK")
        client.sock.shutdown(1)
        client.rest()
    with until_free(server) as client:
        assert client.say(b"STAT").startswith(b"+OK 3 ")
        assert client.say(b"QUIT").startswith(b"+OK")
    assert files(root) == 3


def until_free(server: MailServer) -> RawPOP3:
    """Log in as soon as the session before has been noticed to be gone."""
    for _ in range(200):
        client = RawPOP3(server.ports["pop3"])
        client.upgrade(server.ca_file)
        answer = client.log_in()
        if answer.startswith(b"+OK"):
            return client
        assert answer.startswith(b"-ERR [IN-USE]"), answer
        client.say(b"QUIT")
        client.rest()
        client.close()
    pytest.fail("the mailbox never became free")


def test_second_session_is_told_that_the_mailbox_is_in_use(server: MailServer, client: RawPOP3) -> None:
    """RFC 2449 §8.1.2; the password was right, and the next attempt may be made on the same connection."""
    with RawPOP3(server.ports["pop3"]) as second:
        second.upgrade(server.ca_file)
        assert second.log_in().startswith(b"-ERR [IN-USE]")
        client.say(b"QUIT")
        client.rest()
        assert second.log_in().startswith(b"+OK")
        assert second.say(b"QUIT").startswith(b"+OK")


# Logging in


def test_capabilities_differ_before_and_after_tls(server: MailServer) -> None:
    """STLS before; logins after."""
    with RawPOP3(server.ports["pop3"]) as client:
        client.say(b"CAPA")
        before = client.lines()
        client.upgrade(server.ca_file)
        client.say(b"CAPA")
        after = client.lines()
    assert b"STLS" in before
    assert not any(line.startswith((b"USER", b"SASL")) for line in before)
    assert b"STLS" not in after
    assert b"USER" in after
    assert b"SASL SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN" in after


def test_plain_and_scram_log_in(server: MailServer) -> None:
    """SASL, RFC 5034."""
    with RawPOP3(server.ports["pop3"]) as client:
        client.upgrade(server.ca_file)
        assert client.log_in_plain().startswith(b"+OK 3 messages")
        client.say(b"QUIT")
        client.rest()
    with RawPOP3(server.ports["pop3"]) as client:
        client.upgrade(server.ca_file)
        scram = ClientScram(Credentials("alice@example.test", Secret("wonderland")), "n" * 24, {}, plus=False)
        first = scram.initial()
        answer = client.say(b"AUTH SCRAM-SHA-256 " + base64.b64encode(first or b""))
        while answer.startswith(b"+ "):
            answer = client.say(base64.b64encode(scram.respond(base64.b64decode(answer[2:]))))
        assert answer.startswith(b"+OK 3 messages"), answer
        client.say(b"QUIT")
        client.rest()


def test_wrong_password_is_refused_and_the_third_ends_the_session(server: MailServer) -> None:
    """[AUTH], one text for unknown users and wrong passwords; then the connection is closed."""
    with RawPOP3(server.ports["pop3"]) as client:
        client.upgrade(server.ca_file)
        before = server.total("auth_failures_total", mechanism="USER")
        assert client.log_in(ALICE, b"wrong") == client.log_in(b"nobody@example.test", b"wrong")
        assert client.log_in(ALICE, b"wrong").startswith(b"-ERR [AUTH]")
        assert client.rest().startswith(b"-ERR [AUTH] Too many failed logins")
        assert server.total("auth_failures_total", mechanism="USER") == before + 3


def test_login_is_refused_in_the_clear(server: MailServer) -> None:
    """Before anything is known of who it is for."""
    with RawPOP3(server.ports["pop3"]) as client:
        assert client.say(b"USER " + ALICE).startswith(b"-ERR [AUTH]")
        assert client.say(b"PASS wonderland").startswith(b"-ERR [AUTH]")
        assert client.log_in_plain().startswith(b"-ERR [AUTH]")


# Terms


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[MailServer]:
    """A server that denies TLS to 127.0.0.2, and has low limits."""
    rules = [{"from": "127.0.0.2", "starttls": "deny"}]
    limits: dict[str, Any] = {"connections_per_address": 2}
    with MailServer(tmp_path, USERS, inbound=rules, limits=limits) as server:
        yield server


def test_denied_client_is_offered_no_stls(strict: MailServer) -> None:
    """Neither listed nor accepted; and the implicit listener closes without a word."""
    with RawPOP3(strict.ports["pop3"], source="127.0.0.2") as client:
        client.say(b"CAPA")
        assert b"STLS" not in client.lines()
        assert client.say(b"STLS").startswith(b"-ERR")
        assert client.say(b"USER " + ALICE).startswith(b"-ERR [AUTH]")
    with RawPOP3(strict.ports["pop3s"], source="127.0.0.2", greeted=False) as client:
        assert client.rest() == b""
    with RawPOP3(strict.ports["pop3"]) as client:
        client.upgrade(strict.ca_file)


def test_connections_of_one_address_are_limited(strict: MailServer) -> None:
    """The third is told so and closed; another address is served."""
    clients = [RawPOP3(strict.ports["pop3"], source="127.0.0.3") for _ in range(2)]
    with RawPOP3(strict.ports["pop3"], source="127.0.0.3") as third:
        assert third.greeting == b"-ERR [SYS/TEMP] Too many connections"
        assert third.rest() == b""
    with RawPOP3(strict.ports["pop3"], source="127.0.0.4") as other:
        assert other.greeting.startswith(b"+OK")
    for client in clients:
        client.close()


# Ending


def test_drain_ends_idle_sessions_and_deletes_nothing(tmp_path: Path) -> None:
    """SIGTERM with marks set: the client is told, and its messages are still there."""
    with MailServer(tmp_path, USERS) as server:
        root = fill(server)
        client = logged_in(server)
        assert client.say(b"DELE 1").startswith(b"+OK")
        server.drain()
        assert client.rest().startswith(b"-ERR [SYS/TEMP] Shutting down")
        client.close()
    assert files(root) == 3


def test_drain_lets_an_answer_be_finished(tmp_path: Path) -> None:
    """A message that is under way arrives whole."""
    with MailServer(tmp_path, USERS) as server:
        fill(server)
        with logged_in(server) as client:
            client.send(b"RETR 3\r\n")
            assert client.reply().startswith(b"+OK")
            server.drain()
            assert client.message() == MAIL[2]
            assert client.rest().startswith(b"-ERR [SYS/TEMP]")


def test_session_is_counted(server: MailServer) -> None:
    """What the operator sees in `status` and the metrics."""
    before = {
        name: server.total(name, listener="pop3")
        for name in (
            "pop3_messages_retrieved_total",
            "pop3_messages_retrieved_bytes_total",
            "pop3_messages_deleted_total",
        )
    }
    fill(server)
    with logged_in(server) as client:
        client.say(b"RETR 1")
        client.message()
        client.say(b"DELE 1")
        assert client.say(b"QUIT").startswith(b"+OK")
    assert server.total("pop3_messages_retrieved_total", listener="pop3") == before["pop3_messages_retrieved_total"] + 1
    octets = server.total("pop3_messages_retrieved_bytes_total", listener="pop3")
    assert octets == before["pop3_messages_retrieved_bytes_total"] + len(MAIL[0])
    assert server.total("pop3_messages_deleted_total", listener="pop3") == before["pop3_messages_deleted_total"] + 1


def test_password_is_checked_in_full_once(tmp_path: Path) -> None:
    """The second login of a mail reader is spared argon2, and a change of the password is seen at once."""
    from gatepost.accounts.users import Users
    from gatepost.store.sqlite.accounts import FILE_NAME, SQLiteAccountStore

    with MailServer(tmp_path, USERS) as server:
        fill(server)
        for _ in range(3):
            with logged_in(server) as client:
                client.say(b"QUIT")
        store = SQLiteAccountStore(tmp_path / FILE_NAME)
        Users(store, ["example.test"]).set_password("alice@example.test", Secret("another"))
        store.close()
        with RawPOP3(server.ports["pop3"]) as client:
            client.upgrade(server.ca_file)
            assert client.log_in().startswith(b"-ERR [AUTH]")
            assert client.log_in(ALICE, b"another").startswith(b"+OK")
            client.say(b"QUIT")


def test_unique_ids_fit_the_protocol(client: RawPOP3) -> None:
    """RFC 1939 §7."""
    client.say(b"UIDL")
    for line in client.lines():
        assert re.fullmatch(rb"\d+ [!-~]{1,70}", line)
