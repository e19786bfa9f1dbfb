"""A gate that records: what is written down of sessions of real clients, inside TLS too, and what it cannot see."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.interop.conftest import FRIEND
from tests.interop.gates import Gate
from tests.interop.letters import Letter, letter
from tests.interop.patience import until
from tests.interop.postfix import HOSTNAME, Postfix
from tests.interop.programs import Done, require, run
from tests.unit.service.gate.smtp_behind import Behind

from gatepost.testing.ca import TestAuthority

pytestmark = pytest.mark.interop
CAROL = "carol@far.test"
DELAY = 2
RECIPIENTS_REFUSED = 24
GREYLIST = {"enabled": True, "delay": f"{DELAY}s"}


def _swaks(gate: Gate, sent: Letter, *manner: str | Path) -> Done:
    command: list[str | Path] = [require("swaks", "swaks"), "--server", "localhost", "--port", str(gate.ports["front"])]
    command += ["--from", sent.sender, "--to", sent.recipient, "--header", f"Subject: {sent.token}"]
    return run([*command, *manner])


def _verified(gate: Gate) -> tuple[str | Path, ...]:
    return ("--tls", "--tls-verify", "--tls-ca-path", gate.ca_file)


def _recording(gate: Gate) -> Gate:
    with gate.config.open("a") as stream:
        stream.write("[[record_rule]]\n")
    return gate


def _shown(gate: Gate, count: int) -> list[dict[str, Any]]:
    """So many sessions, in the order in which they began, once each has its end."""

    def look() -> list[dict[str, Any]] | None:
        listed = gate.cli("record", "list", "--json")
        found = gate.ask("record", "list")["sessions"] if listed.code == 0 else []
        return found if len(found) == count and all(each["outcome"] for each in found) else None

    found = until(look, what=f"{count} sessions are recorded", log=gate.log)
    ids = [each["id"] for each in sorted(found, key=lambda each: each["began"])]
    return [gate.ask("record", "show", each)[0] for each in ids]


def _kinds(session: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [event for event in session["events"] if event["e"] == kind]


def _said(session: dict[str, Any], speaker: str, *, private: bool) -> list[str]:
    return [
        event["text"]
        for event in _kinds(session, "line")
        if event["from"] == speaker and event.get("private", False) == private
    ]


def _again(gate: Gate, sent: Letter, send: Callable[[], Done]) -> None:
    """Send it once more, when the delay is over."""
    (waiting,) = gate.ask("greylist", "list", "--waiting")
    until(lambda: time.time() > waiting["first_seen"] + DELAY, what="the delay is over", log=gate.log)
    done = send()
    assert done.code == 0, done.said


def test_server_without_tls_is_greylisted_and_recorded_under_starttls(tmp_path: Path, authority: TestAuthority) -> None:
    """The case of a qmail: swaks speaks TLS; what it said inside is in the record, with 451 and, later, the 250."""
    with Behind(("PIPELINING", "8BITMIME"), end=b"250 ok 1700000000 qp 4711\r\n") as behind:
        gate = _recording(Gate(tmp_path, authority, [behind.name], tables={"greylist": GREYLIST}))
        with gate:
            sent = letter(FRIEND, CAROL)
            first = _swaks(gate, sent, *_verified(gate))
            assert first.code == RECIPIENTS_REFUSED, first.said
            _again(gate, sent, lambda: _swaks(gate, sent, *_verified(gate)))
            refused, passed = _shown(gate, 2)
            for session in (refused, passed):
                assert _said(session, "client", private=False)[-1] == "STARTTLS"
                (upgrade,) = _kinds(session, "upgrade")
                assert (upgrade["side"], upgrade["version"]) == ("client", "TLSv1.3")
                inside = _said(session, "client", private=True)
                assert {f"MAIL FROM:<{FRIEND}>", f"RCPT TO:<{CAROL}>"} <= set(inside)
                assert inside[-1] == "QUIT"
            assert any("451 4.7.1 Greylisted" in text for text in _said(refused, "server", private=True))
            for session, verdict in ((refused, "delay"), (passed, "accept")):
                (decision,) = [event for event in _kinds(session, "decision") if event["what"] == "greylist"]
                assert (decision["verdict"], decision["subject"]) == (verdict, CAROL)
            (data,) = _kinds(passed, "data")
            assert data["octets"] == len(behind.messages[0]) + len(b"\r\n") and len(data["sha256"]) == 64
            assert "content" not in data and "headers" not in data
            assert "250 ok 1700000000 qp 4711" in _said(passed, "server", private=True)
            text = gate.cli("record", "show", passed["id"]).out.decode()
            assert "private from here: TLSv1.3" in text
            assert re.search(rf"=> +RCPT TO:<{CAROL}>|RCPT TO:<{CAROL}> +=>", text), text
            page = gate.cli("record", "export", passed["id"], "--html").out.decode()
            assert "TLSv1.3" in page and f"RCPT TO:&lt;{CAROL}&gt;" in page


def test_where_the_server_refuses_tls_reading_and_greylisting_go_on(tmp_path: Path, authority: TestAuthority) -> None:
    """mode = pass, and 454 to STARTTLS: swaks goes on in the clear, is put off, comes again, and all of it is there."""
    answers = {"STARTTLS": b"454 4.7.0 TLS not available due to local problem\r\n"}
    with Behind(answers=answers, starttls=True) as behind:
        tables = {"greylist": GREYLIST}
        gate = _recording(Gate(tmp_path, authority, [behind.name], keys={"mode": "pass"}, tables=tables, fronts=False))
        with gate:
            sent = letter(FRIEND, CAROL)
            first = _swaks(gate, sent, "--tls-optional")
            assert first.code == RECIPIENTS_REFUSED, first.said
            assert "454 4.7.0 TLS not available" in first.said
            assert behind.messages == []
            _again(gate, sent, lambda: _swaks(gate, sent, "--tls-optional"))
            refused, passed = _shown(gate, 2)
            for session in (refused, passed):
                assert _kinds(session, "blind") == _kinds(session, "upgrade") == []
                said = _said(session, "client", private=False)
                assert said.index("STARTTLS") < said.index(f"RCPT TO:<{CAROL}>")
                assert "454 4.7.0 TLS not available due to local problem" in _said(session, "server", private=False)
            assert any("451 4.7.1 Greylisted" in text for text in _said(refused, "server", private=False))
            assert len(_kinds(passed, "data")) == len(behind.messages) == 1


def test_where_tls_goes_through_the_record_says_that_it_is_blind(
    tmp_path: Path, authority: TestAuthority, postfix: Postfix
) -> None:
    """Postfix keeps its TLS: up to STARTTLS everything is there, behind it nothing but that."""
    gate = Gate(tmp_path, authority, [f"127.0.0.1:{postfix.port}"], keys={"mode": "pass"}, fronts=False)
    with _recording(gate):
        sent = letter(FRIEND, CAROL)
        done = _swaks(gate, sent, *_verified(gate))
        assert done.code == 0, done.said
        assert HOSTNAME in postfix.arrived(sent.token).received[0]
        (session,) = _shown(gate, 1)
        assert _said(session, "client", private=False)[-1] == "STARTTLS"
        assert _said(session, "server", private=False)[-1].startswith("220 2.0.0")
        (blind,) = _kinds(session, "blind")
        assert str(postfix.port) in blind["server"]
        behind = session["events"][session["events"].index(blind) + 1 :]
        assert {event["e"] for event in behind} <= {"data", "close"}
        assert all(event.get("what") == "octets" for event in behind if event["e"] == "data")
        assert sent.token not in str(session)
        assert "blind" in gate.cli("record", "list").out.decode()
