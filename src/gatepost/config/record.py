"""The keys of recording: ``[record]`` and what is recorded, ``[[record_rule]]``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import BeforeValidator, Field

from gatepost.config.kinds import AddressEntries, Duration, Name, Size, Switch, Table, one_or_many

Listeners: TypeAlias = Annotated[tuple[Name, ...], Field(min_length=1), BeforeValidator(one_or_many)]


def check_fraction(value: object) -> object:
    """Refuse what is no number.

    :raises ValueError: when it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a number above 0, up to 1")
    return value


Fraction: TypeAlias = Annotated[float, Field(gt=0, le=1), BeforeValidator(check_fraction)]


class Record(Table):
    """Where transcripts of sessions are kept, and for how long; what is recorded, `[[record_rule]]` says."""

    directory: Path | None = Field(
        default=None, description="Directory of the records, for its owner alone; unset: `records` in `data`."
    )
    budget: Size = Field(
        default=1 << 30,
        ge=1 << 24,
        description="What all records may take of the disk. It is never exceeded: the oldest files are removed, and "
        "where that is not enough nothing is recorded.",
    )
    rotate_size: Size = Field(default=1 << 24, ge=1 << 20, description="Size from which on a new file is begun.")
    rotate_every: Duration = Field(
        default=3600.0,
        ge=60,
        le=604800,
        description="Time after which a new file is begun; a finished one is complete.",
    )
    keep: Duration = Field(
        default=1209600.0,
        le=315360000,
        description="Time after which a finished file is removed, room or not; 0: when room is needed.",
    )
    compress: Switch = Field(
        default=False, description="Whether files are compressed (Zstandard). Needs `gatepost[zstd]`, or Python 3.14."
    )


class RecordRule(Table):
    """Sessions that are recorded; the first rule that matches decides everything. Without one nothing is recorded."""

    listeners: Listeners | None = Field(default=None, description="Names of the listeners or gates; unset: every one.")
    addresses: AddressEntries | None = Field(
        default=None, alias="from", description="Addresses of the clients; unset: everybody."
    )
    fraction: Fraction = Field(
        default=1.0, description="How many of the sessions that match are recorded: `0.01` for one of a hundred."
    )
    only_failures: Switch = Field(
        default=False, description="Record those sessions alone in which something was refused or went wrong."
    )
    content: Literal["none", "headers", "full"] = Field(
        default="none",
        description="What is kept of messages: nothing but their size and SHA-256, their headers, or all of them.",
    )
