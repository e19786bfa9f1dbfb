"""The server's side of a gate: commands that a client said go out, and what the server answers is handed back as it is.

``PlainClient.relaying`` and ``SecureClient.relaying`` give it, and are spent: the greeting was heard, nobody is logged
in. It keeps no state of its own beyond an answer that is being read; what is legal when, the server says. The rules of
``exchange`` hold: limits, line ends, and that a server speaks when it is asked.

Logins pass through it, in the clear too where the operator has put the server behind on a network of his own.
"""

from __future__ import annotations

from typing import Final, final

from gatepost.errors import LocalProtocolError
from gatepost.wire.auth_lines import auth_command, response_line
from gatepost.wire.dialogue import Dialogue
from gatepost.wire.pop3.content import ContentReader
from gatepost.wire.pop3.exchange import (
    COMMAND_LIMIT,
    Exchange,
    challenge_of,
)
from gatepost.wire.pop3.reply import Reply
from gatepost.wire.pop3.timeouts import ClientTimeouts
from gatepost.wire.sasl.secret import Secret
from gatepost.wire.smtp.exchange import command


@final
class Relaying:
    """See the module. Every dialogue raises what ``exchange`` raises; the connection is over then.

    :param exchange: of the engine that was spent.
    :param timeouts: how long each answer may take.
    """

    __slots__ = ("_content", "_exchange", "_timeouts")

    def __init__(self, exchange: Exchange, timeouts: ClientTimeouts) -> None:
        self._exchange: Final = exchange
        self._timeouts: Final = timeouts
        self._content: ContentReader | None = None  # of the answer that is being read

    # One line

    def ask(self, words: str, seconds: float | None = None) -> Dialogue[Reply]:
        """A command whose answer has one line.

        :param words: without a line end.
        """
        line, step = self._line(words)
        reply = yield from self._exchange.ask(line, self._timeouts.reply if seconds is None else seconds, step)
        return reply

    def quit(self) -> Dialogue[Reply]:
        """QUIT, and the server's answer."""
        return (yield from self.ask("QUIT", self._timeouts.quit))

    # Logins

    def user(self, name: str) -> Dialogue[Reply]:
        """USER."""
        return (yield from self.ask(f"USER {name}", self._timeouts.login))

    def password(self, password: Secret) -> Dialogue[Reply]:
        """PASS, which no trace shows."""
        line = command(f"PASS {password.reveal().decode()}", limit=COMMAND_LIMIT)
        return (yield from self._exchange.ask(line, self._timeouts.login, "reply to PASS", secret=True))

    def authenticate(self, mechanism: str, initial: bytes | None) -> Dialogue[Reply | bytes]:
        """AUTH: the server's verdict, or its challenge, decoded."""
        return (yield from self._auth(auth_command(mechanism, initial)))

    def respond(self, response: bytes) -> Dialogue[Reply | bytes]:
        """The answer to a challenge: the server's verdict, or its next challenge."""
        return (yield from self._auth(response_line(response)))

    def cancel(self) -> Dialogue[Reply]:
        """Give an AUTH exchange up (RFC 5034 §4)."""
        return (yield from self._exchange.ask(b"*\r\n", self._timeouts.login, "reply to AUTH"))

    def _auth(self, line: bytes) -> Dialogue[Reply | bytes]:
        yield from self._exchange.begin(line, secret=True)
        answer = yield from self._exchange.verdict(self._timeouts.login)
        return answer if isinstance(answer, Reply) else challenge_of(answer)

    # Several lines

    def begin(self, words: str) -> Dialogue[Reply]:
        """A command whose positive answer has several lines, which ``piece`` then gives."""
        line, step = self._line(words)
        yield from self._exchange.begin(line)
        reply = yield from self._exchange.status(self._timeouts.reply, step)
        if reply.positive:
            self._content = ContentReader(stuffed=True)
        else:
            self._exchange.expect_quiet("the next command was sent")
        return reply

    def piece(self) -> Dialogue[bytes]:
        """The next octets of the answer as they are on the wire, dots stuffed; empty when its end was read.

        :raises LocalProtocolError: when no such answer was begun.
        """
        content = self._content
        if content is None:
            raise LocalProtocolError("no answer of several lines was begun")
        piece = yield from self._exchange.piece(content, self._timeouts.content, "rest of the answer")
        if not piece:
            self._content = None
            self._exchange.expect_quiet("the next command was sent")
        return piece

    def _line(self, words: str) -> tuple[bytes, str]:
        if self._content is not None:
            raise LocalProtocolError("an answer is being read")
        return command(words, limit=COMMAND_LIMIT), f"reply to {words.partition(' ')[0]}"
