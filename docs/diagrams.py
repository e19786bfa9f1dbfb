"""Write docs/states.md from the state tables; with ``--check``, say whether it is current (exit 1 when not)."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import Any

from gatepost.queue import states as queue
from gatepost.wire.imap import states as imap
from gatepost.wire.machine import Table, mermaid
from gatepost.wire.pop3 import client_states as pop3_client
from gatepost.wire.pop3 import states as pop3_server
from gatepost.wire.smtp import client_states as client
from gatepost.wire.smtp import states as server

TARGET = Path(__file__).parent / "states.md"

HEAD = """\
# States

<!-- Written by docs/diagrams.py from the tables in src/gatepost: change those, then run it again. -->

What is legal when, and where it leads. The engines run on these tables, nothing else changes a state, and
`tests/unit/wire/smtp/test_states.py` and its namesake for POP3 try every command in every state. An edge of a server is
followed when its command is answered positively; a command without an edge is refused, with the reply that the rulebook
beside the table names.

A state without an outgoing edge is an end. `UPGRADED` and `SPENT` are such ends: from there no engine comes back. What
goes on inside TLS is another engine, with a table of its own, made from `Origin` and `TLSEvidence`
([architecture](architecture.md#the-upgrade)).
"""

TABLES: tuple[tuple[str, str, Table[Any, Any]], ...] = (
    (
        "SMTP server in the clear, STARTTLS offered",
        """\
`PLAIN` in `gatepost/wire/smtp/states.py`. There is no `AUTH` edge: that no login is taken in the clear is not a
setting, it is code that is not there.""",
        server.PLAIN,
    ),
    (
        "SMTP server in the clear, STARTTLS required",
        "`PLAIN_REQUIRED`: what RFC 3207 §4 leaves before TLS. Everything else is answered `530 5.7.0`.",
        server.PLAIN_REQUIRED,
    ),
    (
        "SMTP server in the clear, STARTTLS denied",
        "`PLAIN_DENIED`: the keyword is not listed, the command is answered `502 5.5.1`.",
        server.PLAIN_DENIED,
    ),
    (
        "SMTP server in the clear, at a gate that refuses TLS",
        """\
`UNPROTECTED`: as `PLAIN_DENIED`, with logins, which a gate passes on to the server behind it as they are.""",
        server.UNPROTECTED,
    ),
    (
        "SMTP server inside TLS",
        """\
`SECURE`. It begins in `START`, as after the greeting (RFC 3207 §4.2), and has no `STARTTLS` edge. `GREET` is used where
TLS came first (RFC 8314).""",
        server.SECURE,
    ),
    (
        "SMTP client in the clear",
        """\
`PLAIN_TABLE` in `gatepost/wire/smtp/client_states.py`. A dialogue stands in `BUSY` while it runs; one that was broken
off stays there, and nothing can be begun with its engine.""",
        client.PLAIN_TABLE,
    ),
    ("SMTP client inside TLS", "`SECURE_TABLE`.", client.SECURE_TABLE),
    (
        "POP3 server in the clear, STLS offered",
        """\
`PLAIN` in `gatepost/wire/pop3/states.py`. No edge leads to a mailbox: `USER`, `PASS` and `AUTH` are answered
`-ERR [AUTH]` before anything is known of who they are for.""",
        pop3_server.PLAIN,
    ),
    (
        "POP3 server in the clear, STLS denied",
        "`PLAIN_DENIED`: a client learns that there is nothing, and leaves.",
        pop3_server.PLAIN_DENIED,
    ),
    (
        "POP3 server in the clear, at a gate that refuses TLS",
        "`UNPROTECTED`: as inside TLS; logins are passed on to the server behind as they are.",
        pop3_server.UNPROTECTED,
    ),
    (
        "POP3 server inside TLS",
        """\
`SECURE`. It begins in `START`, where `GREET` is used when TLS came first (RFC 8314). `UPDATE` is reached by `QUIT` and
by nothing else (RFC 1939 §6), so a connection that is lost deletes nothing.""",
        pop3_server.SECURE,
    ),
    (
        "IMAP gate in the clear, STARTTLS offered",
        """\
`PLAIN` in `gatepost/wire/imap/states.py`. The gate speaks by itself: no edge leads to a login, none to a server.""",
        imap.PLAIN,
    ),
    (
        "IMAP gate with a server behind",
        """\
`PASSING`: inside TLS, or in the clear where the operator has TLS denied. While it stands in `LOGGING_IN` no command is
begun, so that what is allowed never depends on a guess.""",
        imap.PASSING,
    ),
    (
        "IMAP gate that passes STARTTLS on",
        "`PASSING_STARTTLS`: when the server agrees, both sides are spent, and TLS is between it and the client.",
        imap.PASSING_STARTTLS,
    ),
    (
        "The stream of an IMAP client",
        """\
`READING`: what a client's next octets are. In `ASKED` and `PAUSED` nothing is read until the server has said `+`, or
has refused: what follows is a literal in the one case and a command in the other.""",
        imap.READING,
    ),
    (
        "POP3 client in the clear",
        "`PLAIN_TABLE` in `gatepost/wire/pop3/client_states.py`. There is no login in it.",
        pop3_client.PLAIN_TABLE,
    ),
    ("POP3 client inside TLS", "`SECURE_TABLE`.", pop3_client.SECURE_TABLE),
    (
        "One recipient of a queued message",
        "`RECIPIENT` in `gatepost/queue/states.py`; [the queue](queue.md) explains its two commit points.",
        queue.RECIPIENT,
    ),
)


def text() -> str:
    """The whole document."""
    parts = [HEAD]
    for title, words, table in TABLES:
        parts += [f"## {title}\n", f"{words}\n", f"```mermaid\n{mermaid(table)}```\n", _states(table)]
    return "\n".join(part for part in parts if part)


def _states(table: Table[Any, Any]) -> str:
    """What the states mean, where the table's own words say more than their names."""
    rows = [f"| `{state.name}` | {state.value} |" for state in table.edges if _speaks(state)]
    return "\n".join(("| state | meaning |", "|---|---|", *rows, "")) if rows else ""


def _speaks(state: Enum) -> bool:
    return str(state.value).replace(" ", "_").upper() != state.name


def main() -> int:
    """Write, or compare."""
    current = text()
    if "--check" not in sys.argv[1:]:
        TARGET.write_text(current)
        return 0
    if TARGET.is_file() and TARGET.read_text() == current:
        return 0
    print(f"{TARGET} is not what the tables say: run python docs/diagrams.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
