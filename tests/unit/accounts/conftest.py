"""A store on disk, and verifiers weak enough for tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gatepost.accounts.passwords import Strength
from gatepost.store.sqlite.accounts import SQLiteAccountStore

WEAK = Strength(memory=64, passes=1, lanes=1, iterations=4096)


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The store's clock."""
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[SQLiteAccountStore]:
    """An empty store."""
    store = SQLiteAccountStore(tmp_path / "accounts.db", clock=clock)
    yield store
    store.close()


@pytest.fixture
def weak() -> Strength:
    """Verifiers that cost next to nothing."""
    return WEAK
