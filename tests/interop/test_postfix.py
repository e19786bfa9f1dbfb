"""Postfix, in both directions: it delivers to our mx, and we deliver to it."""

from __future__ import annotations

import json
import re
import smtplib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.interop.conftest import ALICE, BOB, FRIEND, PASSWORD, StartGatepost
from tests.interop.letters import MEGABYTE, Arrived, Letter, letter
from tests.interop.patience import PATIENCE, until
from tests.interop.postfix import CAROL, HOSTNAME, Postfix
from tests.interop.running import Gatepost

from gatepost.testing.ca import TestAuthority
from gatepost.testing.dns import FakeDNS

pytestmark = pytest.mark.interop
Configured = Callable[..., None]


# -- Postfix sends


@pytest.fixture
def sending(postfix: Postfix, gatepost_server: Gatepost) -> Iterator[Configured]:
    """Sets how Postfix sends; afterwards what it could not send is dropped."""
    route = f"inline:{{ {{ example.test = smtp:[localhost]:{gatepost_server.ports['mx']} }} }}"

    def configure(**parameters: str) -> None:
        settings = {
            "transport_maps": route,
            "smtp_tls_CAfile": str(postfix.base / "ca.pem"),
            "smtp_tls_security_level": "verify",
            "smtp_tls_verify_cert_match": "hostname",
            "smtp_tls_mandatory_protocols": ">=TLSv1.2",
        }
        postfix.set(**{**settings, **parameters})

    yield configure
    for entry in _postfix_queue(postfix):
        postfix.drop(entry["queue_id"])


def _through_postfix(postfix: Postfix, sent: Letter) -> None:
    """Hand a message to Postfix, in the clear."""
    with smtplib.SMTP("127.0.0.1", postfix.port, timeout=PATIENCE) as client:
        client.sendmail(sent.sender, [sent.recipient], sent.crlf, mail_options=["BODY=8BITMIME"])


def _postfix_queue(postfix: Postfix) -> list[dict[str, Any]]:
    return [json.loads(line) for line in postfix.queue().splitlines()]


def _came_from_postfix(sent: Letter, arrived: Arrived) -> None:
    newest, oldest = arrived.received
    assert newest.startswith(f"from {HOSTNAME} ")
    assert "using TLSv1.3 with cipher " in newest and " with ESMTPS id " in newest
    assert f"by {HOSTNAME} (Postfix)" in oldest
    assert arrived.original == sent.lf


@pytest.mark.parametrize("attachment", [0, 20 * MEGABYTE], ids=["small", "20MB"])
def test_postfix_delivers_to_our_mx_at_verify(
    postfix: Postfix, sending: Configured, gatepost_server: Gatepost, attachment: int
) -> None:
    """It verifies our certificate, says so in its log, and the message arrives octet for octet."""
    sending()
    sent = letter(FRIEND, BOB, attachment=attachment)
    _through_postfix(postfix, sent)
    _came_from_postfix(sent, gatepost_server.arrived(BOB, sent.token))
    port = gatepost_server.ports["mx"]
    postfix.logged(f"Verified TLS connection established to localhost[127.0.0.1]:{port}: TLSv1.3")


@pytest.mark.parametrize("protocol", ["TLSv1.2", "TLSv1.3"])
def test_postfix_delivers_over_each_version_of_tls(
    postfix: Postfix, sending: Configured, gatepost_server: Gatepost, protocol: str
) -> None:
    """Mandatory TLS of one version only."""
    sending(smtp_tls_mandatory_protocols=f">={protocol}, <={protocol}")
    sent = letter(FRIEND, BOB)
    _through_postfix(postfix, sent)
    arrived = gatepost_server.arrived(BOB, sent.token)
    assert f"using {protocol} with cipher" in arrived.received[0]


def test_postfix_delivers_many_messages_at_once(
    postfix: Postfix, sending: Configured, gatepost_server: Gatepost
) -> None:
    """Twenty, over many connections; each arrives, once."""
    sending()
    letters = [letter(FRIEND, BOB) for _ in range(20)]
    for sent in letters:
        _through_postfix(postfix, sent)
    for sent in letters:
        _came_from_postfix(sent, gatepost_server.arrived(BOB, sent.token))


