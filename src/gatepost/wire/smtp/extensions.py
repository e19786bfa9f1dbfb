"""What extensions add to one side of a conversation: keywords, verbs, parameters. Data; who serves them is elsewhere.

What they may be called is the grammar of RFC 5321; what they may not be called is what the engine does itself, and what
would be a promise that it cannot keep.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, final

from gatepost.errors import LocalProtocolError
from gatepost.wire.smtp.states import VERBS

# RFC 5321 §4.1.1.1: ehlo-line = ehlo-keyword *( SP ehlo-param ); ehlo-param = 1*(%d33-126)
_KEYWORD_LINE: Final = re.compile(r"[A-Z0-9][A-Z0-9-]*(?: [!-~]+)*")
# RFC 5321 §2.4 and §4.1.1: a command word; three letters or more, so that no mistyped line becomes one.
_VERB: Final = re.compile(r"[A-Z][A-Z0-9-]{2,31}")
# RFC 5321 §4.1.2: esmtp-keyword = (ALPHA / DIGIT) *(ALPHA / DIGIT / "-")
_PARAMETER: Final = re.compile(r"[A-Z0-9][A-Z0-9-]*")
_LINE_LIMIT: Final = 200  # octets of a keyword with its parameters; a reply line has 512

RESERVED_KEYWORDS: Final = frozenset({
    "8BITMIME", "AUTH", "BINARYMIME", "CHUNKING", "DSN", "ENHANCEDSTATUSCODES", "LIMITS", "PIPELINING", "REQUIRETLS",
    "SIZE", "SMTPUTF8", "STARTTLS",
})  # fmt: skip
RESERVED_VERBS: Final = frozenset({*(verb.value for verb in VERBS), "LHLO"})
WEB_WORDS: Final = frozenset({"GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "DELETE", "PATCH", "TRACE", "PRI"})
"""What a browser that was sent to a mail port says first (cross-protocol attacks: https://alpaca-attack.com)."""
RESERVED_PARAMETERS: Final = frozenset({
    "AUTH", "BODY", "ENVID", "NOTIFY", "ORCPT", "REQUIRETLS", "RET", "SIZE", "SMTPUTF8",
})  # fmt: skip


@final
@dataclass(frozen=True, slots=True)
class Extensions:
    """What is added. All in upper case.

    :param keywords: lines of the answer to EHLO: a keyword, and its parameters behind spaces.
    :param verbs: commands that are reported as ``Extension`` events, wherever VRFY would be legal.
    :param mail_parameters: of MAIL, reported in ``MailParameters.extra``.
    :param rcpt_parameters: of RCPT, reported in ``RcptParameters.extra``.
    :raises LocalProtocolError: for what the grammar forbids, what the engine does itself, and what is named twice.
    """

    keywords: tuple[str, ...] = ()
    verbs: frozenset[str] = frozenset()
    mail_parameters: frozenset[str] = frozenset()
    rcpt_parameters: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        words = [line.partition(" ")[0] for line in self.keywords]
        for line, word in zip(self.keywords, words, strict=True):
            if not _KEYWORD_LINE.fullmatch(line) or len(line) > _LINE_LIMIT:
                raise LocalProtocolError(f"{line!r} is no EHLO keyword (RFC 5321 section 4.1.1.1), or too long")
            if word in RESERVED_KEYWORDS:
                raise LocalProtocolError(f"the EHLO keyword {word} is the server's own")
        if len(set(words)) < len(words):
            raise LocalProtocolError("an EHLO keyword stands there twice")
        for verb in self.verbs:
            if not _VERB.fullmatch(verb):
                raise LocalProtocolError(f"{verb!r} is no command word: a letter, then letters, digits and hyphens")
            if verb in RESERVED_VERBS or verb in WEB_WORDS:
                raise LocalProtocolError(f"the command {verb} is not an extension's to define")
        for parameter in self.mail_parameters | self.rcpt_parameters:
            if not _PARAMETER.fullmatch(parameter):
                raise LocalProtocolError(f"{parameter!r} is no parameter's keyword (RFC 5321 section 4.1.2)")
            if parameter in RESERVED_PARAMETERS:
                raise LocalProtocolError(f"the parameter {parameter} is not an extension's to define")

    def __add__(self, other: Extensions) -> Extensions:
        """Both together.

        :raises LocalProtocolError: when they name the same.
        """
        for ours, theirs in (
            (self.verbs, other.verbs),
            (self.mail_parameters, other.mail_parameters),
            (self.rcpt_parameters, other.rcpt_parameters),
        ):
            if twice := ours & theirs:
                raise LocalProtocolError(f"two extensions define {', '.join(sorted(twice))}")
        return Extensions(
            self.keywords + other.keywords,
            self.verbs | other.verbs,
            self.mail_parameters | other.mail_parameters,
            self.rcpt_parameters | other.rcpt_parameters,
        )


NO_EXTENSIONS: Final = Extensions()
