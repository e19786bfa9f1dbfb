"""The reflector's answer: whether there is one (RFC 3834 §2), and what it says.

Pure: the envelope sender, the header section and what the listener wrote down about the arrival go in; a reason for
silence or the octets of an answer come out.

Everything in an answer that others chose (their hello name, certificate names, ``Received:`` lines) is cut, stripped of
controls, and stands in the body, never in the answer's header.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from email.message import Message
from email.parser import BytesHeaderParser
from email.utils import formatdate
from typing import Any, Final

from gatepost.delivery.bounce import Report, clean

_MACHINES: Final = re.compile(r"mailer-daemon|owner-.*|.*-(?:request|owner)|listserv|majordomo", re.IGNORECASE)
_LISTS: Final = ("List-Id", "List-Unsubscribe", "List-Post", "Mailing-List")
_BULK: Final = frozenset({"list", "bulk", "junk"})
_MESSAGE_ID: Final = re.compile(r"<[!-;=?-~]{1,500}>")
_TRACES: Final = 30  # Received fields that are quoted
_TRACE_LINES: Final = 12  # lines of one


def silence(sender: str, header: bytes, own: str) -> str:
    """Why a message is not answered; empty when it is.

    :param sender: the envelope sender; empty for the null path.
    :param header: the header section, whole.
    :param own: the reflector's own address.
    """
    if not sender:
        return "it came from the null sender"
    local = sender.rpartition("@")[0]
    if sender.lower() == own.lower():
        return "it came from this address"
    if _MACHINES.fullmatch(local):
        return f"{clean(local, 64)} is no person"
    message = BytesHeaderParser().parsebytes(header)
    if message.defects:
        return "its header cannot be read beyond doubt"
    if any((_first_word(value) != "no") for value in message.get_all("Auto-Submitted", ())):
        return "a program sent it (Auto-Submitted)"
    if any(name in message for name in _LISTS):
        return "it came through a mailing list"
    if any(_first_word(value) in _BULK for value in message.get_all("Precedence", ())):
        return "it is bulk mail (Precedence)"
    return ""


def write(
    sender: str, header: bytes, arrival: str, *, own: str, hostname: str, answer_id: str, about: str, now: float
) -> Report:
    """Write the answer. It goes out with the null reverse-path (RFC 3834 §3.3).

    :param arrival: the queue's ``origin`` of the message: one line of JSON.
    :param answer_id: the unique name of the answer, for its Message-ID.
    :param about: the queue's id of the message that is answered.
    :param now: the time, in seconds since the Unix epoch.
    """
    message = BytesHeaderParser().parsebytes(header)
    facts = _facts(arrival)
    lines = [
        f"This is the reflector at {hostname}. It answers each message with what was seen of its arrival.", "",
        f"Your message is known here as {about}. This is how it came:", "",
        *_table(facts), "",
        "Who had it on the way, newest first:", "",
        *_traces(message),
        "The first of these is this server's own. The others were written by those who had it before.",
        "",
    ]  # fmt: skip
    found = _MESSAGE_ID.fullmatch(str(message.get("Message-ID", "")).strip())
    utf8 = not sender.isascii()
    kind, encoding, body = _body("\r\n".join(lines))
    head = [
        f"From: <{own}>",
        f"To: <{clean(sender)}>",
        f"Subject: Auto: your message came {_manner(facts)}",
        f"Date: {formatdate(now)}",
        f"Message-ID: <{answer_id}@{hostname}>",
        *([f"In-Reply-To: {found[0]}", f"References: {found[0]}"] if found else []),
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        f"Content-Type: text/plain; charset={kind}",
        f"Content-Transfer-Encoding: {encoding}",
        "", "",
    ]  # fmt: skip
    return Report(sender, "\r\n".join(head).encode() + body, utf8, utf8)


def _first_word(value: object) -> str:
    return re.split(r"[;\s(]", str(value).strip().lower(), maxsplit=1)[0]


def _facts(arrival: str) -> Mapping[str, Any]:
    try:
        facts = json.loads(arrival)
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}


def _manner(facts: Mapping[str, Any]) -> str:
    tls = facts.get("tls")
    return f"over {clean(str(tls.get('version')), 20)}" if isinstance(tls, dict) else "in the clear"


def _table(facts: Mapping[str, Any]) -> Iterator[str]:
    """What was written down, a line each."""
    rows: list[tuple[str, object]] = [
        ("from", facts.get("peer")), ("it said", facts.get("hello")), ("listener", facts.get("listener")),
    ]  # fmt: skip
    tls = facts.get("tls")
    if isinstance(tls, dict):
        rows += [
            ("TLS", f"{tls.get('version')}, {tls.get('began')}"),
            ("cipher", f"{tls.get('cipher')}, {tls.get('bits')} bits"),
            ("key exchange", tls.get("group") or "unknown"),
            ("resumed", "yes: an earlier session was taken up" if tls.get("resumed") else "no: a full handshake"),
            ("asked for", tls.get("server_name") or "no name (no SNI)"),
            ("certificate", _certificate(tls)),
        ]
    else:
        rows.append(("TLS", "none: it came in the clear, and everybody on the way could read it"))
    rows += [("login", facts.get("user")), ("policy", facts.get("wanted")), ("decided by", facts.get("rule"))]
    for name, value in rows:
        if value:
            yield f"    {name + ':':<14}{clean(str(value), 500)}"


def _certificate(tls: Mapping[str, Any]) -> str:
    status = tls.get("verification", "none")
    if status == "none":
        return "the client showed none"
    names = tls.get("names")
    words = [str(status), *(map(str, names) if isinstance(names, list) else ()), str(tls.get("reason") or "")]
    pin = f" (SHA-256 {tls['sha256']})" if tls.get("sha256") else ""
    return ", ".join(filter(None, words)) + pin


def _traces(message: Message) -> Iterator[str]:
    fields = message.get_all("Received", [])
    for field in fields[:_TRACES]:
        for at, line in enumerate(str(field).splitlines()[:_TRACE_LINES]):
            yield f"    {'    ' if at else 'Received: '}{clean(line, 500)}"
        yield ""
    if len(fields) > _TRACES:
        yield f"    and {len(fields) - _TRACES} more"
        yield ""


def _body(text: str) -> tuple[str, str, bytes]:
    """Character set, encoding and octets."""
    if text.isascii():
        return "us-ascii", "7bit", text.encode()
    return "utf-8", "base64", base64.encodebytes(text.encode()).replace(b"\n", b"\r\n")
