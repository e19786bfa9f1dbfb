"""An SMTP gate before a server of the tests, and what its clients say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.attacks.raw import Raw
from tests.unit.service.gate.smtp_behind import Behind

from gatepost.testing.ca import TestAuthority, key_for
from gatepost.testing.gate import RunningGates

LETTER = b"Subject: hello\r\n\r\nhello\r\n."


def gate(
    folder: Path,
    behind: Behind,
    *,
    backend: dict[str, Any] | None = None,
    settings: dict[str, Any] | None = None,
    **keys: Any,
) -> RunningGates:
    """A gate called ``front`` before that server."""
    table = {"name": "front", "protocol": "smtp", "backend": "mail", **keys}
    backends = [{"name": "mail", "servers": [behind.name], "health_every": "1h", **(backend or {})}]
    return RunningGates(folder, [table], backends, **(settings or {}))


def hello(client: Raw) -> list[bytes]:
    """What is listed."""
    return [line[4:] for line in client.say(b"EHLO client.example").split(b"\r\n")[1:]]


def envelope(client: Raw, *recipients: bytes) -> list[bytes]:
    assert client.say(b"MAIL FROM:<ann@far.example>").startswith(b"250")
    return [client.say(b"RCPT TO:<" + each + b">") for each in recipients or (b"bob@near.example",)]


def send(client: Raw, letter: bytes = LETTER) -> bytes:
    """One message; the answer to it."""
    envelope(client)
    assert client.say(b"DATA").startswith(b"354")
    return client.say(letter)


def secured(client: Raw, ca_file: Path) -> list[bytes]:
    """The list inside TLS."""
    assert client.say(b"EHLO client.example").startswith(b"250")
    assert client.say(b"STARTTLS").startswith(b"220")
    client.start_tls(ca_file)
    return hello(client)


def another_authority(folder: Path) -> Path:
    """The file of an authority that has issued nothing here."""
    path = folder / "another.pem"
    path.write_bytes(TestAuthority("another", key=key_for("another")).pem)
    return path
