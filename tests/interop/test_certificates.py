"""Certificates of every kind, held against Postfix: which of its certificates we take, and it takes ours."""

from __future__ import annotations

import smtplib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from tests.interop.conftest import ALICE, PASSWORD
from tests.interop.letters import letter
from tests.interop.patience import PATIENCE
from tests.interop.postfix import CAROL, HOSTNAME, Postfix
from tests.interop.running import Gatepost

from gatepost.testing.ca import CLIENT_ONLY, DAY, Issued, TestAuthority, key_for, self_signed
from gatepost.testing.dns import FakeDNS

pytestmark = pytest.mark.interop

REVOKING = TestAuthority("an authority with a revocation list")
CLIENTS = TestAuthority("an authority for clients")
GOOD = REVOKING.issue(HOSTNAME)
REVOKED = REVOKING.issue(HOSTNAME, key=key_for("somebody who lost his key"))
REVOKING.revoke(REVOKED)
SHOWN = CLIENTS.issue("mx.example.test", usages=CLIENT_ONLY)


@dataclass(frozen=True, slots=True)
class Row:
    """A certificate that Postfix shows, and what becomes of a message at a level.

    :param foreseen: what ``explain`` calls such a certificate.
    :param reason: words of the reason for which it waits; empty when it arrives.
    """

    certificate: Issued
    foreseen: str
    level: str
    reason: str


_TRUSTED = "a trusted certificate with the right name"
_SELF_SIGNED = "a self-signed certificate"
_OTHER_NAME = "a trusted certificate with another name"
_EXPIRED = "an expired certificate"
_UNTRUSTED = "a certificate of an authority that is not trusted"
_LATE = REVOKING.issue(HOSTNAME, not_after=REVOKING.now - DAY)
_ELSEWHERE = REVOKING.issue("elsewhere.test")

ROWS = {
    "good at verify": Row(GOOD, _TRUSTED, "verify", ""),
    "wrong name at verify": Row(_ELSEWHERE, _OTHER_NAME, "verify", "elsewhere.test"),
    "common name alone at verify": Row(
        REVOKING.issue(common_name=HOSTNAME), _OTHER_NAME, "verify", "only a subjectAltName counts"
    ),
    "self-signed at verify": Row(self_signed(HOSTNAME), _SELF_SIGNED, "verify", "self-signed"),
    "expired at verify": Row(_LATE, _EXPIRED, "verify", "expired"),
    "unknown authority at verify": Row(
        TestAuthority("a stranger").issue(HOSTNAME), _UNTRUSTED, "verify", "unable to get local issuer"
    ),
    "revoked at verify": Row(REVOKED, _UNTRUSTED, "verify", "revoked"),
    "good at secure": Row(REVOKING.issue("far.test"), _TRUSTED, "secure", ""),
    "wrong name at secure": Row(_ELSEWHERE, _OTHER_NAME, "secure", "not for far.test"),
    "self-signed at encrypt": Row(self_signed(HOSTNAME), _SELF_SIGNED, "encrypt", ""),
    "expired at encrypt": Row(_LATE, _EXPIRED, "encrypt", ""),
    "revoked at encrypt": Row(REVOKED, _UNTRUSTED, "encrypt", ""),
    "wrong name at may": Row(_ELSEWHERE, _OTHER_NAME, "may", ""),
}


@pytest.fixture(scope="module")
def far_names() -> Iterator[FakeDNS]:
    """far.test is Postfix's."""
    with FakeDNS() as dns:
        dns.add("far.test", "MX", f"10 {HOSTNAME}.")
        dns.add(HOSTNAME, "A", "127.0.0.1")
        yield dns


