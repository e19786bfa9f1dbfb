"""The attacker fills the disk of whoever records him: a gate keeps whole messages, and has a budget for few."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from tests.attacks.raw import Raw
from tests.unit.record.test_shelf import used
from tests.unit.service.gate.smtp_behind import Behind

from gatepost.record.reading import sessions
from gatepost.testing.gate import RunningGates

BUDGET = 1 << 24  # the least that may be set
MESSAGE = b"Subject: large\r\n\r\n" + (b"x" * 70 + b"\r\n") * 13_000  # nearly a megabyte, and there are 36
SENDERS, MESSAGES = 3, 12


def test_load_never_takes_more_than_the_budget_and_no_mail_is_lost(tmp_path: Path) -> None:
    """Twice the budget is sent by several at once: every message has its 250, and the disk its bound at each moment."""
    table = {"name": "front", "protocol": "smtp", "backend": "mail"}
    record: dict[str, Any] = {"budget": BUDGET, "rotate_size": 1 << 20}
    answers: list[bytes] = []

    def send(port: int) -> None:
        for _ in range(MESSAGES):
            with Raw(port, timeout=60) as client:
                client.say(b"EHLO client.example")
                client.say(b"MAIL FROM:<ann@far.example>")
                client.say(b"RCPT TO:<bob@near.example>")
                client.say(b"DATA")
                answers.append(client.say(MESSAGE + b"."))

    with Behind(strict=True) as behind:
        mail = {"name": "mail", "servers": [behind.name], "health_every": "1h"}
        rules = [{"content": "full"}]
        with RunningGates(tmp_path, [table], [mail], record=record, record_rule=rules) as front:
            senders = [threading.Thread(target=send, args=(front.port("front"),)) for _ in range(SENDERS)]
            for each in senders:
                each.start()
            most = 0
            for each in senders:
                while each.is_alive():
                    each.join(0.005)
                    most = max(most, _used(tmp_path / "records"))
            most = max(most, _used(tmp_path / "records"))
        assert answers == [b"250 2.0.0 taken"] * (SENDERS * MESSAGES)
        assert len(behind.messages) == SENDERS * MESSAGES
    assert 1 << 20 < most <= BUDGET  # events may be dropped, so that the least is not known
    assert _used(tmp_path / "records") <= BUDGET
    assert list(sessions([tmp_path / "records"])), "what is left can be read"


def _used(directory: Path) -> int:
    """Octets of the records that are there, at one moment."""
    return used(directory) if (directory / ".usage").exists() else 0
