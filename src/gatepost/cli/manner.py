"""Whether a port begins with TLS or in the clear: advice for one that was asked the other way."""

from __future__ import annotations

from gatepost.errors import DeadlineExceeded, GatepostError, HandshakeError, RemoteProtocolError
from gatepost.wire.upgrade import PlaintextAfterUpgrade


def manner_hint(error: GatepostError, *, implicit: bool) -> str:
    """What to try when a connection failed the way it does when its ends disagree on how to begin; else empty.

    :param implicit: whether TLS was begun from the first byte.
    """
    if implicit:
        clear = isinstance(error, PlaintextAfterUpgrade) or (isinstance(error, HandshakeError) and error.plaintext)
        return "a port that begins in the clear, with STARTTLS? leave --implicit out" if clear else ""
    silent = isinstance(error, DeadlineExceeded | RemoteProtocolError) and "greeting" in error.message
    return "a port that begins with TLS? try --implicit" if silent else ""
