"""The examples run, and do what they say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from gatepost.testing.ca import TestAuthority
from gatepost.testing.server import MailServer

EXAMPLES = Path(__file__).parents[2] / "examples"
MESSAGE = b"From: alice@example.test\nSubject: tea\n\n.At five?\n"


def _run(name: str, *arguments: str, given: bytes = b"") -> str:
    """Run an example as a reader would, with warnings as errors; what it prints."""
    command = [sys.executable, "-W", "error", str(EXAMPLES / name), *arguments]
    done = subprocess.run(command, input=given, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def test_client_dialogue_submits_over_starttls(tmp_path: Path) -> None:
    """The message reaches the server's queue, over TLS and after a login."""
    user, password = "alice@example.test", "wonderland"
    with MailServer(tmp_path, {user: password}) as server:
        port = str(server.ports["submission"])
        said = _run("client_dialogue.py", "localhost", port, user, password, str(server.ca_file), given=MESSAGE)
        ((message, content, recipients),) = server.messages()
    assert said.startswith("250 2.0.0 Ok: queued as ")
    assert (message.sender, recipients) == (user, [user])
    assert b"with ESMTPSA" in content
    assert content.endswith(b"\r\n\r\n.At five?\r\n")


def test_client_dialogue_refuses_a_certificate_of_a_stranger(tmp_path: Path) -> None:
    """Where another authority is trusted, no login is tried and nothing is sent."""
    other = tmp_path / "other.pem"
    other.write_bytes(TestAuthority("another authority").pem)
    (tmp_path / "data").mkdir()
    with MailServer(tmp_path / "data") as server:
        arguments = ("localhost", str(server.ports["submission"]), "alice@example.test", "wonderland", str(other))
        done = subprocess.run(
            [sys.executable, str(EXAMPLES / "client_dialogue.py"), *arguments],
            input=MESSAGE,
            capture_output=True,
            timeout=60,
        )
        assert server.messages() == []
        assert server.total("auth_attempts_total", mechanism="SCRAM-SHA-256-PLUS", result="success") == 0
    assert done.returncode != 0
    assert b"VerificationError" in done.stderr


def test_server_in_a_test_takes_a_message() -> None:
    """What it prints is the message as it was queued."""
    assert "\nSubject: tea\r\n\r\nAt five?\r\n" in _run("server_in_a_test.py").replace("\r\r", "\r")


def test_engine_pair_upgrades_and_refuses_an_injection() -> None:
    """Once as it should be, once with a command behind STARTTLS."""
    said = _run("engine_pair.py")
    assert "certificate verified" in said
    assert "the token holds ['_origin', '_spent', 'role']" in said
    assert "inside TLS the EHLO of before is unknown: 503 5.5.1" in said
    assert "evidence b'MAIL FROM:<attacker@example.net>\\r\\n'" in said
    assert "answered: 554 5.5.0" in said


def test_every_example_is_run_here() -> None:
    """A new example needs a test."""
    assert {path.name for path in EXAMPLES.glob("*.py")} == {
        "client_dialogue.py",
        "server_in_a_test.py",
        "engine_pair.py",
    }
