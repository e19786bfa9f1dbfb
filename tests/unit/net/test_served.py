"""The sweeper of accepted connections, and identifiers."""

from __future__ import annotations

import asyncio
import socket
from typing import cast

import pytest

from gatepost.net import served
from gatepost.net.channel import SecureChannel
from gatepost.net.identifiers import new_identifier
from gatepost.net.served import ServedConnection, ServedSession, Sweeper
from gatepost.net.transport import Receiver, Transport
from gatepost.testing.handshakes import SERVER_ORIGIN
from gatepost.tls.engine import ServerHandshake
from gatepost.wire.upgrade import EarlyHello, UpgradeReady


class Session:
    """A session that notes what it is told."""

    def __init__(self, told: list[str], *, alive: bool = True) -> None:
        self.told = told
        self.alive = alive

    def drain(self) -> None:
        self.told.append("drain")

    def expire(self) -> None:
        self.told.append("expire")


class Connection(ServedConnection):
    """A connection that notes what it has to tell."""

    def __init__(self, transport: Transport, told: list[str]) -> None:
        super().__init__(transport, SERVER_ORIGIN, asyncio.get_running_loop().time, 5.0)
        self.told = told

    def secured(self, channel: SecureChannel) -> Receiver:
        raise NotImplementedError

    def _handshake(self, ready: UpgradeReady, early: EarlyHello | None) -> ServerHandshake:
        raise NotImplementedError

    def plaintext_found(self, residue: bytes) -> None:
        raise NotImplementedError

    def _handshake_failed(self, error: Exception, *, plaintext: bool) -> None:
        self.told.append(f"failed {error} {plaintext}")

    def _timed_out(self, phase: str) -> None:
        self.told.append(f"timeout {phase}")

    def _closed(self) -> None:
        self.told.append("closed")


def run(monkeypatch: pytest.MonkeyPatch, session: ServedSession | None, last_call: float = float("inf")) -> list[str]:
    """Sweep a connection whose time is up, and one whose time is not; what the first was told."""
    monkeypatch.setattr(served, "SWEEP_SECONDS", 0.001)
    monkeypatch.setattr(served, "PROBE_EVERY", 1)

    async def main() -> list[str]:
        loop = asyncio.get_running_loop()
        (ours, theirs), told = socket.socketpair(), cast("list[str]", [])
        connection = Connection(Transport(loop, ours), told)
        patient = Connection(Transport(loop, socket.socket()), told)
        connection.session = session
        connection.transport.receive_with(served.Gone(connection))
        connection.last_call = loop.time() + last_call
        connection.wait(60.0 if last_call < 60 else -1.0, "command")
        patient.hold()
        swept = asyncio.Event()
        connections = [connection, patient]
        sweeper = Sweeper(loop, connections, lambda sweeps: swept.set() if sweeps == 3 else None)
        await asyncio.wait_for(swept.wait(), 60)
        sweeper.stop()
        connection.transport.abort()
        connection.ended()
        patient.transport.abort()
        theirs.close()
        return told

    return asyncio.run(main())


def test_a_session_whose_time_is_up_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may still say a last word; the connection is counted as closed once."""
    said: list[str] = []
    told = run(monkeypatch, Session(said))
    assert told[:1] == ["timeout command"]
    assert set(said) == {"expire"}
    assert told.count("closed") == 1


@pytest.mark.parametrize("session", [None, Session([], alive=False)], ids=["handshake", "last words said"])
def test_without_a_session_the_connection_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, session: ServedSession | None
) -> None:
    """In a handshake no text may be said."""
    told = run(monkeypatch, session)
    assert told.count("closed") == 1


def test_no_deadline_is_later_than_the_last_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often the peer makes progress."""
    assert run(monkeypatch, None, last_call=-1.0)[:1] == ["timeout command"]


def test_identifiers_are_new_and_sort_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those of a process that was forked: its digits are others."""
    made = [new_identifier() for _ in range(1000)]
    assert len(set(made)) == 1000
    assert [identifier[:13] for identifier in made] == sorted(identifier[:13] for identifier in made)
    monkeypatch.setattr("gatepost.net.identifiers.os.getpid", lambda: -1)
    assert new_identifier()[13:19] != made[0][13:19]
    assert new_identifier()[13:19] == new_identifier()[13:19]
