"""What the keys of recording may not say together, nor of other tables. As in ``combinations``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from gatepost.config.problems import Key, Problem
from gatepost.config.quantities import parse_size
from gatepost.config.rule_combinations import known_listeners, protocols_of, tables_in

_BUDGET: Final = 1 << 30
_ROTATE: Final = 1 << 24


def impossible_recording(tables: Mapping[str, Any]) -> Iterator[Problem]:
    """Every impossible combination in ``[record]`` and ``[[record_rule]]``."""
    found = tables.get("record")
    record: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
    budget, rotate = _size(record.get("budget", _BUDGET)), _size(record.get("rotate_size", _ROTATE))
    if budget is not None and rotate is not None and rotate * 2 > budget:
        yield Problem(
            ("record", "rotate_size"),
            "is more than half of record.budget: room is made by removing whole files, so there must be several",
        )
    protocols = protocols_of(tables)
    everybody = None
    for index, rule in tables_in(tables.get("record_rule")):
        place: Key = ("record_rule", index)
        yield from known_listeners(place, rule, protocols)
        if everybody is not None:
            yield Problem(place, f"decides nothing: record_rule[{everybody}] matches every session before it")
        elif rule.get("listeners") is None and rule.get("from") is None:
            everybody = index


def _size(value: object) -> int | None:
    try:
        return parse_size(value)
    except ValueError:
        return None  # the schema says so
