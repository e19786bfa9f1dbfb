"""Tracing: the events of ``gatepost.trace``, and two ways to show them.

    import sys
    import gatepost
    from gatepost.tracing import TextTrace

    with gatepost.trace(TextTrace(sys.stderr), level="handshake"):
        with gatepost.blocking.connect("mail.example.org", 587) as plain:
            secure = plain.upgrade("smtp")

Any callable that takes an event may subscribe. What a trace has, and what it masks, is in docs/trace.md.
"""

from gatepost.net.trace import (
    AlertSeen,
    CertificatesShown,
    Ended,
    Judged,
    MessageSeen,
    Noted,
    Opened,
    RecordSeen,
    Said,
    StateEntered,
    Subscriber,
    TraceEvent,
    TraceLevel,
    Upgraded,
    UpgradeFailed,
    Upgrading,
    trace,
)
from gatepost.observe.tracing import JSONTrace, TextTrace, escaped, event_facts

__all__ = [
    "AlertSeen",
    "CertificatesShown",
    "Ended",
    "JSONTrace",
    "Judged",
    "MessageSeen",
    "Noted",
    "Opened",
    "RecordSeen",
    "Said",
    "StateEntered",
    "Subscriber",
    "TextTrace",
    "TraceEvent",
    "TraceLevel",
    "UpgradeFailed",
    "Upgraded",
    "Upgrading",
    "escaped",
    "event_facts",
    "trace",
]
