"""Masking secrets in what a trace shows, before anybody sees it.

Two things make octets secret, and either is enough:

* who made them says so: a dialogue's ``Send(secret=True)``. Every line of them is masked as a whole, but for the
  command that it may begin with;
* the state of the protocol: the argument of a command that carries credentials, and from there to the server's final
  reply everything that is said to it, and what it says in continuations (SCRAM's salts and signatures are material for
  guessing passwords).

Once a login was tried, a line that begins with no command is masked as well: it may be a password that a refused login
left behind. And the end of an exchange is believed only when the client has said what it was asked for.

Both sides of a connection use the same rules, turned round. They know no protocol by name: masking too much costs a
reader a line, masking too little costs a password.

The rules read lines, so the beginning of a line waits here until its end comes, the other side speaks, or it has
``HELD_LIMIT`` octets; its end is then treated like its beginning. What is no text does not wait.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple, final

MASK: Final = b"***"
HELD_LIMIT: Final = 16384

# SMTP, POP3, ManageSieve, IMAP (with a tag before it), NNTP, FTP, IRC: RFC 4954, 5034, 5804, 9051, 4643, 959, 2812
_VERBS: Final = (b"AUTH", b"AUTHENTICATE", b"AUTHINFO", b"PASS", b"APOP", b"LOGIN", b"ACCT", b"OPER")
# RFC 9051 §2.2.1, as tags usually are. No pattern here takes more than linear time: repetitions in a row are bounded.
_TAG: Final = re.compile(rb"[^\s]{0,32}[0-9][^\s]{0,32}|[^\s]{1,4}")
_TAG_LIMIT: Final = 65
_CREDENTIALS: Final = re.compile(
    rb"(\s*(?:(?:" + _TAG.pattern + rb")[ \t]+)?(" + b"|".join(_VERBS) + rb"))(?![^\s])", re.IGNORECASE
)
# A flagged line may begin with its command, as our own clients write it: nothing that a user chose looks like that.
_OWN_COMMAND: Final = re.compile(rb"(AUTH|AUTHENTICATE|AUTHINFO|PASS|APOP|LOGIN|ACCT)(?= )")
# Behind AUTH the name of a mechanism is no secret; a word that is none may be one.
_MECHANISM: Final = re.compile(
    rb'[ \t]+"?(?:SCRAM-SHA-(?:1|256|512)(?:-PLUS)?|PLAIN|LOGIN|CRAM-MD5|DIGEST-MD5|EXTERNAL|XOAUTH2|OAUTHBEARER|'
    rb'ANONYMOUS|GSSAPI|NTLM|TLS|SSL|SASL|USER|PASS)"?(?![^\s])',
    re.IGNORECASE,
)
_NAMES_MECHANISM: Final = frozenset({b"AUTH", b"AUTHENTICATE", b"AUTHINFO"})
_SINGLE: Final = frozenset({b"PASS", b"ACCT", b"APOP", b"OPER"})  # no exchange follows these
# What a server says in the middle of an exchange, and how much of it may be shown.
_CONTINUATION: Final = re.compile(rb'(334[ -]|383[ -]|\+(?!OK)[ ]?|(?=["{])|AUTHENTICATE (?=[^+]))')
_UNTAGGED: Final = b"* "  # an IMAP server may say these at any time (RFC 9051 §7)
_FINAL_DATA: Final = re.compile(rb"(\(SASL ).*?(?=\)\s|\r?\n|$)", re.DOTALL | re.IGNORECASE)  # RFC 5804 §2.1
_ELEMENT: Final = re.compile(
    rb"(<(?:\w{1,32}:)?(?:auth|response|challenge|success|initial-response|password|digest)\b[^>]{0,1024}>)[^<]+"
)
# Credentials behind a CR that ends no line for us, but may for the server.
_ANY_CREDENTIALS: Final = re.compile(b"|".join(_VERBS), re.IGNORECASE)
# An element, or its name, that is not whole: who knows how it goes on.
_BEGUN_ELEMENT: Final = re.compile(
    rb"<(?:[\w:/-]{0,64}|(?:\w{1,32}:)?(?:auth|response|challenge|success|initial-response|password|digest)\b"
    rb"[^>]{0,1024}(?:>[^<]*)?)\Z"
)
# What may be said once a login was tried; another line may be a password that a refused login left behind.
_HARMLESS_VERBS: Final = (
    # SMTP, POP3, IMAP, ManageSieve, NNTP, FTP, IRC
    "EHLO HELO LHLO MAIL RCPT DATA BDAT RSET NOOP QUIT VRFY HELP STARTTLS",
    "STLS CAPA STAT LIST UIDL RETR TOP DELE UTF8 USER",
    "CAPABILITY LOGOUT ENABLE SELECT EXAMINE CREATE DELETE RENAME SUBSCRIBE UNSUBSCRIBE LSUB NAMESPACE STATUS",
    "APPEND IDLE DONE CLOSE UNSELECT EXPUNGE SEARCH FETCH STORE COPY MOVE UID CHECK ID",
    "PUTSCRIPT GETSCRIPT LISTSCRIPTS SETACTIVE DELETESCRIPT RENAMESCRIPT CHECKSCRIPT HAVESPACE",
    "CAPABILITIES MODE GROUP ARTICLE HEAD BODY OVER XOVER NEXT LAST POST IHAVE DATE NEWNEWS NEWGROUPS",
    "PBSZ PROT PASV EPSV PORT EPRT TYPE STOR CWD CDUP PWD NLST SYST FEAT OPTS SIZE MDTM MKD RMD ABOR",
    "NICK JOIN PART PING PONG CAP WHO WHOIS NAMES TOPIC",
)
_HARMLESS: Final = re.compile(
    rb"(?:(?:" + _TAG.pattern + rb")[ \t]+)?(?:" + "|".join(" ".join(_HARMLESS_VERBS).split()).encode() + rb")(?![^\s])"
    rb"|\s*[<*]|\s*$",
    re.IGNORECASE,
)
_ASKS_CONTENT: Final = b"DATA"
_CONTENT_ENDS: Final = b"."
_CONTENT_FOLLOWS: Final = b"354"  # RFC 5321 §4.3.2: what follows are no commands
_TEXT: Final = bytes((9, 10, 13, *range(32, 127), *range(128, 256)))


class Shown(NamedTuple):
    """What may be shown.

    :param to_server: whether the client said it.
    :param data: the octets, ``***`` where a secret was.
    :param masked: whether one was.
    """

    to_server: bool
    data: bytes
    masked: bool


@final
class _Way:
    """One direction: the beginning of its line, and whether a line that was begun is masked."""

    __slots__ = ("held", "masked", "to_server")

    def __init__(self, *, to_server: bool) -> None:
        self.to_server: Final = to_server
        self.held = b""
        self.masked: bool | None = None  # None at the beginning of a line

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Whole lines, and what need not wait."""
        *lines, rest = (self.held + data).split(b"\n") if self.held else data.split(b"\n")
        self.held = b""
        for line in lines:
            yield line + b"\n"
        if rest and (self.masked is not None or len(rest) > HELD_LIMIT or rest.translate(None, _TEXT)):
            yield rest
        else:
            self.held = rest

    def take(self) -> bytes:
        """What waits."""
        held, self.held = self.held, b""
        return held


