"""Delivery status notifications: RFC 3461 decides whether, RFC 3464 says what, RFC 6533 how for addresses in UTF-8.

Pure: a message and the fate of its recipients go in, the octets of a report come out.

Whether one is owed (``owed``)
    never to the null sender, so never about a notification: a bounce of a bounce is logged and dropped;
    never when ``NOTIFY=NEVER``; for a failure unless ``NOTIFY`` leaves FAILURE out; for a delay or a success only when
    ``NOTIFY`` asks for it.

What it says
    three parts: an explanation for people, ``message/delivery-status`` for programs, and the message or its header.
    What other servers said is untrusted text: it is cut, stripped of controls and never begins a field of its own.
    Content goes back octet by octet, never through a parser that might change it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import formatdate
from typing import Final, Literal, TypeAlias, final

Action: TypeAlias = Literal["failed", "delayed", "delivered", "relayed"]

_TEXT_LIMIT: Final = 900  # octets kept of what a peer said; with its field name below the 998 of RFC 6532 §3.4
_HEADER_LIMIT: Final = 65536  # octets kept of a message's header
_REPORT_LIMIT: Final = 1000  # recipients that one report lists
_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")
_STATUS: Final = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")

_SUBJECTS: Final[dict[str, str]] = {
    "failed": "Undelivered mail returned to sender",
    "delayed": "Mail is delayed, no action is needed",
    "delivered": "Mail was delivered",
    "relayed": "Mail was passed on",
}
_OPENINGS: Final[dict[str, str]] = {
    "failed": "Your message could not be delivered to the recipients below. It will not be tried again.",
    "delayed": "Your message could not be delivered yet to the recipients below. It will be tried again until {until}.",
    "delivered": "Your message was delivered to the recipients below.",
    "relayed": "Your message was passed on, to servers that will not report about it, for the recipients below.",
}


@final
@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one recipient.

    :param address: the final recipient.
    :param action: the ``Action`` field of RFC 3464 §2.3.3.
    :param status: the enhanced status code.
    :param reason: one line in plain words.
    :param diagnostic: the reply of the remote server as it came, or empty when none is the reason.
    :param remote: the remote server's name and address, or empty.
    :param tls: how the connection was protected, or why it was not, or empty.
    :param orcpt: the ORCPT parameter, decoded: ``type;address`` (RFC 3461 §4.2), or None.
    :param original: the address as the sender wrote it, when an alias led elsewhere; else empty.
    """

    address: str
    action: Action
    status: str
    reason: str
    diagnostic: str = ""
    remote: str = ""
    tls: str = ""
    orcpt: str | None = None
    original: str = ""


@final
@dataclass(frozen=True, slots=True)
class Subject:
    """The message that is reported about.

    :param sender: its envelope sender.
    :param queue_id: our name for it.
    :param received_at: when we took it, in seconds since the Unix epoch.
    :param content: its content, or at least its header, as it lies in the queue.
    :param whole: whether ``content`` is all of it.
    :param ret: the RET parameter, or None.
    :param envid: the ENVID parameter, decoded, or None.
    """

    sender: str
    queue_id: str
    received_at: float
    content: bytes
    whole: bool
    ret: Literal["FULL", "HDRS"] | None = None
    envid: str | None = None


@final
@dataclass(frozen=True, slots=True)
class Report:
    """A finished notification; its envelope sender is the null path.

    :param recipient: whom it goes to.
    :param content: its octets.
    :param eightbit: whether it needs 8BITMIME (RFC 6152).
    :param smtputf8: whether it needs SMTPUTF8 (RFC 6531).
    """

    recipient: str
    content: bytes
    eightbit: bool
    smtputf8: bool


def owed(action: Action, sender: str, notify: frozenset[str] | None) -> bool:
    """Whether the sender is to be told (RFC 3461 §5.2, RFC 5321 §4.5.5).

    :param sender: the envelope sender; empty for the null path.
    :param notify: the NOTIFY parameter; None when there was none.
    """
    if not sender or (notify is not None and "NEVER" in notify):
        return False
    if notify is None:
        return action == "failed"
    return {"failed": "FAILURE", "delayed": "DELAY", "delivered": "SUCCESS", "relayed": "SUCCESS"}[action] in notify