def _refuses(postfix: Postfix, gatepost_server: Gatepost) -> str:
    """Send one message that Postfix must keep; why it does."""
    before = gatepost_server.ask("status")["counters"]
    sent = letter(FRIEND, BOB)
    _through_postfix(postfix, sent)

    def look() -> str | None:
        for entry in _postfix_queue(postfix):
            if entry["queue_name"] == "deferred" and entry["sender"] == FRIEND:
                return str(entry["recipients"][0]["delay_reason"])
        return None

    reason = until(look, what="Postfix keeps the message", log=postfix.log)
    after = gatepost_server.ask("status")["counters"]
    assert _accepted(after) == _accepted(before)
    return reason


def _accepted(counters: dict[str, float]) -> dict[str, float]:
    return {name: count for name, count in counters.items() if name.startswith("messages_accepted_total")}


def test_postfix_refuses_our_certificate_for_another_name(
    postfix: Postfix, sending: Configured, gatepost_server: Gatepost
) -> None:
    """The name is really looked at."""
    sending(smtp_tls_verify_cert_match="other.example.test")
    assert "not verified" in _refuses(postfix, gatepost_server)
    postfix.logged("server certificate verification failed for localhost[127.0.0.1]", "hostname mismatch")


def test_postfix_refuses_our_certificate_of_an_unknown_authority(
    postfix: Postfix, sending: Configured, gatepost_server: Gatepost
) -> None:
    """The chain is really looked at."""
    wrong = postfix.base / "wrong.pem"
    wrong.write_bytes(TestAuthority("a wrong authority").pem)
    sending(smtp_tls_CAfile=str(wrong))
    assert "not verified" in _refuses(postfix, gatepost_server)
    postfix.logged("certificate verification failed for localhost[127.0.0.1]", "untrusted issuer")


# -- Postfix receives


@pytest.fixture
def towards_postfix(
    postfix: Postfix, name_server: FakeDNS, start_gatepost: StartGatepost, authority: TestAuthority
) -> Callable[..., Gatepost]:
    """Starts a server whose mail for far.test goes to Postfix, found by its MX record."""
    name_server.add("far.test", "MX", "10 mx.far.test.")
    name_server.add("mx.far.test", "A", "127.0.0.1")

    def start(**delivery: object) -> Gatepost:
        settings: dict[str, object] = {
            "port": postfix.port,
            "resolver": [name_server.nameserver],
            "ca_file": str(postfix.base / "ca.pem"),
            **delivery,
        }
        return start_gatepost(users={ALICE: PASSWORD}, tables={"delivery": settings})

    return start


def _submit(server: Gatepost, sent: Letter) -> None:
    with smtplib.SMTP("localhost", server.ports["submission"], timeout=PATIENCE) as client:
        client.starttls()
        client.login(ALICE, PASSWORD)
        client.sendmail(sent.sender, [sent.recipient], sent.crlf)


def _went_to_postfix(sent: Letter, arrived: Arrived, protocol: str = "ESMTPS") -> None:
    newest, oldest = arrived.received
    assert newest.startswith("from mx.example.test ") and f"by {HOSTNAME} (Postfix)" in newest
    assert f" with {protocol} id " in newest
    if protocol == "ESMTPS":
        assert "using TLSv1.3 with cipher TLS_" in newest and " key-exchange " in newest
    assert " with ESMTPSA id " in oldest
    assert arrived.original == sent.lf


@pytest.mark.parametrize("level", ["may", "encrypt", "verify"])
def test_gatepost_delivers_to_postfix_over_starttls(
    postfix: Postfix, towards_postfix: Callable[..., Gatepost], level: str
) -> None:
    """At every level of TLS; version, cipher and group stand in the trace that Postfix wrote."""
    server = towards_postfix(tls_level=level)
    sent = letter(ALICE, CAROL)
    _submit(server, sent)
    _went_to_postfix(sent, postfix.arrived(sent.token))
    server.empties()
    (line,) = [line for line in server.log_file.read_text().splitlines() if "status=sent" in line]
    assert f"relay={HOSTNAME}[127.0.0.1]:{postfix.port}" in line and "TLSv1.3" in line


