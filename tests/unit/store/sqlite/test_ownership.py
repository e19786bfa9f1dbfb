"""What root creates belongs to the server's user."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gatepost.store.sqlite import SQLiteQueue


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_store_that_root_creates_belongs_to_the_owner_of_the_data(tmp_path: Path) -> None:
    """A command run by root before the first start leaves nothing that the server cannot open."""
    os.chown(tmp_path, 65534, 65534)
    queue = SQLiteQueue(tmp_path)
    queue.release_owner("nobody")
    found = {path.relative_to(tmp_path).as_posix(): path.stat().st_uid for path in tmp_path.rglob("*")}
    assert {"queue.db", "queue.db-wal", "queue.db-shm", "queue.db-turn", "queue.db-writer", "queue/bodies"} <= set(
        found
    )
    assert set(found.values()) == {65534}, found
    queue.close()