def build(
    subject: Subject,
    fates: Sequence[Fate],
    *,
    hostname: str,
    report_id: str,
    now: float,
    limit: int,
    until: float = 0.0,
) -> Report:
    """Write the notification.

    :param fates: at least one; those of the first one's action decide the subject line.
    :param hostname: our name, the reporting MTA.
    :param report_id: the unique name of the notification, for its Message-ID and its boundary.
    :param now: the time, in seconds since the Unix epoch.
    :param limit: the largest content, in octets, that goes back whole (RFC 3461 §6.2 leaves that to us).
    :param until: for a delay, when trying ends.
    """
    fates = fates[:_REPORT_LIMIT]
    action = fates[0].action
    utf8 = not subject.sender.isascii()  # only to such a sender may the report itself be in UTF-8
    returned, eightbit = _returned(subject, full=action == "failed" and _full(subject, limit), utf8=utf8)
    boundary = f"=_{report_id}/{int(now):x}"
    while boundary.encode() in returned:  # a message that knows our boundary cannot end the part early
        boundary += "_"
    header = [
        f"From: Mail Delivery System <MAILER-DAEMON@{hostname}>",
        f"To: <{clean(subject.sender)}>",
        f"Subject: {_SUBJECTS[action]}",
        f"Date: {formatdate(now)}",
        f"Message-ID: <{report_id}@{hostname}>",
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary="{boundary}"',
        *(["Content-Transfer-Encoding: 8bit"] if eightbit or utf8 else []),
        "",
        "This is a MIME-encapsulated message.",
        "",
    ]
    edge = f"\r\n--{boundary}\r\n".encode()
    content = b"".join((
        "\r\n".join(header).encode(), edge,
        _explanation(subject, fates, hostname, until), edge,
        _status(subject, fates, hostname, now, until, utf8=utf8), edge,
        returned, f"\r\n--{boundary}--\r\n".encode(),
    ))  # fmt: skip
    return Report(subject.sender, content, eightbit or utf8, utf8)


def clean(text: str, limit: int = _TEXT_LIMIT) -> str:
    """Untrusted text as one harmless line: no controls, no line ends, no bidirectional overrides.

    :param limit: the octets of its UTF-8 form that are kept.
    """
    text = _UNSAFE.sub(" ", text).strip()
    octets = text.encode()
    return text if len(octets) <= limit else octets[: limit - 3].decode(errors="ignore") + "..."


def _explanation(subject: Subject, fates: Sequence[Fate], hostname: str, until: float) -> bytes:
    lines = [f"This is the mail server at {hostname}.", ""]
    lines += [_OPENINGS[fates[0].action].format(until=formatdate(until) if until else "its time is over"), ""]
    for fate in fates:
        lines.append(f"<{clean(fate.address)}>" + (f" (for <{clean(fate.original)}>)" if fate.original else ""))
        lines.append(f"    {clean(fate.reason)}")
        if fate.remote:
            lines.append(f"    server: {clean(fate.remote)}")
        if fate.diagnostic:
            lines.append(f"    it said: {clean(fate.diagnostic)}")
        if fate.tls:
            lines.append(f"    TLS: {clean(fate.tls)}")
        lines.append("")
    lines += [f"Your message is known here as {subject.queue_id}, received {formatdate(subject.received_at)}."]
    lines += [f"Questions go to postmaster@{hostname}; please include this report.", ""]
    text = "\r\n".join(lines)
    if text.isascii() and all(len(line) <= 998 for line in lines):
        return (
            b"Content-Type: text/plain; charset=us-ascii\r\nContent-Description: Notification\r\n\r\n" + text.encode()
        )
    head = b"Content-Type: text/plain; charset=utf-8\r\nContent-Description: Notification\r\n"
    return head + b"Content-Transfer-Encoding: base64\r\n\r\n" + _base64(text.encode())


