"""The embedded backend: SQLite."""

from gatepost.store.sqlite.faults import StoreFault
from gatepost.store.sqlite.queue import SQLiteQueue

__all__ = ["SQLiteQueue", "StoreFault"]
