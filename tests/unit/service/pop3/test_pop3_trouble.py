"""What a session does when the disk, the accounts or the mailbox fail it; and logins by certificate."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from tests.attacks.pop3_client import ALICE, RawPOP3

from gatepost.errors import StoreError
from gatepost.mailbox import deliver, mailbox_root, make_mailbox, unique_name
from gatepost.mailbox.content import MessageReader
from gatepost.mailbox.maildrop import Maildrop, Updated
from gatepost.service.checks import Checks
from gatepost.store.sqlite.accounts import SQLiteAccountStore
from gatepost.testing.ca import TestAuthority
from gatepost.testing.server import MailServer

LARGE = b"Subject: large\r\n\r\n" + (b"x" * 998 + b"\r\n") * 2000
CLIENTS = TestAuthority("an authority for mail readers")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MailServer]:
    """A running server; Alice has a large message."""
    with MailServer(made(tmp_path / "data")) as server:
        root = mailbox_root(server.data, "alice@example.test")
        deliver(root, [LARGE], unique=unique_name(1000.0, "1", "alice", "h"))
        yield server


def made(path: Path) -> Path:
    path.mkdir()
    return path


def private(server: MailServer, certificate: Path | None = None) -> RawPOP3:
    client = RawPOP3(server.ports["pop3"])
    client.upgrade(server.ca_file, certificate)
    return client


def test_unreadable_mailbox_is_a_temporary_failure(server: MailServer) -> None:
    """[SYS/TEMP], and the session may log in when it is mended (RFC 3206)."""
    root = mailbox_root(server.data, "alice@example.test")
    (root / "cur").rmdir()
    (root / "cur").write_bytes(b"")
    with private(server) as client:
        assert client.log_in().startswith(b"-ERR [SYS/TEMP]")
        (root / "cur").unlink()
        make_mailbox(root)
        assert client.log_in().startswith(b"+OK 1 messages")
        client.say(b"QUIT")


def test_failed_deletions_are_told(server: MailServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 1939 §6: -ERR when some are still there, or nobody knows; the lock is free in either case."""
    real = Maildrop.update
    for failing in (lambda drop: Updated(0, 1), _raise_store_error):
        monkeypatch.setattr(Maildrop, "update", failing)
        with private(server) as client:
            assert client.log_in().startswith(b"+OK 1 messages")
            assert client.say(b"DELE 1").startswith(b"+OK")
            assert client.say(b"QUIT").startswith(b"-ERR Some deleted messages were not removed")
            assert client.rest() == b""
    monkeypatch.setattr(Maildrop, "update", real)
    with private(server) as client:
        assert client.log_in().startswith(b"+OK 1 messages")
        client.say(b"QUIT")


def _raise_store_error(drop: Maildrop) -> Updated:
    raise StoreError("the disk is gone")


@pytest.mark.parametrize("how", ["error", "short"])
def test_message_that_cannot_be_read_to_its_end_has_none(
    server: MailServer, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """The connection is cut, so that no client takes half a message for whole and deletes it."""
    read, count = MessageReader.read, 0

    def failing(self: MessageReader) -> bytes:
        nonlocal count
        count += 1
        if count < 3:
            return read(self)
        if how == "error":
            raise OSError(5, "input/output error")
        return b""

    monkeypatch.setattr(MessageReader, "read", failing)
    with private(server) as client:
        assert client.log_in().startswith(b"+OK 1 messages")
        assert client.say(b"RETR 1").startswith(b"+OK")
        rest = client.rest()
        assert rest.startswith(b"Subject: large\r\n")
        assert not rest.endswith(b"\r\n.\r\n")
        assert b"-ERR" not in rest


def test_too_many_password_checks_are_a_temporary_failure(server: MailServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not [AUTH]: the client must not ask its user for another password."""
    monkeypatch.setattr(Checks, "submit", lambda self, check, done: False)
    with private(server) as client:
        assert client.log_in().startswith(b"-ERR [SYS/TEMP]")


def test_accounts_that_cannot_be_asked_are_a_temporary_failure(
    server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same for USER and for SASL."""

    def failing(self: SQLiteAccountStore, address: str) -> None:
        raise StoreError("the database is gone")

    monkeypatch.setattr(SQLiteAccountStore, "password_record", failing)
    with private(server) as client:
        assert client.log_in().startswith(b"-ERR [SYS/TEMP]")
        assert client.log_in_plain().startswith(b"-ERR [SYS/TEMP]")


def test_malformed_sasl_is_refused_without_delay(server: MailServer) -> None:
    """What is no message of the mechanism; an exchange that is cancelled; a mechanism that is not offered."""
    with private(server) as client:
        assert client.say(b"AUTH PLAIN " + base64.b64encode(b"nonsense")).startswith(b"-ERR")
        assert client.say(b"AUTH PLAIN").startswith(b"+ ")
        assert client.say(b"*").startswith(b"-ERR")
        assert client.say(b"AUTH EXTERNAL =").startswith(b"-ERR")
        assert client.log_in().startswith(b"+OK")
        client.say(b"QUIT")


# Certificates


@pytest.fixture
def asking(tmp_path: Path) -> Iterator[MailServer]:
    """A server that asks for certificates, and requires one of 127.0.0.2."""
    authority = tmp_path / "clients.pem"
    authority.write_bytes(CLIENTS.pem)
    tls: dict[str, Any] = {"client_ca": authority, "client_certificate": "ask"}
    rules = [{"from": ["127.0.0.2"], "client_certificate": "require"}]
    with MailServer(made(tmp_path / "data"), tls=tls, inbound=rules) as server:
        yield server


def test_certificate_of_a_user_logs_in_without_a_password(asking: MailServer, tmp_path: Path) -> None:
    """AUTH EXTERNAL (RFC 4422 appendix A), offered to whom it is for and to nobody else."""
    own = CLIENTS.issue(x509.RFC822Name("alice@example.test")).write(tmp_path / "alice.pem")
    nobodys = CLIENTS.issue(x509.RFC822Name("nobody@example.test")).write(tmp_path / "nobody.pem")
    with private(asking, own) as client:
        client.say(b"CAPA")
        assert b"SASL EXTERNAL SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN" in client.lines()
        assert client.say(b"AUTH EXTERNAL " + base64.b64encode(b"bob@example.test")).startswith(b"-ERR [AUTH]")
        assert client.say(b"AUTH EXTERNAL =").startswith(b"+OK 0 messages")
        client.say(b"QUIT")
    for certificate in (None, nobodys):
        with private(asking, certificate) as client:
            client.say(b"CAPA")
            assert not any(b"EXTERNAL" in line for line in client.lines())
            assert client.say(b"AUTH EXTERNAL =").startswith(b"-ERR")


def test_no_login_without_the_certificate_that_is_required(asking: MailServer, tmp_path: Path) -> None:
    """Neither by USER nor by SASL; with one, a password does."""
    with RawPOP3(asking.ports["pop3"], source="127.0.0.2") as client:
        client.upgrade(asking.ca_file)
        assert client.log_in().startswith(b"-ERR [AUTH] A client certificate")
        assert client.log_in_plain().startswith(b"-ERR [AUTH] A client certificate")
    own = CLIENTS.issue(x509.RFC822Name("someone@example.test")).write(tmp_path / "someone.pem")
    with RawPOP3(asking.ports["pop3"], source="127.0.0.2") as client:
        client.upgrade(asking.ca_file, own)
        assert client.log_in(ALICE).startswith(b"+OK")
        client.say(b"QUIT")
