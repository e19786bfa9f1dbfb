"""What one address may use, over several processes' rows of one table."""

import mmap

import pytest

from gatepost.config.schema import Limits as Settings
from gatepost.service.limits import SIZE, Limits, clear_open


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def memory() -> mmap.mmap:
    return mmap.mmap(-1, SIZE)


def view(memory: mmap.mmap, slot: int = 1, clock: Clock | None = None, **settings: object) -> Limits:
    return Limits(Settings.model_validate(settings), memory, slot, clock=clock or Clock())


def test_limit_on_connections_counts_all_processes(memory: mmap.mmap) -> None:
    """A client cannot have more connections by reaching another process."""
    one, two = (view(memory, slot, connections_per_address=2) for slot in (1, 2))
    assert one.connect("192.0.2.1", 0) is None
    assert two.connect("192.0.2.1", 0) is None
    for refused in (one.connect("192.0.2.1", 0), two.connect("192.0.2.1", 0)):
        assert refused is not None
        assert refused.reply.code == 421
    assert one.connect("192.0.2.2", 0) is None


def test_limit_on_connections_is_given_back(memory: mmap.mmap) -> None:
    """A connection that ended makes room for another."""
    limits = view(memory, connections_per_address=1)
    assert limits.connect("192.0.2.1", 0) is None
    limits.disconnect("192.0.2.1", 0)
    assert limits.connect("192.0.2.1", 0) is None


def test_limit_on_all_connections_spares_nobody(memory: mmap.mmap) -> None:
    """An exempt address is free of the limits per address, never of the total."""
    limits = view(memory, connections=1)
    assert limits.connect("127.0.0.1", 3) is None
    refused = limits.connect("127.0.0.1", 3)
    assert refused is not None
    assert refused.reason == "limit"


def test_exempt_addresses_are_free_of_limits_by_address(memory: mmap.mmap) -> None:
    """Loopback is exempt by default, its neighbour is not."""
    limits = view(memory, connections_per_address=1, message_rate_per_address=1)
    for _ in range(5):
        assert limits.connect("127.0.0.1", 0) is None
        assert limits.message("127.0.0.1")
    assert limits.message("127.0.0.2")
    assert not limits.message("127.0.0.2")


def test_account_of_this_machine_leaves_room_for_the_others(memory: mmap.mmap) -> None:
    """Half of what there is, in whichever process; another account has the other half, and what ended is given back."""
    one, two = (view(memory, slot, connections=4) for slot in (1, 2))
    assert one.connect("local", 2, 1000) is None
    assert two.connect("local", 2, 1000) is None
    for refused in (one.connect("local", 2, 1000), two.connect("local", 2, 1000)):
        assert refused is not None
        assert str(refused.reply) == "421 4.7.0 Too many connections of your account"
    assert one.connect("local", 2, 0) is None
    two.disconnect("local", 2, 1000)
    assert one.connect("local", 2, 1000) is None
    assert view(mmap.mmap(-1, SIZE), connections=1).connect("local", 0, 1000) is None


def test_limit_on_rate_forgets_after_its_minute(memory: mmap.mmap) -> None:
    """A rate counts within a minute, in whichever process."""
    clock = Clock()
    one, two = (view(memory, slot, clock, connection_rate_per_address=2) for slot in (1, 2))
    for limits in (one, two):
        assert limits.connect("192.0.2.1", 0) is None
        limits.disconnect("192.0.2.1", 0)
    refused = one.connect("192.0.2.1", 0)
    assert refused is not None
    assert refused.reason == "address_rate"
    clock.now += 60
    assert one.connect("192.0.2.1", 0) is None


def test_failed_logins_add_up_over_every_mark_of_the_clock(memory: mmap.mmap) -> None:
    """No moment of the hour forgets all guesses: the memory begins with the first of them."""
    clock = Clock()
    clock.now = 600.0 * 5000 - 1
    limits = view(memory, 1, clock, auth_failures=1)
    assert limits.login_failed("192.0.2.1") == 1.0
    clock.now += 2
    assert limits.login_failed("192.0.2.1") == 2.0


def test_clock_that_is_set_back_locks_nobody_out(memory: mmap.mmap) -> None:
    """What was counted in a future that is gone is forgotten."""
    clock = Clock()
    limits = view(memory, 1, clock, message_rate_per_address=1)
    assert limits.message("192.0.2.1")
    clock.now -= 5000
    assert limits.message("192.0.2.1")
    assert not limits.message("192.0.2.1")


def test_limit_counts_an_ipv6_customer_as_one(memory: mmap.mmap) -> None:
    """Addresses of one /64 share their limits; an IPv4-mapped address is the IPv4 address."""
    limits = view(memory, message_rate_per_address=1)
    assert limits.message("2001:db8::1")
    assert not limits.message("2001:db8::ffff")
    assert limits.message("2001:db8:0:1::1")
    assert limits.message("192.0.2.9")
    assert not limits.message("::ffff:192.0.2.9")


def test_failed_logins_wait_longer_each_time(memory: mmap.mmap) -> None:
    """Guessing gets slower, up to a bound, and is forgotten in the end."""
    clock = Clock()
    limits = view(memory, 1, clock, auth_failures=3)
    delays = [limits.login_failed("192.0.2.1") for _ in range(12)]
    assert delays[:5] == [0.0, 0.0, 1.0, 2.0, 4.0]
    assert delays[-1] == 60.0
    assert limits.login_delay("192.0.2.2") == 0.0
    clock.now += 600
    assert limits.login_delay("192.0.2.1") == 0.0


def test_row_of_a_dead_worker_is_cleared(memory: mmap.mmap) -> None:
    """Connections of a process that was killed do not count for ever."""
    dead = view(memory, 2, connections_per_address=1, connections=1)
    assert dead.connect("192.0.2.1", 0) is None
    living = view(memory, 1, connections_per_address=1, connections=1)
    assert living.connect("192.0.2.1", 0) is not None
    clear_open(memory, 2)
    assert living.connect("192.0.2.1", 0) is None
