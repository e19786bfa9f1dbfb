"""Which address is tried next, and for how long."""

from __future__ import annotations

import errno
import socket

from gatepost.errors import DeadlineExceeded
from gatepost.net.reach import ADDRESS_LIMIT, Found, attempts, take_turns, unreached


def entry(address: str) -> Found:
    if ":" in address:
        return (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, 25, 0, 0))
    return (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 25))


def test_families_take_turns_beginning_with_the_first() -> None:
    """A family that leads nowhere costs one attempt, not all of them; an address is tried once."""
    found = [entry(each) for each in ("::1", "::2", "::1", "127.0.0.1", "127.0.0.2", "127.0.0.3")]
    order = [attempt.address[0] for attempt in attempts(found, 10.0, lambda: 0.0)]
    assert order == ["::1", "127.0.0.1", "::2", "127.0.0.2", "127.0.0.3"]
    assert list(take_turns([1, 3], [2])) == [1, 2, 3]


def test_time_is_shared_and_the_last_has_all_that_is_left() -> None:
    """Attempts that fail at once leave their time to the others; none has less than nothing."""
    clock = iter((0.0, 3.0, 3.0))
    found = [entry(each) for each in ("127.0.0.1", "127.0.0.2", "127.0.0.3")]
    seconds = [attempt.seconds for attempt in attempts(found, 9.0, lambda: next(clock))]
    assert seconds == [3.0, 3.0, 6.0]
    assert [attempt.seconds for attempt in attempts([entry("::1")], 1.0, lambda: 5.0)] == [0.0]


def test_number_of_addresses_is_bounded() -> None:
    """Whoever answers for a name does not decide how long we try; other families are passed over."""
    found = [entry(f"127.0.0.{number}") for number in range(100)]
    assert len(list(attempts(found, 1.0, lambda: 0.0))) == ADDRESS_LIMIT
    assert list(attempts([(socket.AF_UNIX, 1, 0, "", (1, b""))], 1.0, lambda: 0.0)) == []


def test_failure_names_what_was_tried() -> None:
    """One address: its own error, and whose it is; several: each; only silence: a deadline."""
    refused = ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('127.0.0.1', 25)")
    one = unreached("x", 25, 1.0, [("127.0.0.1", refused)])
    assert isinstance(one, ConnectionRefusedError)
    assert (one.strerror, one.filename) == ("Connection refused", "x port 25")
    assert str(one) == "[Errno 111] Connection refused: 'x port 25'"
    both = unreached("x", 25, 1.0, [("127.0.0.1", refused), ("::1", TimeoutError())])
    assert isinstance(both, OSError) and "127.0.0.1: Connection refused; ::1: no answer in time" in str(both)
    assert both.filename == "x port 25"
    assert isinstance(unreached("x", 25, 1.0, [("::1", TimeoutError())] * 2), DeadlineExceeded)
    nothing = unreached("x", 25, 1.0, [])
    assert isinstance(nothing, OSError) and "the name has none" in str(nothing)
