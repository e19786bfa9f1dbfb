"""The attacker says something in the clear, hoping that it is still believed inside TLS (RFC 3207 §4.2)."""

from __future__ import annotations

import dataclasses

import pytest
from tests.attacks.raw import Raw

from gatepost.testing.server import MailServer
from gatepost.wire.smtp.server import PlainServer
from gatepost.wire.upgrade import Origin, TLSEvidence


def test_hello_is_forgotten(server: MailServer) -> None:
    """Goal: a name given in the clear stands for the one inside TLS. MAIL asks for a new hello."""
    with Raw(server.ports["mx"]) as client:
        client.say(b"EHLO attacker.example")
        client.say(b"STARTTLS")
        client.start_tls(server.ca_file)
        assert client.say(b"MAIL FROM:<a@b.example>").startswith(b"503")


def test_hello_in_the_trace_is_the_one_inside_tls(server: MailServer) -> None:
    """Goal: the Received field tells what was claimed in the clear."""
    server.messages()
    with Raw(server.ports["mx"]) as client:
        client.say(b"EHLO in-the-clear.example")
        client.say(b"STARTTLS")
        client.start_tls(server.ca_file)
        for line in (b"EHLO inside.example", b"MAIL FROM:<a@b.example>", b"RCPT TO:<alice@example.test>", b"DATA"):
            client.say(line)
        client.say(b"Subject: x\r\n\r\n.")
    [(_, body, _)] = server.messages()
    assert b"from inside.example" in body
    assert b"in-the-clear" not in body


def test_upgrade_is_refused_inside_a_transaction(server: MailServer) -> None:
    """Goal: sender and recipients named in the clear receive what is sent inside TLS."""
    with Raw(server.ports["mx"]) as client:
        client.say(b"EHLO attacker.example")
        client.say(b"MAIL FROM:<attacker@evil.example>")
        assert client.say(b"STARTTLS").startswith(b"503")
        client.say(b"RCPT TO:<alice@example.test>")
        assert client.say(b"STARTTLS").startswith(b"503")
        client.say(b"RSET")
        client.say(b"STARTTLS")
        client.start_tls(server.ca_file)
        client.say(b"EHLO victim.example")
        assert client.say(b"RCPT TO:<alice@example.test>").startswith(b"503")
        assert client.say(b"DATA").startswith(b"503")


def test_errors_of_the_clear_do_not_end_the_private_session(server: MailServer) -> None:
    """Goal: an attacker uses up the victim's errors before the upgrade."""
    with Raw(server.ports["mx"]) as client:
        client.say(b"EHLO attacker.example")
        for _ in range(9):
            assert client.say(b"XYZZY").startswith(b"500")
        client.say(b"STARTTLS")
        client.start_tls(server.ca_file)
        client.say(b"EHLO victim.example")
        for _ in range(9):
            assert client.say(b"XYZZY").startswith(b"500")


@pytest.mark.parametrize("listener", ["mx", "submission"])
def test_login_in_the_clear_is_neither_offered_nor_taken(server: MailServer, listener: str) -> None:
    """Goal: log in before TLS, as himself (session fixation) or to read the victim's password."""
    with Raw(server.ports[listener]) as client:
        assert b"AUTH" not in client.say(b"EHLO attacker.example")
        wrong = client.say(b"AUTH PLAIN AGFsaWNlAHdyb25n")
        right = client.say(b"AUTH PLAIN AGFsaWNlQGV4YW1wbGUudGVzdAB3b25kZXJsYW5k")
        assert wrong == right
        assert right[:3] in (b"502", b"530", b"538")
        assert client.say(b"AUTH LOGIN")[:3] in (b"502", b"530", b"538")


def test_starttls_is_not_offered_nor_taken_inside_tls(server: MailServer) -> None:
    """Goal: TLS in TLS, to confuse which layer a command came from (RFC 3207 §4.2)."""
    with Raw(server.ports["mx"]) as client:
        client.say(b"EHLO attacker.example")
        client.say(b"STARTTLS")
        client.start_tls(server.ca_file)
        assert b"STARTTLS" not in client.say(b"EHLO attacker.example")
        assert client.say(b"STARTTLS").startswith(b"503")
        assert client.say(b"NOOP").startswith(b"250")


def test_starttls_with_an_argument_is_refused(server: MailServer) -> None:
    """Goal: a parser that reads `STARTTLS x` as STARTTLS and keeps the x."""
    with Raw(server.ports["mx"]) as client:
        client.say(b"EHLO attacker.example")
        assert client.say(b"STARTTLS now").startswith(b"501")
        assert client.say(b"NOOP").startswith(b"250")


def test_nothing_that_is_learnt_in_the_clear_has_a_place_on_the_far_side() -> None:
    """By construction: what crosses has no field that a plaintext engine has, but the origin itself."""
    crossing = {field.name for kind in (Origin, TLSEvidence) for field in dataclasses.fields(kind)}
    learnt = {name.lstrip("_") for kind in PlainServer.__mro__ for name in getattr(kind, "__slots__", ())}
    assert crossing & learnt == set()
