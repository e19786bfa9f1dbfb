"""How one POP3 listener speaks: the settings of a server engine, and the octets that follow from them.

A profile is made once and shared by all engines of a listener. Its greeting and its answers to CAPA are made with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, final

from gatepost.errors import LocalProtocolError
from gatepost.wire.pop3.reply import Reply
from gatepost.wire.pop3.states import Rulebook, plain_rules, secure_rules

COMMAND_LIMIT: Final = 1024  # RFC 2449 §4 asks for 255, CRLF counted; names and passwords of today are longer
AUTH_LIMIT: Final = 12288  # RFC 5034 §4 asks for room for what the mechanisms need; the bound is that of RFC 4954 §4


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ServerProfile:
    """The settings of a server engine.

    :param hostname: our own name, in the greeting.
    :param starttls: whether STLS is offered in the clear.
    :param user_pass: whether USER and PASS are taken inside TLS.
    :param auth_mechanisms: the SASL mechanisms offered inside TLS, best first; ``-PLUS`` ones are offered only where
        the handshake left a channel binding.
    :param line_limit: the longest command line, in octets without its CRLF; lines of an AUTH exchange may have 12288.
    :param max_errors: protocol errors that are answered; the answer to the next one is the last.
    :param utf8: whether UTF8 (RFC 6856) is offered.
    :param expire: after how many days the server deletes mail by itself, 0 for at once; None for never (RFC 2449 §6.7).
    :param login_delay: how many seconds two logins of one user must lie apart (RFC 2449 §6.5); 0 for no rule.
    :param banner: the text of the greeting; by default our name and ``POP3 gatepost``. It never holds a timestamp in
        angle brackets, which would offer APOP (RFC 1939 §7).
    :param listed: the capabilities beside STLS and logins, where another server has them; None for our own.
    :param relayed: another server answers what can only be answered there: NOOP is an event.
    :raises LocalProtocolError: for settings that cannot be.
    """

    hostname: str
    starttls: bool = True
    user_pass: bool = True
    auth_mechanisms: tuple[str, ...] = ()
    line_limit: int = COMMAND_LIMIT
    max_errors: int = 10
    utf8: bool = True
    expire: int | None = None
    login_delay: int = 0
    banner: str = ""
    listed: tuple[str, ...] | None = None
    relayed: bool = False

    plain_rules: Rulebook = field(init=False, repr=False, compare=False)
    secure_rules: Rulebook = field(init=False, repr=False, compare=False)
    greeting: Reply = field(init=False, repr=False, compare=False)
    plain_capabilities: bytes = field(init=False, repr=False, compare=False)
    secure_capabilities: bytes = field(init=False, repr=False, compare=False)
    unbound_capabilities: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        name = self.hostname
        if not name or not name.isascii() or not name.isprintable() or " " in name or len(name) > 255:
            raise LocalProtocolError(f"{name!r} cannot stand in a greeting")
        if "<" in name + self.banner or ">" in name + self.banner:
            raise LocalProtocolError("angle brackets in a greeting would offer APOP")
        if self.line_limit < 253 or self.max_errors < 0 or self.login_delay < 0 or (self.expire or 0) < 0:
            raise LocalProtocolError("a limit of the profile is below what RFC 2449 asks for")
        unbound = tuple(mechanism for mechanism in self.auth_mechanisms if not mechanism.endswith("-PLUS"))
        computed = {
            "plain_rules": plain_rules(stls=self.starttls),
            "secure_rules": secure_rules(),
            "greeting": Reply(True, self.banner or f"{name} POP3 gatepost"),
            "plain_capabilities": self._capabilities(("STLS",) if self.starttls else ()),
            "secure_capabilities": self._capabilities(self._login_tags(self.auth_mechanisms)),
            "unbound_capabilities": self._capabilities(self._login_tags(unbound)),
        }
        for key, value in computed.items():
            object.__setattr__(self, key, value)

    def _capabilities(self, extra: tuple[str, ...]) -> bytes:
        """The answer to CAPA (RFC 2449 §5). No tag has more than 512 octets, and none begins with a dot."""
        if self.listed is not None:
            return _answer((*self.listed, *extra))
        delay = (f"LOGIN-DELAY {self.login_delay}",) if self.login_delay else ()
        expire = f"EXPIRE {'NEVER' if self.expire is None else self.expire}"
        tags = (
            "TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", expire, *delay, *extra,
            "IMPLEMENTATION gatepost",
        )  # fmt: skip
        return _answer(tags)

    def _login_tags(self, mechanisms: tuple[str, ...]) -> tuple[str, ...]:
        """What is listed where somebody may log in."""
        user = ("USER",) if self.user_pass else ()
        sasl = (f"SASL {' '.join(mechanisms)}",) if mechanisms else ()
        utf8 = (f"UTF8{' USER' if self.user_pass else ''}",) if self.utf8 else ()
        return (*user, *sasl, *utf8)


def _answer(tags: tuple[str, ...]) -> bytes:
    return "".join(f"{line}\r\n" for line in ("+OK Capabilities follow", *tags, ".")).encode("ascii")
