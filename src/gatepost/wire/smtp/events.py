"""What an SMTP server engine reports.

The events marked *asks* wait for an answer: the engine parses nothing behind them until it is given.

==================  =====  =====================================================================
event               asks   answered with
==================  =====  =====================================================================
Hello               no     unless the profile asks: then ``accept_hello()``, or ``answer()`` with a refusal
StartTLSRequested   yes    ``grant_upgrade()``, or ``answer()`` with a refusal
Mail, Recipient     yes    ``answer()``
ContentBegins       yes    ``answer()``: ``DATA_GO_AHEAD``, or a refusal
Content             no
ContentEnds         yes    ``answer()`` or ``answer_each()``; not when it carries a refusal
ContentAborted      no
Reset, Verify       no
Extension           yes    ``answer()``
AuthRequested       yes    ``challenge()``, ``authenticated()``, or ``answer()`` with a refusal
AuthResponse        yes    the same
AuthCancelled       no
Fault               no
Quit, Ended         no     ``Ended`` is the last event: flush what is outgoing and close
==================  =====  =====================================================================
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, final

from gatepost.wire.smtp.address import Mailbox
from gatepost.wire.smtp.reply import Reply


@final
@dataclass(frozen=True, slots=True)
class MailParameters:
    """The parameters of MAIL.

    :param size: the declared size in octets (RFC 1870), or None.
    :param body: what the content may hold (RFC 6152).
    :param smtputf8: whether addresses and headers may go beyond ASCII (RFC 6531 §3.4).
    :param ret: what a failure report should return (RFC 3461 §4.3), or None.
    :param envid: the sender's envelope id (RFC 3461 §4.4), decoded from xtext, or None.
    :param auth: the original submitter (RFC 4954 §5), decoded from xtext, ``<>`` for unknown, or None.
    :param extra: keyword and value of the parameters that extensions define, as they were sent.
    """

    size: int | None = None
    body: Literal["7BIT", "8BITMIME"] = "7BIT"
    smtputf8: bool = False
    ret: Literal["FULL", "HDRS"] | None = None
    envid: str | None = None
    auth: str | None = None
    extra: tuple[tuple[str, str], ...] = ()


@final
@dataclass(frozen=True, slots=True)
class RcptParameters:
    """The parameters of RCPT (RFC 3461 §4.1, §4.2).

    :param notify: a set of ``SUCCESS``, ``FAILURE``, ``DELAY``, or just ``NEVER``; None when not given.
    :param orcpt: the original recipient as ``type;address``, decoded from xtext, or None.
    :param extra: as of ``MailParameters``.
    """

    notify: frozenset[str] | None = None
    orcpt: str | None = None
    extra: tuple[tuple[str, str], ...] = ()


NO_MAIL_PARAMETERS: Final = MailParameters()
NO_RCPT_PARAMETERS: Final = RcptParameters()


@final
@dataclass(frozen=True, slots=True)
class Hello:
    """EHLO, HELO or LHLO; already answered, unless the profile has ``asks_hello``.

    :param name: what the peer calls itself, a claim: printable ASCII without spaces, nothing more.
    :param extended: whether it was not HELO.
    """

    name: str
    extended: bool


@final
@dataclass(frozen=True, slots=True)
class StartTLSRequested:
    """STARTTLS, where it is allowed."""


@final
@dataclass(frozen=True, slots=True)
class Mail:
    """MAIL. ``sender`` is None for the null reverse path."""

    sender: Mailbox | None
    params: MailParameters


@final
@dataclass(frozen=True, slots=True)
class Recipient:
    """RCPT. The mailbox's domain is empty for the bare ``postmaster``."""

    mailbox: Mailbox
    params: RcptParameters


@final
@dataclass(frozen=True, slots=True)
class ContentBegins:
    """DATA or the first BDAT, with at least one accepted recipient."""


@final
@dataclass(frozen=True, slots=True)
class Content:
    """A piece of the message: dots unstuffed, lines ended by CRLF, cut anywhere, never empty, at most 256 KiB."""

    data: bytes = field(repr=False)


@final
@dataclass(frozen=True, slots=True)
class ContentEnds:
    """The message is complete.

    :param refusal: None, and the engine waits for the answer; or what the engine has answered because the content broke
        a rule: drop what came so far.
    """

    refusal: Reply | None = None


@final
@dataclass(frozen=True, slots=True)
class ContentAborted:
    """The message will not be completed: drop what came so far. The transaction is over."""


@final
@dataclass(frozen=True, slots=True)
class Reset:
    """RSET, already answered: no transaction is open."""


@final
@dataclass(frozen=True, slots=True)
class AuthRequested:
    """AUTH with a mechanism that is offered (RFC 4954 §4).

    :param mechanism: in upper case.
    :param initial: the initial response, decoded; empty for ``=``; None when there is none.
    """

    mechanism: str
    initial: bytes | None = field(repr=False)


@final
@dataclass(frozen=True, slots=True)
class AuthResponse:
    """The answer to a challenge, decoded."""

    data: bytes = field(repr=False)


@final
@dataclass(frozen=True, slots=True)
class AuthCancelled:
    """The exchange is over without a result (``*``, a line that cannot be decoded, the end of the connection)."""


@final
@dataclass(frozen=True, slots=True)
class Verify:
    """VRFY, already answered with 252."""

    argument: str


@final
@dataclass(frozen=True, slots=True)
class Extension:
    """A command that an extension defines; with ``relays`` in the profile, also NOOP, HELP and VRFY.

    :param verb: in upper case.
    :param argument: what stands behind it, as it was sent: printable, and as long as a line may be.
    """

    verb: str
    argument: str = field(repr=False)


@final
@dataclass(frozen=True, slots=True)
class Quit:
    """QUIT, already answered. ``Ended`` follows."""


@final
@dataclass(frozen=True, slots=True)
class Fault:
    """The peer broke the protocol, and the engine has answered.

    :param reason: stable words for counters and logs, ``unknown command``.
    :param line: the beginning of the offending line, at most 128 octets, unescaped; credentials appear as ``***``.
    """

    reason: str
    line: bytes


@final
@dataclass(frozen=True, slots=True)
class Ended:
    """The engine is finished. ``reason`` in stable words: ``quit``, ``too many errors``, ``connection lost``."""

    reason: str


Event: TypeAlias = (
    Hello | StartTLSRequested | Mail | Recipient | ContentBegins | Content | ContentEnds | ContentAborted | Reset
    | AuthRequested | AuthResponse | AuthCancelled | Verify | Extension | Quit | Fault
    | Ended
)  # fmt: skip