@final
class Redactor:
    """Decides what may be shown of one conversation. At the upgrade another one begins."""

    __slots__ = ("_asked", "_content", "_down", "_exchange", "_owed", "_tried", "_up")

    def __init__(self) -> None:
        self._up: Final = _Way(to_server=True)
        self._down: Final = _Way(to_server=False)
        self._exchange = False  # credentials are being exchanged
        self._owed = 0  # what the server asked for in it, and the client has not said yet
        self._tried = False  # a login was tried
        self._asked = False  # the client's last command was DATA
        self._content = False  # the client sends a message, no commands

    def to_server(self, data: bytes, *, secret: bool = False) -> list[Shown]:
        """What the client said.

        :param secret: whether who made it says that it holds a secret.
        """
        shown = self._rest_of(self._down)
        if secret:
            shown += self._rest_of(self._up)
            shown += [self._flagged(line) for line in data.splitlines(keepends=True)]
            self._exchange = self._tried = True
            self._owed = 0
        else:
            shown += [self._command(piece) for piece in self._up.pieces(data)]
        return shown

    def from_server(self, data: bytes) -> list[Shown]:
        """What the server said."""
        return self._rest_of(self._up) + [self._reply(piece) for piece in self._down.pieces(data)]

    def flush(self) -> list[Shown]:
        """What still waits."""
        return self._rest_of(self._up) + self._rest_of(self._down)

    def _rest_of(self, way: _Way) -> list[Shown]:
        held = way.take()
        if not held:
            return []
        return [self._command(held) if way.to_server else self._reply(held)]

    def _flagged(self, line: bytes) -> Shown:
        own = _OWN_COMMAND.match(line) if self._up.masked is None else None
        return self._show(self._up, line, hidden_from=_shown_until(line, own[1], own.end()) if own else 0)

    def _command(self, piece: bytes) -> Shown:
        way = self._up
        if way.masked is not None:
            return self._show(way, piece, hidden_from=0 if way.masked else None)
        if self._exchange:
            self._owed -= 1  # below nothing, where a client answers before it is asked
            return self._show(way, piece, hidden_from=0)
        if self._content and piece.strip(b"\r\n") == _CONTENT_ENDS:
            self._content = False  # what is pipelined behind it are commands
            return self._show(way, piece, hidden_from=None)
        if not self._content:
            self._asked = piece.strip().upper() == _ASKS_CONTENT
        found = None if self._content else _CREDENTIALS.match(piece)
        if found is not None:
            self._exchange, self._owed, self._tried = found[2].upper() not in _SINGLE, 0, True
            return self._show(way, piece, hidden_from=_shown_until(piece, found[2], found.end()))
        if not self._content and not piece.endswith(b"\n") and _may_become_credentials(piece):
            self._exchange, self._owed, self._tried = True, 0, True
            return self._show(way, piece, hidden_from=0)
        bare = -1 if self._content else piece.rstrip(b"\r\n").find(b"\r")
        if bare >= 0 and _ANY_CREDENTIALS.search(piece, bare) is not None:
            self._exchange, self._owed, self._tried = True, 0, True
            return self._show(way, piece, hidden_from=bare)
        if self._tried and not self._content and not _HARMLESS.match(piece):
            return self._show(way, piece, hidden_from=0)
        return self._show(way, piece, hidden_from=None)

    def _reply(self, piece: bytes) -> Shown:
        way = self._down
        if way.masked is not None:
            return self._show(way, piece, hidden_from=0 if way.masked else None)
        if not self._exchange:
            # Only where it was asked for: else a server could have every later command taken for content, and shown.
            self._content = self._asked and piece.startswith(_CONTENT_FOLLOWS)
            self._asked = False
            return self._show(way, piece, hidden_from=None)
        if piece.startswith(_UNTAGGED):
            return self._show(way, piece, hidden_from=None)
        found = _CONTINUATION.match(piece)
        if found is not None:
            self._owed += 1
            return self._show(way, piece, hidden_from=found.end())
        # A server may ask and give its verdict in one breath; then the client's answer is still to come. And half a
        # reply may become a question.
        self._exchange = self._owed > 0 or not piece.endswith(b"\n")
        if not piece.endswith(b"\n"):
            return self._show(way, piece, hidden_from=0)
        cut = _FINAL_DATA.sub(rb"\1***", piece)
        return Shown(False, _ELEMENT.sub(rb"\1***", cut), cut != piece or _ELEMENT.search(piece) is not None)

    def _show(self, way: _Way, piece: bytes, *, hidden_from: int | None) -> Shown:
        """Show a piece, masked from some octet on or not at all, and remember how its line goes on."""
        ends = piece.endswith(b"\n")
        if hidden_from is None and not ends and (begun := _BEGUN_ELEMENT.search(piece)) is not None:
            hidden_from = begun.start()  # the other side spoke in the middle of it
        if hidden_from is None:
            way.masked = None if ends else False
            clean = _ELEMENT.sub(rb"\1***", piece)
            return Shown(way.to_server, clean, clean != piece)
        way.masked = None if ends else True
        text = piece.rstrip(b"\r\n")
        hidden = text[hidden_from:].strip()
        if not hidden:
            return Shown(way.to_server, piece, False)
        space = b" " if hidden_from else b""
        return Shown(way.to_server, text[:hidden_from].rstrip() + space + MASK + piece[len(text) :], True)


def _shown_until(line: bytes, verb: bytes, at: int) -> int:
    """How much of a command with credentials may be shown: to behind its verb, and the mechanism where one is named."""
    found = _MECHANISM.match(line, at) if verb.upper() in _NAMES_MECHANISM else None
    return at if found is None else found.end()


def _may_become_credentials(beginning: bytes) -> bool:
    """Whether a line that goes on may be a command with credentials: as long as its verb is not known to be another."""
    words = beginning.upper().split(None, 2)
    ended = beginning[-1:].isspace()
    if len(words) < 2:
        if not words or _TAG.fullmatch(words[0]) is not None:
            return True
        return not ended and len(words[0]) <= _TAG_LIMIT and words[0].isascii() and words[0].decode().isprintable()
    return len(words) == 2 and not ended and any(verb.startswith(words[1]) for verb in _VERBS)
