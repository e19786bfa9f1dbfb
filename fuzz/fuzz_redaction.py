"""Invariant: behind a command with credentials the password is never shown, however the octets are cut."""

from __future__ import annotations

from gatepost.net.redaction import Redactor

PASSWORD = b"hunter2-hunter2"
COMMANDS = (
    b"AUTH PLAIN %s\r\n", b"AUTH LOGIN\r\n%s\r\n", b"PASS %s\r\n", b"a1 LOGIN me %s\r\n", b"APOP me %s\r\n",
    b"AUTHINFO PASS %s\r\n", b'AUTHENTICATE "PLAIN" "%s"\r\n', b"auth %s\r\n",
)  # fmt: skip


def target(data: bytes) -> None:
    """Something before in both directions, a command cut in two, the server in between."""
    if len(data) < 3:
        return
    command = COMMANDS[data[0] % len(COMMANDS)] % PASSWORD
    cut = data[1] % len(command)
    redactor = Redactor()
    before = data[3:].replace(PASSWORD, b"")
    shown = redactor.from_server(before) + redactor.to_server(b"\r\n") + redactor.from_server(b"250 ok\r\n")
    shown += redactor.to_server(command[:cut])
    if data[2] % 2:
        shown += redactor.from_server(b"* hello\r\n")
    shown += redactor.to_server(command[cut:]) + redactor.flush()
    text = b"".join(each.data for each in shown if each.to_server)
    assert PASSWORD not in text
    assert PASSWORD[: max(len(PASSWORD) - 1, 1)] not in text
