"""What is wrong with a configuration: a key, and words."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

Key: TypeAlias = tuple[str | int, ...]


class Problem(NamedTuple):
    """One thing that is wrong: where, and what."""

    key: Key
    text: str
