"""The ``Received:`` field (RFC 5321 §4.4), in the form of the field, with its TLS clause.

Every word in it that a peer chose (its hello name, the SNI name, its certificate's names, the login, the recipient) is
cut down to an alphabet that cannot end a line, a comment or a clause, and to a length, before it is written.
"""

from __future__ import annotations

import re
from typing import Final, final

from gatepost.wire.upgrade import Origin, TLSEvidence

COLUMNS: Final = 78  # RFC 5322 §2.1.1: a line should not be longer
_WORD_LIMIT: Final = 255
# Neither white space, nor controls, nor ()<>;,"\ which structure the field (RFC 5322 §3.2)
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9.:_@+=/\[\]-]")
# RFC 3848 and RFC 6531 §4.3: (dialect, extended, UTF-8, TLS, authenticated)
_KEYWORDS: Final = {
    (dialect, utf8, tls, login): ("UTF8" if utf8 else "E" if dialect == "SMTP" else "")
    + dialect
    + ("S" if tls else "")
    + ("A" if login else "")
    for dialect in ("SMTP", "LMTP")
    for utf8 in (False, True)
    for tls in (False, True)
    for login in (False, True)
}


def protocol_keyword(dialect: str, *, extended: bool, utf8: bool, tls: bool, authenticated: bool) -> str:
    """The ``with`` keyword (RFC 3848, RFC 6531 §4.3).

    :param dialect: ``SMTP`` or ``LMTP``.
    :param extended: whether the peer said EHLO; plain ``SMTP`` has no variants.
    """
    if not extended and dialect == "SMTP":
        return "SMTP"
    return _KEYWORDS[dialect, utf8, tls, authenticated]


@final
class Received:
    """The field of one session's messages: what is the same in all of them is built once.

    :param origin: where the connection came from.
    :param evidence: what the handshake proved, or None in the clear.
    :param hello: what the peer called itself; a claim.
    :param protocol: the ``with`` keyword, see ``protocol_keyword``.
    :param hostname: our own name.
    :param identity: who logged in, or None.
    :param peer_name: the peer's name in the DNS, when that was looked up.
    """

    __slots__ = ("_column", "_head", "_protocol")

    def __init__(
        self,
        origin: Origin,
        evidence: TLSEvidence | None,
        *,
        hello: str,
        protocol: str,
        hostname: str,
        identity: str | None = None,
        peer_name: str | None = None,
    ) -> None:
        address = origin.peer[0]
        literal = f"IPv6:{address}" if ":" in address else address
        head = f"Received: from {_safe(hello) or 'unknown'}"
        parts = [f"({_safe(peer_name or 'unknown')} [{_safe(literal)}])"]
        if evidence is not None:
            parts += _tls_clause(evidence)
        if identity is not None:
            parts.append(f"(authenticated as {_safe(identity)})")
        parts.append(f"by {hostname} (gatepost)")
        column = len(head)
        for part in parts:
            head, column = _joined(head, column, part)
        self._head: Final = head
        self._column: Final = column
        self._protocol: Final = protocol

    def field(self, message_id: str, date: str, recipient: str | None = None) -> bytes:
        """The field of one message, folded, its CRLF included.

        :param message_id: our id of the message.
        :param date: an RFC 5322 date.
        :param recipient: the recipient, when there is exactly one; None otherwise (RFC 5321 §7.2).
        """
        text, column = _joined(self._head, self._column, f"with {self._protocol} id {message_id}")
        if recipient is not None:
            text, _ = _joined(text, column, f"for <{_safe(recipient)}>")
        return f"{text};\r\n\t{date}\r\n".encode("ascii", "replace")


def _tls_clause(evidence: TLSEvidence) -> tuple[str, str, str, str]:
    """What the handshake reached, in the comment that operators know."""
    bits = evidence.bits
    group = f"key-exchange {_safe(evidence.group)}" if evidence.group else "key-exchange unknown"
    return (
        f"(using {evidence.version} with cipher {_safe(evidence.cipher)}",
        f"({bits}/{bits} bits)",
        group,
        _verified(evidence),
    )


def _verified(evidence: TLSEvidence) -> str:
    """What became of the client's certificate."""
    status = evidence.verification.status
    if status == "none":
        return "(no client certificate))"
    name = _safe(evidence.verification.identity)
    return f"({_safe(status)} client certificate {name}))" if name else f"({_safe(status)} client certificate))"


def _safe(text: str) -> str:
    return _UNSAFE.sub("?", text[:_WORD_LIMIT])


def _joined(text: str, column: int, part: str) -> tuple[str, int]:
    """Text and a part behind it, on a line of its own where the line would grow too long (RFC 5322 §2.2.3).

    :param column: how long the last line of the text is; so is the second of what is returned.
    """
    column += 1 + len(part)
    return (f"{text} {part}", column) if column <= COLUMNS else (f"{text}\r\n\t{part}", 1 + len(part))
