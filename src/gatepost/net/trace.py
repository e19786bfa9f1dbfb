"""What a connection said and heard, and how it became private: events for whoever subscribes.

Two levels. ``session``: each line or piece that is said and heard, in the clear or as it is inside TLS, and where the
upgrade happened, with its evidence. ``handshake``: that, and every TLS record, the handshake messages and alerts in
them, OpenSSL's states, and the certificates that were shown.

Who subscribes is decided when a connection begins: it is the subscribers of the ``trace`` blocks that it begins in (a
context variable: tasks and callbacks inherit it, threads that were started before do not). A connection that nobody
watches has no tap (``net.tap``) and pays for one comparison with None a message at most.

Secrets are masked before an event is made (``net.redaction``): no subscriber ever sees them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass
from types import TracebackType
from typing import ClassVar, Final, Literal, TypeAlias, final, get_args

from gatepost.errors import LocalProtocolError
from gatepost.wire.upgrade import TLSEvidence, Verification

TraceLevel: TypeAlias = Literal["session", "handshake"]
Direction: TypeAlias = Literal["sent", "received"]
Side: TypeAlias = Literal["client", "server"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceEvent:
    """What all events have.

    :param at: seconds since the Unix epoch.
    :param connection: the connection's identifier, as in ``Origin`` and in the log.
    :param side: which side *we* are.
    """

    kind: ClassVar[str]
    level: ClassVar[TraceLevel] = "handshake"

    at: float
    connection: str
    side: Side


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Opened(TraceEvent):
    """The connection is there."""

    kind = "opened"
    level = "session"

    peer: tuple[str, int]
    local: tuple[str, int]
    name: str


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Said(TraceEvent):
    """A line, or a piece of something without lines.

    :param data: the octets, with the line end; ``***`` stands where a secret was.
    :param private: whether it went through TLS.
    :param masked: whether ``***`` in it is a mask.
    """

    kind = "said"
    level = "session"

    direction: Direction
    data: bytes
    private: bool
    masked: bool


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Upgrading(TraceEvent):
    """Nothing is said in the clear from here on."""

    kind = "upgrading"
    level = "session"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Upgraded(TraceEvent):
    """The connection is private. The evidence has all that was agreed on, and the verdict on the peer."""

    kind = "upgraded"
    level = "session"

    evidence: TLSEvidence


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class UpgradeFailed(TraceEvent):
    """The handshake failed, or the peer was not who it should be. The connection is over.

    :param reason: in words.
    :param alert: the TLS alert's name, or an empty string.
    :param hint: what can be done about it, or an empty string.
    """

    kind = "failed"
    level = "session"

    reason: str
    alert: str
    hint: str


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Ended(TraceEvent):
    """One side ended the conversation.

    :param direction: ``sent`` when we closed, ``received`` when the peer did or the connection was lost.
    :param reason: of a loss, in words; otherwise empty.
    """

    kind = "ended"
    level = "session"

    direction: Direction
    reason: str


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class RecordSeen(TraceEvent):
    """A TLS record passed.

    :param type: ``handshake``, ``alert``, ``change_cipher_spec``, ``application_data``, ``heartbeat``.
    :param version: as its header says it.
    :param length: octets behind its header.
    """

    kind = "record"

    direction: Direction
    type: str
    version: str
    length: int


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class MessageSeen(TraceEvent):
    """A handshake message passed in clear.

    :param length: octets with its header.
    :param detail: of a hello, what it says; otherwise empty.
    """

    kind = "message"

    direction: Direction
    name: str
    length: int
    detail: str


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class AlertSeen(TraceEvent):
    """A TLS alert.

    :param severity: ``fatal``, ``warning``, or a number.
    :param clear: whether it was read from the record; otherwise OpenSSL told it.
    """

    kind = "alert"

    direction: Direction
    severity: str
    name: str
    clear: bool


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class StateEntered(TraceEvent):
    """OpenSSL's name for what it does now (SSL_state_string_long(3))."""

    kind = "state"

    name: str


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class CertificatesShown(TraceEvent):
    """What the peer showed, before it was judged.

    :param chain: DER, leaf first.
    """

    kind = "certificates"

    chain: tuple[bytes, ...]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Judged(TraceEvent):
    """The verdict on the certificates."""

    kind = "verification"

    verification: Verification


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Noted(TraceEvent):
    """Something about the trace itself."""

    kind = "note"

    text: str


Subscriber: TypeAlias = Callable[[TraceEvent], None]


@final
@dataclass(frozen=True, slots=True)
class Subscription:
    """Somebody, and how much they want to know."""

    subscriber: Subscriber
    level: TraceLevel = "session"

    def __post_init__(self) -> None:
        if self.level not in get_args(TraceLevel):
            raise LocalProtocolError(f"{self.level!r} is no level of a trace: session or handshake")

    def wants(self, event: TraceEvent) -> bool:
        """Whether the event is for this level."""
        return event.level == "session" or self.level == "handshake"


_NOBODY: Final[tuple[Subscription, ...]] = ()
_subscriptions: Final[ContextVar[tuple[Subscription, ...]]] = ContextVar("gatepost_trace", default=_NOBODY)


@final
class trace:  # noqa: N801  # it reads as a statement: with trace(...)
    """Trace the connections that begin in this block, and on listeners that begin to listen in it.

    Or, given to ``gatepost.connect`` as ``trace``, that connection alone.

    :param subscriber: called with each event, in order, while the connection waits; it should be quick. One that raises
        is reported once to the log and asked no more: a trace never changes what is traced.
    :param level: ``session`` or ``handshake``.
    :raises LocalProtocolError: for another level.
    """

    __slots__ = ("_before", "subscription")

    def __init__(self, subscriber: Subscriber, level: TraceLevel = "session") -> None:
        self.subscription: Final = Subscription(subscriber, level)
        self._before: Token[tuple[Subscription, ...]] | None = None

    def __enter__(self) -> trace:
        self._before = _subscriptions.set((*_subscriptions.get(), self.subscription))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._before is not None:
            _subscriptions.reset(self._before)
            self._before = None


@contextmanager
def also(given: trace | None) -> Iterator[TraceLevel | None]:
    """Around what opens a connection that was given a ``trace`` of its own.

    :return: the most that anybody wants to know of it, or None when nobody watches.
    """
    if given is None:
        yield _most(_subscriptions.get())
        return
    around = (*_subscriptions.get(), given.subscription)
    before = _subscriptions.set(around)
    try:
        yield _most(around)
    finally:
        _subscriptions.reset(before)


def _most(subscriptions: tuple[Subscription, ...]) -> TraceLevel | None:
    levels = {each.level for each in subscriptions}
    return None if not levels else "handshake" if "handshake" in levels else "session"


def subscribed() -> tuple[Subscription, ...]:
    """Who watches a connection that begins now."""
    return _subscriptions.get()


class Publisher:
    """Gives events to subscriptions, and drops those that fail."""

    __slots__ = ("_subscriptions",)

    def __init__(self, subscriptions: tuple[Subscription, ...]) -> None:
        self._subscriptions = subscriptions

    @property
    def detailed(self) -> bool:
        """Whether anybody wants the events of the level ``handshake``."""
        return any(each.level == "handshake" for each in self._subscriptions)

    def publish(self, event: TraceEvent) -> None:
        """Tell everybody who wants to know."""
        for each in self._subscriptions:
            if each.wants(event):
                try:
                    each.subscriber(event)
                except Exception:
                    self._subscriptions = tuple(other for other in self._subscriptions if other is not each)
                    logging.getLogger("gatepost.trace").exception("a subscriber of a trace failed and is asked no more")
