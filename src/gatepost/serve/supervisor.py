"""The supervisor: binds, makes the TLS contexts, forks the workers, keeps them running, replaces them, ends them.

One thread, one ``select`` loop, no event loop of asyncio and no database, before or after a fork.

SECURITY: runs with the rights it was started with, root where ports below 1024 or a root-only key ask for it. It reads
the configuration, the certificates and keys, and requests on the control socket (mode 0600, peer checked); from the
network it reads nothing: it holds the listening sockets and never accepts. It writes the data directory's lock, its
first certificate and the control socket. Workers can tell it one thing, that they are ready, and can ring the doorbell.
"""

from __future__ import annotations

import contextlib
import gc
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final, final

from gatepost.certs.watch import POLL_SECONDS
from gatepost.config.schema import Config
from gatepost.errors import ConfigError, GatepostError
from gatepost.observe import logs
from gatepost.observe.logs import event
from gatepost.observe.shared import BoundListener, Shared, new_shared
from gatepost.serve import privileges
from gatepost.serve.bindings import Bindings, Plan
from gatepost.serve.control import SOCKET_NAME, Connection, ControlSocket
from gatepost.serve.generation import Generation, Slots, plan_posts
from gatepost.serve.inquiry import Inquiries
from gatepost.serve.lock import DataLock
from gatepost.serve.post import HANDLED, Surroundings
from gatepost.serve.preparation import Prepared, forget_slot, prepare, prepare_shared, refuse_fixed
from gatepost.serve.replacement import Replacement
from gatepost.serve.roles import METRICS_LISTENER, ROLES, Role
from gatepost.serve.status import describe
from gatepost.serve.systemd import Notifier, passed_sockets

_LONGEST_SLEEP: Final = 60.0
_START_PATIENCE: Final = 15.0
_KILL_PATIENCE: Final = 5.0
_START_FAILURES: Final = 3
_SOFTWARE_ERROR: Final = 70  # sysexits(3): EX_SOFTWARE


@final
@dataclass(slots=True)
class _Transition:
    """A generation that has been forked and is not in force yet: at the start, or during a reload."""

    generation: Generation
    plan: Plan
    deadline: float
    waiting: list[Connection] = field(default_factory=list)


@final
@dataclass(frozen=True, slots=True)
class Parts:
    """What the supervisor is put together from; tests put in their own."""

    roles: Sequence[Role] = ROLES
    prepare: Callable[[Config], Prepared] = prepare
    prepare_shared: Callable[[Shared], None] = prepare_shared
    forget_slot: Callable[[Shared, int], None] = forget_slot
    certificate_poll: float = POLL_SECONDS


