"""Both ways to connect, one after the other."""

from __future__ import annotations

import pytest
from tests.unit.connecting.peers import Connect, connect_blocking

import gatepost


@pytest.fixture(params=["asyncio", "blocking"])
def connect(request: pytest.FixtureRequest) -> Connect:
    """``gatepost.connect``, or its blocking twin made awaitable."""
    return gatepost.connect if request.param == "asyncio" else connect_blocking