def test_gatepost_delivers_to_postfix_in_the_clear_at_none(
    postfix: Postfix, towards_postfix: Callable[..., Gatepost]
) -> None:
    """The level that asks for nothing."""
    server = towards_postfix(tls_level="none")
    sent = letter(ALICE, CAROL)
    _submit(server, sent)
    _went_to_postfix(sent, postfix.arrived(sent.token), "ESMTP")


def test_gatepost_delivers_20_megabytes_to_postfix_unharmed(
    postfix: Postfix, towards_postfix: Callable[..., Gatepost]
) -> None:
    """A large attachment is relayed octet for octet."""
    server = towards_postfix(tls_level="verify")
    sent = letter(ALICE, CAROL, attachment=20 * MEGABYTE)
    _submit(server, sent)
    _went_to_postfix(sent, postfix.arrived(sent.token))
    server.empties()


@pytest.mark.parametrize("fault", ["authority", "name"])
def test_gatepost_keeps_mail_from_postfix_that_it_cannot_verify(
    postfix: Postfix,
    towards_postfix: Callable[..., Gatepost],
    name_server: FakeDNS,
    wrong_ca: Any,
    fault: str,
) -> None:
    """At verify another authority or another name means that the message waits, and that its reason is shown."""
    if fault == "name":
        name_server.remove("far.test")
        name_server.add("far.test", "MX", "10 other.far.test.")
        name_server.add("other.far.test", "A", "127.0.0.1")
    server = towards_postfix(tls_level="verify", **({"ca_file": str(wrong_ca)} if fault == "authority" else {}))
    sent = letter(ALICE, CAROL)
    _submit(server, sent)
    (recipient,) = server.waits("deferred")["recipients"]
    assert "certificate" in recipient["reply"] and recipient["attempts"] == 1
    assert ("other.far.test" in recipient["reply"]) == (fault == "name"), recipient["reply"]


def test_unknown_recipient_at_postfix_comes_back_as_a_bounce(
    towards_postfix: Callable[..., Gatepost], postfix: Postfix
) -> None:
    """The local sender finds a delivery status notification (RFC 3464) in the mailbox, with what Postfix answered."""
    server = towards_postfix(tls_level="verify")
    sent = letter(ALICE, "nobody@far.test")
    _submit(server, sent)

    def bounced() -> Arrived | None:
        found = sorted((server.mailbox(ALICE) / "new").glob("*"))
        return Arrived(found[0]) if found else None

    bounce = until(bounced, what="the bounce arrives", log=server.log)
    assert bounce.field("return-path") == "<>"
    message = bounce.message
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    parts = {part.get_content_type(): part.as_string() for part in message.walk()}
    assert "nobody@far.test" in parts["text/plain"]
    status = parts["message/delivery-status"]
    for line in ("Action: failed", "Status: 5.1.1", "Final-Recipient: rfc822; nobody@far.test"):
        assert f"\n{line}\n" in status, status
    for name, words in {"Remote-MTA": HOSTNAME, "Diagnostic-Code": "550"}.items():
        assert re.search(f"\n{name}: .*{re.escape(words)}", status), status
    assert sent.token in (parts.get("message/rfc822") or parts["text/rfc822-headers"])
    server.empties()


def test_postfix_bounces_to_us_with_the_null_sender(
    postfix: Postfix, sending: Configured, gatepost_server: Gatepost
) -> None:
    """A bounce that Postfix makes, for mail that our mx refused, arrives: the null sender is taken."""
    sending()
    sent = letter(BOB, "nobody-at-all@example.test")
    _through_postfix(postfix, sent)

    def bounced() -> Arrived | None:
        for path in (gatepost_server.mailbox(BOB) / "new").glob("*"):
            if path.stat().st_size < MEGABYTE and (found := Arrived(path)).field("return-path") == "<>":
                return found
        return None

    bounce = until(bounced, what="the bounce arrives", log=postfix.log)
    assert sent.token.encode() in bounce.content and b"550 5.1.1" in bounce.content
    assert " with ESMTPS id " in bounce.received[0]
