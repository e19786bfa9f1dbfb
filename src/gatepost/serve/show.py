"""The role ``metrics``: the metrics page behind the supervisor's one signature.

SECURITY: as ``gatepost.observe.page``, which this module imports and calls; it opens nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from gatepost.config.schema import Config
from gatepost.observe.page import run
from gatepost.observe.shared import BoundListener, Shared


def enter(role: str, listeners: Sequence[BoundListener], config: Config, shared: Shared) -> None:
    """Run the metrics page on its listening sockets."""
    run([sock for listener in listeners for sock in listener.sockets], shared)