@final
class Supervisor:
    """Runs a server until it is told to stop.

    :param config: the configuration to start with; its data directory exists.
    :param load: reads the configuration again, for a reload.
    :param lock: of its data directory, held.
    :param started: called once, when the server serves, with its listeners.
    :raises GatepostError: from the constructor, when the server cannot start: what is wrong and what to do.
    """

    def __init__(
        self,
        config: Config,
        load: Callable[[], Config],
        *,
        lock: DataLock,
        parts: Parts | None = None,
        started: Callable[[Sequence[BoundListener]], None] = lambda listeners: None,
    ) -> None:
        self._parts = parts or Parts()
        self._load = load
        self._started = started
        self._notifier = Notifier()
        self.started_at = time.time()
        self._selector = selectors.DefaultSelector()
        self._slots = Slots()
        self._draining: list[Generation] = []
        self._current: Generation | None = None
        self._transition: _Transition | None = None
        self._reload_again = False
        self._stop_deadline: float | None = None
        self._next_watchdog = 0.0
        self.replacement = Replacement(self._parts.certificate_poll)
        self._lock = lock
        self._numbers = count(1)
        self._exit_code = 0
        self._wakeup_read, self._wakeup_write = socket.socketpair()
        self._bindings = Bindings(passed_sockets())
        try:
            self.shared = new_shared(started_at=self.started_at)
            self._parts.prepare_shared(self.shared)
            self._inquiries = Inquiries()
            prepared = self._parts.prepare(config)
            plan = self._bindings.plan(config)
            self._transition = self._begin(prepared, plan)
            self._control = ControlSocket(config.runtime / SOCKET_NAME, self._selector, self._asked)
        except OSError as error:
            self._give_up()
            path = config.runtime / SOCKET_NAME
            raise ConfigError(f"cannot make {path}: {error.strerror or error}", hint="set run_directory") from error
        except BaseException:
            self._give_up()
            raise

    def _give_up(self) -> None:
        self._lock.close()
        self._bindings.stop()
        self._notifier.close()
        for sock in (self._wakeup_read, self._wakeup_write):
            sock.close()
        self._selector.close()

    # -- the loop

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT, and drain. Returns the exit code."""
        self._wakeup_read.setblocking(False)
        self._wakeup_write.setblocking(False)
        before = {number: signal.signal(number, lambda *_: None) for number in HANDLED}
        woken = signal.set_wakeup_fd(self._wakeup_write.fileno(), warn_on_full_buffer=False)
        self._selector.register(self._wakeup_read, selectors.EVENT_READ, self._signalled)
        self._selector.register(self.shared.notes, selectors.EVENT_READ, self._noted)
        privileges.preload()
        try:
            while True:
                timeout = self._tick()
                if self._ended():
                    break
                for key, _ in self._selector.select(timeout):
                    self._call(key.data)
        finally:
            signal.set_wakeup_fd(woken)
            for number, handler in before.items():
                signal.signal(number, handler)
            self._kill_all()
            self._control.close()
            self._give_up()
            event("server.stopped")
            logs.flush(wait=1.0)
        return self._exit_code

    def _call(self, handler: Callable[[], None]) -> None:
        try:
            handler()
        except Exception as error:  # noqa: BLE001 - whatever one request meets, the workers are looked after
            logs.failure("server.error", error)

    def _ended(self) -> bool:
        return self._stop_deadline is not None and not any(True for _ in self._posts())

    def _tick(self) -> float:
        """Do what is due; returns how long the loop may sleep."""
        now = time.monotonic()
        deadlines: list[float] = [now + _LONGEST_SLEEP]
        for generation in self._generations():
            generation.start_due(now)
            generation.kill_overdue(now)
            generation.settled(now)
        self._retire_empty()
        self._settle(now)
        self._finish_stop(now)
        renewal = self._renew(now)  # before the deadlines: a generation that it puts up has workers that are due
        for generation in self._generations():
            deadlines.extend(generation.deadlines())
        if self._transition is not None:
            deadlines.append(self._transition.deadline)
        for each in (self._control.expire(now), self._inquiries.expire(now), self._watchdog(now), renewal):
            if each is not None:
                deadlines.append(each)
        self._gauge()
        logs.flush()
        return max(0.0, min(deadlines) - time.monotonic())

    def _watchdog(self, now: float) -> float | None:
        interval = self._notifier.watchdog_seconds
        if interval is None:
            return None
        if now >= self._next_watchdog:
            self._notifier.watchdog()
            self._next_watchdog = now + interval
        return self._next_watchdog

    def _signalled(self) -> None:
        try:
            numbers = set(self._wakeup_read.recv(4096))
        except BlockingIOError:
            return
        self._reap()
        if signal.SIGTERM in numbers or signal.SIGINT in numbers:
            if self._stop_deadline is not None and signal.SIGINT in numbers:
                self._hurry()
            self._stop()
        elif signal.SIGHUP in numbers:
            self._reload(None)

    def _noted(self) -> None:
        slots = set(self.shared.notes.receive())
        for post, _ in self._posts():
            if post.slot in slots and post.pid is not None:
                post.ready = True

    # -- generations

    def _generations(self) -> list[Generation]:
        found = [self._transition.generation] if self._transition is not None else []
        if self._current is not None:
            found.append(self._current)
        return found + self._draining

    def _posts(self) -> Iterable[tuple[Any, Generation]]:
        for generation in self._generations():
            for post in generation.posts:
                yield post, generation

    def _begin(self, prepared: Prepared, plan: Plan) -> _Transition:
        """Put a generation up. Its workers are forked by the next turn of the loop."""
        number = next(self._numbers)
        try:
            posts = plan_posts(self._parts.roles, prepared, plan.listeners, self._slots, number)
        except GatepostError:
            plan.abandon()
            raise
        plan.adopt()
        for role in {post.role for post in posts if post.role.preload}:
            # Imported here, a module is in memory once for all workers. A worker that cannot import it says so.
            with contextlib.suppress(ImportError, AttributeError):
                role.load()
        self.shared.counters.learn_listeners([each.name for each in plan.listeners if each.name != METRICS_LISTENER])
        self.shared.counters.learn_backends([each.name for each in prepared.config.backend])
        shared = self.shared.with_contexts(prepared.contexts, prepared.facts, prepared.variants, prepared.client_files)
        around = Surroundings(prepared.config, prepared.account, shared, plan.listeners, self._close_in_worker)
        gc.unfreeze()
        gc.collect()
        gc.freeze()  # a collection in a worker would otherwise write to every page that it shares with the others
        generation = Generation(number, prepared, shared, plan.listeners, posts, around)
        return _Transition(generation, plan, time.monotonic() + _START_PATIENCE)

    def _settle(self, now: float) -> None:
        """Put a generation in force when its workers serve."""
        transition = self._transition
        if transition is None or self._stop_deadline is not None:
            return
        settled = transition.generation.settled(now)
        if not settled and now < transition.deadline:
            return
        if not settled and self._current is not None:
            self._withdraw("its workers were not ready in time")
            return
        self._transition = None
        old, self._current = self._current, transition.generation
        if old is not None:
            old.retire(now, old.prepared.config.drain_seconds)
            self._draining.append(old)
        transition.plan.commit()
        self._announce(transition, first=old is None)

    def _announce(self, transition: _Transition, *, first: bool) -> None:
        generation = transition.generation
        self._notifier.ready(f"serving on {len(generation.listeners)} listeners, {len(generation.posts)} processes")
        if first:
            event("server.started", listeners=len(generation.listeners), processes=len(generation.posts))
            self._started(generation.listeners)
            return
        self.replacement.accepted()
        self.shared.counters.count("reloads_total", result="ok")
        event("server.reloaded", "notice", generation=generation.number, config=generation.prepared.config.source)
        for connection in transition.waiting:
            connection.answer({"ok": True, "generation": generation.number})
        if self._reload_again:
            self._reload_again = False
            self._reload(None)

    def _withdraw(self, reason: str) -> None:
        """The new generation of a reload does not serve: keep the old one."""
        transition, self._transition = self._transition, None
        if transition is None:
            return
        transition.plan.abandon()
        transition.generation.drain(time.monotonic(), 0.0)
        self._draining.append(transition.generation)
        self.replacement.interrupted(time.monotonic())
        self._reload_failed(
            ConfigError(reason, hint="see the log; the earlier configuration stays"), transition.waiting
        )

    def _renew(self, now: float) -> float | None:
        """Take up certificates whose files were replaced: a reload of what is configured as it was read before."""
        if self._current is None or self._transition is not None or self._stop_deadline is not None:
            return None
        if self.replacement.due(self._current.prepared, now):
            self._reload(None, self._current.prepared.config)
        return self.replacement.next_at

    def _reload(self, connection: Connection | None, config: Config | None = None) -> None:
        if self._stop_deadline is not None or self._current is None or self._transition is not None:
            if connection is not None:
                why = "the server is stopping" if self._stop_deadline is not None else "a reload is already under way"
                connection.answer({"ok": False, "error": why})
            else:
                self._reload_again = self._stop_deadline is None
            return
        waiting = [connection] if connection is not None else []
        self._notifier.reloading()
        try:
            config = config or self._load()
            refuse_fixed(self._current.prepared.config, config)
            prepared = self._parts.prepare(config)
            plan = self._bindings.plan(config)
            transition = self._begin(prepared, plan)
        except GatepostError as error:
            self._reload_failed(error, waiting)
            return
        except Exception as error:  # noqa: BLE001 - whatever a reload meets, the server goes on
            logs.failure("server.reload-error", error)
            self._reload_failed(ConfigError(f"{type(error).__name__}: {error}"), waiting)
            return
        logs.setup(config.log)
        transition.waiting = waiting
        self._transition = transition

    def _reload_failed(self, error: GatepostError, waiting: Sequence[Connection]) -> None:
        problems = list(getattr(error, "problems", ()))
        self.shared.counters.count("reloads_total", result="failed")
        event(
            "server.reload-refused",
            "error",
            reason=error.message,
            hint=error.hint or None,
            problems=len(problems) or None,
        )
        self.replacement.refused(error, time.monotonic())
        self._notifier.ready("serving; the last reload was refused, see the log")
        for connection in waiting:
            connection.answer({"ok": False, "error": error.message, "hint": error.hint, "problems": problems})

    # -- workers that end

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if self._inquiries.ended(pid):
                continue
            self._worker_ended(pid, os.waitstatus_to_exitcode(status))

    def _worker_ended(self, pid: int, code: int) -> None:
        found = next(((post, generation) for post, generation in self._posts() if post.pid == pid), None)
        if found is None:
            return
        post, generation = found
        now = time.monotonic()
        lived = now - post.born_at
        how: Mapping[str, Any] = {"signal": signal.Signals(-code).name} if code < 0 else {"exit": code}
        if post.draining:
            event("worker.ended", worker=post.name, worker_pid=pid, seconds=lived, **how)
            post.pid = None
            return
        self.shared.counters.for_slot(post.slot).clear_gauges()
        self.shared.counters.count("worker_restarts_total", role=post.role.name)
        delay = post.died(now)
        severity = "critical" if post.alarming else "error"
        event("worker.died", severity, worker=post.name, worker_pid=pid, seconds=lived, retry_in=delay, **how)
        if post.alarming:
            event("worker.failing", "critical", worker=post.name, deaths=post.failures, retry_in=delay)
            self._notifier.status(f"{post.name} died {post.failures} times in a row, see the log")
        if self._transition is None or generation is not self._transition.generation:
            return
        if self._current is not None:
            self._withdraw(f"{post.name} of the new configuration ended at once")
        elif post.failures >= _START_FAILURES:
            event(
                "server.not-started", "critical", reason=f"{post.name} died {post.failures} times; see the lines above"
            )
            self._exit_code = _SOFTWARE_ERROR
            self._stop()

    # -- the end

    def _stop(self) -> None:
        if self._stop_deadline is not None:
            return
        now = time.monotonic()
        generation = self._current or (self._transition.generation if self._transition is not None else None)
        seconds = generation.prepared.config.drain_seconds if generation is not None else 0.0
        self._stop_deadline = now + seconds
        self._notifier.stopping(f"draining, at most {seconds:g} s")
        self._notifier.extend(seconds + _KILL_PATIENCE)
        event("server.draining", seconds=seconds)
        if self._transition is not None:
            for connection in self._transition.waiting:
                connection.answer({"ok": False, "error": "the server is stopping"})
        for each in self._generations():
            each.drain(now, seconds, which=lambda role: not role.last)
        self._bindings.stop(keep=_metrics_socket(generation))

    def _finish_stop(self, now: float) -> None:
        """Once the others have ended, end the roles that tell of them."""
        if self._stop_deadline is None:
            return
        if all(post.role.last for post, _ in self._posts()):
            for generation in self._generations():
                generation.drain(now, _KILL_PATIENCE)
            self._retire_empty()

    def _retire_empty(self) -> None:
        """Give up the posts that have no process and will have none."""
        for post, generation in list(self._posts()):
            if post.draining and post.pid is None:
                generation.posts.remove(post)
                self.shared.counters.for_slot(post.slot).clear_gauges()
                self._parts.forget_slot(self.shared, post.slot)
                self._slots.give_back(post.slot)
        self._draining = [each for each in self._draining if each.posts]

    def _hurry(self) -> None:
        """Asked twice at a terminal: do not wait for sessions."""
        now = time.monotonic()
        for post, _ in self._posts():
            post.kill_at = now

    def _kill_all(self) -> None:
        for post, _ in self._posts():
            with contextlib.suppress(ProcessLookupError):
                post.signal(signal.SIGKILL)

    # -- what is asked, what is shown

    def _asked(self, connection: Connection, command: str, message: Mapping[str, Any]) -> None:
        generation = self._current or (self._transition.generation if self._transition is not None else None)
        if generation is None:
            connection.answer({"ok": False, "error": "the server is starting"})
        elif command == "reload":
            self._reload(connection)
        elif command == "status":
            self._inquiries.ask(connection, message, generation, describe(self), self._close_in_inquiry)
        elif command == "queue-wake":
            self.shared.doorbell.ring()
            connection.answer({"ok": True})
        elif command.startswith("queue-"):
            self._inquiries.ask(connection, message, generation, {"ok": True}, self._close_in_inquiry)
        else:
            connection.answer({"ok": False, "error": f"there is no command {logs.quote(command)}"})

    @property
    def state(self) -> str:
        """In one word."""
        if self._stop_deadline is not None:
            return "draining"
        if self._current is None:
            return "starting"
        return "reloading" if self._transition is not None else "running"

    @property
    def current(self) -> Generation | None:
        """The generation in force, or the first one while it starts."""
        return self._current or (self._transition.generation if self._transition is not None else None)

    @property
    def generations(self) -> Sequence[Generation]:
        """All that have processes."""
        return self._generations()

    def _gauge(self) -> None:
        counters = self.shared.counters
        running: dict[str, int] = dict.fromkeys((role.name for role in self._parts.roles), 0)
        for post, _ in self._posts():
            running[post.role.name] = running.get(post.role.name, 0) + (post.pid is not None and not post.draining)
        for role, number in running.items():
            counters.put(counters.index("worker_processes", role=role), number)
        serving = self.state in ("running", "reloading") and self._current is not None
        healthy = serving and all(post.pid is not None for post in self._current.posts) if self._current else False
        counters.put(counters.index("ready"), int(healthy))

    # -- after a fork

    def _close_in_worker(self, keep: Iterable[BoundListener]) -> None:
        self._bindings.close_except(keep)
        self._control.close_in_worker()
        self._close_own()
        self.shared.notes.keep_writing_end()

    def _close_in_inquiry(self, connection: Connection) -> None:
        self._bindings.close_except(())
        self._control.close_in_worker(keep=connection)
        self._close_own()

    def _close_own(self) -> None:
        self._selector.close()
        self._lock.close()
        self._notifier.close()
        self._wakeup_read.close()
        self._wakeup_write.close()


def _metrics_socket(generation: Generation | None) -> socket.socket | None:
    if generation is None:
        return None
    return next((each.sockets[0] for each in generation.listeners if each.name == METRICS_LISTENER), None)
