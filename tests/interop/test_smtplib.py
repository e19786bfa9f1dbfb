"""Python's smtplib, with the TLS of the standard library."""

from __future__ import annotations

import smtplib
import ssl
from pathlib import Path

import pytest
from tests.interop.conftest import ALICE, BOB, FRIEND, PASSWORD, Road
from tests.interop.letters import MEGABYTE, Letter
from tests.interop.patience import PATIENCE
from tests.interop.running import Gatepost

pytestmark = pytest.mark.interop


def _connect(server: Gatepost, road: Road, *, ca: Path | None = None, host: str = "localhost") -> smtplib.SMTP:
    context = ssl.create_default_context(cafile=str(ca or server.ca_file))
    if road.implicit:
        return smtplib.SMTP_SSL(host, road.port(server), timeout=PATIENCE, context=context)
    client = smtplib.SMTP(host, road.port(server), timeout=PATIENCE)
    try:
        client.starttls(context=context)
    except BaseException:
        client.close()
        raise
    return client


def _send(server: Gatepost, road: Road, sent: Letter) -> None:
    with _connect(server, road) as client:
        if road.login:
            client.login(ALICE, PASSWORD)
        assert client.sendmail(sent.sender, [sent.recipient], sent.crlf) == {}


def test_smtplib_delivers_over_verified_tls(gatepost_server: Gatepost, road: Road) -> None:
    """Over STARTTLS and implicit TLS, to the mx and with a login: octet for octet."""
    sent = road.letter()
    _send(gatepost_server, road, sent)
    road.check(sent, gatepost_server.arrived(sent.recipient, sent.token))


def test_smtplib_delivers_20_megabytes_unharmed(gatepost_server: Gatepost, login_road: Road) -> None:
    """A large attachment arrives octet for octet."""
    sent = login_road.letter(attachment=20 * MEGABYTE)
    _send(gatepost_server, login_road, sent)
    login_road.check(sent, gatepost_server.arrived(sent.recipient, sent.token))


def test_smtplib_delivers_many_messages_over_one_connection(gatepost_server: Gatepost, road: Road) -> None:
    """The session goes on after each message."""
    letters = [road.letter() for _ in range(5)]
    with _connect(gatepost_server, road) as client:
        if road.login:
            client.login(ALICE, PASSWORD)
        for sent in letters:
            client.sendmail(sent.sender, [sent.recipient], sent.crlf)
    for sent in letters:
        road.check(sent, gatepost_server.arrived(sent.recipient, sent.token))


def test_smtplib_refuses_a_server_of_an_unknown_authority(
    gatepost_server: Gatepost, road: Road, wrong_ca: Path
) -> None:
    """The certificate is really looked at."""
    with pytest.raises(ssl.SSLCertVerificationError):
        _connect(gatepost_server, road, ca=wrong_ca)


def test_smtplib_refuses_a_certificate_for_another_name(gatepost_server: Gatepost, road: Road) -> None:
    """The certificate does not have 127.0.0.1."""
    with pytest.raises(ssl.SSLCertVerificationError):
        _connect(gatepost_server, road, host="127.0.0.1")


def test_smtplib_finds_no_login_before_tls(gatepost_server: Gatepost) -> None:
    """AUTH is neither offered nor taken in the clear, and no mail is."""
    with smtplib.SMTP("localhost", gatepost_server.ports["submission"], timeout=PATIENCE) as client:
        client.ehlo()
        assert client.has_extn("starttls") and not client.has_extn("auth")
        assert client.docmd("AUTH", "PLAIN AGFsaWNlAHdvbmRlcg==")[0] in (502, 503, 530)
        assert client.mail(ALICE)[0] == 530


def test_mx_relays_for_nobody(gatepost_server: Gatepost) -> None:
    """Nor for somebody inside TLS, and whoever the sender says to be."""
    road = Road("mx", implicit=False, login=False)
    for sender in (FRIEND, BOB):
        with _connect(gatepost_server, road) as client, pytest.raises(smtplib.SMTPRecipientsRefused):
            client.sendmail(sender, ["victim@elsewhere.example"], b"Subject: relay\r\n\r\n")
