"""How one listener speaks: the settings of a server engine, and the octets that follow from them.

A profile is made once and shared by all engines of a listener. Its greeting and its answers to EHLO are made with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, final

from gatepost.errors import LocalProtocolError
from gatepost.wire.smtp.dialects import DIALECTS, Dialect
from gatepost.wire.smtp.extensions import NO_EXTENSIONS, Extensions
from gatepost.wire.smtp.reply import Reply
from gatepost.wire.smtp.states import Rulebook, plain_rules, secure_rules

COMMAND_LIMIT: Final = 2048  # RFC 5321 §4.5.3.1.4 asks for 512, and for more where extensions lengthen commands
AUTH_LIMIT: Final = 12288  # RFC 4954 §4: the longest line of an AUTH exchange


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ServerProfile:
    """The settings of a server engine.

    :param hostname: our own name, in the greeting and the answer to EHLO.
    :param dialect: ``SMTP`` or ``LMTP``.
    :param starttls: whether STARTTLS is offered.
    :param require_tls: whether nothing else is served before it (RFC 3207 §4).
    :param auth_mechanisms: the SASL mechanisms offered inside TLS, best first; ``-PLUS`` ones are offered only where
        the handshake left a channel binding.
    :param require_auth: whether MAIL needs a login.
    :param max_size: the longest message, in octets (RFC 1870).
    :param max_recipients: accepted recipients of one message (RFC 9422 ``RCPTMAX``).
    :param max_messages: messages of one session (RFC 9422 ``MAILMAX``), 0 for no limit.
    :param line_limit: the longest command line, in octets without its CRLF; lines of an AUTH exchange may have 12288.
    :param max_errors: protocol errors that are answered; the next one is answered with 421, and that is the end.
    :param normalise: take a bare LF in commands and content as a line end, for old peers that the operator has named.
    :param allow_smtputf8: whether SMTPUTF8 (RFC 6531) is offered.
    :param allow_8bitmime: whether 8BITMIME (RFC 6152) is offered.
    :param allow_dsn: whether DSN (RFC 3461) is offered.
    :param allow_chunking: whether CHUNKING (RFC 3030) is offered.
    :param enhanced: whether ENHANCEDSTATUSCODES (RFC 2034) is: not where replies of another server are passed on that
        has none.
    :param allow_nul: take NULs in content, where they cannot make a line look like another; else it is refused.
    :param relays: whether NOOP, HELP and VRFY are somebody else's to answer: they are reported as ``Extension``.
    :param banner: the text of the greeting behind our name; by default ``ESMTP gatepost``.
    :param asks_hello: whether ``Hello`` waits for an answer.
    :param plain_extensions: what extensions add before TLS.
    :param secure_extensions: what they add inside it.
    :raises LocalProtocolError: for settings that cannot be.
    """

    hostname: str
    dialect: Literal["SMTP", "LMTP"] = "SMTP"
    starttls: bool = True
    require_tls: bool = False
    auth_mechanisms: tuple[str, ...] = ()
    require_auth: bool = False
    max_size: int = 52428800
    max_recipients: int = 1000
    max_messages: int = 0
    line_limit: int = COMMAND_LIMIT
    max_errors: int = 10
    normalise: bool = False
    allow_smtputf8: bool = True
    allow_8bitmime: bool = True
    allow_dsn: bool = True
    allow_chunking: bool = True
    enhanced: bool = True
    allow_nul: bool = False
    relays: bool = False
    banner: str = ""
    asks_hello: bool = False
    plain_extensions: Extensions = NO_EXTENSIONS
    secure_extensions: Extensions = NO_EXTENSIONS

    words: Dialect = field(init=False, repr=False, compare=False)
    plain_rules: Rulebook = field(init=False, repr=False, compare=False)
    secure_rules: Rulebook = field(init=False, repr=False, compare=False)
    greeting: Reply = field(init=False, repr=False, compare=False)
    hello: Reply = field(init=False, repr=False, compare=False)
    plain_capabilities: Reply = field(init=False, repr=False, compare=False)
    secure_capabilities: Reply = field(init=False, repr=False, compare=False)
    unbound_capabilities: Reply = field(init=False, repr=False, compare=False)
    unprotected_capabilities: Reply = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        name = self.hostname
        if not name or not name.isascii() or not name.isprintable() or " " in name or len(name) > 255:
            raise LocalProtocolError(f"{name!r} cannot stand in a greeting")
        if self.require_tls and not self.starttls:
            raise LocalProtocolError("TLS cannot be required where STARTTLS is not offered")
        if self.line_limit < 510 or self.max_recipients < 1 or self.max_size < 1 or self.max_errors < 0:
            raise LocalProtocolError("a limit of the profile is below what RFC 5321 §4.5.3.1 asks for")
        dialect = DIALECTS[self.dialect]
        unbound = tuple(mechanism for mechanism in self.auth_mechanisms if not mechanism.endswith("-PLUS"))
        plain_extra = ("STARTTLS",) if self.starttls else ()
        computed = {
            "words": dialect,
            "plain_rules": plain_rules(
                starttls=self.starttls, require_tls=self.require_tls, require_auth=self.require_auth
            ),
            "secure_rules": secure_rules(),
            "greeting": Reply(220, "", f"{name} {self.banner or dialect.service + ' gatepost'}"),
            "hello": Reply(250, "", name),
            "plain_capabilities": self._capabilities(plain_extra, self.plain_extensions),
            "secure_capabilities": self._capabilities(_auth_keyword(self.auth_mechanisms), self.secure_extensions),
            "unbound_capabilities": self._capabilities(_auth_keyword(unbound), self.secure_extensions),
            "unprotected_capabilities": self._capabilities(_auth_keyword(unbound), self.plain_extensions),
        }
        for key, value in computed.items():
            object.__setattr__(self, key, value)

    def _capabilities(self, extra: tuple[str, ...], extensions: Extensions) -> Reply:
        """The answer to EHLO (RFC 5321 §4.1.1.1)."""
        limits = f"LIMITS RCPTMAX={self.max_recipients}"
        if self.max_messages:
            limits += f" MAILMAX={self.max_messages}"
        optional = (
            ("ENHANCEDSTATUSCODES", self.enhanced),
            ("8BITMIME", self.allow_8bitmime),
            ("SMTPUTF8", self.allow_smtputf8),
            ("DSN", self.allow_dsn),
            ("CHUNKING", self.allow_chunking),
        )
        offered = (keyword for keyword, allowed in optional if allowed)
        keywords = ("PIPELINING", f"SIZE {self.max_size}", *extra, *offered, limits)
        return Reply(250, "", (self.hostname, *keywords, *extensions.keywords))


def _auth_keyword(mechanisms: tuple[str, ...]) -> tuple[str, ...]:
    return (f"AUTH {' '.join(mechanisms)}",) if mechanisms else ()
