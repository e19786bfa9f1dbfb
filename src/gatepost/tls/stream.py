"""A private connection: octets in, plaintext out; plaintext in, octets out. It exists only after a handshake.

Theory
------
OpenSSL is fed one record at a time (RFC 8446 §5.1: type, version, length). That pays three times over:

* after each record exactly one read is made, so the usual case, one record in one segment, never pays for OpenSSL's
  "nothing more to read", which pyOpenSSL reports by an exception;
* OpenSSL's memory buffers never hold more than one record, and so never grow beyond one, whatever a peer sends at once;
* how much work an input makes is bounded by the number of its records.

The invariant: OpenSSL's input buffer is empty, or holds the beginning of one record of which ``_missing`` octets are
still to come. ``_head`` holds what OpenSSL has not seen: part of a header, or what came behind the handshake.

Plaintext that stands before a ``close_notify`` or an error is handed out first: ``receive`` returns it and sets
``closed``; only the next call raises. The end of the network connection without a ``close_notify`` is a truncation
(RFC 8446 §6.1) and is told apart from a clean end.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final, TypeAlias, final

from OpenSSL import SSL

from gatepost.errors import GatepostError, LocalProtocolError
from gatepost.tls.alerts import received_alert
from gatepost.tls.memory import Records, read_all
from gatepost.wire.upgrade import Origin, TLSEvidence

if TYPE_CHECKING:
    from collections.abc import Callable

_PLAINTEXT_LIMIT: Final = 16384  # RFC 8446 §5.1
_RECORD_LIMIT: Final = _PLAINTEXT_LIMIT + 2048  # RFC 5246 §6.2.3, the wider of the two
_OVERHEAD: Final = 256  # more than any cipher adds to a record
_HEADER: Final = 5

Octets: TypeAlias = bytes | bytearray | memoryview


@final
class TLSClosed(GatepostError):
    """The private connection has ended.

    :param clean: whether the peer said so (``close_notify``), or it was cut off or broken.
    :param alert: the fatal alert that the peer sent, or an empty string.
    """

    def __init__(self, message: str, *, clean: bool, alert: str = "") -> None:
        super().__init__(message, temporary=not clean)
        self.clean = clean
        self.alert = alert

    def again(self) -> TLSClosed:
        """A copy to raise. What a stream keeps is never raised: its traceback would keep the stream alive."""
        return TLSClosed(self.message, clean=self.clean, alert=self.alert)


@final
class TLSStream:
    """One side of a private connection. Made by a completed handshake and by nothing else.

    :param origin: where the connection came from.
    :param evidence: what the handshake proved.

    After the handshake the owner writes what ``outgoing`` gives (a ticket, the last handshake message; it may be sent
    together with the first reply only where TLS 1.3 is spoken and we are the server) and calls ``receive(b"")`` once,
    for plaintext that came in the same segment as the end of the handshake.
    """

    __slots__ = ("_closing", "_connection", "_head", "_missing", "_on_plaintext", "_out", "_records", "closed",
                 "evidence", "origin")  # fmt: skip

    def __init__(
        self,
        connection: SSL.Connection,
        origin: Origin,
        evidence: TLSEvidence,
        *,
        out: bytes = b"",
        surplus: bytes = b"",
        on_plaintext: Callable[[], None] | None = None,
    ) -> None:
        """Only ``tls.engine`` calls this.

        :param out: what the handshake left to send.
        :param surplus: octets that came behind the handshake; OpenSSL has not seen them.
        :param on_plaintext: called once, when the first plaintext arrives: a client's ticket has come by then.
        """
        self.origin: Final = origin
        self.evidence: Final = evidence
        self.closed: TLSClosed | None = None
        self._connection = connection
        self._head = surplus
        self._missing = 0
        self._out = out
        self._records = Records(connection)
        self._closing = False
        self._on_plaintext = on_plaintext

    def receive(self, data: Octets) -> bytes:
        """Decrypt.

        :param data: what came from the network.
        :return: all plaintext that is complete, possibly none. When ``closed`` is set afterwards, it is the last.
        :raises TLSClosed: when the connection had ended before, or ends now and there was no plaintext left.
        """
        if self.closed is not None:
            raise self.closed.again()
        if not self._missing and not self._head:
            size = len(data)
            if size > _HEADER and size == _HEADER + (data[3] << 8 | data[4]):  # one record, as nearly always
                plaintext = self._decrypt(data, size)  # plaintext is never longer than its record
            else:
                plaintext = self._split(data)
        else:
            plaintext = self._split(data)
        if self._on_plaintext is not None and plaintext:
            self._on_plaintext()
            self._on_plaintext = None
        if self.closed is not None and not plaintext:
            raise self.closed.again()
        return plaintext

    def receive_eof(self) -> TLSClosed:
        """The network connection ended.

        :return: how the private one did: ``clean`` only if the peer had said so before (else it is a truncation).
        """
        if self.closed is None:
            self.closed = TLSClosed("the connection was cut off without a close_notify", clean=False)
        return self.closed

    def send(self, data: Octets) -> None:
        """Encrypt; ``outgoing`` then has the octets.

        :raises LocalProtocolError: after ``close``.
        :raises TLSClosed: when the connection broke.
        """
        if self._closing:
            raise LocalProtocolError("nothing is sent behind our own close_notify")
        seal, size = self._records.seal, len(data)
        try:
            if size <= _PLAINTEXT_LIMIT:
                if size:
                    self._out += seal(bytes(data), size + _OVERHEAD)
                return
            parts = [self._out]
            with memoryview(data) as view:
                for at in range(0, size, _PLAINTEXT_LIMIT):
                    parts.append(seal(bytes(view[at : at + _PLAINTEXT_LIMIT]), _RECORD_LIMIT))
            self._out = b"".join(parts)
        except SSL.Error as error:
            raise self._broken(error).again() from error

    def outgoing(self) -> bytes:
        """Take what must be written to the network."""
        out = self._out
        if out:
            self._out = b""
        return out

    def close(self) -> None:
        """Say that we are done (``close_notify``, RFC 8446 §6.1); ``outgoing`` then has it. Twice is once.

        A client that drops its connection without this cannot resume the session: OpenSSL takes it for a bad one.
        """
        if self._closing:
            return
        self._closing = True
        if self.closed is not None and not self.closed.clean:
            return  # the connection is broken: OpenSSL has nothing more to say on it
        with contextlib.suppress(SSL.Error):
            self._connection.shutdown()
            self._out += read_all(self._connection)

    def _decrypt(self, record: Octets, room: int = _PLAINTEXT_LIMIT) -> bytes:
        """Give OpenSSL the rest of one record and read what is in it, at most ``room`` octets."""
        try:
            return self._records.open(bytes(record), room)
        except SSL.WantReadError:
            self._out += read_all(self._connection)  # a ticket or a key update; the answer to it goes out at once
        except SSL.ZeroReturnError:
            self.closed = TLSClosed("the peer closed the connection", clean=True)
        except SSL.Error as error:
            self._broken(error)
        return b""

    def _split(self, data: Octets) -> bytes:
        """Feed whole records, one by one; keep the rest in OpenSSL (a cut record) or here (a cut header)."""
        if self._head:
            data = self._head + bytes(data)
            self._head = b""
        size = len(data)
        with memoryview(data) as view:
            if size < self._missing:
                if size:
                    self._connection.bio_write(view)
                    self._missing -= size
                return b""
            chunks: list[bytes] = []
            at = 0
            end = self._missing  # of the record that begins at 0, or began before
            self._missing = 0
            while self.closed is None:
                if end > at and (plaintext := self._decrypt(view[at:end])):
                    chunks.append(plaintext)
                at = end
                if at + _HEADER > size:
                    self._head = bytes(view[at:])
                    break
                end = at + _HEADER + (view[at + 3] << 8 | view[at + 4])
                if end - at > _RECORD_LIMIT + _HEADER:
                    end = size  # no such record: OpenSSL says so, with the alert that is due
                elif end > size:
                    self._connection.bio_write(view[at:])
                    self._missing = end - size
                    break
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _broken(self, error: SSL.Error) -> TLSClosed:
        """Remember that the connection broke, and keep the alert that OpenSSL has written about it."""
        reason = error_reason(error)
        self._out += read_all(self._connection)
        self.closed = TLSClosed(f"the private connection broke: {reason}", clean=False, alert=received_alert(reason))
        return self.closed


def error_reason(error: SSL.Error) -> str:
    """OpenSSL's reason for an error, in its own words."""
    detail = error.args[0] if error.args else None
    if isinstance(detail, list) and detail:
        return str(detail[-1][2]) or "unknown"
    return str(error.args[1]) if len(error.args) > 1 else "unexpected end or unknown error"
