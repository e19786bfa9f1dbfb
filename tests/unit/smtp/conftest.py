"""A factory of running public servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.unit.smtp.publicserver import Box, Running, handler


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start a server: ``serve(factory, **settings)``."""
    with ExitStack() as running:

        def start(factory: Callable[[], object] | None = None, **settings: Any) -> Running:
            return running.enter_context(Running(factory or handler(), tmp_path, **settings))

        yield start


@pytest.fixture
def box() -> Box:
    return Box()
