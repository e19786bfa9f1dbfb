"""A message as programs hold it (``email.message.EmailMessage``, or its octets), made ready for SMTP.

The envelope comes from the header unless it is given. ``Bcc`` never leaves. An ``EmailMessage`` is written for the
server that takes it: in 8 bit where that is taken, encoded for 7 bit where it is not; octets are sent as they are, but
for line ends, which become CRLF (RFC 5321 §2.3.8).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final, Literal, final

from gatepost.errors import LocalProtocolError
from gatepost.wire.smtp.capabilities import Capabilities
from gatepost.wire.smtp.envelope import Envelope, EnvelopeRecipient

if TYPE_CHECKING:
    from email.message import EmailMessage, Message

_LINE_END: Final = re.compile(rb"\r\n|\r|\n")
_BLIND: Final = re.compile(rb"^(?:resent-)?bcc[ \t]*:[^\n]*\n(?:[ \t][^\n]*\n)*", re.IGNORECASE | re.MULTILINE)
_PIECE: Final = 1 << 16


@final
class Letter:
    """A message and its envelope.

    :param message: an ``EmailMessage``, or header and text as octets, with line ends of any kind.
    :param sender: the envelope's sender, empty for none; by default that of the header (RFC 5322 §3.6.2, §3.6.6).
    :param recipients: by default those of the header: To, Cc and Bcc, or where it was resent those to whom.
    :param notify: when reports are wanted, for every recipient: ``SUCCESS``, ``FAILURE``, ``DELAY``; or ``NEVER``.
    :param ret: what a report holds, ``FULL`` or ``HDRS``.
    :param envid: the envelope's name, for reports (RFC 3461 §4.4).
    :raises LocalProtocolError: without a sender or a recipient, and for what may not stand in an envelope.
    """

    __slots__ = ("_envid", "_message", "_recipients", "_ret", "_sender", "_utf8")

    def __init__(
        self,
        message: EmailMessage | bytes,
        sender: str | None = None,
        recipients: Iterable[str] | str | None = None,
        *,
        notify: Iterable[str] | str | None = None,
        ret: Literal["FULL", "HDRS"] | None = None,
        envid: str | None = None,
    ) -> None:
        self._message: Final = _in_lines(message) if isinstance(message, bytes) else message
        header = _header(self._message)
        sender = _sender(header) if sender is None else sender
        self._sender: Final = "" if sender == "<>" else sender
        named = _recipients(header) if recipients is None else recipients
        wanted = None if notify is None else frozenset(_several(notify))
        self._recipients: Final = tuple(EnvelopeRecipient(each, wanted) for each in dict.fromkeys(_several(named)))
        if not self._recipients:
            raise LocalProtocolError("the message has no recipients", hint="name them, or put them into its header")
        self._ret: Final = ret
        self._envid: Final = envid
        self._utf8: Final = _beyond_ascii(self._message, header)

    def ready(self, listed: Capabilities) -> tuple[Envelope, Iterator[bytes]]:
        """Write the message for a server that listed these extensions."""
        content = self._content(eightbit=listed.eightbitmime)
        envelope = Envelope(
            self._sender,
            self._recipients,
            size=len(content),
            body="7BIT" if content.isascii() else "8BITMIME",
            smtputf8=self._utf8,
            ret=self._ret,
            envid=self._envid,
        )
        return envelope, (content[start : start + _PIECE] for start in range(0, len(content), _PIECE))

    def _content(self, *, eightbit: bool) -> bytes:
        message = self._message
        if isinstance(message, bytes):
            head, end, text = message.partition(b"\r\n\r\n")
            return _BLIND.sub(b"", head + end[:2]) + end[2:] + text
        return _written(message, utf8=self._utf8, eightbit=eightbit)


def _written(message: EmailMessage, *, utf8: bool, eightbit: bool) -> bytes:
    """Header and text, without Bcc. Only the copy's list of header fields is changed, not the message."""
    import copy
    import io
    from email.generator import BytesGenerator
    from email.policy import SMTP, EmailPolicy

    shown = copy.copy(message)
    del shown["Bcc"]
    del shown["Resent-Bcc"]
    policy = message.policy if isinstance(message.policy, EmailPolicy) else SMTP
    policy = policy.clone(linesep="\r\n", cte_type="8bit" if eightbit or utf8 else "7bit", utf8=utf8)
    out = io.BytesIO()
    BytesGenerator(out, policy=policy).flatten(shown)
    return _in_lines(out.getvalue())


def _in_lines(octets: bytes) -> bytes:
    """The same with CRLF at the end of every line, the last one, too."""
    lines = _LINE_END.sub(b"\r\n", octets)
    return lines if lines.endswith(b"\r\n") else lines + b"\r\n"


def _several(words: Iterable[str] | str) -> Iterable[str]:
    return (words,) if isinstance(words, str) else words


def _header(message: EmailMessage | bytes) -> Message:
    """The header, to look addresses up in."""
    if not isinstance(message, bytes):
        return message
    from email.parser import HeaderParser

    # The old policy: the new one reads a field in time that grows with the square of its length.
    text = message.partition(b"\r\n\r\n")[0].decode("utf-8", "replace")
    return HeaderParser().parsestr(text + "\r\n\r\n")


def _prefix(header: Message) -> str:
    """``Resent-`` when the message was (RFC 5322 §3.6.6).

    :raises LocalProtocolError: when it was more than once: nobody can tell which time is meant.
    """
    times = sum(name.lower() == "resent-date" for name in header.keys())  # noqa: SIM118  # it is no mapping
    if times > 1:
        raise LocalProtocolError("the message was resent more than once", hint="name sender and recipients")
    return "Resent-" if times else ""


def _sender(header: Message) -> str:
    prefix = _prefix(header)
    for field in (f"{prefix}Sender", f"{prefix}From"):
        for address in _addresses(header, field):
            return address
    raise LocalProtocolError("the message has no sender", hint="name one, or put From into its header")


def _recipients(header: Message) -> list[str]:
    prefix = _prefix(header)
    return [address for field in ("To", "Cc", "Bcc") for address in _addresses(header, prefix + field)]


def _addresses(header: Message, field: str) -> list[str]:
    """The addresses in all fields of a name.

    :raises LocalProtocolError: when they cannot be read.
    """
    from email.errors import MessageError
    from email.utils import getaddresses

    found: list[str] = []
    try:
        for value in header.get_all(field) or ():
            parsed = getattr(value, "addresses", None)  # what the header registry of ``email`` has read
            if parsed is not None:
                found += [each.addr_spec for each in parsed]
            else:
                found += [address for _, address in getaddresses([str(value)])]
    except (MessageError, LookupError, TypeError, AttributeError, ValueError, RecursionError) as error:
        # ``email`` has no error of its own for fields that it does not foresee.
        raise LocalProtocolError(
            f"the addresses in {field} cannot be read", hint="correct the header, or name sender and recipients"
        ) from error
    return [address for address in found if address]


def _beyond_ascii(message: EmailMessage | bytes, header: Message) -> bool:
    """Whether the message needs SMTPUTF8: addresses beyond ASCII in its header, or a header that is itself.

    (Those of the envelope are looked at where it is spoken.)
    """
    if isinstance(message, bytes):
        head = message.partition(b"\r\n\r\n")[0]
        try:
            return not head.isascii() and bool(head.decode())
        except UnicodeDecodeError:
            return False  # some older encoding: not what RFC 6532 means
    fields = ("From", "Sender", "Reply-To", "To", "Cc")
    return any(not a.isascii() for p in ("", "Resent-") for f in fields for a in _addresses(header, p + f))
