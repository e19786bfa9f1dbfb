"""Invariant: whatever a message's header holds, nothing escapes from looking into it, at submission, in sendmail,
in the library, in the reflector; what is added to it is whole lines, and secret recipients are gone."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from contextlib import suppress

from fuzz.origins import cut, plan, seeds
from fuzz.words import ADDRESSES, ENDS, HEADERS

from gatepost.delivery.reflector_report import silence, write
from gatepost.errors import LocalProtocolError
from gatepost.sendmail import headers
from gatepost.sendmail.exits import SendmailError
from gatepost.sendmail.message import Message
from gatepost.service.smtp.headers import HEADER_LIMIT, Header, HeaderGate
from gatepost.smtp.letter import Letter
from gatepost.wire.smtp.capabilities import Capabilities
from gatepost.wire.smtp.reply import Reply

WORDS = HEADERS + ADDRESSES + ENDS
SEEDS = seeds(
    b'Received: from a\r\n\tby b; today\r\nFrom: "A, B" <a@example.org>\r\nTo: b@example.net,\r\n c@d (x)\r\n'
    b"Bcc: secret@example.net\r\nSubject: =?utf-8?q?x?=\r\nDate: Thu, 1 Jan 1970 00:00:00 +0000\r\n"
    b"Message-ID: <x@example.org>\r\n\r\nbody\r\n",
    b"Sender : a@b\r\nResent-To: g: a@b, c@d;\r\nFrom: a@b\r\nAuto-Submitted: no\r\nList-Id: x\r\n\r\n",
    b"From x\nTo: <@a,@b:c@d>\nBcc: s@d\n x\n\n.\n",
    b"body without a header",
    choices=4,
)
LISTED = Capabilities(Reply(250, "", ("mx", "8BITMIME", "SMTPUTF8")))
NAMES = (b"from", b"to", b"sender", b"date", b"message-id", b"received", b"delivered-to")
ARRIVAL = '{"peer": "192.0.2.1", "hello": "x\\r\\ny", "tls": {"version": "TLSv1.3", "names": ["a"]}}'
CRLF_LINES = re.compile(rb"(?:[^\r\n]*\r\n)*[^\r\n]*")


def at_submission(words: bytes, step: int) -> None:
    """Held back until it is whole, and looked into."""
    gate, collected = HeaderGate(), None
    for piece in cut(words, step):
        collected = gate.feed(piece)
        if collected is not None:
            break
        assert len(gate.finish()) <= HEADER_LIMIT
    content = gate.finish() if collected is None else collected
    assert words.startswith(content)
    header = Header(content)
    for name in NAMES:
        assert len(header.values(name)) == header.count(name)
        header.addresses(name)


def by_sendmail(words: bytes, step: int) -> None:
    """As ``sendmail -t`` reads it."""
    del step
    try:
        message = Message(io.BytesIO(words), dot_ends=True)
    except SendmailError:
        return
    headers.recipients(message.fields)
    assert not any(field.name in (b"bcc", b"resent-bcc") for field in headers.without_bcc(message.fields))
    message.fields = headers.without_bcc(message.fields)
    for _ in message.pieces():
        pass
    text = words.decode("utf-8", "surrogateescape")
    for line in (headers.from_field("a@b", text), headers.subject_field(text)):
        assert line.count(b"\n") == 1


def by_the_library(words: bytes, step: int) -> None:
    """As a program sends it."""
    del step
    with suppress(LocalProtocolError):
        letter = Letter(words, recipients=["b@example.net"])
        _, pieces = letter.ready(LISTED)
        content = b"".join(pieces)
        assert CRLF_LINES.fullmatch(content)
        assert b"\r\nbcc:" not in (b"\r\n" + content.partition(b"\r\n\r\n")[0]).lower()
    with suppress(LocalProtocolError):
        Letter(words)


def by_the_reflector(words: bytes, step: int) -> None:
    """As it is answered."""
    header = words[: 1 << 16]
    assert silence("a@example.org", header, "echo@example.org").isprintable()
    report = write(
        "a@example.org", header, ARRIVAL, own="echo@example.org", hostname="mx.example.org", answer_id="a1", about="m1",
        now=float(step),
    )  # fmt: skip
    assert CRLF_LINES.fullmatch(report.content)


READERS: tuple[Callable[[bytes, int], None], ...] = (at_submission, by_sendmail, by_the_library, by_the_reflector)


def target(data: bytes) -> None:
    """One reader an input."""
    told = plan(data, len(READERS))
    READERS[told.choice](told.words, told.step)
