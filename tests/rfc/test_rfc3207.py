"""STARTTLS for SMTP: the clauses that no other test shows."""

from __future__ import annotations

from gatepost.config.listeners import default_listeners
from gatepost.config.schema import Inbound
from gatepost.testing.memory import ORIGIN, MemoryDriver, ScriptedPeer
from gatepost.testing.tls import upgrader
from gatepost.wire.smtp.client import converse_starttls

EHLO = b"EHLO client.example\r\n"


def test_client_sends_nothing_behind_starttls() -> None:
    """RFC 3207 §4: it is the last command of its group, also to a server that lists PIPELINING."""
    outside = ScriptedPeer(
        (b"", b"220 mx\r\n"), (EHLO, b"250-mx\r\n250-PIPELINING\r\n250 STARTTLS\r\n"), (b"STARTTLS\r\n", b"220 go\r\n")
    )
    driver = MemoryDriver(outside, upgrade=upgrader(ScriptedPeer((EHLO, b"250 mx\r\n"))))
    driver.run(converse_starttls(ORIGIN, hostname="client.example"))
    assert driver.sent[:2] == [EHLO, b"STARTTLS\r\n"]
    assert outside.transcript == EHLO + b"STARTTLS\r\n"


def test_public_server_does_not_require_starttls() -> None:
    """RFC 3207 §4: mail for us is taken in the clear unless the operator says otherwise."""
    assert {listener.starttls for listener in default_listeners() if listener.protocol == "smtp"} == {"offer"}
    assert Inbound().starttls is None
