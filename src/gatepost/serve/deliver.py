"""The role ``delivery``: the delivery worker behind the supervisor's one signature.

SECURITY: as ``gatepost.delivery.worker``, which this module imports and calls.
"""

from __future__ import annotations

from collections.abc import Sequence

from gatepost.config.schema import Config
from gatepost.delivery.worker import run
from gatepost.observe.shared import BoundListener, Shared


def enter(role: str, listeners: Sequence[BoundListener], config: Config, shared: Shared) -> None:
    """Run the delivery worker; it has no listeners."""
    run(config, shared)
