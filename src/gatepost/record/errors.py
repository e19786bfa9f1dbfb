"""What is wrong with a record."""

from __future__ import annotations

from gatepost.errors import GatepostError


class RecordError(GatepostError):
    """A record cannot be read: it is no record, it is damaged, or a newer gatepost wrote it."""
