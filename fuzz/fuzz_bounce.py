"""Invariant: whatever a remote server said and whatever the message holds, a notification is CRLF lines of at most 998
octets, has three parts that nothing in them can end, and no field that a stranger wrote."""

from __future__ import annotations

import re
from email.parser import BytesParser
from email.policy import default

from fuzz.origins import plan, seeds
from fuzz.words import ADDRESSES, ENDS, HEADERS, REPLIES

from gatepost.delivery.bounce import Action, Fate, Subject, build, clean
from gatepost.queue.outcome import judge

ACTIONS: tuple[Action, ...] = ("failed", "delayed", "delivered", "relayed")
PARTS = 8
WORDS = (
    *REPLIES, *HEADERS, *ADDRESSES, *ENDS, b"\0", b"\r\n--=_b1/1\r\n", b"=_b1/1", b"--", b"x" * 999, b"\xe2\x80\xae",
    b"\xe2\x80\xa8",
)  # fmt: skip
SEEDS = seeds(
    b"b@example.net\x00550 5.1.1 no such user\x00mx.example.net [192.0.2.9]\x00TLSv1.3\x00rfc822;b@example.net\x00"
    b"old@example.org\x00envid\x00Subject: x\r\n\r\nbody\r\n",
    "b\u00fccher@example.net\0".encode() + b"450 later\r\nX: y\0\0\0utf-8;b\xc3\xbc\0\0\0\xff\r\n--=_b1/1--\r\n",
    choices=4,
)


def target(data: bytes) -> None:
    """The texts stand between NULs, the message behind the last one."""
    told = plan(data, 4)
    octets = (told.words.split(b"\0", PARTS - 1) + [b""] * PARTS)[:PARTS]
    address, diagnostic, remote, tls, orcpt, original, envid = (part.decode("utf-8", "replace") for part in octets[:7])
    content = re.sub(rb"\r\n|\r|\n", b"\r\n", octets[7])  # as it lies in the queue
    assert "\n" not in clean(diagnostic)
    judged = judge(550, address, diagnostic)
    sender = "a@example.org" if told.votes & 1 else "\u00e4@example.org"
    subject = Subject(
        sender, "m1", 1.0, content, bool(told.votes & 2), "FULL" if told.votes & 4 else None, envid or None
    )
    fate = Fate(address, ACTIONS[told.choice], "5.1.1", judged.text, diagnostic, remote, tls, orcpt or None, original)
    report = build(subject, [fate, fate], hostname="mx.example.org", report_id="b1", now=1.0, limit=2000, until=9.0)
    lines = report.content.split(b"\r\n")
    assert not any(b"\n" in line or b"\r" in line for line in lines)
    longest = max(map(len, content.split(b"\r\n")))
    assert all(len(line) <= max(998, longest) for line in lines)
    parsed = BytesParser(policy=default).parsebytes(report.content)
    parts = list(parsed.iter_parts())
    assert [part.get_content_type() for part in parts[:1]] == ["text/plain"]
    assert len(parts) == 3
    assert parsed["To"] is not None
    assert len(parsed.get_all("To", [])) == len(parsed.get_all("Subject", [])) == 1
