"""Versions of the record format, and how what an older one wrote becomes what this one reads.

The major number rises when the meaning of a key changes or a key goes; each major number that was ever released has a
conversion to its successor in ``CONVERSIONS``, so that every old file stays readable. The minor number rises when keys
or events are added: a reader passes over what it does not know of a newer minor version, and refuses a newer major one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from gatepost.record.errors import RecordError


class Version(NamedTuple):
    """A version of the format."""

    major: int
    minor: int = 0

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


CURRENT: Final = Version(1, 0)

Conversion: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]
CONVERSIONS: Final[Mapping[int, Conversion]] = {}
"""From a major version to the next: each takes one event as it was written and returns it as its successor does."""


def convert(
    document: dict[str, Any],
    written: Version,
    *,
    conversions: Mapping[int, Conversion] = CONVERSIONS,
    current: Version = CURRENT,
) -> dict[str, Any]:
    """Bring one event to the current major version.

    :param document: the event as JSON has it.
    :param written: the version that wrote it.
    :raises RecordError: when that version is newer than ours, or was never released.
    """
    if written.major > current.major:
        raise RecordError(
            f"the record has format {written}, and this gatepost reads up to {current.major}",
            hint="read it with the gatepost that wrote it, or a newer one",
        )
    for major in range(written.major, current.major):
        if major not in conversions:
            raise RecordError(f"there never was a record format {written}")
        document = conversions[major](document)
    return document
