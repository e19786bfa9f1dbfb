"""What the listeners do with mail: who may send what to whom, what is added, and when 250 is said."""

from __future__ import annotations

import base64
import os
import re
import smtplib
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from gatepost.errors import StoreError
from gatepost.net.blocking import BlockingWire
from gatepost.queue.item import NewMessage
from gatepost.store.sqlite.queue import SQLiteQueue
from gatepost.testing.server import MailServer
from gatepost.tls.contexts import ClientTLS, client_context
from gatepost.wire.dialogue import Dialogue
from gatepost.wire.sasl.mechanisms import choose
from gatepost.wire.sasl.outcome import Credentials, bindings_of
from gatepost.wire.sasl.secret import Secret
from gatepost.wire.smtp.client import SecureClient, converse_starttls
from gatepost.wire.smtp.refusals import Refused

LISTENERS = [
    {"name": "mx", "protocol": "smtp", "bind": "127.0.0.1:0"},
    {"name": "closed", "protocol": "smtp", "bind": "127.0.0.1:0", "starttls": "deny"},
    {"name": "private", "protocol": "smtp", "bind": "127.0.0.1:0", "starttls": "require"},
    {"name": "submission", "protocol": "submission", "bind": "127.0.0.1:0"},
    {"name": "submissions", "protocol": "submission", "bind": "127.0.0.1:0", "tls": "implicit"},
    {"name": "lmtp", "protocol": "lmtp", "bind": "127.0.0.1:0"},
]
USERS = {"alice@example.test": "wonderland", "bob@example.test": "builder"}
ALIASES = {"sales": ["alice", "bob", "carol@elsewhere.example"], "ceo@example.test": "alice"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    with MailServer(tmp_path_factory.mktemp("data"), USERS, listener=LISTENERS, aliases=ALIASES) as server:
        yield server


@pytest.fixture(autouse=True)
def _empty(server: MailServer) -> None:
    server.messages()


def trusting(server: MailServer) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=server.ca_file)


def client(server: MailServer, listener: str, *, tls: bool = True) -> smtplib.SMTP:
    if listener == "submissions":
        return smtplib.SMTP_SSL("localhost", server.port(listener), context=trusting(server))
    found = (smtplib.LMTP if listener == "lmtp" else smtplib.SMTP)("localhost", server.port(listener))
    if tls:
        found.starttls(context=trusting(server))
    return found


@pytest.fixture
def user(server: MailServer) -> Iterator[smtplib.SMTP]:
    with client(server, "submissions") as smtp:
        smtp.login("alice@example.test", "wonderland")
        yield smtp


def test_received_field_tells_how_the_message_came(server: MailServer) -> None:
    """The trace names both ends, the TLS version, cipher and group, the protocol, the id, the recipient, the date."""
    with client(server, "mx") as smtp:
        smtp.ehlo("mx.sender.example")
        smtp.sendmail("a@sender.example", ["alice@example.test"], "Subject: x\r\n\r\nhi\r\n")
    [(message, body, _)] = server.messages()
    field = body.partition(b"\r\nSubject")[0].decode()
    assert re.fullmatch(
        r"Received: from mx\.sender\.example \(unknown \[127\.0\.0\.1\]\)\s"
        r"\(using TLSv1\.3 with cipher TLS_AES_256_GCM_SHA384 \(256/256 bits\)\s+"
        r"key-exchange \S+ \(no client certificate\)\) by mx\.example\.test \(gatepost\)\s+"
        rf"with ESMTPS id {message.id} for <alice@example\.test>;\s+\w{{3}}, .+ [+-]\d{{4}}",
        re.sub(r"\r\n\t", " ", field),
    )


@pytest.mark.parametrize(("tls", "keyword"), [(True, "ESMTPS"), (False, "ESMTP")])
def test_received_field_names_the_protocol(server: MailServer, tls: bool, keyword: str) -> None:
    """ESMTPS inside TLS, ESMTP in the clear (RFC 3848)."""
    with client(server, "mx", tls=tls) as smtp:
        smtp.sendmail("a@sender.example", ["alice@example.test"], "Subject: x\r\n\r\n")
    [(_, body, _)] = server.messages()
    assert f"with {keyword} id ".encode() in body
    assert (b"(using TLSv1.3" in body) is tls


def test_recipients_of_one_message_are_not_told_of_each_other(server: MailServer) -> None:
    """With more than one recipient the trace names none (RFC 5321 §7.2)."""
    with client(server, "mx") as smtp:
        smtp.sendmail("a@sender.example", ["alice@example.test", "bob@example.test"], "Subject: x\r\n\r\n")
    [(_, body, recipients)] = server.messages()
    assert sorted(recipients) == ["alice@example.test", "bob@example.test"]
    assert b"alice" not in body
    assert b"bob" not in body


