"""Who is told what an engine read and said, for a transcript of the session.

The engine tells it, because only the engine knows: where a command ends and content begins, whether a line belongs to a
login, whether it is a command at all. What may be shown of a line is decided here and before anybody is told, so that a
witness cannot write down what it must not.

The rule: in doubt it is hidden. Shown are commands that are known and carry no credentials, and of the others the name
of the command and of the mechanism, where it is one that everybody knows. A line that is no command may be a password
that was typed too early, or the rest of a login that was refused.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Collection
from typing import Concatenate, Final, Literal, ParamSpec, Protocol, TypeVar

Speaker = Literal["client", "server"]

# The commands of all line protocols that carry credentials, wherever they stand in a line that cannot be read.
_CREDENTIALS: Final = re.compile(rb"AUTH|PASS|APOP|LOGIN|OPER|ACCT", re.IGNORECASE)
_WORD: Final = re.compile(rb"[A-Za-z]{1,12}(?![^ ])")
# What may be shown behind AUTH: the name of a mechanism. Another word may be a credential that came without one.
_MECHANISM: Final = re.compile(
    rb" +(?:SCRAM-SHA-(?:1|256|512)(?:-PLUS)?|PLAIN|LOGIN|CRAM-MD5|DIGEST-MD5|EXTERNAL|XOAUTH2|OAUTHBEARER|ANONYMOUS|"
    rb"GSSAPI|NTLM)(?![^ ])",
    re.IGNORECASE,
)

# Commands that tell what somebody put behind an upgrade was for. None of them carries a credential by itself.
_TELLING: Final = frozenset(
    b"EHLO HELO LHLO MAIL RCPT DATA BDAT RSET NOOP QUIT VRFY EXPN HELP STARTTLS AUTH XCLIENT XFORWARD "
    b"CAPA STLS USER PASS APOP STAT LIST UIDL RETR TOP DELE CAPABILITY LOGIN SELECT".split()
)


class Witness(Protocol):
    """Told of each thing in its order. It must not raise (see ``harmless``), and it must not wait."""

    def heard(self, line: bytes, hidden_from: int | None = None) -> None:
        """The client said a line.

        :param line: without its line end; of a line that broke the protocol what was kept of it.
        :param hidden_from: the octet from which on it must not be shown; None for a line that may be.
        """

    def said(self, lines: bytes, challenge: bytes) -> None:
        """We said some lines, each with its CRLF.

        :param challenge: how a line begins whose rest is part of a login and must not be shown; empty for none.
        """

    def passed(self, speaker: Speaker, octets: bytes, *, message: bool = True) -> None:
        """A piece of content passed, dots not doubled.

        :param message: whether it is a message, or something else that is long.
        """

    def passed_all(self, *, whole: bool = True) -> None:
        """The content ended.

        :param whole: whether its end came.
        """

    def broke(self, error: Exception) -> None:
        """A method that is ``harmless`` raised."""


class _Breaks(Protocol):
    def broke(self, error: Exception) -> None: ...


_S = TypeVar("_S", bound=_Breaks)
_P = ParamSpec("_P")


def harmless(method: Callable[Concatenate[_S, _P], None]) -> Callable[Concatenate[_S, _P], None]:
    """A method of a witness that raises nothing into the session, whatever is wrong with it."""

    def guarded(self: _S, /, *given: _P.args, **named: _P.kwargs) -> None:
        try:
            method(self, *given, **named)
        except Exception as error:  # noqa: BLE001 - a transcript is never worth a message
            self.broke(error)

    functools.update_wrapper(guarded, method)
    return guarded


def hidden_command(line: bytes, *, known: bool, login: bool, secretive: bool) -> int | None:
    """From where on a line that could be read must be hidden; None when all of it may be shown.

    :param known: whether it is a command that the engine knows.
    :param login: whether that command carries credentials.
    :param secretive: whether a login was tried: what is no command may then be a credential.
    """
    if known and not login:
        return None
    word = _WORD.match(line)
    if word is None or (not known and secretive):
        return 0
    if not known and word.end() == len(line):
        return None if not _CREDENTIALS.match(line) else word.end()
    mechanism = _MECHANISM.match(line, word.end()) if login else None
    return word.end() if mechanism is None else mechanism.end()


def hidden_fault(line: bytes, *, words: Collection[str], secretive: bool) -> int | None:
    """From where on a line that could not be read must be hidden.

    :param words: the commands that the engine knows, in upper case.
    :param secretive: as for a command.
    """
    word = line.partition(b" ")[0].upper().decode("latin-1")
    if word not in words or _CREDENTIALS.search(line) is not None:
        return hidden_command(line, known=False, login=False, secretive=secretive or not word.isalpha())
    return None


def shown_fault(line: bytes, *, words: Collection[str], secretive: bool, limit: int = 128) -> bytes:
    """As much of a line that broke the protocol as a log may have: three stars where a credential may stand.

    :param words: the commands that the engine knows, in upper case.
    :param secretive: as for a command.
    :param limit: octets of it.
    """
    known = line.partition(b" ")[0].upper().decode("latin-1") in words
    if known and line.isascii() and line.decode("ascii").isprintable():
        return line[:limit]
    hidden = hidden_fault(line, words=words, secretive=secretive)
    if hidden is None:
        return line[:limit]
    return line[:hidden] + b" ***" if hidden else b"***"


def shown_residue(residue: bytes, limit: int = 256) -> bytes:
    """What a log may say of octets that stood behind an upgrade: the command of each line, and nothing behind it.

    It is an injection, or a client that broke the protocol and may have sent its password there.

    :param limit: octets of it that are looked at.
    """
    shown = []
    for line in residue[:limit].replace(b"\r", b"").split(b"\n"):
        word, _, rest = line.partition(b" ")
        if word.upper() in _TELLING:
            shown.append(word.upper() + (b" ***" if rest else b""))
        else:
            shown.append(b"***" if line else b"")
    return b"\r\n".join(shown)
