"""What one address may use: connections, rates, failed logins. Exact over all processes, without a lock.

Each worker writes only its own row of a table in shared memory, one cell an address bucket; a question is the sum of a
column. Buckets are chosen by a hash that differs at every start, so that nobody can aim at another's bucket; two
addresses that share one by chance share its limits. IPv6 addresses count by their /64, the least that one customer has.

SECURITY: a worker can write the whole region, so these numbers protect against peers, not against another worker.
"""

from __future__ import annotations

import ipaddress
import mmap
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from gatepost.config.schema import Limits as LimitSettings
from gatepost.observe.shared import SLOTS, Shared
from gatepost.policy.addresses import AddressList
from gatepost.service.smtp import refusals
from gatepost.wire.smtp.reply import Reply

BUCKETS: Final = 4096
LISTENERS: Final = 1024  # more than a configuration may have of listeners and gates
_FIELDS: Final = 7
_OPEN, _DIAL_WINDOW, _DIALS, _MAIL_WINDOW, _MAILS, _LOGIN_WINDOW, _LOGINS = range(_FIELDS)
_MINUTE: Final = 60
_LOGIN_MEMORY: Final = 600  # seconds in which failed logins add up
_LONGEST_DELAY: Final = 60.0
_STRIDE: Final = BUCKETS * _FIELDS + LISTENERS
_HEADER: Final = 1  # the highest row that was ever used
SIZE: Final = 4 * (_HEADER + _STRIDE * SLOTS)
_CACHED_BUCKETS: Final = 8192


LOCAL_PEER: Final = "local"  # what stands for the address of a program of this machine
_USERS_PART: Final = 2  # one account of this machine has at most half of the connections that there may be


class Refusal(NamedTuple):
    """Why a connection is refused: what it is told, and the word for the counters."""

    reply: Reply
    reason: str


_HERE: Final = Refusal(refusals.TOO_MANY_HERE, "limit")
_FROM_YOU: Final = Refusal(refusals.TOO_MANY_FROM_YOU, "address_limit")
_FROM_USER: Final = Refusal(refusals.TOO_MANY_FROM_USER, "user_limit")
_FAST: Final = Refusal(refusals.TOO_FAST, "address_rate")


def region(shared: Shared) -> mmap.mmap:
    """The table's memory; asked for before the fork, so that all workers have the same."""
    return shared.region("limits", SIZE)


def clear_open(memory: mmap.mmap, slot: int) -> None:
    """Forget the open connections of a worker that has ended."""
    with memoryview(memory) as view, view.cast("I") as cells:
        base = _HEADER + slot * _STRIDE
        for bucket in range(BUCKETS):
            cells[base + bucket * _FIELDS + _OPEN] = 0
        for listener in range(LISTENERS):
            cells[base + BUCKETS * _FIELDS + listener] = 0


