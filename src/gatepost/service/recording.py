"""The recorder of one process, where its listeners are recorded."""

from __future__ import annotations

import asyncio

from gatepost.config.schema import Config
from gatepost.errors import GatepostError
from gatepost.observe import logs
from gatepost.observe.metrics import Counters
from gatepost.record.configured import plan_of, rules_of
from gatepost.record.recorder import Recorder


def recorder_of(loop: asyncio.AbstractEventLoop, config: Config, counters: Counters, role: str) -> Recorder | None:
    """The recorder; None where its directory cannot be used, which is told in the log and stops no mail.

    :param role: of the process, for the names of files.
    """
    plan = plan_of(config)
    try:
        return Recorder(plan, rules_of(config), role, counters, loop)
    except OSError as error:
        reason = error.strerror or str(error)
    except GatepostError as error:
        reason = error.message
    logs.event("record.off", "error", reason=reason, directory=str(plan.directory))
    return None
