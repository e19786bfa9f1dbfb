"""How each protocol asks a server how it is: one table, each entry imported when a pool needs it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from gatepost.config.schema import Backend
    from gatepost.service.gate.backends import Probe
    from gatepost.service.gate.link import Link


class _Entry(NamedTuple):
    """Where a protocol's probe is."""

    module: str
    name: str = "probe"


PROBES: Final[Mapping[str, _Entry]] = MappingProxyType(
    {
        "smtp": _Entry("gatepost.service.gate.smtp_probe"),
        "submission": _Entry("gatepost.service.gate.smtp_probe"),
        "lmtp": _Entry("gatepost.service.gate.smtp_probe", "probe_lmtp"),
        "pop3": _Entry("gatepost.service.gate.pop3_probe"),
        "imap": _Entry("gatepost.service.gate.imap_probe"),
    }
)
"""The protocols that say hello; of all others only the connection is tried, with its TLS where that is implicit."""


def probe_of(protocol: str) -> Probe:
    """The probe of a protocol.

    :raises ImportError: when its module is not there.
    """
    entry = PROBES.get(protocol)
    if entry is None:
        return connected
    module: Any = import_module(entry.module)
    found: Probe = getattr(module, entry.name)
    return found


async def connected(link: Link, settings: Backend) -> object:
    """It could be connected to; nothing is said, so nothing is learned."""
    return None
