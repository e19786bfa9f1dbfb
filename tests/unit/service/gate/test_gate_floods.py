"""A client of a gate that sends a thousand commands at once is served, and so are the others on its loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.attacks.raw import Raw
from tests.unit.service.gate import pop3_behind
from tests.unit.service.gate.smtp_behind import Behind
from tests.unit.service.gate.smtp_gate import gate

from gatepost.net.served import COMMANDS_A_TURN
from gatepost.net.transport import Transport
from gatepost.service.gate.turns import TurnSession
from gatepost.testing.gate import RunningGates

COMMANDS = 10 * COMMANDS_A_TURN  # in one read


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many replies were written in each turn of the pump."""
    found: list[int] = [0]
    write, pump = Transport.write, TurnSession._pump

    def counted(self: Transport, data: bytes) -> None:
        found[-1] += max(data.count(b"250 "), data.count(b"+OK "))
        write(self, data)

    def begun(self: TurnSession[Any, Any, Any]) -> None:
        found.append(0)
        pump(self)

    monkeypatch.setattr(Transport, "write", counted)
    monkeypatch.setattr(TurnSession, "_pump", begun)
    return found


def flood(client: Raw, command: bytes, last: bytes) -> list[bytes]:
    """All at once; the lines that come back, to the end. The client is closed."""
    client.send(command * COMMANDS + b"QUIT\r\n")
    heard = b""
    while data := client.sock.recv(1 << 16):
        heard += data
    client.close()
    lines = heard.splitlines()
    assert lines[-1].startswith(last)
    return lines[:-1]


@pytest.mark.parametrize("command", [b"NOOP\r\n", b"RSET\r\n"])
def test_flood_of_commands_leaves_others_their_turn(tmp_path: Path, turns: list[int], command: bytes) -> None:
    """Those that the engine answers, too; each is answered, in order, but never too many in one turn of the loop."""
    with Behind() as behind, gate(tmp_path, behind) as gates:
        client = Raw(gates.port("front"))
        assert client.say(b"EHLO a.example").startswith(b"250")
        answers = flood(client, command, b"221")
    assert len(answers) == COMMANDS and all(each.startswith(b"250 ") for each in answers)
    assert 0 < max(turns) <= COMMANDS_A_TURN


def test_flood_of_capa_leaves_others_their_turn(tmp_path: Path, turns: list[int]) -> None:
    """POP3 takes turns by the same rule."""
    table = {"name": "front", "protocol": "pop3", "backend": "mail"}
    with pop3_behind.Behind() as behind:
        backend = {"name": "mail", "servers": [behind.name], "health_every": "1h"}
        with RunningGates(tmp_path, [table], [backend]) as gates:
            answers = flood(Raw(gates.port("front")), b"CAPA\r\n", b"+OK")
    assert sum(each.startswith(b"+OK") for each in answers) == COMMANDS
    assert 0 < max(turns) <= COMMANDS_A_TURN
