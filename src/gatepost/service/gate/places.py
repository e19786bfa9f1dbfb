"""How many connections lead to each server now: exact over all processes of the gate, without a lock.

As in ``service.limits`` each process writes its own row of a table in shared memory, and a count is the sum of a
column. A server's column follows from its name, so that it is the same one after a reload; two servers that share one
by chance share their bound. Processes that take a place in the same instant may go over a bound by as many as they are.

SECURITY: a process of the gate can write the whole region; the numbers bound what servers get, and protect nothing.
"""

from __future__ import annotations

import mmap
import zlib
from typing import Final, final

from gatepost.observe.shared import SLOTS, Shared

_COLUMNS: Final = 1024
_HEADER: Final = 1  # the highest row that was ever used
SIZE: Final = 4 * (_HEADER + _COLUMNS * SLOTS)


def region(shared: Shared) -> mmap.mmap:
    """The table's memory; asked for before the fork, so that all processes have the same."""
    return shared.region("backends", SIZE)


def clear(memory: mmap.mmap, slot: int) -> None:
    """Forget the connections of a process that has ended."""
    with memoryview(memory) as view, view.cast("I") as cells:
        base = _HEADER + slot * _COLUMNS
        for column in range(_COLUMNS):
            cells[base + column] = 0


@final
class Places:
    """This process's view of the table.

    :param memory: from ``region``.
    :param slot: this process's row.
    """

    __slots__ = ("_base", "_cells")

    def __init__(self, memory: mmap.mmap, slot: int) -> None:
        clear(memory, slot)
        self._cells = memoryview(memory).cast("I")
        self._base = _HEADER + slot * _COLUMNS
        if self._cells[0] < slot:
            self._cells[0] = slot

    def column(self, backend: str, server: str) -> int:
        """Where a server is counted."""
        return zlib.crc32(f"{backend}\0{server}".encode()) % _COLUMNS

    def taken(self, column: int) -> int:
        """The connections of all processes."""
        cells = self._cells
        return sum(cells[_HEADER + column : _HEADER + (cells[0] + 1) * _COLUMNS : _COLUMNS])

    def take(self, column: int) -> None:
        """One more of this process; it is owed a ``leave``."""
        self._cells[self._base + column] += 1

    def leave(self, column: int) -> None:
        """One less."""
        if self._cells[self._base + column]:
            self._cells[self._base + column] -= 1
