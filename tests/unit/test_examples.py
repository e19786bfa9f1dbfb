"""The examples run, and do what they say."""

from __future__ import annotations

import mailbox
import smtplib
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_smtp_server_stores_what_it_takes(tmp_path: Path) -> None:
    """Over STARTTLS, in a Maildir; it relays for nobody, and ends when it is told to."""
    authority = TestAuthority()
    certificate = authority.issue("localhost").write(tmp_path / "server.pem")
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    command = [
        sys.executable,
        "-W",
        "error",
        str(EXAMPLES / "smtp_server.py"),
        str(certificate),
        str(tmp_path / "mail"),
        "0",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        port = int(program.stdout.readline().split()[-1])
        with smtplib.SMTP("localhost", port, local_hostname="client.example", timeout=60) as client:
            client.starttls(context=ssl.create_default_context(cafile=str(tmp_path / "ca.pem")))
            refused = client.sendmail(
                "a@b.example", ["bob@example.test", "c@d.example"], MESSAGE.replace(b"\n", b"\r\n")
            )
        program.terminate()
        assert (program.wait(60), program.stderr.read()) == (0, "")
    assert refused == {"c@d.example": (550, b"5.7.1 Relaying denied")}
    (stored,) = mailbox.Maildir(tmp_path / "mail")
    assert stored["Subject"] == "tea"
    assert "with ESMTPS id" in stored["Received"]
    assert str(stored.get_payload()).splitlines() == [".At five?"]


def test_smtp_server_has_forty_lines() -> None:
    """Short enough to be read at once."""
    assert len((EXAMPLES / "smtp_server.py").read_text().splitlines()) <= 40


def test_extension_exists_inside_tls_alone() -> None:
    """Unknown in the clear, listed inside, answered after the login."""
    assert _run("extension.py").splitlines() == [
        "in the clear: 500 5.5.1 Command not recognized",
        "inside TLS: True",
        "before the login: 530 5.7.0 Log in first",
        "after it: 250 2.0.0 17 of 100 MB",
    ]


def test_fixture_serves_a_test_suite() -> None:
    """As a reader would run it; the plugin is named in case this gatepost was installed before it had one."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "gatepost.testing.fixtures", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, str(EXAMPLES / "test_fixture.py")], capture_output=True, text=True, timeout=110, cwd=EXAMPLES.parent
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


@pytest.mark.parametrize("name", ["client.py", "client_blocking.py"])
def test_client_upgrades_and_says_what_was_proved(name: str, tmp_path: Path) -> None:
    """Twelve lines, with a loop and without: the evidence, and a reply that came in private."""
    with MailServer(tmp_path) as server:
        said = _run(name, "localhost", str(server.port("submission")), str(server.ca_file))
    assert said.splitlines() == [
        "TLSv1.3 X25519MLKEM768 ('mx.example.test', 'localhost', '127.0.0.1')",
        "250-mx.example.test",
    ]


def test_client_has_twelve_lines() -> None:
    """Empty lines and the docstring aside."""
    lines = (EXAMPLES / "client.py").read_text().splitlines()
    assert sum(bool(line.strip()) for line in lines[1:]) <= 12


def test_own_protocol_upgrades_and_refuses_an_injection() -> None:
    """Once as it should be, once with a word behind the request."""
    assert _run("own_protocol.py").splitlines() == [
        "private: welcome to TLSv1.3",
        "refused: 9 bytes stood behind the upgrade command",
    ]


def test_every_example_is_run_here() -> None:
    """A new example needs a test."""
    assert {path.name for path in EXAMPLES.glob("*.py")} == {
        "client.py",
        "client_blocking.py",
        "client_dialogue.py",
        "own_protocol.py",
        "server_in_a_test.py",
        "engine_pair.py",
        "smtp_server.py",
        "extension.py",
        "test_fixture.py",
    }
