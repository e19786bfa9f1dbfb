"""``gatepost serve``: from a configuration to a server that runs, in this process.

SECURITY: the order of a start is: directories, lock, what the first start makes, then everything of ``supervisor``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TextIO

from gatepost.config.schema import Config
from gatepost.observe import logs
from gatepost.observe.shared import BoundListener
from gatepost.serve.firststart import first_start, make_directories, welcome
from gatepost.serve.lock import DataLock
from gatepost.serve.post import run_apart
from gatepost.serve.preparation import account_of, exposed_keys
from gatepost.serve.privileges import refuse_unreadable
from gatepost.serve.stores import check_stores
from gatepost.serve.supervisor import Parts, Supervisor


def main(
    config: Config,
    load: Callable[[], Config] | None = None,
    *,
    parts: Parts | None = None,
    out: TextIO | None = None,
) -> int:
    """Run a server until it is told to stop.

    :param config: the configuration to start with.
    :param load: how a reload reads it again, with the same options; by default from the same file.
    :param parts: what the supervisor is put together from; for tests.
    :param out: where a person is told what runs, standard output by default.
    :return: the exit code.
    :raises GatepostError: when the server cannot start: what is wrong and what to do.
    """
    logs.setup(config.log)
    logs.identify("supervisor")
    account = account_of(config)
    if account.warning:
        logs.event("server.warning", "warning", warning=account.warning)
    for warning in exposed_keys(config):
        logs.event("server.warning", "warning", warning=warning)
    make_directories(config, account)
    lock = DataLock(config.data)
    try:
        refuse_unreadable(account, run_apart)
        made = first_start(config, account)
        check_stores(config, account)

        def started(listeners: Sequence[BoundListener]) -> None:
            print(welcome(config, made, listeners), end="", file=out or sys.stdout, flush=True)

        supervisor = Supervisor(config, load or _again(config), lock=lock, parts=parts, started=started)
    except BaseException:
        lock.close()
        raise
    return supervisor.run()


def _again(config: Config) -> Callable[[], Config]:
    def load_again() -> Config:
        from gatepost.config.load import load

        return load(config.source, data=config.data)

    return load_again
