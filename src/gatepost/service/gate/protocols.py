"""Which sessions a gate's protocol has: one table, each entry imported when a gate needs it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gatepost.service.limits import Refusal

if TYPE_CHECKING:
    from gatepost.net.channel import PlainChannel, SecureChannel
    from gatepost.service.connection import Session
    from gatepost.service.gate.connection import GateConnection

_BUSY_IMAP: Final = b"* BYE [UNAVAILABLE] Too many connections, try again later\r\n"
_BUSY_POP3: Final = b"-ERR [SYS/TEMP] Too many connections, try again later\r\n"


def _as_smtp(refusal: Refusal) -> bytes:
    return refusal.reply.octets


def _silent(refusal: Refusal) -> bytes:
    return b""


class Faces(NamedTuple):
    """A protocol's sessions towards the client.

    :param plain: makes the one in the clear.
    :param secure: makes the one inside TLS.
    :param last_words: what a client is told in the clear when a limit keeps it out.
    """

    plain: Callable[[GateConnection, PlainChannel], Session]
    secure: Callable[[GateConnection, SecureChannel], Session]
    last_words: Callable[[Refusal], bytes] = _silent


class _Entry(NamedTuple):
    """Where a protocol's sessions are."""

    module: str
    plain: str
    secure: str
    last_words: Callable[[Refusal], bytes] = _silent


_SMTP: Final = _Entry("gatepost.service.gate.smtp", "PlainGate", "SecureGate", _as_smtp)
_OPAQUE: Final = _Entry("gatepost.service.gate.opaque", "PlainGate", "SecureGate")
_SPLICED: Final = _Entry("gatepost.service.gate.opaque", "SplicedGate", "SecureGate")

PROTOCOLS: Final[Mapping[str, _Entry]] = MappingProxyType(
    {
        "smtp": _SMTP,
        "submission": _SMTP,
        "lmtp": _SMTP,
        "pop3": _Entry("gatepost.service.gate.pop3", "PlainGate", "SecureGate", lambda refusal: _BUSY_POP3),
        "imap": _Entry("gatepost.service.gate.imap", "PlainGate", "SecureGate", lambda refusal: _BUSY_IMAP),
    }
)
"""The protocols that have an engine; every other one is opaque."""


@functools.cache
def faces(protocol: str, *, spliced: bool = False) -> Faces:
    """The sessions of a protocol.

    :param spliced: whether octets go through from the first one, whatever they are.
    :raises ImportError: when the module is not there.
    """
    entry = _SPLICED if spliced else PROTOCOLS.get(protocol, _OPAQUE)
    module: Any = import_module(entry.module)
    return Faces(getattr(module, entry.plain), getattr(module, entry.secure), entry.last_words)
