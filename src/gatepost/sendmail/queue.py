"""``-bp`` and ``-q``: the queue, asked for over the control socket (JSON, a line each)."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from gatepost.sendmail.exits import NO_PERMISSION, PROTOCOL, TRY_AGAIN, SendmailError
from gatepost.sendmail.locate import connect

_ANSWER_LIMIT = 64 << 20


def ask(command: str) -> dict[str, Any]:
    """Ask the server one thing.

    :returns: its answer, without having been refused.
    :raises SendmailError: when nobody listens, it takes too long (75), or it refuses (77).
    """
    with connect("control.sock") as sock:
        try:
            sock.sendall(json.dumps({"command": command}).encode() + b"\n")
            answer = b""
            while not answer.endswith(b"\n") and (data := sock.recv(1 << 16)):
                answer += data
                if len(answer) > _ANSWER_LIMIT:
                    raise SendmailError("the server's answer is too long", PROTOCOL)
        except OSError as error:
            raise SendmailError(f"the server does not answer: {error}", TRY_AGAIN) from None
    try:
        fields = json.loads(answer)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        raise SendmailError("the server's answer is not understood", PROTOCOL)
    if fields.get("error") or fields.get("ok") is False:
        raise SendmailError(f"the server refuses: {_plain(fields.get('error', 'no reason given'))}", NO_PERMISSION)
    return fields


def flush() -> int:
    """Have the server look at once for mail that is due."""
    ask("queue-wake")
    return 0


def print_queue() -> int:
    """Print the queue the way ``mailq`` does."""
    messages = ask("queue-list").get("messages")
    if not isinstance(messages, list) or not messages:
        sys.stdout.write("Mail queue is empty\n")
        return 0
    write = sys.stdout.write
    write("Queue ID                          Size  Arrival time         Sender / recipients\n")
    for message in messages:
        if not isinstance(message, dict):
            continue
        arrived = message.get("received_at")
        when = time.strftime("%a %b %d %H:%M:%S", time.localtime(arrived)) if isinstance(arrived, int | float) else ""
        sender = _plain(message.get("sender")) or "MAILER-DAEMON"
        write(f"{_plain(message.get('id')):<28} {_plain(message.get('size')):>9}  {when:<20} {sender}\n")
        for recipient in message.get("recipients") or ():
            _print_recipient(recipient)
    write(f"-- {len(messages)} message{'s' if len(messages) != 1 else ''}\n")
    return 0


def _print_recipient(recipient: object) -> None:
    fields = recipient if isinstance(recipient, dict) else {"address": recipient}
    sys.stdout.write(f"{'':<61}{_plain(fields.get('address'))}\n")
    if fields.get("reply"):
        sys.stdout.write(f"{'':<61}({_plain(fields['reply'])})\n")


def _plain(value: object) -> str:
    """Text without anything that could move the cursor of a terminal."""
    text = "" if value is None else str(value)
    return "".join(char if char.isprintable() else "?" for char in text)
