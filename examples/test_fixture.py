"""A test of a program that sends mail, against a real server with a real certificate.

    pytest examples/test_fixture.py

The fixture ``smtp_server`` is there wherever gatepost is installed: pytest loads it by itself.
"""

from __future__ import annotations

import smtplib
import ssl
from email.message import EmailMessage
from pathlib import Path

import pytest

from gatepost.smtp import Reply
from gatepost.testing import SMTPServer, TestAuthority


def send_newsletter(host: str, port: int, ca_file: Path, *recipients: str) -> list[str]:
    """The program under test: it returns the recipients that were refused."""
    message = EmailMessage()
    message["From"], message["Subject"] = "news@example.test", "News"
    message.set_content("Nothing new.\n")
    with smtplib.SMTP(host, port, timeout=30) as client:
        client.starttls(context=ssl.create_default_context(cafile=ca_file))
        client.login("news", "correct horse")
        return sorted(client.send_message(message, to_addrs=recipients))


@pytest.fixture
def server(smtp_server: SMTPServer) -> SMTPServer:
    """The server as this program's provider has it: no mail without a login."""
    smtp_server.users["news"] = "correct horse"
    smtp_server.require_login = True
    return smtp_server


def test_newsletter_arrives_over_tls(server: SMTPServer) -> None:
    """Envelope, content, and how it came."""
    assert send_newsletter(server.host, server.port, server.ca_file, "a@example.net", "b@example.net") == []
    (received,) = server.messages
    assert received.recipients == ("a@example.net", "b@example.net")
    assert received.message["Subject"] == "News"
    assert received.user == "news"
    assert received.evidence is not None
    assert received.evidence.version == "TLSv1.3"


def test_newsletter_reports_who_was_refused(server: SMTPServer) -> None:
    """The others get theirs."""
    server.refuse("gone@*")
    server.defer("full@*", Reply(452, "4.2.2", "Mailbox full"))
    refused = send_newsletter(server.host, server.port, server.ca_file, "a@b.test", "gone@b.test", "full@b.test")
    assert refused == ["full@b.test", "gone@b.test"]
    assert server.messages[0].recipients == ("a@b.test",)


def test_newsletter_trusts_no_stranger(server: SMTPServer, tmp_path: Path) -> None:
    """A certificate that its authorities did not sign: nothing is sent, not even the password."""
    nobody = tmp_path / "ca.pem"
    nobody.write_bytes(TestAuthority("another").pem)
    with pytest.raises(ssl.SSLCertVerificationError):
        send_newsletter(server.host, server.port, nobody, "a@example.net")
    assert server.messages == []
