"""What the processes of one server share: made before the fork, inherited by every worker.

The supervisor builds one ``Shared`` and hands each worker its own view of it (``for_worker``). Nothing here opens a
file, a database or a network socket. Shared memory is anonymous and has one writer a row, so it needs no locks and a
process that is killed in the middle of a write leaves the others whole.

SECURITY: a worker can write any region that it inherits, so what stands there is a hint (counters, rates), never a
decision that protects one role from another.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, final

from gatepost.observe.metrics import Counters

if TYPE_CHECKING:
    from gatepost.config.schema import Listener
    from gatepost.policy.inbound import Handshake
    from gatepost.tls.clientfiles import ClientFiles
    from gatepost.tls.contexts import ServerContexts

SLOTS: Final = 256
"""How many worker processes there can be at once, the draining ones of earlier generations included."""


@final
@dataclass(frozen=True, slots=True)
class BoundListener:
    """A listener of the configuration together with its bound, listening, non-blocking sockets."""

    name: str
    settings: Listener
    sockets: tuple[socket.socket, ...]


@final
class Doorbell:
    """Wakes another process: whoever rings never blocks, whoever waits watches ``fileno()`` for reading.

    An eventfd where there is one, else a pipe. Rings are merged; a waiter calls ``clear()`` and then looks at the work.
    """

    __slots__ = ("_read", "_write")

    def __init__(self) -> None:
        if hasattr(os, "eventfd"):
            self._read = self._write = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        else:  # pragma: no cover - no eventfd outside Linux
            self._read, self._write = os.pipe()
            os.set_blocking(self._read, False)
            os.set_blocking(self._write, False)

    def fileno(self) -> int:
        """The descriptor that becomes readable when the bell was rung."""
        return self._read

    def ring(self) -> None:
        """Wake the waiter. A bell that is already ringing is left as it is."""
        try:
            os.write(self._write, b"\x01\0\0\0\0\0\0\0" if self._read == self._write else b"\x01")
        except BlockingIOError:
            return

    def clear(self) -> None:
        """Stop the ringing; call this before looking at the work, not after it."""
        with contextlib.suppress(BlockingIOError):
            while len(os.read(self._read, 4096)) == 4096:
                pass

    def close(self) -> None:
        """Close the descriptors in this process."""
        os.close(self._read)
        if self._write != self._read:
            os.close(self._write)


@final
class Notes:
    """How a worker tells the supervisor that it serves: its slot, two octets, through a pipe."""

    __slots__ = ("_read", "_write")

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)

    def fileno(self) -> int:
        """The descriptor that the supervisor reads."""
        return self._read

    def send(self, slot: int) -> None:
        """Say that the worker in ``slot`` is ready. Never blocks; a note that does not fit is not sent."""
        with contextlib.suppress(OSError):
            os.write(self._write, slot.to_bytes(2))

    def receive(self) -> list[int]:
        """The slots that were named since the last call."""
        try:
            data = os.read(self._read, 4096)
        except BlockingIOError:
            return []
        return [int.from_bytes(data[at : at + 2]) for at in range(0, len(data) - 1, 2)]

    def keep_writing_end(self) -> None:
        """In a worker: give up the reading end."""
        os.close(self._read)

    def close(self) -> None:
        """Close both ends in this process."""
        os.close(self._read)
        os.close(self._write)


@final
@dataclass(frozen=True, slots=True)
class Shared:
    """What a worker inherits.

    :param counters: this process's view of the counters; ``add`` writes its own row only.
    :param doorbell: rung by whoever enqueues a message, waited for by the delivery worker.
    :param contexts: the TLS contexts of each listener that speaks TLS, by listener name; made before the fork, so that
        a session ticket given by one worker resumes in another.
    :param slot: this process's row in the counters and in every per-worker region; the supervisor's is 0.
    :param role: the role's name, ``supervisor`` before the fork.
    :param index: the number of this process within its role, from 0; process 0 does what is to be done once.
    :param started_at: when the supervisor started, in seconds since the Unix epoch.
    :param notes: where ``ready`` goes.
    :param facts: what the supervisor tells the metrics process: certificates with their names and ends.
    :param variants: the contexts of other ways to speak TLS than that of ``[tls]``, as rules ask for them.
    :param client_files: the authorities and client certificates that delivery needs; None where nobody read them.
    """

    counters: Counters
    doorbell: Doorbell
    contexts: Mapping[str, ServerContexts]
    notes: Notes = field(default_factory=Notes)
    slot: int = 0
    role: str = "supervisor"
    index: int = 0
    started_at: float = 0.0
    facts: Mapping[str, Any] = field(default_factory=dict)
    variants: Mapping[Handshake, ServerContexts] = field(default_factory=dict)
    client_files: ClientFiles | None = None
    _regions: dict[str, mmap.mmap] = field(default_factory=dict, repr=False)

    def ready(self) -> None:
        """Tell the supervisor that this worker serves. A reload ends the old workers once the new ones have said so."""
        self.notes.send(self.slot)

    def close(self) -> None:
        """Close its descriptors in this process: for a program that goes on when its server has ended."""
        self.doorbell.close()
        self.notes.close()

    def region(self, name: str, size: int) -> mmap.mmap:
        """Return the shared memory called ``name``: zeroed when it is new, at least ``size`` bytes long.

        It is shared by every process only when it is first asked for *before* the fork (see
        ``gatepost.service.worker.prepare``). Asked for first in a worker it is that worker's own, which keeps tests of
        a single worker simple. It keeps its content over a reload; one that has to grow starts empty.
        """
        found = self._regions.get(name)
        if found is None or len(found) < size:
            found = mmap.mmap(-1, size)
            self._regions[name] = found
        return found

    def for_worker(self, role: str, index: int, slot: int) -> Shared:
        """The same memory as a worker in ``slot`` sees it."""
        return replace(self, role=role, index=index, slot=slot, counters=self.counters.for_slot(slot))

    def with_contexts(
        self,
        contexts: Mapping[str, ServerContexts],
        facts: Mapping[str, Any],
        variants: Mapping[Handshake, ServerContexts] | None = None,
        client_files: ClientFiles | None = None,
    ) -> Shared:
        """The same memory with what was made of a new configuration."""
        return replace(self, contexts=contexts, facts=facts, variants=variants or {}, client_files=client_files)


def new_shared(
    *,
    listeners: tuple[str, ...] = (),
    contexts: Mapping[str, ServerContexts] | None = None,
    started_at: float = 0.0,
    slots: int = SLOTS,
) -> Shared:
    """Make what the processes share; call it before any fork. Tests call it for a single worker."""
    return Shared(Counters(listeners, slots=slots), Doorbell(), contexts or {}, started_at=started_at)
