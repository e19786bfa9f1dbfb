"""Questions about the queue, answered from its database. Runs in a short-lived child, never in the supervisor.

SECURITY: opens ``queue.db`` below the data directory, with the workers' account.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any, Final

from gatepost.config.schema import Config

_LIST_LIMIT: Final = 1000


def answer(config: Config, message: Mapping[str, Any]) -> dict[str, Any]:
    """Answer one command: ``status`` and ``queue-counts`` the counts, ``queue-list`` messages, ``queue-show`` one.

    :param message: with ``command``; for ``queue-list`` also ``limit`` and ``after``, for ``queue-show`` also ``id``.
    :raises StoreError: when the database cannot be read.
    """
    from gatepost.store.sqlite.queue import SQLiteQueue

    command = message.get("command")
    if config.gates_only:
        return {} if command == "status" else {"ok": False, "error": "there is no queue: this server has gates only"}
    store = SQLiteQueue(config.data)
    try:
        if command in ("status", "queue-counts"):
            return {"queue": _plain(store.counts())}
        if command == "queue-list":
            limit = min(int(message.get("limit", 100)), _LIST_LIMIT)
            return {"messages": [_plain(each) for each in store.list(limit=limit, after=int(message.get("after", 0)))]}
        if command == "queue-show":
            found = store.show(str(message.get("id", "")))
            return {"message": _plain(found)} if found is not None else {"ok": False, "error": "no such message"}
        return {"ok": False, "error": "the commands are queue-counts, queue-list, queue-show and queue-wake"}
    finally:
        store.close()


def _plain(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
