"""Line ends of the store: CRLF on the wire becomes LF in the file, and nothing else changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


class LineEndCounter:
    """Turn CRLF into LF while content streams by; a CRLF may lie across the joint of two chunks.

    A CR without LF, and an LF without CR, stay as they are. After the last octet:

    * ``stored`` is how many octets came out;
    * ``on_wire`` is how many a client will be sent, with CRLF line ends (RFC 1939 §11 counts those).
    """

    __slots__ = ("on_wire", "stored")

    def __init__(self) -> None:
        self.stored = 0
        self.on_wire = 0

    def convert(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the chunks with LF line ends."""
        held = False  # a CR at the end of the last chunk, of which we do not know yet what follows
        for chunk in chunks:
            if not chunk:
                continue
            data = b"\r" + chunk if held else chunk
            held = data.endswith(b"\r")
            if held:
                data = data[:-1]
            data = data.replace(b"\r\n", b"\n")
            self._count(data)
            yield data
        if held:
            self._count(b"\r")
            yield b"\r"

    def _count(self, data: bytes) -> None:
        self.stored += len(data)
        self.on_wire += len(data) + data.count(b"\n")