@pytest.fixture(scope="module")
def sender(
    tmp_path_factory: pytest.TempPathFactory, authority: TestAuthority, postfix: Postfix, far_names: FakeDNS
) -> Iterator[Callable[[str], Gatepost]]:
    """A server that approaches Postfix at a level; it shows a certificate of its own when it is asked for one."""
    directory = tmp_path_factory.mktemp("sender")
    (directory / "far-ca.pem").write_bytes(REVOKING.pem)
    (directory / "far-crl.pem").write_bytes(REVOKING.crl().public_bytes(Encoding.PEM))
    SHOWN.write(directory / "shown.pem")
    # A connection for each message: one that is used again shows no certificate.
    delivery: dict[str, object] = {
        "port": postfix.port, "resolver": [far_names.nameserver], "messages_per_connection": 1
    }  # fmt: skip

    def rules(level: str) -> dict[str, dict[str, object]]:
        rule: dict[str, object] = {"to": ["far.test"], "level": level, "client_certificate": "shown.pem"}
        if level in ("verify", "secure"):
            rule |= {"ca": "far-ca.pem", "crl": "far-crl.pem"}
        return {"delivery": delivery, "[outbound]": rule}

    level = "may"
    with Gatepost(directory, authority, users={ALICE: PASSWORD}, tables=rules(level)) as server:

        def at(wanted: str) -> Gatepost:
            nonlocal level
            if wanted != level:
                server.configure(rules(wanted))
                done = server.cli("reload")
                assert done.code == 0, done.said
                level = wanted
            return server

        yield at


def _shows(postfix: Postfix, issued: Issued, name: str) -> None:
    """Have Postfix show a certificate."""
    file = postfix.base / f"{name.replace(' ', '-')}.pem"
    issued.write(file, key_first=True)
    postfix.set(smtpd_tls_chain_files=str(file))


def _submitted(server: Gatepost) -> str:
    sent = letter(ALICE, CAROL)
    with smtplib.SMTP("localhost", server.ports["submission"], timeout=PATIENCE) as client:
        client.starttls()
        client.login(ALICE, PASSWORD)
        client.sendmail(sent.sender, [sent.recipient], sent.crlf)
    return sent.token


@pytest.mark.parametrize("name", ROWS)
def test_certificate_of_postfix_counts_as_the_level_says(
    postfix: Postfix, sender: Callable[[str], Gatepost], name: str
) -> None:
    """The message arrives over TLS, or waits with a reason that names the fault; `explain` had said so beforehand."""
    row = ROWS[name]
    server = sender(row.level)
    (explained,) = server.ask("explain", "outbound", CAROL, "--mx", HOSTNAME, "--ip", "127.0.0.1")
    assert explained["settings"]["level"]["value"] == row.level
    outlook = {each["when"]: each["then"] for each in explained["outlook"]}
    assert outlook[f"the server shows {row.foreseen}"].startswith("deferred" if row.reason else "delivered over TLS")
    _shows(postfix, row.certificate, name)
    token = _submitted(server)
    if not row.reason:
        newest = postfix.arrived(token).received[0]
        assert " with ESMTPS id " in newest and "TLSv1.3" in newest
        server.empties()
        return
    message = server.waits("deferred")
    reply = message["recipients"][0]["reply"]
    assert row.reason in reply and not postfix.mailbox_has(token)
    assert server.cli("queue", "drop", message["id"], "--yes").code == 0
    server.empties()


def test_postfix_sees_our_client_certificate(postfix: Postfix, sender: Callable[[str], Gatepost]) -> None:
    """Asked for one, we show it; Postfix verifies it and writes so into its trace."""
    (postfix.base / "clients.pem").write_bytes(CLIENTS.pem)
    _shows(postfix, GOOD, "good")
    postfix.set(smtpd_tls_ask_ccert="yes", smtpd_tls_CAfile=str(postfix.base / "clients.pem"))
    try:
        token = _submitted(sender("verify"))
        assert "(verified OK)" in postfix.arrived(token).received[0]
    finally:
        postfix.set(smtpd_tls_ask_ccert="no", smtpd_tls_CAfile="")
