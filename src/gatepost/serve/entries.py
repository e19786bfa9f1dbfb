"""Entry points that need an adapter between the supervisor's one signature and their own.

SECURITY: each import happens in the worker, so that a role's process holds only the code of its role.
"""

from __future__ import annotations

from collections.abc import Sequence

from gatepost.config.schema import Config
from gatepost.observe.shared import BoundListener, Shared


def deliver(role: str, listeners: Sequence[BoundListener], config: Config, shared: Shared) -> None:
    """Run the delivery worker; it has no listeners."""
    from gatepost.delivery.worker import run

    run(config, shared)


def show_metrics(role: str, listeners: Sequence[BoundListener], config: Config, shared: Shared) -> None:
    """Run the metrics page on its listening socket."""
    from gatepost.observe.page import run

    run([sock for listener in listeners for sock in listener.sockets], shared)
