"""A post: one place for one worker process, filled again when its process dies.

SECURITY: between the fork and the entry point, in this order: signals are reset, every descriptor that the role has no
use for is closed, the role's code is imported, the account is changed (``privileges``), new privileges are ruled out.
Only then does code of the role run. A worker that cannot do one of these ends.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, final

from gatepost.config.schema import Config
from gatepost.observe import logs
from gatepost.observe.shared import BoundListener, Shared
from gatepost.serve import privileges
from gatepost.serve.roles import Role

HANDLED: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)

_STEADY_SECONDS: Final = 10.0
"""A process that lived this long has not failed fast: its post starts counting again."""
_FIRST_DELAY: Final = 0.1
_LONGEST_DELAY: Final = 5.0
_FAILURES_BEFORE_ALARM: Final = 10
_ALARM_DELAY: Final = 30.0

_SOFTWARE_ERROR: Final = 70  # sysexits(3): EX_SOFTWARE
_CANNOT_BEGIN: Final = 77  # sysexits(3): EX_NOPERM


@final
@dataclass(slots=True)
class Post:
    """One worker's place. Times named ``_at`` are of the monotonic clock, ``since`` is of the calendar.

    :param slot: its row in the shared counters; kept over restarts.
    :param restarts: how often its process was replaced after it died.
    :param failures: how many of them died fast, in a row.
    """

    role: Role
    index: int
    slot: int
    generation: int
    pid: int | None = None
    since: float = 0.0
    born_at: float = 0.0
    restarts: int = 0
    failures: int = 0
    start_at: float | None = None
    ready: bool = False
    draining: bool = False
    retiring: bool = False  # draining, with sessions that may take their time
    kill_at: float | None = None

    @property
    def name(self) -> str:
        """``mx/0``."""
        return f"{self.role.name}/{self.index}"

    @property
    def state(self) -> str:
        """In one word, for ``gatepost status``."""
        if self.pid is None:
            return "waiting"
        if self.draining:
            return "retiring" if self.retiring else "draining"
        return "running" if self.ready else "starting"

    def died(self, now: float) -> float:
        """Note the death of its process; returns after how many seconds the next one is started."""
        fast = now - self.born_at < _STEADY_SECONDS
        self.failures = self.failures + 1 if fast else 0
        self.pid, self.ready = None, False
        self.restarts += 1
        if self.failures >= _FAILURES_BEFORE_ALARM:
            delay = _ALARM_DELAY
        else:
            delay = min(_FIRST_DELAY * 2 ** max(0, self.failures - 1), _LONGEST_DELAY)
        self.start_at = now + delay
        return delay

    @property
    def alarming(self) -> bool:
        """Whether it died fast so often that somebody has to look."""
        return self.failures >= _FAILURES_BEFORE_ALARM

    def signal(self, number: signal.Signals) -> None:
        """Send its process a signal, when it has one."""
        if self.pid is not None:
            os.kill(self.pid, number)


@final
@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a new worker needs besides its post.

    :param close_others: closes, in the worker, what only the supervisor or another role uses.
    """

    config: Config
    account: privileges.Account
    shared: Shared
    listeners: tuple[BoundListener, ...]
    close_others: Callable[[Iterable[BoundListener]], None]


def start(post: Post, around: Surroundings) -> None:
    """Fork the post's next process. In the worker this does not return."""
    mine = [each for each in around.listeners if each.settings.trade in post.role.trades]
    supervisor = os.getpid()
    pid = fork(lambda: _live(post, around, mine, supervisor))
    post.pid, post.since, post.born_at = pid, time.time(), time.monotonic()
    post.start_at, post.ready = None, False


def fork(live: Callable[[], int | None]) -> int:
    """Fork a process that calls ``live`` and exits with what it returns (None: 0). Returns its process id.

    The supervisor's signals are held back until the new process has let go of its handlers: one that came between would
    be written to the supervisor's own wake-up descriptor.
    """
    sys.stdout.flush()
    logs.flush()
    held = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    try:
        pid = os.fork()
        if pid:
            return pid
        code = _SOFTWARE_ERROR
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            # A terminal sends these to the whole group: the supervisor alone decides.
            for number in (signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            code = live() or 0
        except SystemExit as ending:
            code = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
        except BaseException as error:  # noqa: BLE001 - the process ends here; the supervisor starts another
            logs.failure("worker.failed", error)
        finally:
            logs.flush(wait=1.0)
            os._exit(code)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


def run_apart(live: Callable[[], int | None]) -> int:
    """Run ``live`` in a child process and wait for it. Returns its exit code, negative for a signal."""
    _, status = os.waitpid(fork(live), 0)
    return os.waitstatus_to_exitcode(status)


def _live(post: Post, around: Surroundings, mine: Sequence[BoundListener], supervisor: int) -> int:
    shared = around.shared.for_worker(post.role.name, post.index, post.slot)
    dropped = shared.counters.index("log_lines_dropped_total")
    logs.identify(post.name, drop_counter=lambda lines: shared.counters.add(dropped, lines))
    try:
        privileges.name_process(f"gatepost {post.name}")
        around.close_others(mine)
        os.umask(0o077)
        entry = post.role.load()
        privileges.drop(around.account)
        privileges.confine(supervisor)
    except OSError as error:
        logs.failure("worker.cannot-begin", error)
        return _CANNOT_BEGIN
    entry(post.role.name, mine, around.config, shared)
    return 0
