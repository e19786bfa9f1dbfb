"""A real mail server inside a test: real sockets, real TLS, the embedded queue in a temporary directory.

    python examples/server_in_a_test.py

Here the program under test is Python's own smtplib; yours takes its place. In pytest, make ``MailServer`` a fixture.
"""

from __future__ import annotations

import smtplib
import ssl
import sys
import tempfile
from pathlib import Path

from gatepost.testing.server import MailServer


def program_under_test(port: int, ca_file: Path) -> None:
    """What is tested: it logs in over STARTTLS and sends one message."""
    with smtplib.SMTP("localhost", port, local_hostname="client.example", timeout=10) as client:
        client.starttls(context=ssl.create_default_context(cafile=str(ca_file)))
        client.login("alice@example.test", "wonderland")
        client.sendmail(
            "alice@example.test",
            ["bob@example.net"],
            b"From: alice@example.test\r\nSubject: tea\r\n\r\nAt five?\r\n",
        )


def main() -> int:
    """Run the program against a server, and look at what the server took."""
    with tempfile.TemporaryDirectory() as data, MailServer(Path(data)) as server:
        program_under_test(server.ports["submission"], server.ca_file)
        ((message, content, recipients),) = server.messages()
    assert message.sender == "alice@example.test"
    assert recipients == ["bob@example.net"]
    assert b"with ESMTPSA" in content, "it came over TLS, after a login"
    print(content.decode(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
