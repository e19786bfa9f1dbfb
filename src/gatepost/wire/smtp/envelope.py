"""What a message is sent with, and what became of it.

Every value here ends up inside a command line, so every value is judged when it is made (RFC 5321 §4.1.2): an envelope
that could break a line, or begin a second command, cannot be constructed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, final

from gatepost.errors import LocalProtocolError
from gatepost.wire.smtp.address import AddressSyntaxError, Mailbox, parse_mailbox
from gatepost.wire.smtp.reply import Reply

# The form nearly every address has; anything else is read by the grammar of wire.smtp.address.
_USUAL: Final = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]++(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]++)*+"
    r"@[a-z0-9](?:[a-z0-9-]*+)(?:\.[a-z0-9][a-z0-9-]*+)*+"
)
# RFC 3461 §4: xtext = *( xchar / hexchar ); what is not an xchar is written +HH
_NOT_XCHAR: Final = re.compile(r"[^!-*,-<>-~]")
# RFC 3461 §4.2: original-recipient-address = addr-type ";" xtext, where addr-type is an atom
_ORCPT: Final = re.compile(r"([A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+);([ -~]{1,500})")
_ENVID: Final = re.compile(r"[ -~]{1,100}")  # RFC 3461 §4.4
_ADDRESS_LIMIT: Final = 512

Stage: TypeAlias = Literal["local", "MAIL", "RCPT", "DATA", "content"]


def check_address(address: str) -> str:
    """The address as it may stand between angle brackets, respelled from what it means.

    :raises LocalProtocolError: when it is no mailbox (RFC 5321 §4.1.2, RFC 6531 §3.3).
    """
    if len(address) > _ADDRESS_LIMIT:
        raise LocalProtocolError("an address is too long", code=501, enhanced="5.1.3")
    if _USUAL.fullmatch(address):
        return address
    if address.lower() == "postmaster":
        return "postmaster"
    try:
        return str(parse_mailbox(address))
    except AddressSyntaxError as error:
        raise LocalProtocolError(f"not an address: {error}", code=501, enhanced=error.enhanced) from error


def xtext(value: str) -> str:
    """RFC 3461 §4: printable ASCII as a parameter value."""
    return _NOT_XCHAR.sub(lambda found: f"+{ord(found[0]):02X}", value)


def without_u_labels(address: str) -> str:
    """The address with an A-label domain, for a peer without SMTPUTF8; a local part beyond ASCII stays as it is."""
    if address.isascii():
        return address
    mailbox = parse_mailbox(address)
    return str(Mailbox(mailbox.local, mailbox.ascii_domain))


@final
@dataclass(frozen=True, slots=True)
class EnvelopeRecipient:
    """One recipient.

    :param address: ``local@domain``, without brackets.
    :param notify: a set of ``SUCCESS``, ``FAILURE``, ``DELAY``, or just ``NEVER`` (RFC 3461 §4.1), or None.
    :param orcpt: the original recipient as ``type;address``, not yet xtext (RFC 3461 §4.2), or None.
    :raises LocalProtocolError: for a value that may not stand in a command.
    """

    address: str
    notify: frozenset[str] | None = None
    orcpt: str | None = None
    path: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", check_address(self.address))
        notify = self.notify
        if notify is not None and notify != {"NEVER"} and not (notify and notify <= {"SUCCESS", "FAILURE", "DELAY"}):
            raise LocalProtocolError("NOTIFY is NEVER, or any of SUCCESS, FAILURE and DELAY (RFC 3461 §4.1)")
        if self.orcpt is not None and not _ORCPT.fullmatch(self.orcpt):
            raise LocalProtocolError("ORCPT is an address type, a semicolon and printable ASCII (RFC 3461 §4.2)")

    def dsn(self) -> str:
        """The parameters of RFC 3461, each with a space before it."""
        words = f" NOTIFY={','.join(sorted(self.notify))}" if self.notify is not None else ""
        if self.orcpt is not None:
            kind, _, address = self.orcpt.partition(";")
            words += f" ORCPT={kind};{xtext(address)}"
        return words


@final
@dataclass(frozen=True, slots=True)
class Envelope:
    """Sender, recipients and what the transaction must know of the content.

    :param sender: ``local@domain``, or an empty string for the null reverse path.
    :param recipients: at least one.
    :param size: octets of the content in CRLF lines, or None when that is not known.
    :param body: ``8BITMIME`` when the content holds octets above 127 (RFC 6152).
    :param smtputf8: whether addresses or header fields go beyond ASCII (RFC 6531).
    :param ret: ``FULL`` or ``HDRS`` (RFC 3461 §4.3), or None.
    :param envid: the envelope id, not yet xtext (RFC 3461 §4.4), or None.
    :raises LocalProtocolError: for a value that may not stand in a command.
    """

    sender: str
    recipients: tuple[EnvelopeRecipient, ...]
    size: int | None = None
    body: Literal["7BIT", "8BITMIME"] = "7BIT"
    smtputf8: bool = False
    ret: Literal["FULL", "HDRS"] | None = None
    envid: str | None = None
    path: str = field(init=False, repr=False, compare=False)
    ascii: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        path = check_address(self.sender) if self.sender else ""
        object.__setattr__(self, "path", path)
        object.__setattr__(self, "ascii", "".join([path, *[one.path for one in self.recipients]]).isascii())
        if not self.recipients:
            raise LocalProtocolError("an envelope has at least one recipient")
        if self.size is not None and not (type(self.size) is int and self.size >= 0):
            raise LocalProtocolError("SIZE is a number (RFC 1870 §4)")
        if self.body not in ("7BIT", "8BITMIME") or self.ret not in (None, "FULL", "HDRS"):
            raise LocalProtocolError("BODY is 7BIT or 8BITMIME, RET is FULL or HDRS")
        if self.envid is not None and not _ENVID.fullmatch(self.envid):
            raise LocalProtocolError("ENVID is up to 100 characters of printable ASCII (RFC 3461 §4.4)")

    def dsn(self) -> str:
        """The parameters of RFC 3461, each with a space before it."""
        words = f" RET={self.ret}" if self.ret is not None else ""
        return f"{words} ENVID={xtext(self.envid)}" if self.envid is not None else words


@final
@dataclass(frozen=True, slots=True)
class Submission:
    """What became of one message, recipient by recipient.

    :param replies: for each recipient, in the order of the envelope, the reply that decided: 2xx is delivered, 4xx may
        be tried again, 5xx may not.
    :param stages: what each of those replies answered: ``RCPT``, ``content``, …; ``local`` when it is our own verdict
        and nothing was sent.
    :param final: the last reply to the content, or None when it was not sent.
    """

    replies: tuple[Reply, ...]
    stages: tuple[Stage, ...]
    final: Reply | None

    @property
    def delivered(self) -> bool:
        """Whether every recipient was taken."""
        return all(reply.code < 300 for reply in self.replies)
