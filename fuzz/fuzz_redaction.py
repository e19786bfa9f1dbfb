"""Invariant: behind a command with credentials the password is never shown, however the octets are cut; nothing is
invented, and no more waits than the beginning of a line."""

from __future__ import annotations

from fuzz.measure import held
from fuzz.origins import cut, plan, seeds
from fuzz.words import ENDS, IMAP, SMTP, XML

from gatepost.net.redaction import HELD_LIMIT, Redactor

PASSWORD = b"hunter2-hunter2"
COMMANDS = (
    b"AUTH PLAIN %s\r\n", b"AUTH LOGIN\r\n%s\r\n", b"PASS %s\r\n", b"a1 LOGIN me %s\r\n", b"APOP me %s\r\n",
    b"AUTHINFO PASS %s\r\n", b'AUTHENTICATE "PLAIN" "%s"\r\n', b"auth %s\r\n",
)  # fmt: skip
WORDS = SMTP + IMAP + XML + ENDS
SEEDS = seeds(
    b"EHLO a\r\nMAIL FROM:<a@b>\r\nDATA\r\n",
    b"354 go\r\n",
    b"a1 NOOP\r\n",
    b"<auth mechanism='PLAIN'>AGE=</auth>",
    choices=len(COMMANDS),
)


def target(data: bytes) -> None:
    """Something before in both directions, in pieces; a command cut in two, the server in between."""
    told = plan(data, len(COMMANDS))
    command = COMMANDS[told.choice] % PASSWORD
    at = told.step % len(command)
    redactor = Redactor()
    words = told.words.replace(PASSWORD, b"")
    shown = [each for piece in cut(words, told.step) for each in redactor.from_server(piece)]
    shown += redactor.to_server(b"\r\n") + redactor.from_server(b"250 ok\r\n")
    shown += redactor.to_server(command[:at])
    if told.votes & 1:
        shown += redactor.from_server(b"* hello\r\n")
    shown += redactor.to_server(command[at:]) + redactor.flush()
    text = b"".join(each.data for each in shown if each.to_server)
    assert PASSWORD[:-1] not in text
    listener = Redactor()
    for number, piece in enumerate(cut(words, told.step)):
        listener.from_server(piece) if number % 4 == told.votes % 4 else listener.to_server(piece)
    assert held(listener) <= 2 * (HELD_LIMIT + told.step) + 64
    listener.flush()
