"""Programs of the distribution against examples/smtp_server.py, the forty lines that anybody would begin with."""

from __future__ import annotations

import mailbox
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.interop.programs import require, run

from gatepost.testing.ca import TestAuthority

pytestmark = pytest.mark.interop
EXAMPLE = Path(__file__).parents[2] / "examples" / "smtp_server.py"
FROM, TO = "alice@client.example", "bob@example.test"
CONTENT = b"From: alice@client.example\r\nSubject: tea\r\n\r\n.At five?\r\n"


@dataclass(frozen=True, slots=True)
class Example:
    """The running example."""

    port: int
    ca_file: Path
    folder: Path

    def stored(self) -> bytes:
        """The one message that it took, without its trace."""
        (message,) = mailbox.Maildir(self.folder)
        assert "with ESMTPS id" in message["Received"]
        return message.as_bytes().partition(b"From: ")[2]


@pytest.fixture
def example(tmp_path: Path) -> Iterator[Example]:
    authority = TestAuthority()
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(authority.pem)
    certificate = authority.issue("localhost").write(tmp_path / "server.pem")
    command = [sys.executable, str(EXAMPLE), str(certificate), str(tmp_path / "Maildir"), "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        try:
            yield Example(int(program.stdout.readline().split()[-1]), ca_file, tmp_path / "Maildir")
            program.terminate()
            assert program.wait(60) == 0
        finally:
            program.kill()


def test_curl_delivers_to_the_example(example: Example, tmp_path: Path) -> None:
    """Over verified STARTTLS."""
    file = tmp_path / "message.eml"
    file.write_bytes(CONTENT)
    url = f"smtp://localhost:{example.port}/client.example"
    command: list[str | Path] = [
        require("curl", "curl"),
        "-sS",
        "--ssl-reqd",
        "--max-time",
        "60",
        "--cacert",
        example.ca_file,
        url,
    ]
    done = run([*command, "--mail-from", FROM, "--mail-rcpt", TO, "-T", file])
    assert done.code == 0, done.said
    assert example.stored().splitlines() == CONTENT.partition(b"From: ")[2].splitlines()


def test_swaks_delivers_to_the_example(example: Example) -> None:
    """The same, and what it may not send is refused."""
    command = [require("swaks", "swaks"), "--server", "localhost", "--port", str(example.port), "--tls", "--tls-verify"]
    command += ["--tls-ca-path", str(example.ca_file), "--from", FROM, "--header", "Subject: tea"]
    done = run([*command, "--to", TO])
    assert done.code == 0, done.said
    assert b"Subject: tea" in example.stored()
    refused = run([*command, "--to", "carol@example.net"])
    assert "550 5.7.1 Relaying denied" in refused.said
    assert refused.code == 24  # no recipient was accepted


def test_openssl_talks_to_the_example(example: Example) -> None:
    """What a person would type; the capabilities inside TLS are those of a new session."""
    command = [require("openssl", "openssl"), "s_client", "-quiet", "-connect", f"localhost:{example.port}"]
    command += ["-starttls", "smtp", "-CAfile", str(example.ca_file), "-verify_return_error"]
    done = run(command, given=b"EHLO client.example\r\nQUIT\r\n")
    assert b"250-PIPELINING\r\n" in done.out, done.said
    assert b"STARTTLS" not in done.out
    assert b"221 2.0.0 Bye" in done.out