def test_aliases_lead_to_mailboxes_and_elsewhere(server: MailServer) -> None:
    """An alias is resolved when the message comes in; each target is in the queue once."""
    with client(server, "mx") as smtp:
        smtp.sendmail("a@sender.example", ["sales@example.test", "alice+tag@example.test"], "Subject: x\r\n\r\n")
    [(_, _, recipients)] = server.messages()
    assert sorted(recipients) == ["alice@example.test", "bob@example.test", "carol@elsewhere.example"]


def test_starttls_is_denied_where_the_listener_denies_it(server: MailServer) -> None:
    """Neither offered nor accepted, and mail comes in the clear."""
    with client(server, "closed", tls=False) as smtp:
        smtp.ehlo()
        assert not smtp.has_extn("starttls")
        assert smtp.docmd("STARTTLS")[0] == 502
        assert smtp.mail("a@sender.example")[0] == 250


def test_tls_is_required_where_the_listener_requires_it(server: MailServer) -> None:
    """Everything but hello, NOOP, QUIT and STARTTLS is refused with 530 5.7.0 before TLS."""
    with client(server, "private", tls=False) as smtp:
        smtp.ehlo()
        assert smtp.docmd("MAIL FROM:<a@sender.example>") == (530, b"5.7.0 Must issue a STARTTLS command first")
        assert smtp.noop()[0] == 250
        smtp.starttls(context=trusting(server))
        assert smtp.sendmail("a@sender.example", ["alice@example.test"], "Subject: x\r\n\r\n") == {}


def test_submission_completes_what_a_program_left_out(server: MailServer, user: smtplib.SMTP) -> None:
    """Date, Message-ID and From are added when they are missing (RFC 6409 §8)."""
    user.sendmail("alice@example.test", ["x@elsewhere.example"], "Subject: x\r\n\r\nhi\r\n")
    [(message, body, _)] = server.messages()
    header = body.partition(b"\r\n\r\n")[0]
    assert re.search(rb"\r\nDate: \w{3}, ", header)
    assert f"\r\nMessage-ID: <{message.id}@mx.example.test>\r\n".encode() in header
    assert b"\r\nFrom: alice@example.test\r\n" in header
    assert b"ESMTPSA" in header


def test_submission_leaves_what_is_there(server: MailServer, user: smtplib.SMTP) -> None:
    """A complete message passes unchanged below the trace."""
    content = "Date: Sat, 21 Nov 2026 00:00:00 +0000\r\nMessage-ID: <x@y>\r\nFrom: alice@example.test\r\n\r\nhi\r\n"
    user.sendmail("alice@example.test", ["x@elsewhere.example"], content)
    [(_, body, _)] = server.messages()
    assert body.endswith(b"\r\n" + content.encode())


def test_mx_adds_nothing_but_the_trace(server: MailServer) -> None:
    """Mail from elsewhere is not touched, whatever it lacks."""
    with client(server, "mx") as smtp:
        smtp.sendmail("a@sender.example", ["alice@example.test"], "Subject: x\r\n\r\n")
    [(_, body, _)] = server.messages()
    assert body.count(b"\r\nDate:") == 0


@pytest.mark.parametrize(
    "sender", ["alice@example.test", "ALICE@EXAMPLE.TEST", "alice+x@example.test", "ceo@example.test", ""]
)
def test_login_sends_as_its_own_addresses(server: MailServer, user: smtplib.SMTP, sender: str) -> None:
    """Its address, with detail, its aliases, and the null sender of reports."""
    assert user.docmd(f"MAIL FROM:<{sender}>")[0] == 250


@pytest.mark.parametrize(
    "sender", ["bob@example.test", "alice@elsewhere.example", "root@example.test", "postmaster@example.test"]
)
def test_login_cannot_send_as_somebody_else(server: MailServer, user: smtplib.SMTP, sender: str) -> None:
    """553 5.7.1 at MAIL."""
    code, text = user.docmd(f"MAIL FROM:<{sender}>")
    assert (code, text[:5]) == (553, b"5.7.1")


def test_login_cannot_write_a_foreign_author_into_the_message(server: MailServer, user: smtplib.SMTP) -> None:
    """553 5.7.1 at the end of the content when From names somebody else, in any field of that name."""
    for header in (
        "From: bob@example.test",
        "From: alice@example.test\r\nFrom: x@y.example",
        "From: A <a@b.example>, alice@example.test",
    ):
        with pytest.raises(smtplib.SMTPDataError) as caught:
            user.sendmail("alice@example.test", ["x@elsewhere.example"], header + "\r\n\r\nhi\r\n")
        assert caught.value.smtp_code == 553
    assert server.messages() == []


