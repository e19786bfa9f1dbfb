"""The pytest fixtures: what a test suite that sends mail needs."""

from __future__ import annotations

import smtplib
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from gatepost.smtp import Reply
from gatepost.testing import SMTPServer

pytest_plugins = ["gatepost.testing.fixtures"]

MESSAGE = b"From: alice@example.test\r\nSubject: tea\r\n\r\n.At five?\r\n"


def connected(server: SMTPServer, *, tls: bool = True) -> smtplib.SMTP:
    client = smtplib.SMTP(server.host, server.port, local_hostname="client.example", timeout=30)
    if tls:
        client.starttls(context=ssl.create_default_context(cafile=str(server.ca_file)))
    return client


def send(client: smtplib.SMTP, *recipients: str) -> dict[str, tuple[int, bytes]]:
    return client.sendmail("alice@example.test", recipients or ["bob@example.net"], MESSAGE)


def test_a_message_is_there_when_its_client_was_told_so(smtp_server: SMTPServer) -> None:
    """With envelope, evidence, content, and the content parsed."""
    with connected(smtp_server) as client:
        assert send(client) == {}
    (received,) = smtp_server.messages
    assert (received.sender, received.recipients) == ("alice@example.test", ("bob@example.net",))
    assert received.secure
    assert received.evidence is not None
    assert received.evidence.version == "TLSv1.3"
    assert received.content == MESSAGE
    assert received.message["Subject"] == "tea"
    assert received.message.get_content() == ".At five?\r\n"
    assert (received.user, received.hello) == (None, "client.example")


def test_each_test_has_a_server_of_its_own(smtp_server: SMTPServer) -> None:
    """What the test before sent is not there."""
    assert smtp_server.messages == []
    with connected(smtp_server, tls=False) as client:
        send(client)
    assert not smtp_server.messages[0].secure


def test_implicit_tls_has_a_port(smtp_server: SMTPServer) -> None:
    """As port 465 has it."""
    context = ssl.create_default_context(cafile=str(smtp_server.ca_file))
    with smtplib.SMTP_SSL(smtp_server.host, smtp_server.tls_port, timeout=30, context=context) as client:
        send(client)
    assert smtp_server.messages[0].secure


def test_logins_can_be_set_and_required(smtp_server: SMTPServer) -> None:
    """While it runs; a wrong password is refused."""
    smtp_server.users["alice"] = "wonderland"
    smtp_server.require_login = True
    with connected(smtp_server, tls=False) as client, pytest.raises(smtplib.SMTPSenderRefused):
        send(client)
    with connected(smtp_server) as client:
        with pytest.raises(smtplib.SMTPSenderRefused):
            send(client)
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login("alice", "looking-glass")
        client.login("alice", "wonderland")
        send(client)
    assert smtp_server.messages[0].user == "alice"


def test_tls_can_be_required(smtp_server: SMTPServer) -> None:
    """A client that forgets STARTTLS finds out."""
    smtp_server.require_tls = True
    with connected(smtp_server, tls=False) as client, pytest.raises(smtplib.SMTPSenderRefused) as refusal:
        send(client)
    assert refusal.value.smtp_code == 530


def test_recipients_are_refused_and_deferred_by_pattern(smtp_server: SMTPServer) -> None:
    """The first rule that matches counts; the others get their mail."""
    smtp_server.defer("Full@example.net", Reply(452, "4.2.2", "Mailbox full"))
    smtp_server.refuse("*@example.net")
    with connected(smtp_server) as client:
        said = send(client, "full@example.net", "bob@example.net", "carol@example.org")
    assert said == {
        "full@example.net": (452, b"4.2.2 Mailbox full"),
        "bob@example.net": (550, b"5.1.1 No such user here"),
    }
    assert smtp_server.messages[0].recipients == ("carol@example.org",)
    smtp_server.accept_all()
    with connected(smtp_server) as client:
        assert send(client, "bob@example.net") == {}


def test_messages_are_answered_as_told(smtp_server: SMTPServer) -> None:
    """One reply each; what was refused is not kept."""
    smtp_server.answer_message(Reply(451, "4.3.0", "Later"), Reply(250, "2.6.0", "Queued as 17"))
    with connected(smtp_server) as client:
        with pytest.raises(smtplib.SMTPDataError):
            send(client)
        assert smtp_server.messages == []
        send(client)
        send(client)
    assert len(smtp_server.messages) == 2


def test_a_program_in_the_background_is_waited_for(smtp_server: SMTPServer) -> None:
    """``wait`` returns when so many messages are there, and raises when they do not come."""

    def work() -> None:
        with connected(smtp_server) as client:
            send(client)
            send(client)

    smtp_server.delay = 0.01
    background = threading.Thread(target=work)
    background.start()
    assert len(smtp_server.wait(2, timeout=60)) == 2
    background.join()
    with pytest.raises(TimeoutError, match="2 of 3 messages"):
        smtp_server.wait(3, timeout=0.01)
    smtp_server.clear()
    assert smtp_server.messages == []


def test_failed_upgrades_are_listed(smtp_server: SMTPServer) -> None:
    """A program that does not trust the certificate: its alert is in the list."""
    client = connected(smtp_server, tls=False)
    with pytest.raises(ssl.SSLCertVerificationError):
        client.starttls(context=ssl.create_default_context())
    client.close()
    while not smtp_server.failures:
        threading.Event().wait(0.01)
    assert smtp_server.failures[0].alert == "unknown_ca"


def test_servers_with_settings_of_ones_own(make_smtp_server: Callable[..., SMTPServer]) -> None:
    """As many as one likes: here one without STARTTLS, and one that speaks LMTP."""
    plain, lmtp = make_smtp_server(starttls=False), make_smtp_server(dialect="LMTP")
    with connected(plain, tls=False) as client:
        client.ehlo()
        assert not client.has_extn("starttls")
    with smtplib.LMTP(lmtp.host, lmtp.port, local_hostname="client.example") as client:
        send(client, "a@example.net")
    assert lmtp.messages[0].recipients == ("a@example.net",)


def test_the_plugin_imports_nothing_until_it_is_used() -> None:
    """pytest loads it everywhere: who does not use it does not pay for it."""
    program = (
        "import sys, gatepost.testing.fixtures\n"
        "print(sorted(name for name in sys.modules if name.split('.')[0] in ('gatepost', 'OpenSSL', 'cryptography')))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "['gatepost', 'gatepost._version', 'gatepost.testing', 'gatepost.testing.fixtures']"


def test_the_server_needs_no_test_library() -> None:
    """``SMTPServer`` runs without pytest, trustme, pydantic, click and dnspython."""
    program = (
        "import sys\n"
        "for name in ('pytest', 'trustme', 'pydantic', 'click', 'dns', 'argon2', 'rich'): sys.modules[name] = None\n"
        "from gatepost.testing import SMTPServer\n"
        "with SMTPServer() as server: print(server.port > 0)"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("True", "")
