"""Invariant: only ProtocolError escapes from reading commands, addresses and what a reply lists, an
address that was read is read again from how it is written, and a trace field that is made of a claim is one field."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress

from fuzz.origins import EVIDENCE, ORIGIN
from fuzz.words import ADDRESSES, ENDS, REPLIES, SMTP

from gatepost.errors import LocalProtocolError, ProtocolError
from gatepost.wire.certified import canonical_mailbox
from gatepost.wire.smtp import grammar
from gatepost.wire.smtp.address import parse_mailbox, parse_path
from gatepost.wire.smtp.capabilities import Capabilities
from gatepost.wire.smtp.envelope import EnvelopeRecipient, without_u_labels
from gatepost.wire.smtp.exchange import command
from gatepost.wire.smtp.parameters import decode_xtext
from gatepost.wire.smtp.received import Received
from gatepost.wire.smtp.relaying import challenge
from gatepost.wire.smtp.reply import Reply

PARSERS: tuple[Callable[[str], object], ...] = (
    grammar.parse_hello,
    grammar.parse_bdat,
    grammar.parse_auth,
    decode_xtext,
    canonical_mailbox,
    lambda text: grammar.parse_mail(text, smtputf8=True, auth=True),
    lambda text: grammar.parse_rcpt(text, utf8=True),
    lambda text: grammar.parse_rcpt(f"TO:<a@b> {text}", utf8=False),
    lambda text: grammar.parse_mail(f"FROM:<> {text}", smtputf8=False, auth=False, extra=("X",)),
)
FIELD = re.compile(rb"Received: (?:[\t -~]|\r\n\t)*\r\n")
WORDS = SMTP + ADDRESSES + ENDS + REPLIES
SEEDS = (
    b"FROM:<a@example.org> SIZE=5 BODY=8BITMIME SMTPUTF8 RET=FULL ENVID=a+2Bb AUTH=a+40b X=1",
    b"TO:<c@d> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;c+40d",
    b'"a\\"b c"@[IPv6:2001:db8::1]',
    b"@a,@b:user@xn--bcher-kva.example",
    "b\u00fccher@b\u00fccher.example".encode(),
    b"5 LAST",
    b"PLAIN AGFsaWNlAHNlY3JldA==",
)


def write(text: str) -> None:
    """What is written from what was heard."""
    with suppress(LocalProtocolError):
        path = EnvelopeRecipient(text).path
        line = command(f"RCPT TO:<{path}>")
        assert line.count(b"\r\n") == 1
        without_u_labels(path)
    trace = Received(
        ORIGIN, EVIDENCE, hello=text, protocol="ESMTPS", hostname="mx.example.org", identity=text, peer_name=text
    )
    field = trace.field("m1", "today", recipient=text)
    assert FIELD.fullmatch(field)
    assert all(len(line) <= 998 for line in field.split(b"\r\n"))


def target(data: bytes) -> None:
    """Every parser takes the same text."""
    text = data.decode("utf-8", "replace")
    for parser in PARSERS:
        with suppress(ProtocolError):
            parser(text)
    with suppress(ProtocolError):
        grammar.decode_base64(data)
    with suppress(ProtocolError):
        mailbox = parse_path(f"<{text}>", utf8=True)
        if mailbox is not None and mailbox.domain:
            assert parse_mailbox(str(mailbox)) == mailbox
            assert mailbox.ascii_domain.isascii()
            assert str(mailbox).isprintable()
    lines = tuple(line for line in text.splitlines() if line.isprintable() and line.isascii()) or ("mx",)
    listed = Capabilities(Reply(250, "", ("mx", *lines)))
    assert listed.size is None or listed.size >= 0
    with suppress(ProtocolError):
        challenge(Reply(334, "", lines[0]))
    write(text)
