"""Greylisting at a gate, in front of a server that knows neither greylisting nor TLS: swaks under STARTTLS."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.interop.conftest import FRIEND
from tests.interop.gates import Gate
from tests.interop.letters import Letter, letter
from tests.interop.patience import until
from tests.interop.programs import Done, require, run
from tests.interop.running import Gatepost
from tests.unit.service.gate.smtp_behind import LISTED, Behind

from gatepost.testing.ca import TestAuthority
from gatepost.testing.dns import FakeDNS

pytestmark = pytest.mark.interop
CAROL = "carol@far.test"
_RECIPIENTS_REFUSED = 24
_DATA_REFUSED = 26
DELAY = 2


def _send(gate: Gatepost, sent: Letter, *extra: str | Path) -> Done:
    command: list[str | Path] = [require("swaks", "swaks"), "--server", "localhost", "--port", str(gate.ports["front"])]
    command += ["--tls", "--tls-verify", "--tls-ca-path", gate.ca_file, "--from", sent.sender, "--to", sent.recipient]
    return run([*command, "--header", f"Subject: {sent.token}", *extra])


@contextmanager
def _gate(
    directory: Path,
    authority: TestAuthority,
    behind: Behind,
    rules: str = "",
    *,
    delay: str = "1h",
    tables: Mapping[str, Mapping[str, Any]] | None = None,
) -> Iterator[Gate]:
    """A gate that greylists.

    :param rules: lines of ``[[greylist_rule]]`` entries.
    """
    every = {"greylist": {"enabled": True, "delay": delay}, **(tables or {})}
    gate = Gate(directory, authority, [behind.name], tables=every)
    with gate.config.open("a") as stream:
        stream.write(rules)
    with gate:
        yield gate


@pytest.mark.parametrize(("at", "code"), [("rcpt", _RECIPIENTS_REFUSED), ("data", _DATA_REFUSED)])
def test_client_that_comes_again_is_let_through(tmp_path: Path, authority: TestAuthority, at: str, code: int) -> None:
    """451 inside TLS, of which the server behind hears nothing; after the delay its own 250; and commands tell."""
    with Behind(end=b"250 2.0.0 queued behind as 7\r\n") as behind:
        table = {"greylist": {"enabled": True, "delay": f"{DELAY}s", "at": at}}
        with _gate(tmp_path, authority, behind, tables=table) as gate:
            sent = letter(FRIEND, CAROL)
            first = _send(gate, sent)
            assert first.code == code, first.said
            assert b"451 4.7.1 Greylisted: we do not know you yet, try again in" in first.out
            assert not any(sent.token.encode() in message for message in behind.messages)
            (waiting,) = gate.ask("greylist", "list", "--waiting")
            assert (waiting["network"], waiting["sender"], waiting["recipient"]) == ("127.0.0.0/24", FRIEND, CAROL)
            assert gate.ask("greylist", "stats")["waiting"] == 1
            until(lambda: time.time() > waiting["first_seen"] + DELAY, what="the delay is over", log=gate.log)
            second = _send(gate, sent)
            assert second.code == 0, second.said
            assert b"250 2.0.0 queued behind as 7" in second.out
            assert [sent.token.encode() in message for message in behind.messages].count(True) == 1
            assert gate.ask("greylist", "stats")["passed"] == 1
            assert gate.ask("greylist", "show", "127.0.0.1", FRIEND, CAROL)["remembered"]["passed_at"] is not None
            until(lambda: "greylist.passed" in gate.log_file.read_text(), what="the log tells it", log=gate.log)


def test_restart_of_the_gate_forgets_nobody(tmp_path: Path, authority: TestAuthority) -> None:
    """Who waits is known to the next process."""
    with Behind() as behind, _gate(tmp_path, authority, behind, delay=f"{DELAY}s") as gate:
        sent = letter(FRIEND, CAROL)
        assert _send(gate, sent).code == _RECIPIENTS_REFUSED
        (waiting,) = gate.ask("greylist", "list", "--waiting")
        gate.stop()
        until(lambda: time.time() > waiting["first_seen"] + DELAY, what="the delay is over", log=gate.log)
        gate.start()
        done = _send(gate, sent)
        assert done.code == 0, done.said


def test_client_with_a_verified_certificate_does_not_wait(tmp_path: Path, authority: TestAuthority) -> None:
    """Its name is in the rule, its authority is believed; the same name from elsewhere proves nothing."""
    rules = '[[greylist_rule]]\ncertificate_names = ["partner.example"]\naction = "skip"\n'
    clients, forgers = TestAuthority("partners"), TestAuthority("forgers")
    (tmp_path / "clients.pem").write_bytes(clients.pem)
    tables = {"tls": {"certificate": "server.pem", "client_ca": "clients.pem", "client_certificate": "ask"}}
    with Behind() as behind, _gate(tmp_path, authority, behind, rules, tables=tables) as gate:
        for number, (issuer, code) in enumerate(((forgers, _RECIPIENTS_REFUSED), (clients, 0))):
            pem = tmp_path / f"client{number}.pem"
            issuer.issue("partner.example").write(pem)
            sent = letter(f"a{number}@partner.example", CAROL)
            done = _send(gate, sent, "--tls-cert", pem, "--tls-key", pem)
            assert done.code == code, done.said
        without = _send(gate, letter("b@partner.example", CAROL))
        assert without.code == _RECIPIENTS_REFUSED, without.said


def test_client_that_has_logged_in_does_not_wait(tmp_path: Path, authority: TestAuthority) -> None:
    """The server behind takes the login; who has none waits."""
    with Behind((*LISTED, "AUTH PLAIN"), {"AUTH": b"235 2.7.0 welcome\r\n"}) as behind:
        with _gate(tmp_path, authority, behind) as gate:
            sent = letter(FRIEND, CAROL)
            assert _send(gate, sent).code == _RECIPIENTS_REFUSED
            done = _send(gate, sent, "--auth", "PLAIN", "--auth-user", "ann", "--auth-password", "secret")
            assert done.code == 0, done.said
            (waiting,) = gate.ask("greylist", "list")
            assert waiting["state"] == "waiting"


def test_domain_that_vouches_stands_for_its_clients_at_a_gate(tmp_path: Path, authority: TestAuthority) -> None:
    """Asked by the gate's own resolver, in the middle of a session under TLS."""
    rules = '[[greylist_rule]]\nspf = "pass"\naction = "delay"\n'
    with FakeDNS() as dns, Behind() as behind:
        dns.add("big.example", "TXT", '"v=spf1 ip4:127.0.0.0/8 -all"')
        tables = {"delivery": {"resolver": [dns.nameserver]}}
        with _gate(tmp_path, authority, behind, rules, tables=tables) as gate:
            assert _send(gate, letter("news@big.example", CAROL)).code == _RECIPIENTS_REFUSED
            assert _send(gate, letter("news@other.example", CAROL)).code == _RECIPIENTS_REFUSED
            networks = {each["sender"]: each["network"] for each in gate.ask("greylist", "list")}
            assert networks == {"news@big.example": "spf:big.example", "news@other.example": "127.0.0.0/24"}
            gate.cli("greylist", "allow", "spf:big.example")
            done = _send(gate, letter("more@big.example", CAROL))
            assert done.code == 0, done.said
