"""Passwords that were found right a short while ago, so that a mail reader's next poll does not cost another argon2.

What is kept is no password and no hash of one that can be tried elsewhere: an HMAC-SHA-256 under a random key of this
process, which is never written anywhere. It covers the account, what is stored of its password, and the password. So a
changed password, a deleted or a disabled account is no longer found, at once, in every process: what is stored is read
at each login. Wrong passwords are never kept; each costs its full check.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, final

from gatepost.accounts.verifiers import PasswordCheck
from gatepost.wire.sasl.secret import Secret

CAPACITY: Final = 10_000  # passwords; some 200 octets each


@final
class RecentPasswords:
    """The memory of one process. It belongs to one thread.

    :param seconds: how long a password is remembered from its last full check; 0: never.
    :param clock: a clock that never goes back, in seconds.
    """

    __slots__ = ("_capacity", "_clock", "_key", "_known", "_seconds")

    def __init__(
        self, seconds: float, *, capacity: int = CAPACITY, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds: Final = seconds
        self._capacity: Final = capacity
        self._clock: Final = clock
        self._key: Final = secrets.token_bytes(32)
        self._known: Final[OrderedDict[bytes, float]] = OrderedDict()  # when each ends, the soonest first

    def holds(self, check: PasswordCheck, password: Secret) -> bool:
        """Whether this password was right for this account, as it is stored now, a short while ago."""
        mark = self._mark(check, password)
        if mark is None:
            return False
        ends = self._known.get(mark)
        return ends is not None and self._clock() < ends

    def remember(self, check: PasswordCheck, password: Secret) -> None:
        """The check found it right."""
        mark = self._mark(check, password)
        if mark is None:
            return
        now = self._clock()
        self._known.pop(mark, None)
        self._known[mark] = now + self._seconds
        while len(self._known) > self._capacity or next(iter(self._known.values())) <= now:
            self._known.popitem(last=False)

    def _mark(self, check: PasswordCheck, password: Secret) -> bytes | None:
        record = check.record
        if record is None or not self._seconds:
            return None
        secret = password.reveal()
        said = f"{len(check.address)} {check.address} {record.argon2id}\0".encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, said + secret, "sha256")
