"""What a gate says of its own in POP3: one table, so that its words can be told from those of the server behind."""

from __future__ import annotations

from typing import Final

from gatepost.service.gate.turns import Words
from gatepost.wire.pop3.reply import SHUTTING_DOWN, Reply

NO_SERVER: Final = Reply(False, "The server behind this gate cannot be reached now, try again later", "SYS/TEMP")
NO_LOGINS: Final = Reply(False, "The server behind this gate takes no logins from it, tell its operator", "SYS/PERM")
SERVER_LOST: Final = Reply(False, "The connection to the server behind this gate was lost, try again later", "SYS/TEMP")
NOT_ANSWERED: Final = Reply(
    False, "The server behind this gate did not answer: messages may or may not be deleted", "SYS/TEMP"
)
FAILED: Final = Reply(False, "Internal error, closing the connection", "SYS/TEMP")
NO_CERTIFICATE: Final = Reply(False, "A client certificate that is trusted here is required", "AUTH")
UNCHECKED: Final = Reply(False, "Client certificates cannot be checked now", "SYS/TEMP")
TOO_MANY_LOGINS: Final = Reply(False, "Too many failed logins", "AUTH")

WORDS: Final = Words("pop3", NO_SERVER, SHUTTING_DOWN, FAILED)
