"""What a gate says of its own in SMTP: one table, so that its words can be told from those of the server behind."""

from __future__ import annotations

from typing import Final

from gatepost.service.gate.turns import Words
from gatepost.smtp.conversation import SHUTTING_DOWN
from gatepost.wire.smtp.reply import Reply

NO_SERVER: Final = Reply(421, "4.3.2", "The server behind this gate cannot be reached now, try again later")
SERVER_LOST: Final = Reply(421, "4.4.2", "The connection to the server behind this gate was lost, try again later")
NOT_ANSWERED: Final = Reply(451, "4.4.2", "The server behind this gate did not answer for the message, try again later")
FAILED: Final = Reply(421, "4.3.0", "Internal error, closing the connection")
NOT_TOLD: Final = Reply(421, "4.3.5", "The server behind this gate cannot be told who the client is, try again later")
LOGIN_LOST: Final = Reply(421, "4.4.2", "The connection that the login was made on is gone, log in again")

NOT_A_PROXY: Final = Reply(550, "5.7.0", "Nobody else is spoken for from your address")
NOT_NOW: Final = Reply(503, "5.5.1", "A transaction is open")
TOO_EARLY: Final = Reply(503, "5.5.1", "Commands stood behind XCLIENT, which begins a session anew")
REFUSED_HERE: Final = Reply(554, "5.7.0", "This client is not served here")
"""For a client that XCLIENT named, and that the policy refuses."""

WORDS: Final = Words("smtp", NO_SERVER, SHUTTING_DOWN, FAILED)
