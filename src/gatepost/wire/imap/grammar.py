"""The few productions of RFC 9051 §9 that tell where things begin and end, for both sides of a connection.

A literal is announced at the end of a line, and whoever disagrees about that takes content for commands. So an
announcement counts only where the grammar allows one: outside quoted strings, at the beginning of an argument, with a
number that fits. What merely looks like one is no literal and no text either: it is a fault, and nothing behind it is
read.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

NUMBER_LIMIT: Final = (1 << 63) - 1  # RFC 9051 §9: number64
TAG_LIMIT: Final = 64  # octets; the grammar has no bound, and no client needs more

# RFC 9051 §9: tag = 1*<any ASTRING-CHAR except "+">
TAG: Final = rb"[!#$&',\-./0-9:;<=>?@A-Z\[\]^_`a-z|}~]{1,64}"
_TAG: Final = re.compile(TAG)
# RFC 9051 §9: command = tag SP (command-any / …); a verb is an atom, and those that exist begin with a letter.
COMMAND: Final = re.compile(rb"(" + TAG + rb") ([A-Za-z][A-Za-z0-9_.\-]{0,31})(?: (.*))?", re.DOTALL)
# RFC 9051 §9: response-tagged, and resp-cond-state of response-data. The text may be missing: servers leave it out.
STATUS: Final = re.compile(rb"(\*|" + TAG + rb") +(OK|NO|BAD|BYE|PREAUTH)(?: (.*))?", re.IGNORECASE | re.DOTALL)
# RFC 9051 §9: capability-data, by itself or as a response code
CAPABILITY_LINE: Final = re.compile(rb"(\* +CAPABILITY)((?: +[!-~]+)+)( *)", re.IGNORECASE)
CAPABILITY_CODE: Final = re.compile(
    rb"((?:\*|" + TAG + rb") +[A-Z]+ +\[CAPABILITY)((?: +[!-\\^-~]+)*)( *\].*)", re.IGNORECASE | re.DOTALL
)

# RFC 9051 §9: literal = "{" number64 ["+"] "}" CRLF, literal8 = "~{" … It stands where an argument begins.
_ANNOUNCEMENT: Final = re.compile(rb"[ (\[](~?)\{([0-9]{1,19})(\+?)\}\Z")
# Everything outside quoted strings, and quoted strings that are closed (RFC 9051 §9: quoted).
_BALANCED: Final = re.compile(rb'[^"]*+(?:"(?:[^"\\]|\\.)*+"[^"]*+)*+', re.DOTALL)
_PLUS: Final = b"+"


class Literal(NamedTuple):
    """An announced literal.

    :param size: its octets.
    :param sync: whether the client waits to be asked for it (RFC 9051 §4.3); it does not behind ``{n+}`` (RFC 7888).
    :param binary: whether it is a literal8, which may hold any octet (RFC 3516 §4.3).
    """

    size: int
    sync: bool
    binary: bool


class NotALiteral(Exception):  # named for what it is
    """A line ends in what looks like the announcement of a literal and is none."""


# A name that is none of these may be a credential that was put in the wrong place, and is not told to anybody.
_MECHANISMS: Final = frozenset({
    "ANONYMOUS", "CRAM-MD5", "DIGEST-MD5", "EXTERNAL", "GS2-KRB5", "GSSAPI", "KERBEROS_V4", "LOGIN", "NTLM",
    "OAUTHBEARER", "PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-512",
    "SCRAM-SHA-512-PLUS", "XOAUTH2",
})  # fmt: skip


def known_mechanism(arguments: bytes) -> str:
    """The SASL mechanism that AUTHENTICATE names, in upper case, where it is one that everybody knows; else nothing."""
    name = arguments.partition(b" ")[0].decode("latin-1").upper()
    return name if name in _MECHANISMS else ""


def announced(line: bytes, *, quoted: bool = False) -> Literal | None:
    """The literal that a line announces at its end, or None.

    :param line: without its CRLF. Not a line of free text: that announces nothing.
    :param quoted: whether a quoted string was open before it.
    :raises NotALiteral: when it ends like an announcement and is none: inside a quoted string, behind an atom, with a
        number that is none or does not fit.
    """
    if not line.endswith(b"}") or b"{" not in line:
        return None
    found = _ANNOUNCEMENT.search(line)
    text = b'"' + line if quoted else line
    if found is None:
        tail = line[line.rindex(b"{") :]
        if _BALANCED.fullmatch(text) is not None and b" " in tail:
            return None  # the brace was opened in an argument before
        raise NotALiteral
    if _BALANCED.fullmatch(text) is None or int(found[2]) > NUMBER_LIMIT:
        raise NotALiteral
    return Literal(int(found[2]), found[3] != _PLUS, bool(found[1]))


def tag_of(line: bytes) -> bytes:
    """The tag that a line begins with, or ``*``, which answers nobody in particular."""
    found = _TAG.match(line)
    if found is None or line[found.end() : found.end() + 1] not in (b" ", b""):
        return b"*"
    return found[0]
