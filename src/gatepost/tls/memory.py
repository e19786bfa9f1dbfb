"""Records through OpenSSL's memory buffers, past pyOpenSSL's wrapper of the same four calls.

The wrapper copies each argument into a view and asks for OpenSSL's error after each success, which costs as much again
as a short record does. What did not go well is given back to it: its errors are pyOpenSSL's own
(``docs/adr/0024-records-go-past-the-wrapper.md``). The names with an underscore are pyOpenSSL's; the range of its
versions in ``pyproject.toml`` is the range that was tried.

A buffer is not cleared before its call, so no more of it is taken than was written there; -1 is no length, which to
``ffi.buffer`` would mean all of it. And it belongs to one call: OpenSSL runs without the interpreter's lock, so a
shared one would show one connection's plaintext to another's thread.
"""

from __future__ import annotations

from typing import Final, final

from OpenSSL import SSL
from OpenSSL._util import ffi, lib

_buffer: Final = ffi.buffer
_allocate: Final = ffi.new_allocator(should_clear_after_alloc=False)
_RECORD: Final = 16384  # octets that are asked for where nobody knows how many there are


@final
class Records:
    """The record layer of one connection whose handshake is complete."""

    __slots__ = ("_connection", "_from", "_into", "_ssl")

    def __init__(self, connection: SSL.Connection) -> None:
        self._connection: Final = connection
        self._ssl: Final = connection._ssl
        self._into: Final = connection._into_ssl
        self._from: Final = connection._from_ssl

    def open(self, record: bytes, room: int) -> bytes:
        """Decrypt one whole record.

        :param room: the octets of plaintext that it may hold.
        :raises SSL.Error: as ``Connection.recv`` does: ``WantReadError`` when it held none.
        """
        if lib.BIO_write(self._into, record, len(record)) != len(record):
            raise MemoryError("OpenSSL's memory buffer does not grow")  # pragma: no cover  # malloc failed
        plaintext = _allocate("char[]", room)
        count = lib.SSL_read(self._ssl, plaintext, room)
        if count <= 0:
            self._connection._raise_ssl_error(self._ssl, count)
        octets: bytes = _buffer(plaintext, max(count, 0))[:]
        return octets

    def seal(self, data: bytes, room: int) -> bytes:
        """Encrypt, and take what OpenSSL has to send.

        :param room: the octets that this usually is, at most.
        :raises SSL.Error: as ``Connection.send`` does.
        """
        count = lib.SSL_write(self._ssl, data, len(data))
        if count <= 0:
            self._connection._raise_ssl_error(self._ssl, count)
        sealed = _allocate("char[]", room)
        count = lib.BIO_read(self._from, sealed, room)
        taken: bytes = _buffer(sealed, max(count, 0))[:]
        return taken if count < room else taken + read_all(self._connection)


def read_all(connection: SSL.Connection, expected: int = _RECORD) -> bytes:
    """Take everything that OpenSSL wants to send.

    :param expected: how many octets that is at most, if it is known: one read then does.
    """
    try:
        chunk = connection.bio_read(expected)
    except SSL.WantReadError:
        return b""
    if len(chunk) < expected:
        return chunk
    chunks = [chunk]
    while len(chunk) == expected:
        try:
            chunk = connection.bio_read(expected)
        except SSL.WantReadError:
            break
        chunks.append(chunk)
    return b"".join(chunks)
