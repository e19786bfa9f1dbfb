"""An open message: its octets, piece by piece, as they are on disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final, final

from gatepost.mailbox.snapshot import PIECE


@final
class MessageReader:
    """An open message. ``read`` blocks for as long as the disk takes; memory is one piece.

    :param descriptor: a regular file, open for reading; the reader closes it.
    :param piece: how many octets a piece has, at most.
    """

    __slots__ = ("_descriptor", "octets", "piece")

    def __init__(self, descriptor: int, *, piece: int = PIECE) -> None:
        self._descriptor = descriptor
        self.piece: Final = piece
        self.octets = 0
        """How many octets were read."""

    def read(self) -> bytes:
        """The next piece; empty at the end.

        :raises OSError: when it cannot be read.
        """
        data = os.read(self._descriptor, self.piece)
        self.octets += len(data)
        return data

    def __iter__(self) -> Iterator[bytes]:
        """Piece by piece.

        :raises OSError: when it cannot be read.
        """
        return iter(self.read, b"")

    def close(self) -> None:
        """Close the file. Twice is once."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        self.close()
