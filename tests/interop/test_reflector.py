"""swaks writes to the reflector over STARTTLS; the answer is read from its sender's Maildir."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.x509 import RFC822Name
from tests.interop.conftest import ALICE, StartGatepost
from tests.interop.letters import find
from tests.interop.patience import until
from tests.interop.programs import require, run

from gatepost.testing.ca import CLIENT_ONLY, TestAuthority

pytestmark = pytest.mark.interop
PING = "ping@example.test"
CLIENTS = TestAuthority("an authority of clients")
SHOWN = CLIENTS.issue(RFC822Name("alice@client.test"), usages=CLIENT_ONLY)


def test_reflector_tells_how_mail_from_swaks_arrived(start_gatepost: StartGatepost, tmp_path: Path) -> None:
    """Over STARTTLS and in the clear one answer each, with what swaks says of the session; a program gets none."""
    (tmp_path / "clients.pem").write_bytes(CLIENTS.pem)
    tls = {"certificate": "server.pem", "client_ca": str(tmp_path / "clients.pem"), "client_certificate": "ask"}
    server = start_gatepost(users={ALICE: "secret of alice"}, tables={"tls": tls, "reflector": {"address": PING}})
    command: list[str | Path] = [require("swaks", "swaks"), "--server", f"127.0.0.1:{server.ports['mx']}", "--to", PING]
    shown = SHOWN.write(tmp_path / "shown.pem")
    secret = run(
        [*command, "--from", ALICE, "--tls", "--tls-cert", shown, "--tls-key", shown, "--ehlo", "a.client.example"]
    )
    assert secret.code == 0, secret.said
    clear = run([*command, "--from", ALICE])
    assert clear.code == 0, clear.said
    program = run([*command, "--from", ALICE, "--tls", "--add-header", "Auto-Submitted: auto-generated"])
    assert program.code == 0, program.said
    mailbox = server.mailbox(ALICE)
    over_tls = until(lambda: find(mailbox, "came over TLSv1."), what="the answer arrives", log=server.log)
    text = over_tls.message.get_content()
    version, cipher = next(
        line.split()[5].split(":")[:2] for line in secret.out.decode().splitlines() if "TLS started with cipher" in line
    )
    assert f"{version}, by STARTTLS" in text and cipher in text and "a.client.example" in text
    assert "decided by:   listener" in text and "trusted, email:alice@client.test" in text and "with ESMTPS id" in text
    assert (over_tls.field("return-path"), over_tls.field("auto-submitted")) == ("<>", "auto-replied")
    until(lambda: find(mailbox, "came in the clear"), what="the other answer arrives", log=server.log)
    server.empties()
    assert len(list(mailbox.glob("new/*"))) == 2
    assert "reflector.silent" in server.log()
