"""swaks as a stranger: put off at first, let in after the delay, over STARTTLS."""

from __future__ import annotations

import time

import pytest
from tests.interop.conftest import ALICE, StartGatepost
from tests.interop.letters import Letter, letter
from tests.interop.patience import until
from tests.interop.programs import Done, require, run
from tests.interop.running import Gatepost

pytestmark = pytest.mark.interop
_RECIPIENTS_REFUSED = 24  # no recipient was accepted
_DATA_REFUSED = 26
DELAY = 2


def _send(server: Gatepost, sent: Letter, tls: bool) -> Done:
    command = [require("swaks", "swaks"), "--server", "localhost", "--port", str(server.ports["mx"])]
    command += ["--tls", "--tls-verify", "--tls-ca-path", str(server.ca_file)] if tls else []
    command += ["--from", sent.sender, "--to", sent.recipient]
    return run([*command, "--header", f"Subject: {sent.token}"])


@pytest.mark.parametrize(("at", "code"), [("rcpt", _RECIPIENTS_REFUSED), ("data", _DATA_REFUSED)])
def test_swaks_is_put_off_and_let_in_after_the_delay(start_gatepost: StartGatepost, at: str, code: int) -> None:
    """451 with the time that is left, then 250; and the commands tell of it."""
    server = start_gatepost(
        users={ALICE: "secret"}, tables={"greylist": {"enabled": True, "delay": DELAY, "at": at}}
    )  # fmt: skip
    sent = letter("ann@far.example", ALICE)
    first = _send(server, sent, tls=False)
    assert first.code == code, first.said
    assert b"451 4.7.1 Greylisted: we do not know you yet, try again in" in first.out
    (waiting,) = server.ask("greylist", "list", "--waiting")
    assert (waiting["sender"], waiting["recipient"]) == (sent.sender, ALICE)
    until(lambda: time.time() > waiting["first_seen"] + DELAY, what="the delay is over", log=server.log)
    second = _send(server, sent, tls=True)
    assert second.code == 0, second.said
    until(lambda: "greylist.passed" in server.log_file.read_text(), what="the log tells it", log=server.log)
    shown = server.ask("greylist", "show", "127.0.0.1", sent.sender, ALICE)
    assert shown["remembered"]["passed_at"] is not None
    third = _send(server, sent, tls=True)
    assert third.code == 0, third.said
