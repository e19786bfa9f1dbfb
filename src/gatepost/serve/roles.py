"""The roles: which processes there are, and what each may read, write and reach. One table.

SECURITY: this table is what ``docs/operating.md`` prints and what the supervisor goes by: a process inherits the
listening sockets of its own role and no others, no control socket, no lock. What a role *opens* is up to its entry
point, which says so in its own module; ``opens`` repeats it for the reader.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final, TypeAlias, final

from gatepost.config.schema import Config
from gatepost.observe.shared import BoundListener, Shared

Entry: TypeAlias = Callable[[str, Sequence[BoundListener], Config, Shared], None]
"""What a worker runs: role name, its listeners, the configuration, what is shared. Returns when it has drained."""

METRICS_LISTENER: Final = "metrics"


@final
@dataclass(frozen=True, slots=True)
class Role:
    """One kind of process.

    :param name: in logs, metrics and ``gatepost status``.
    :param entry: ``module:function``, imported late.
    :param trades: the listeners it serves, by their trade: their protocol, or ``gate``; a role with trades runs only
        when it has a listener.
    :param count: how many processes a configuration asks for.
    :param opens: the databases and directories it opens, in words.
    :param reaches: what it talks to, in words.
    :param preload: whether the supervisor imports the entry before the fork, so that processes share its memory.
    :param sessions: whether a reload lets its sessions end by themselves (SIGUSR1), and does not end it with SIGTERM.
    :param last: whether it is stopped after the others, so that it can still tell of them.
    """

    name: str
    entry: str
    trades: frozenset[str]
    count: Callable[[Config], int]
    opens: str
    reaches: str
    preload: bool = True
    sessions: bool = False
    last: bool = False

    def load(self) -> Entry:
        """Import the entry point.

        :raises ImportError: when the module is not there; AttributeError when the function is not.
        """
        module, _, function = self.entry.partition(":")
        found: Any = getattr(import_module(module), function)
        entry: Entry = found
        return entry


def usable_cores() -> int:
    """How many processors this process may use: its affinity, not what the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _a_core_each(config: Config) -> int:
    return config.workers or usable_cores()


def _one(config: Config) -> int:
    return 1


def _one_where_mail_is(config: Config) -> int:
    return 0 if config.gates_only else 1


def _one_when_asked(config: Config) -> int:
    return 1 if config.metrics.bind else 0


ROLES: Final[tuple[Role, ...]] = (
    Role(
        "mx",
        "gatepost.service.worker:run",
        frozenset({"smtp", "lmtp"}),
        _a_core_each,
        opens="queue.db and queue/bodies (writes), accounts.db and list files of rules (reads); with greylisting "
        "greylist.db (writes) and the country database (reads); with recording files of its own in records (writes)",
        reaches="accepts from its listeners; opens no connection, but asks name servers where a [[greylist_rule]] has "
        "client_names or spf",
        sessions=True,
    ),
    Role(
        "submission",
        "gatepost.service.worker:run",
        # The local socket is there wherever mail is, so this role runs then: what programs of this machine and users
        # send is one trade, and the processes that strangers talk to have no part in it.
        frozenset({"submission", "local"}),
        _one,
        opens="queue.db and queue/bodies (writes), accounts.db and list files of rules (reads); with recording files "
        "of its own in records (writes)",
        reaches="accepts from its listeners and the local socket; opens no connection",
        sessions=True,
    ),
    Role(
        "pop3",
        "gatepost.service.pop3.worker:run",
        frozenset({"pop3"}),
        _one,
        opens="accounts.db (logins), mail (reads, deletes) and list files of rules (reads); never the queue; with "
        "recording files of its own in records (writes)",
        reaches="accepts from its listeners; opens no connection",
        sessions=True,
    ),
    Role(
        "gate",
        "gatepost.service.gate.worker:run",
        frozenset({"gate"}),
        _a_core_each,
        opens="list files of rules (reads); with greylisting greylist.db (writes) and the country database (reads); "
        "never the queue, accounts or mail; with recording files of its own in records (writes)",
        reaches="accepts from its gates; connects to the servers of their backends, by the system's names, and asks "
        "name servers where a [[greylist_rule]] needs them",
        sessions=True,
    ),
    Role(
        "delivery",
        "gatepost.serve.deliver:enter",
        frozenset(),
        _one_where_mail_is,
        opens="queue.db and queue/bodies (writes), accounts.db and list files of rules (reads), mail (writes)",
        reaches="connects to mail servers and name servers; accepts nothing",
    ),
    Role(
        "metrics",
        "gatepost.serve.show:enter",
        frozenset({METRICS_LISTENER}),
        _one_when_asked,
        opens="nothing",
        reaches="accepts on metrics.bind; opens no connection",
        preload=False,
        last=True,
    ),
)