def test_author_cannot_hide_behind_a_blank_or_a_long_header(server: MailServer, user: smtplib.SMTP) -> None:
    """A From field in obsolete spelling counts; a header too long to be read whole is refused."""
    with pytest.raises(smtplib.SMTPDataError) as caught:
        user.sendmail("alice@example.test", ["x@y.example"], "Subject: x\r\nFrom : bob@example.test\r\n\r\nhi\r\n")
    assert caught.value.smtp_code == 553
    long = "".join(f"X-{n}: {'a' * 900}\r\n" for n in range(900)) + "From: bob@example.test\r\n\r\nhi\r\n"
    with pytest.raises(smtplib.SMTPDataError) as caught:
        user.sendmail("alice@example.test", ["x@y.example"], long)
    assert caught.value.smtp_code == 550
    assert server.messages() == []


@pytest.mark.parametrize(
    ("listed", "used"),
    [
        (("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN"), "SCRAM-SHA-256-PLUS"),
        (("SCRAM-SHA-256", "PLAIN"), "SCRAM-SHA-256"),
        (("PLAIN",), "PLAIN"),
        (("LOGIN",), "LOGIN"),
    ],
)
def test_login_by_every_mechanism(server: MailServer, listed: Sequence[str], used: str) -> None:
    """Our client logs in with each; SCRAM-PLUS is bound to the handshake."""

    def talk(wire: BlockingWire) -> Dialogue[str]:
        secure = yield from converse_starttls(wire.origin, hostname="client.example")
        evidence = wire.evidence
        assert evidence is not None
        bindings = {} if used == "SCRAM-SHA-256" else bindings_of(evidence)
        nonce = base64.b64encode(os.urandom(18)).decode()
        mechanism = choose(listed, Credentials("alice@example.test", Secret(b"wonderland")), bindings, nonce=nonce)
        assert set(listed) <= {*secure.capabilities.auth}
        yield from secure.authenticate(mechanism)
        yield from secure.quit()
        return mechanism.name

    before = server.total("auth_attempts_total", mechanism=used, result="success")
    tls = ClientTLS(client_context(server.ca_file), "localhost")
    with BlockingWire("127.0.0.1", server.port("submission"), tls=tls) as wire:
        assert wire.run(talk(wire)) == used
    assert server.total("auth_attempts_total", mechanism=used, result="success") == before + 1


def test_scram_with_a_wrong_password_is_refused(server: MailServer) -> None:
    """And the client learns no more than that."""

    def talk(wire: BlockingWire) -> Dialogue[None]:
        secure: SecureClient = yield from converse_starttls(wire.origin, hostname="client.example")
        nonce = base64.b64encode(os.urandom(18)).decode()
        wrong = Credentials("alice@example.test", Secret(b"wrong"))
        yield from secure.authenticate(choose(["SCRAM-SHA-256"], wrong, {}, nonce=nonce))

    tls = ClientTLS(client_context(server.ca_file), "localhost")
    with BlockingWire("127.0.0.1", server.port("submission"), tls=tls) as wire, pytest.raises(Refused) as caught:
        wire.run(talk(wire))
    assert caught.value.code == 535


def test_lmtp_answers_for_each_recipient(server: MailServer) -> None:
    """One reply for each accepted recipient after the content (RFC 2033 §4.2)."""
    with client(server, "lmtp", tls=False) as lmtp:
        lmtp.ehlo_or_helo_if_needed()
        lmtp.mail("a@sender.example")
        for name, code in (("alice", 250), ("nobody", 550), ("bob", 250)):
            assert lmtp.rcpt(f"{name}@example.test")[0] == code
        assert lmtp.docmd("DATA")[0] == 354
        lmtp.send(b"Subject: x\r\n\r\n.\r\n")
        assert [lmtp.getreply()[0] for _ in range(2)] == [250, 250]
        assert lmtp.noop()[0] == 250


