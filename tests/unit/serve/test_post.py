"""A post: how long it waits before it is filled again, and when it raises the alarm."""

from __future__ import annotations

import os
import signal

from gatepost.serve.post import Post, fork, run_apart
from gatepost.serve.roles import ROLES


def _post() -> Post:
    return Post(ROLES[0], 0, 1, 1)


def test_delays_grow_while_it_dies_fast() -> None:
    """Ten times a second would help nobody: the delay doubles up to five seconds."""
    post = _post()
    delays = []
    for _ in range(9):
        post.pid, post.born_at = 1, 100.0
        delays.append(post.died(100.5))
    assert delays == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]
    assert not post.alarming


def test_tenth_fast_death_is_alarming_and_waits_long() -> None:
    """Then somebody has to look, and meanwhile it is tried slowly."""
    post = _post()
    for _ in range(10):
        post.pid, post.born_at = 1, 100.0
        delay = post.died(100.5)
    assert (post.alarming, delay) == (True, 30.0)


def test_steady_life_forgives_earlier_deaths() -> None:
    """A process that served for a while is replaced at once."""
    post = _post()
    for _ in range(10):
        post.pid, post.born_at = 1, 100.0
        post.died(100.5)
    post.born_at = 200.0
    assert post.died(300.0) == 0.1
    assert not post.alarming


def test_child_exits_with_what_it_returns() -> None:
    """The exit code is the function's, of an exception 70, of SystemExit its own."""

    def fail() -> int:
        raise ValueError("x")

    def leave() -> int:
        raise SystemExit(5)

    assert [run_apart(live) for live in (lambda: None, lambda: 3, fail, leave)] == [0, 3, 70, 5]


def test_child_lets_go_of_the_handlers_of_its_parent() -> None:
    """SIGTERM ends a new process even where the supervisor handles it."""
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        pid = fork(signal.pause)
        os.kill(pid, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGTERM
    finally:
        signal.signal(signal.SIGTERM, before)
