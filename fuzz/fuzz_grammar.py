"""Invariant: only ProtocolError escapes, and an address that was read is read again from how it is written."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from gatepost.errors import ProtocolError
from gatepost.wire.smtp import grammar
from gatepost.wire.smtp.address import parse_mailbox, parse_path

PARSERS: tuple[Callable[[str], object], ...] = (
    grammar.parse_hello,
    grammar.parse_bdat,
    grammar.parse_auth,
    lambda text: grammar.parse_mail(text, smtputf8=True, auth=True),
    lambda text: grammar.parse_rcpt(text, utf8=True),
    lambda text: grammar.parse_rcpt(f"TO:<a@b> {text}", utf8=False),
    lambda text: grammar.parse_mail(f"FROM:<> {text}", smtputf8=False, auth=False),
)


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
