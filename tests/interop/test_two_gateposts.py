"""Two servers of ours: one delivers to the other, by MX and as to a smarthost with a login."""

from __future__ import annotations

import smtplib
from pathlib import Path

import pytest
from tests.interop.conftest import ALICE, PASSWORD, StartGatepost
from tests.interop.letters import MEGABYTE, Arrived, Letter, letter
from tests.interop.patience import PATIENCE
from tests.interop.running import Gatepost

from gatepost.testing.dns import FakeDNS

pytestmark = pytest.mark.interop
DAVE = "dave@next.test"
RELAY_PASSWORD = "through the smarthost"


@pytest.fixture
def receiver(start_gatepost: StartGatepost) -> Gatepost:
    """The second server. Alice has an account there too."""
    users = {DAVE: PASSWORD, ALICE: RELAY_PASSWORD}
    return start_gatepost(hostname="mx.next.test", domains=("next.test", "example.test"), users=users)


def _sender(start_gatepost: StartGatepost, **delivery: object) -> Gatepost:
    return start_gatepost(users={ALICE: PASSWORD}, tables={"delivery": delivery})


def _to_mx(receiver: Gatepost, dns: FakeDNS, **delivery: object) -> dict[str, object]:
    dns.add("next.test", "MX", "10 mx.next.test.")
    dns.add("mx.next.test", "A", "127.0.0.1")
    there = {"port": receiver.ports["mx"], "resolver": [dns.nameserver], "ca_file": str(receiver.ca_file)}
    return {**there, **delivery}


def _submit(server: Gatepost, sent: Letter) -> None:
    with smtplib.SMTP("localhost", server.ports["submission"], timeout=PATIENCE) as client:
        client.starttls()
        client.login(ALICE, PASSWORD)
        client.sendmail(sent.sender, [sent.recipient], sent.crlf)


def _check(sent: Letter, arrived: Arrived, protocol: str) -> None:
    newest, oldest = arrived.received
    assert newest.startswith("from mx.example.test ") and "by mx.next.test (gatepost)" in newest
    assert f" with {protocol} id " in newest
    if "S" in protocol.removeprefix("ESM"):
        assert "using TLSv1.3 with cipher TLS_" in newest
        assert " key-exchange " in newest and "key-exchange unknown" not in newest
    assert "by mx.example.test (gatepost)" in oldest and " with ESMTPSA id " in oldest
    assert arrived.field("return-path") == f"<{ALICE}>" and arrived.field("delivered-to") == DAVE
    assert arrived.original == sent.lf


@pytest.mark.parametrize("level", ["may", "encrypt", "verify"])
def test_one_delivers_to_the_other_over_starttls(
    start_gatepost: StartGatepost, receiver: Gatepost, name_server: FakeDNS, level: str
) -> None:
    """At every level of TLS, by MX."""
    sender = _sender(start_gatepost, **_to_mx(receiver, name_server, tls_level=level))
    sent = letter(ALICE, DAVE, attachment=20 * MEGABYTE if level == "verify" else 0)
    _submit(sender, sent)
    _check(sent, receiver.arrived(DAVE, sent.token), "ESMTPS")
    sender.empties()


def test_verify_keeps_mail_from_a_server_of_an_unknown_authority(
    start_gatepost: StartGatepost, receiver: Gatepost, name_server: FakeDNS, wrong_ca: Path
) -> None:
    """The message waits, and its sender's server says why."""
    sender = _sender(start_gatepost, **_to_mx(receiver, name_server, tls_level="verify", ca_file=str(wrong_ca)))
    _submit(sender, letter(ALICE, DAVE))
    (recipient,) = sender.waits("deferred")["recipients"]
    assert "certificate was not accepted" in recipient["reply"]


def test_encrypt_keeps_mail_from_a_server_without_starttls_and_may_does_not(
    start_gatepost: StartGatepost, receiver: Gatepost, name_server: FakeDNS
) -> None:
    """The levels differ where TLS is not to be had; the change takes a reload."""
    plain = start_gatepost(
        hostname="mx.next.test", domains=("next.test",), users={DAVE: PASSWORD}, keys={"workers": 1}, deny=True
    )
    delivery = _to_mx(plain, name_server, tls_level="encrypt")
    sender = _sender(start_gatepost, **delivery)
    sent = letter(ALICE, DAVE)
    _submit(sender, sent)
    waiting = sender.waits("deferred")
    assert "TLS is not to be had" in waiting["recipients"][0]["reply"]
    sender.configure({"delivery": {**delivery, "tls_level": "may"}})
    assert sender.cli("reload").code == 0
    assert sender.cli("queue", "retry", waiting["id"]).code == 0
    _check(sent, plain.arrived(DAVE, sent.token), "ESMTP")


@pytest.mark.parametrize("manner", ["starttls", "implicit"])
def test_smarthost_is_used_with_a_login(
    start_gatepost: StartGatepost, receiver: Gatepost, tmp_path: Path, manner: str
) -> None:
    """All mail goes to the other's submission listener, verified and logged in."""
    password_file = tmp_path / "password"
    password_file.write_text(RELAY_PASSWORD + "\n")
    password_file.chmod(0o600)
    port = receiver.ports["submission" if manner == "starttls" else "submissions"]
    sender = _sender(
        start_gatepost,
        smarthost=f"localhost:{port}",
        smarthost_user=ALICE,
        smarthost_password_file=str(password_file),
        smarthost_tls=manner,
        tls_level="verify",
        ca_file=str(receiver.ca_file),
    )
    sent = letter(ALICE, DAVE)
    _submit(sender, sent)
    arrived = receiver.arrived(DAVE, sent.token)
    _check(sent, arrived, "ESMTPSA")
    assert f"(authenticated as {ALICE})" in arrived.received[0]
    sender.empties()


def test_smarthost_with_a_wrong_password_keeps_the_message(
    start_gatepost: StartGatepost, receiver: Gatepost, tmp_path: Path
) -> None:
    """A mistake of the operator's is no reason to bounce."""
    password_file = tmp_path / "password"
    password_file.write_text("wrong\n")
    password_file.chmod(0o600)
    sender = _sender(
        start_gatepost,
        smarthost=f"localhost:{receiver.ports['submission']}",
        smarthost_user=ALICE,
        smarthost_password_file=str(password_file),
        tls_level="verify",
        ca_file=str(receiver.ca_file),
    )
    _submit(sender, letter(ALICE, DAVE))
    (recipient,) = sender.waits("deferred")["recipients"]
    assert "login was refused" in recipient["reply"]


def test_alias_to_another_server_goes_there(
    start_gatepost: StartGatepost, receiver: Gatepost, name_server: FakeDNS
) -> None:
    """Mail for an alias of ours goes on, over TLS, with its sender's address."""
    sender = start_gatepost(
        users={ALICE: PASSWORD},
        tables={"delivery": _to_mx(receiver, name_server, tls_level="verify"), "aliases": {"team": DAVE}},
    )
    sent = letter(ALICE, "team@example.test")
    _submit(sender, sent)
    _check(sent, receiver.arrived(DAVE, sent.token), "ESMTPS")