class Limits:
    """This process's view of the table, and the decisions over it.

    :param settings: the ``[limits]`` table of the configuration.
    :param memory: from ``region``.
    :param slot: this process's row.
    :param clock: seconds since the Unix epoch.
    """

    __slots__ = ("_base", "_buckets", "_cells", "_clock", "_exempt", "_settings")

    def __init__(
        self, settings: LimitSettings, memory: mmap.mmap, slot: int, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._settings = settings
        self._exempt: AddressList = settings.exempt
        self._cells = memoryview(memory).cast("I")
        self._base = _HEADER + slot * _STRIDE
        self._clock = clock
        self._buckets: dict[str, int] = {}
        clear_open(memory, slot)
        if self._cells[0] < slot:
            self._cells[0] = slot

    def connect(self, address: str, listener: int, uid: int | None = None) -> Refusal | None:
        """Count a new connection, or say why it is refused. Each call that returns None is owed a ``disconnect``.

        :param address: the client's address.
        :param listener: the listener's number.
        :param uid: of the account, where the client is a program of this machine: whatever its address, it leaves room
            for those of other accounts.
        """
        total = self._base + BUCKETS * _FIELDS + listener % LISTENERS
        if self._sum(total - self._base) >= self._settings.connections:
            return _HERE
        if uid is not None:
            cell = self._cell(_user(uid))
            if self._sum(cell + _OPEN) >= max(1, self._settings.connections // _USERS_PART):
                return _FROM_USER
            self._cells[self._base + cell + _OPEN] += 1
        elif not self._is_free(address):
            cell = self._cell(address)
            if self._sum(cell + _OPEN) >= self._settings.connections_per_address:
                return _FROM_YOU
            if not self._spend(cell + _DIAL_WINDOW, _MINUTE, self._settings.connection_rate_per_address):
                return _FAST
            self._cells[self._base + cell + _OPEN] += 1
        self._cells[total] += 1
        return None

    def disconnect(self, address: str, listener: int, uid: int | None = None) -> None:
        """A counted connection has ended."""
        self._lower(self._base + BUCKETS * _FIELDS + listener % LISTENERS)
        if uid is not None:
            self._lower(self._base + self._cell(_user(uid)) + _OPEN)
        elif not self._is_free(address):
            self._lower(self._base + self._cell(address) + _OPEN)

    def message(self, address: str) -> bool:
        """Count one more message; whether the address may send it."""
        if self._is_free(address):
            return True
        return self._spend(self._cell(address) + _MAIL_WINDOW, _MINUTE, self._settings.message_rate_per_address)

    def login_failed(self, address: str) -> float:
        """Count a failed login; how many seconds its answer should wait."""
        if self._is_free(address):
            return 0.0
        cell = self._cell(address) + _LOGIN_WINDOW
        self._spend(cell, _LOGIN_MEMORY, 1 << 30)
        return self.login_delay(address)

    def login_delay(self, address: str) -> float:
        """How many seconds the next answer to a login from this address waits: none at first, then doubling."""
        if self._is_free(address):
            return 0.0
        over = self._counted(self._cell(address) + _LOGIN_WINDOW, _LOGIN_MEMORY) - self._settings.auth_failures
        return 0.0 if over < 0 else min(_LONGEST_DELAY, float(2 ** min(over, 10)))

    def _is_free(self, address: str) -> bool:
        return address == LOCAL_PEER or self._exempt.matches(address)

    def _cell(self, address: str) -> int:
        found = self._buckets.get(address)
        if found is None:
            if len(self._buckets) >= _CACHED_BUCKETS:
                self._buckets.clear()
            found = self._buckets[address] = hash(_prefix(address)) % BUCKETS * _FIELDS
        return found

    def _sum(self, column: int) -> int:
        cells = self._cells
        return sum(cells[_HEADER + column : _HEADER + (cells[0] + 1) * _STRIDE : _STRIDE])

    def _counted(self, column: int, seconds: int) -> int:
        """The sum of a windowed count: ``column`` is the second in which the window began, then comes the count in it.

        A window begins with what is first counted in it, not on the minute, where everybody could wait for the next.
        """
        cells, now = self._cells, int(self._clock())
        stop = _HEADER + (cells[0] + 1) * _STRIDE
        begun = cells[_HEADER + column : stop : _STRIDE]
        counts = cells[_HEADER + column + 1 : stop : _STRIDE]
        return sum(count for then, count in zip(begun, counts, strict=True) if 0 <= now - then < seconds)

    def _spend(self, column: int, seconds: int, most: int) -> bool:
        if self._counted(column, seconds) >= most:
            return False
        cells, now, own = self._cells, int(self._clock()), self._base + column
        if not 0 <= now - cells[own] < seconds:
            cells[own], cells[own + 1] = now, 0
        cells[own + 1] += 1
        return True

    def _lower(self, cell: int) -> None:
        if self._cells[cell]:
            self._cells[cell] -= 1


def _user(uid: int) -> str:
    return f"uid {uid}"


def _prefix(address: str) -> str:
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(parsed) >> 64 << 64, 64)))
