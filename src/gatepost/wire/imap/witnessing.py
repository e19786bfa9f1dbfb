"""What a witness is shown of an IMAP conversation: see ``wire.witness`` for the rule.

A command is shown when it is one that everybody knows and that carries no credentials. Of LOGIN and AUTHENTICATE its
name is shown, and of a literal that belongs to them nothing, not even its size. What servers tell of mailboxes and
messages is measured, and not shown.
"""

from __future__ import annotations

from typing import Final, final

from gatepost.wire.imap.events import AnswerLine, ArgumentLine, ClientPiece, CommandLine, LiteralData
from gatepost.wire.witness import Witness, harmless

CHALLENGE: Final = b"+ "
_UNTAGGED: Final = (b"*", b"+", b"+\r\n")
_STATUSES: Final = (b"OK", b"NO", b"BAD")
_LOGINS: Final = frozenset({"LOGIN", "AUTHENTICATE"})
KNOWN: Final = frozenset(
    [
        "APPEND",
        "CAPABILITY",
        "CHECK",
        "CLOSE",
        "COMPRESS",
        "COPY",
        "CREATE",
        "DELETE",
        "DELETEACL",
        "ENABLE",
        "EXAMINE",
        "EXPUNGE",
        "FETCH",
        "GETACL",
        "GETMETADATA",
        "GETQUOTA",
        "GETQUOTAROOT",
        "ID",
        "IDLE",
        "LIST",
        "LISTRIGHTS",
        "LOGOUT",
        "LSUB",
        "MOVE",
        "MYRIGHTS",
        "NAMESPACE",
        "NOOP",
        "RENAME",
        "SEARCH",
        "SELECT",
        "SETACL",
        "SETMETADATA",
        "SETQUOTA",
        "SORT",
        "STARTTLS",
        "STATUS",
        "STORE",
        "SUBSCRIBE",
        "THREAD",
        "UID",
        "UNAUTHENTICATE",
        "UNSELECT",
        "UNSUBSCRIBE",
        "XLIST",
    ]
)
"""The commands that may be shown with their arguments."""


class Bulk(bytes):
    """Octets of the server's, among what is outgoing, that are measured and not shown."""

    __slots__ = ()


class Prompt(bytes):
    """A ``+`` of the server's, among what is outgoing, that is no challenge: it asks for a literal, or is IDLE's."""

    __slots__ = ()


@final
class Witnessing:
    """Shows one conversation to a witness.

    :param witness: who is shown it.
    """

    __slots__ = ("_hidden", "_message", "_passing", "_tags", "_witness")

    def __init__(self, witness: Witness) -> None:
        self._witness: Final = witness
        self._hidden = False  # of the command that is being read nothing more is shown
        self._message = False  # its literal is a message
        self._passing = False
        self._tags: set[bytes] = set()  # of commands that were shown, and are not answered

    def broke(self, error: Exception) -> None:
        """Something in here is wrong."""
        self._witness.broke(error)

    @harmless
    def took(self, piece: ClientPiece) -> None:
        """The client said something."""
        if isinstance(piece, LiteralData):
            if not self._hidden:
                self._passing = True
                self._witness.passed("client", piece.octets, message=self._message)
            return
        self._ended()
        if isinstance(piece, CommandLine):
            hidden = piece.hidden
            if piece.verb in KNOWN or piece.verb in _LOGINS:
                self._tags.add(piece.tag)
            else:
                hidden = 0  # what looks like a tag may be a password as well
            self._hidden = hidden is not None
            self._message = piece.verb == "APPEND"
            self._witness.heard(piece.octets.removesuffix(b"\r\n"), hidden)
        elif isinstance(piece, ArgumentLine | AnswerLine):
            hide = self._hidden or piece.hidden is not None
            self._witness.heard(piece.octets.removesuffix(b"\r\n"), 0 if hide else None)
        else:  # it broke the protocol: nobody knows what it is
            self._witness.heard(piece.line, 0)

    @harmless
    def says(self, parts: list[bytes]) -> None:
        """What is outgoing to the client, in its order."""
        for part in parts:
            if type(part) is Bulk:
                self._passing = True
                self._witness.passed("server", part, message=False)
                continue
            self._ended()
            if part:
                self._witness.said(self._harmless(part), b"" if type(part) is Prompt else CHALLENGE)

    def _harmless(self, line: bytes) -> bytes:
        """Our words, and the server's: what answers a line that was not shown may repeat it, tag and text."""
        words = line.split(b" ", 2)
        if words[0] in _UNTAGGED:
            return line
        if words[0] in self._tags and len(words) == 3:
            self._tags.discard(words[0])
            return line
        return b"*** " + (words[1] if words[1:2] and words[1] in _STATUSES else b"") + b" ***\r\n"

    def _ended(self) -> None:
        if self._passing:
            self._passing = False
            self._witness.passed_all()