def test_program_of_this_machine_may_send(server: MailServer) -> None:
    """The local socket takes mail for anywhere; the kernel says who sends, and the trace repeats it."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(str(server.sendmail_socket))
        sock.sendall(
            b"EHLO x\r\nMAIL FROM:<root@example.test>\r\nRCPT TO:<x@elsewhere.example>\r\nDATA\r\n"
            b"Subject: x\r\n\r\n.\r\nQUIT\r\n"
        )
        answers = b""
        while data := sock.recv(65536):
            answers += data
    assert answers.endswith(b"221 2.0.0 Bye\r\n")
    [(_, body, recipients)] = server.messages()
    assert recipients == ["x@elsewhere.example"]
    import pwd

    assert f"(authenticated as {pwd.getpwuid(os.getuid()).pw_name})".encode() in body
    assert b"\r\nMessage-ID:" in body


def test_account_of_this_machine_cannot_take_every_connection(tmp_path: Path) -> None:
    """The kernel says whose they are: further ones of the same account are told to come later, until one ends."""

    def dial(server: MailServer) -> tuple[socket.socket, bytes]:
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(30)
        sock.connect(str(server.sendmail_socket))
        return sock, sock.recv(4096)

    with MailServer(tmp_path, limits={"connections": 4}) as server:
        opened = [dial(server) for _ in range(3)]
        assert [said[:3] for _, said in opened] == [b"220", b"220", b"421"]
        assert opened[2][1] == b"421 4.7.0 Too many connections of your account\r\n"
        for sock, _ in opened:
            sock.close()
        said = b""
        while not said.startswith(b"220"):  # when the server has seen their end
            sock, said = dial(server)
            sock.close()
        assert server.total("smtp_connections_refused_total", reason="user_limit") >= 1


class FailingQueue(SQLiteQueue):
    """A queue whose commits fail while told so."""

    broken = False

    def enqueue(self, messages: Sequence[NewMessage]) -> None:
        if self.broken:
            raise StoreError("database or disk is full")
        super().enqueue(messages)


@pytest.mark.parametrize("size", [100, 200_000], ids=["small", "large"])
def test_full_disk_is_a_temporary_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """No 250 for what was not stored, nothing half-stored, and the same message is taken later."""
    monkeypatch.setattr("gatepost.service.worker.SQLiteQueue", FailingQueue)
    content = "Subject: x\r\n\r\n" + ("y" * 70 + "\r\n") * (size // 72 + 1)
    with MailServer(tmp_path) as server, client(server, "mx") as smtp:
        monkeypatch.setattr(FailingQueue, "broken", True)
        with pytest.raises(smtplib.SMTPDataError) as caught:
            smtp.sendmail("a@sender.example", ["alice@example.test"], content)
        assert (caught.value.smtp_code, caught.value.smtp_error[:5]) == (452, b"4.3.1")
        assert server.messages() == []
        assert list((tmp_path / "queue" / "bodies").iterdir()) == []
        monkeypatch.setattr(FailingQueue, "broken", False)
        assert smtp.sendmail("a@sender.example", ["alice@example.test"], content) == {}
        assert len(server.messages()) == 1


def test_drain_ends_idle_sessions_and_cuts_no_message(tmp_path: Path) -> None:
    """On SIGTERM idle clients are told 421; one that is sending ends its message, is answered, and then told."""
    with MailServer(tmp_path) as server:
        idle, busy = (client(server, "mx") for _ in range(2))
        busy.ehlo()
        busy.mail("a@sender.example")
        busy.rcpt("alice@example.test")
        assert busy.docmd("DATA")[0] == 354
        busy.send(b"Subject: x\r\n\r\n" + b"first half\r\n")
        server.drain()
        assert idle.getreply()[0] == 421
        idle.close()
        with socket.create_connection(("127.0.0.1", server.port("mx")), 0.3) as late, pytest.raises(TimeoutError):
            late.recv(1)  # it waits in the kernel for the next process; nobody here accepts it
        busy.send(b"second half\r\n.\r\n")
        assert busy.getreply()[0] == 250
        assert busy.getreply()[0] == 421
        busy.close()
        assert [body.endswith(b"second half\r\n") for _, body, _ in server.messages()] == [True]


def test_large_message_streams(server: MailServer) -> None:
    """Thirty megabytes do not stay in the memory: the process grows by a fraction of that."""

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    line = b"x" * 998 + b"\r\n"
    with client(server, "mx") as smtp:
        smtp.ehlo()
        smtp.mail("a@sender.example")
        smtp.rcpt("alice@example.test")
        assert smtp.docmd("DATA")[0] == 354
        smtp.send(b"Subject: large\r\n\r\n")
        before = resident()
        for _ in range(300):
            smtp.send(line * 100)
        grown = resident() - before
        smtp.send(b".\r\n")
        assert smtp.getreply()[0] == 250
    assert grown < 10_000_000
    [(message, body, _)] = server.messages()
    assert body.endswith(line)
    assert message.size > 30_000_000


def test_answer_waits_for_the_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the transaction has not returned, nothing is said; others are served meanwhile."""
    gate, reached = threading.Event(), threading.Event()

    class SlowQueue(SQLiteQueue):
        def enqueue(self, messages: Sequence[NewMessage]) -> None:
            reached.set()
            gate.wait(10)
            super().enqueue(messages)

    monkeypatch.setattr("gatepost.service.worker.SQLiteQueue", SlowQueue)
    with MailServer(tmp_path) as server:
        smtp = client(server, "mx")
        smtp.ehlo()
        smtp.mail("a@sender.example")
        smtp.rcpt("alice@example.test")
        smtp.docmd("DATA")
        smtp.send(b"Subject: x\r\n\r\n.\r\n")
        assert reached.wait(10)
        assert smtp.sock is not None
        smtp.sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            smtp.sock.recv(1)
        gate.set()
        smtp.sock.settimeout(10)
        assert smtp.getreply()[0] == 250
        smtp.quit()