def _status(subject: Subject, fates: Sequence[Fate], hostname: str, now: float, until: float, *, utf8: bool) -> bytes:
    kind = "message/global-delivery-status" if utf8 else "message/delivery-status"
    lines = [f"Content-Type: {kind}", "Content-Description: Delivery report"]
    lines += ["Content-Transfer-Encoding: 8bit", ""] if utf8 else [""]
    lines.append(f"Reporting-MTA: dns; {hostname}")
    if subject.envid:
        lines.append(f"Original-Envelope-Id: {_ascii(clean(subject.envid), utf8=utf8)}")
    lines += [f"Arrival-Date: {formatdate(subject.received_at)}", ""]
    for fate in fates:
        if fate.orcpt and ";" in fate.orcpt:
            kind, _, address = fate.orcpt.partition(";")
            lines.append(
                f"Original-Recipient: {_ascii(clean(kind, 40), utf8=False)}; {_ascii(clean(address), utf8=utf8)}"
            )
        lines.append(f"Final-Recipient: {_typed(fate.address, utf8=utf8)}")
        lines.append(f"Action: {fate.action}")
        lines.append(f"Status: {fate.status if _STATUS.fullmatch(fate.status) else '5.0.0'}")
        if fate.remote:
            lines.append(f"Remote-MTA: dns; {_ascii(clean(fate.remote, 255), utf8=False)}")
        if fate.diagnostic:
            lines.append(f"Diagnostic-Code: smtp; {_ascii(clean(fate.diagnostic), utf8=utf8)}")
        else:
            lines.append(f"Diagnostic-Code: x-gatepost; {_ascii(clean(fate.reason), utf8=utf8)}")
        lines.append(f"Last-Attempt-Date: {formatdate(now)}")
        if fate.action == "delayed" and until:
            lines.append(f"Will-Retry-Until: {formatdate(until)}")
        if fate.tls:
            lines.append(f"X-Gatepost-TLS: {_ascii(clean(fate.tls), utf8=False)}")
        lines.append("")
    return "\r\n".join(lines).encode()


def _typed(address: str, *, utf8: bool) -> str:
    """An address with its type: ``rfc822``, or ``utf-8`` in the form that the report may carry (RFC 6533 §3)."""
    address = clean(address)
    if address.isascii():
        return f"rfc822; {address}"
    if utf8:
        return f"utf-8; {address}"
    text = "".join(one if "!" <= one <= "~" and one not in "+=\\" else f"\\x{{{ord(one):02X}}}" for one in address)
    return "utf-8; " + (text if len(text) <= _TEXT_LIMIT else text[: text.rfind("\\", 0, _TEXT_LIMIT)])


def _ascii(text: str, *, utf8: bool) -> str:
    """Text as a field's value may carry it."""
    return text if utf8 else text.encode("ascii", "backslashreplace").decode()[: _TEXT_LIMIT + 60]


def _full(subject: Subject, limit: int) -> bool:
    """Whether the whole content goes back: asked for or not excluded, at hand, and not too big."""
    return subject.ret != "HDRS" and subject.whole and len(subject.content) <= limit


def _returned(subject: Subject, *, full: bool, utf8: bool) -> tuple[bytes, bool]:
    """The third part, and whether it needs 8BITMIME."""
    content = subject.content if full else _header_of(subject.content)
    eightbit = not content.isascii()
    if full:
        if not _header_of(content).isascii():  # RFC 6532 §3.7: only message/global may be encoded
            return _part("message/global", _base64(content), "base64", full=True), False
        return _part("message/rfc822", content, "8bit" if eightbit else "7bit", full=True), eightbit
    if not eightbit:
        return _part("text/rfc822-headers", content, "7bit", full=False), False
    kind = "message/global-headers" if utf8 else "text/rfc822-headers"
    return _part(kind, _base64(content), "base64", full=False), False


def _part(kind: str, content: bytes, encoding: str, *, full: bool) -> bytes:
    what = "Undelivered message" if full else "Header of the message"
    head = f"Content-Type: {kind}\r\nContent-Description: {what}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    return head.encode() + content


def _header_of(content: bytes) -> bytes:
    """The header section with its last line end, bounded."""
    if content.startswith(b"\r\n"):
        return b""
    end = content.find(b"\r\n\r\n")
    header = content if end < 0 else content[: end + 2]
    if len(header) > _HEADER_LIMIT:
        header = header[: header.rfind(b"\r\n", 0, _HEADER_LIMIT) + 2]
    return header


def _base64(content: bytes) -> bytes:
    encoded = base64.b64encode(content)
    return b"".join(encoded[at : at + 76] + b"\r\n" for at in range(0, len(encoded), 76))
