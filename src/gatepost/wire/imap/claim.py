"""The name that a client gives when it logs in, for logs: a claim until the server has accepted it.

Only the name is kept. What else is in a login passes through here and is forgotten.
"""

from __future__ import annotations

import binascii
import re
from typing import Final, final

from gatepost.wire.imap.events import AnswerLine, ArgumentLine, ClientPiece, CommandLine, LiteralData
from gatepost.wire.imap.grammar import known_mechanism

_NAME_LIMIT: Final = 512  # octets
# RFC 9051 §9: login = "LOGIN" SP userid SP password; userid = astring
_QUOTED: Final = re.compile(rb'"((?:[^"\\]|\\.)*+)" ')
_ATOM: Final = re.compile(rb'([^\s(){"%*\\]+) ')
_ESCAPED: Final = re.compile(rb"\\(.)", re.DOTALL)


@final
class Claim:
    """What one LOGIN or AUTHENTICATE says of who it is.

    :param command: its first line.
    """

    __slots__ = ("_by_literal", "_name", "mechanism")

    def __init__(self, command: CommandLine) -> None:
        self.mechanism = "LOGIN"
        """The SASL mechanism, or ``LOGIN``."""
        self._name = b""
        self._by_literal = False
        if command.verb == "LOGIN":
            self._login(command)
        else:
            self.mechanism = known_mechanism(command.arguments) or "unknown"
            self._response(command.arguments.partition(b" ")[2])

    @property
    def user(self) -> str:
        """The name, or nothing where it cannot be told."""
        return self._name[:_NAME_LIMIT].decode("utf-8", "replace")

    def take(self, piece: ClientPiece) -> None:
        """The login goes on."""
        if isinstance(piece, AnswerLine):
            self._response(piece.octets[:-2])
        elif self._by_literal and isinstance(piece, LiteralData):
            self._name += piece.octets[: _NAME_LIMIT - len(self._name)]
        elif isinstance(piece, ArgumentLine):
            self._by_literal = False  # the second literal is the password

    def _login(self, command: CommandLine) -> None:
        arguments = command.arguments
        if found := _QUOTED.match(arguments):
            self._name = _ESCAPED.sub(rb"\1", found[1])
        elif found := _ATOM.match(arguments):
            self._name = found[1]
        else:
            self._by_literal = command.literal is not None and arguments.startswith(b"{")

    def _response(self, response: bytes) -> None:
        """RFC 4616 §2: authzid NUL authcid NUL passwd. Of other mechanisms nothing is read."""
        if self.mechanism != "PLAIN" or self._name or len(response) > 4 * _NAME_LIMIT:
            return
        try:
            parts = binascii.a2b_base64(response).split(b"\0")
        except binascii.Error:
            return
        if len(parts) == 3:
            self._name = parts[1]
