"""``gatepost.smtp.Client`` and ``gatepost.pop3.Client`` against servers of the distribution."""

from __future__ import annotations

import asyncio
import shutil
import uuid
from collections.abc import Iterator, Mapping
from email.message import EmailMessage
from pathlib import Path

import pytest
from tests.interop.daemons import HOST, dovecot
from tests.interop.postfix import CAROL, HOSTNAME, Postfix

import gatepost
from gatepost.errors import VerificationError
from gatepost.smtp import AuthenticationRefused
from gatepost.testing.ca import TestAuthority

pytestmark = pytest.mark.interop
USER = "tweedle"


@pytest.fixture(scope="module")
def ca_file(authority: TestAuthority, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    path.write_bytes(authority.pem)
    return path


@pytest.fixture(scope="module")
def mailboxes(authority: TestAuthority) -> Iterator[tuple[Mapping[str, int], Path]]:
    """Dovecot's ports, and the directory of its mailboxes."""
    daemon, ports = dovecot(authority)
    try:
        yield ports, daemon.base / "mail"
    finally:
        daemon.close()


def letter(text: str, recipient: str = CAROL) -> tuple[EmailMessage, str]:
    """A message, and a token in its header."""
    message, token = EmailMessage(), uuid.uuid4().hex
    message["From"], message["To"], message["Subject"] = "alice@client.example", recipient, f"tea {token}"
    message["X-Gatepost-Test"] = token
    message.set_content(text)
    return message, token


def test_smtp_client_delivers_to_postfix(postfix: Postfix, ca_file: Path) -> None:
    """Over verified STARTTLS, two messages on one connection; text beyond ASCII arrives as it was."""
    first, one = letter("At five?\n.\n..and a dot\n")
    second, two = letter("Um fünf?\n")

    async def main() -> None:
        async with gatepost.smtp.Client("localhost", postfix.port, ca_file=ca_file, server_name=HOSTNAME) as client:
            assert client.capabilities.pipelining
            for message in (first, second):
                outcome = await client.send_message(message)
                assert outcome.accepted == (CAROL,) and not outcome.refused

    asyncio.run(main())
    assert b"\n.\n..and a dot\n" in postfix.arrived(one).original
    assert "fünf".encode() in postfix.arrived(two).original or b"f=C3=BCnf" in postfix.arrived(two).original


def test_smtp_client_tells_what_postfix_refused(postfix: Postfix, ca_file: Path) -> None:
    """A recipient that does not exist is an outcome, and the other one gets the message."""
    message, token = letter("At five?\n")
    with gatepost.smtp.BlockingClient("localhost", postfix.port, ca_file=ca_file, server_name=HOSTNAME) as client:
        outcome = client.send_message(message, recipients=[CAROL, "nobody-here@far.test"])
    assert outcome.accepted == (CAROL,)
    assert outcome.refused["nobody-here@far.test"].code == 550
    assert postfix.arrived(token)


def test_clients_do_not_trust_another_authority(
    postfix: Postfix, mailboxes: tuple[Mapping[str, int], Path], wrong_ca: Path
) -> None:
    """Nothing was said inside TLS."""
    with (
        pytest.raises(VerificationError),
        gatepost.smtp.BlockingClient("localhost", postfix.port, ca_file=wrong_ca, server_name=HOSTNAME),
    ):
        pass
    with (
        pytest.raises(VerificationError),
        gatepost.pop3.BlockingClient("localhost", mailboxes[0]["pop3"], ca_file=wrong_ca, server_name=HOST),
    ):
        pass


def test_smtp_client_is_told_by_dovecot_that_a_password_is_wrong(
    mailboxes: tuple[Mapping[str, int], Path], ca_file: Path
) -> None:
    """A wrong password is refused, and another attempt on the same connection is heard."""
    port = mailboxes[0]["submission"]
    with gatepost.smtp.BlockingClient("localhost", port, ca_file=ca_file, server_name=HOST) as client:
        for _ in range(2):
            with pytest.raises(AuthenticationRefused):
                client.login(USER, "wrong")


def maildir(mail: Path, count: int) -> None:
    """Put messages into the user's mailbox."""
    for name in ("new", "cur", "tmp"):
        (mail / USER / name).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        text = f"Subject: number {number}\n\n.a dot\n{'x' * 70_000}\n"
        (mail / USER / "new" / f"{1000 + number}.M{number}.test").write_text(text)
    for path in (mail / USER, *(mail / USER).rglob("*")):
        shutil.chown(path, "mail", "mail")


@pytest.mark.parametrize("blocking", [False, True], ids=["asyncio", "blocking"])
def test_pop3_client_reads_and_deletes_at_dovecot(
    mailboxes: tuple[Mapping[str, int], Path], ca_file: Path, *, blocking: bool
) -> None:
    """A whole mailbox: what is listed is retrieved; what was deleted is gone in the next session, and nothing else."""
    ports, mail = mailboxes
    shutil.rmtree(mail / USER, ignore_errors=True)
    maildir(mail, 3)
    settings = {"ca_file": ca_file, "server_name": HOST}
    deleted = _deleted_blocking if blocking else _deleted_async
    deleted(ports["pop3"], settings)
    with gatepost.pop3.BlockingClient("localhost", ports["pop3"], ca_file=ca_file, server_name=HOST) as client:
        client.login(USER, "secret")
        assert client.stat().messages == 2
        assert [client.top(number).split(b"\r\n")[0] for number in client.list()] == [
            b"Subject: number 0",
            b"Subject: number 2",
        ]


def _check(content: bytes, octets: int) -> None:
    assert len(content) == octets
    assert content.startswith(b"Subject: number 1\r\n\r\n.a dot\r\nxxx")


def _deleted_blocking(port: int, settings: Mapping[str, object]) -> None:
    with gatepost.pop3.BlockingClient("localhost", port, **settings) as client:  # type: ignore[arg-type]
        client.login(USER, "secret")
        assert list(client.uidl()) == [1, 2, 3]
        _check(client.retrieve(2), client.list()[2])
        client.delete(2)


def _deleted_async(port: int, settings: Mapping[str, object]) -> None:
    async def main() -> None:
        async with gatepost.pop3.Client("localhost", port, **settings) as client:  # type: ignore[arg-type]
            await client.login(USER, "secret")
            assert list(await client.uidl()) == [1, 2, 3]
            _check(await client.retrieve(2), (await client.list())[2])
            await client.delete(2)

    asyncio.run(main())
