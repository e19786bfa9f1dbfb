"""What tests of the service share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.service.greylisting_rig import Rig

from gatepost.observe import logs


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A process's greylisting, its log in a file."""
    made = Rig(tmp_path)
    with made.log.open("wb") as out:
        logs.setup(descriptor=out.fileno())
        yield made
        made.close()
        logs.teardown()
