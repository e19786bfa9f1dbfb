"""Counters that many processes write and one process shows, without a lock.

``FAMILIES`` is the table of everything that is counted. Its columns are laid out once, in shared anonymous memory, a
row a worker. A worker writes its own row only, in aligned eight-byte stores; a reader adds the rows up. A row is never
cleared: the next process in the same slot counts on, so a total never goes backwards, whoever is killed. Gauges are the
exception: the supervisor clears those of a row when its process has ended.

The names of listeners and of backends are the labels whose values are not known here. ``LISTENER_LIMIT`` places are
laid out for each and handed to names in the order they appear, so that the columns stay where they are over a reload;
the names that do not fit are counted as ``other``.

No address and no domain is ever a label.
"""

from __future__ import annotations

import mmap
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final, Literal, final

from gatepost.errors import LocalProtocolError

Kind = Literal["counter", "gauge", "histogram"]

LISTENER_LIMIT: Final = 32
OTHER: Final = "other"

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_VERSIONS: Final = ("TLSv1.2", "TLSv1.3", "none", OTHER)
_MECHANISMS: Final = ("PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "EXTERNAL", "USER", OTHER)
_GROUPS: Final = ("X25519MLKEM768", "x25519", "secp256r1", "secp384r1", "secp521r1", "none", OTHER)


@final
@dataclass(frozen=True, slots=True)
class Family:
    """One metric. ``labels`` gives each label's possible values; None stands for the names that the configuration gives
    to what the label is: listeners, backends."""

    name: str
    help: str
    labels: tuple[tuple[str, tuple[str, ...] | None], ...] = ()
    kind: Kind = "counter"


_BY_LISTENER: Final = (("listener", None),)
_BY_BACKEND: Final = (("backend", None),)

FAMILIES: Final[tuple[Family, ...]] = (
    Family("smtp_connections_total", "Connections accepted.", _BY_LISTENER),
    Family(
        "smtp_connections_refused_total",
        "Connections refused at the door, by reason.",
        (("reason", ("limit", "address_limit", "address_rate", "user_limit", "policy", OTHER)),),
    ),
    Family("smtp_sessions_total", "Sessions ended.", (("listener", None), ("tls", ("none", "starttls", "implicit")))),
    Family("smtp_commands_rejected_total", "Commands answered with a permanent or temporary refusal.", _BY_LISTENER),
    Family("smtp_protocol_errors_total", "Commands or content that broke the protocol.", _BY_LISTENER),
    Family(
        "smtp_timeouts_total",
        "Sessions ended by a deadline.",
        (("phase", ("handshake", "command", "data", "session", OTHER)),),
    ),
    Family("pop3_connections_total", "POP3 connections accepted.", _BY_LISTENER),
    Family(
        "pop3_connections_refused_total",
        "POP3 connections refused at the door, by reason.",
        (("reason", ("limit", "address_limit", "address_rate", "policy", OTHER)),),
    ),
    Family(
        "pop3_sessions_total",
        "POP3 sessions ended.",
        (("listener", None), ("tls", ("none", "starttls", "implicit"))),
    ),
    Family("pop3_protocol_errors_total", "POP3 commands that broke the protocol.", _BY_LISTENER),
    Family(
        "pop3_timeouts_total",
        "POP3 sessions ended by a deadline.",
        (("phase", ("handshake", "command", "data", OTHER)),),
    ),
    Family(
        "pop3_maildrops_total",
        "Maildrops that a login opened, or could not.",
        (("result", ("opened", "in_use", "failed")),),
    ),
    Family("pop3_messages_retrieved_total", "Messages fetched by POP3 clients.", _BY_LISTENER),
    Family("pop3_messages_retrieved_bytes_total", "Octets of fetched messages.", _BY_LISTENER),
    Family("pop3_messages_deleted_total", "Messages deleted by POP3 clients.", _BY_LISTENER),
    Family("gate_connections_total", "Connections accepted by gates.", _BY_LISTENER),
    Family(
        "gate_connections_refused_total",
        "Connections refused by gates at the door, by reason.",
        (("reason", ("limit", "address_limit", "address_rate", "policy", "proxy", OTHER)),),
    ),
    Family(
        "gate_sessions_total",
        "Sessions through gates that ended.",
        (("listener", None), ("tls", ("none", "starttls", "implicit"))),
    ),
    Family("gate_protocol_errors_total", "What gates refused because it broke the protocol.", _BY_LISTENER),
    Family(
        "gate_timeouts_total",
        "Sessions through gates ended by a deadline.",
        (("phase", ("handshake", "command", "data", "session", OTHER)),),
    ),
    Family("gate_messages_total", "Messages that servers behind gates took or gave out.", _BY_LISTENER),
    Family("gate_recipients_total", "Recipients of messages that servers behind gates took.", _BY_LISTENER),
    Family("gate_refused_total", "Commands and messages that gates refused themselves.", _BY_LISTENER),
    Family(
        "gate_bytes_total",
        "Octets that gates passed on: from clients, and to them.",
        (("listener", None), ("direction", ("in", "out"))),
    ),
    Family("messages_accepted_total", "Messages acknowledged after their commit.", _BY_LISTENER),
    Family("messages_accepted_bytes_total", "Content octets of acknowledged messages.", _BY_LISTENER),
    Family(
        "messages_refused_total",
        "Messages refused, by kind of refusal.",
        (("listener", None), ("result", ("temporary", "permanent"))),
    ),
    Family("senders_refused_total", "Senders refused because refused_senders has them.", _BY_LISTENER),
    Family("recipients_accepted_total", "Recipients of acknowledged messages.", _BY_LISTENER),
    Family(
        "recipients_refused_total",
        "Recipients refused, by reason.",
        (("reason", ("unknown", "relay", "limit", "sender", "temporary", OTHER)),),
    ),
    Family(
        "tls_handshakes_total",
        "TLS handshakes.",
        (
            ("direction", ("inbound", "outbound")),
            ("version", _VERSIONS),
            ("group", _GROUPS),
            ("result", ("full", "resumed", "failed")),
        ),
    ),
    Family(
        "plaintext_after_upgrade_total",
        "Plaintext found behind an upgrade, refused.",
        (("side", ("server", "client")),),
    ),
    Family(
        "auth_attempts_total",
        "Logins tried.",
        (
            ("mechanism", _MECHANISMS),
            ("result", ("success", "failure", "temporary")),
        ),
    ),
    Family(
        "auth_failures_total",
        "Logins that failed.",
        (("mechanism", _MECHANISMS),),
    ),
    Family("queue_commits_total", "Transactions that made messages durable.", (("result", ("ok", "failed")),)),
    Family("queue_commit_seconds", "How long such a transaction took.", kind="histogram"),
    Family(
        "delivery_attempts_total",
        "Attempts to deliver to one recipient.",
        (("kind", ("local", "remote")), ("result", ("delivered", "deferred", "failed"))),
    ),
    Family(
        "deliveries_total",
        "Recipients that reached their end, and deferrals.",
        (("result", ("delivered", "deferred", "failed", "expired")),),
    ),
    Family("delivery_seconds", "From acceptance to the final outcome of a recipient.", kind="histogram"),
    Family("bounces_total", "Delivery status notifications sent."),
    Family("queue_messages", "Messages in the queue.", (("state", ("active", "deferred", "hold", "leased")),), "gauge"),
    Family("queue_oldest_seconds", "Age of the oldest message in the queue.", (), "gauge"),
    Family("smtp_connections_open", "Connections open now.", _BY_LISTENER, "gauge"),
    Family("pop3_connections_open", "POP3 connections open now.", _BY_LISTENER, "gauge"),
    Family("gate_connections_open", "Connections to gates open now.", _BY_LISTENER, "gauge"),
    Family("outbound_connections_open", "Connections to other servers open now.", (), "gauge"),
    Family(
        "greylist_decisions_total",
        "Recipients (or messages) that greylisting judged.",
        (
            (
                "result",
                ("deferred", "passed", "known", "allowed", "skipped", "refused", "unavailable", "full"),
            ),
        ),
    ),
    Family("gate_backend_connections_total", "Connections to servers behind gates, for clients.", _BY_BACKEND),
    Family(
        "gate_backend_failures_total", "Such connections that came to nothing; the next server was tried.", _BY_BACKEND
    ),
    Family("gate_backend_unavailable_total", "Clients for whom no server behind the gate could be had.", _BY_BACKEND),
    Family(
        "gate_backend_checks_total",
        "Looks at whether a server behind gates is there.",
        (("backend", None), ("result", ("ok", "failed"))),
    ),
    Family("gate_backend_connections_open", "Connections to servers behind gates open now.", _BY_BACKEND, "gauge"),
    Family(
        "gate_backend_servers",
        "Servers behind gates, as one process of the gate sees them.",
        (("backend", None), ("state", ("up", "down"))),
        "gauge",
    ),
    Family("record_sessions_total", "Sessions that ended and are in the record."),
    Family("record_bytes_total", "Octets of the record, before they are compressed."),
    Family(
        "record_dropped_total",
        "Events of sessions that are not in the record, by reason.",
        (("reason", ("queue", "budget", "disk", "session")),),
    ),
    Family("log_lines_dropped_total", "Log lines that could not be written."),
    Family(
        "worker_restarts_total",
        "Worker processes started again after they died.",
        (("role", ("mx", "submission", "pop3", "gate", "delivery", "metrics", OTHER)),),
    ),
    Family("reloads_total", "Configurations loaded again.", (("result", ("ok", "failed")),)),
    Family(
        "worker_processes",
        "Worker processes that run.",
        (("role", ("mx", "submission", "pop3", "gate", "delivery", "metrics", OTHER)),),
        "gauge",
    ),
    Family("ready", "1 when every role has a process and nothing is being drained.", (), "gauge"),
)


@final
@dataclass(frozen=True, slots=True)
class Sample:
    """One total: of a counter or gauge the value, of a histogram its buckets (not cumulated) and its sum in seconds."""

    family: Family
    labels: tuple[str, ...]
    value: int
    buckets: tuple[int, ...] = ()
    sum_seconds: float = 0.0


@final
class _Layout:
    """Where each combination of labels stands. Computed once, the same in every process."""

    __slots__ = ("columns", "families", "index", "names")

    def __init__(self, listeners: Sequence[str]) -> None:
        self.families = {family.name: family for family in FAMILIES}
        self.names: dict[str, list[str]] = {"listener": [], "backend": []}
        self.index: dict[str, dict[tuple[str, ...], int]] = {}
        self.columns = 0
        places = (*(f"\0{number}" for number in range(LISTENER_LIMIT)), OTHER)
        for family in FAMILIES:
            values = [places if allowed is None else allowed for _, allowed in family.labels]
            width = len(_SECONDS) + 2 if family.kind == "histogram" else 1
            table = self.index[family.name] = {}
            for combination in product(*values):
                table[combination] = self.columns
                self.columns += width
        self.learn("listener", listeners)

    def learn(self, label: str, names: Sequence[str]) -> None:
        known = self.names[label]
        for name in names:
            if name not in known and len(known) < LISTENER_LIMIT:
                known.append(name)

    def place(self, label: str, name: str) -> str:
        known = self.names[label]
        return f"\0{known.index(name)}" if name in known else OTHER

    def shown(self, label: str, place: str) -> str | None:
        """The name that stands at ``place``; None when none does."""
        if not place.startswith("\0"):
            return place
        number, known = int(place[1:]), self.names[label]
        return known[number] if number < len(known) else None


@final
class Counters:
    """A process's view of the shared counters.

    Look columns up once, with ``index``, and count with ``add`` in the hot path.

    :param listeners: the names of the listeners, for the label.
    :param slots: how many rows there are.
    """

    __slots__ = ("_base", "_cells", "_layout", "_memory", "_slots")

    def __init__(self, listeners: Sequence[str] = (), *, slots: int = 1) -> None:
        self._layout = _Layout(listeners)
        self._slots = slots
        self._memory = mmap.mmap(-1, max(1, slots * self._layout.columns * 8))
        self._cells = memoryview(self._memory).cast("q")
        self._base = 0

    def for_slot(self, slot: int) -> Counters:
        """The same memory, writing the row ``slot``."""
        if not 0 <= slot < self._slots:
            raise LocalProtocolError(f"there is no row {slot} in counters of {self._slots} rows")
        view = object.__new__(Counters)
        view._layout, view._slots, view._memory, view._cells = self._layout, self._slots, self._memory, self._cells
        view._base = slot * self._layout.columns
        return view

    def learn_listeners(self, listeners: Sequence[str]) -> None:
        """Give new listeners their place; call it before the fork of the workers that count for them."""
        self._layout.learn("listener", listeners)

    def learn_backends(self, backends: Sequence[str]) -> None:
        """The same for backends."""
        self._layout.learn("backend", backends)

    def index(self, name: str, **labels: str) -> int:
        """The column of a metric with these labels, for ``add``, ``put`` and ``observe``.

        A label value outside the table counts as ``other`` where the table has that.

        :raises LocalProtocolError: when there is no such metric, a label is missing or too many, or a value unknown.
        """
        family = self._layout.families.get(name)
        if family is None:
            raise LocalProtocolError(f"no metric is called {name!r}: add it to observe.metrics.FAMILIES")
        if labels.keys() != {label for label, _ in family.labels}:
            raise LocalProtocolError(f"{name} has the labels {[label for label, _ in family.labels]}, not {[*labels]}")
        key = []
        for label, allowed in family.labels:
            value = labels[label]
            if allowed is None:
                value = self._layout.place(label, value)
            elif value not in allowed:
                if OTHER not in allowed:
                    raise LocalProtocolError(f"{name}: {label} is one of {', '.join(allowed)}, not {value!r}")
                value = OTHER
            key.append(value)
        return self._layout.index[name][tuple(key)]

    def add(self, index: int, n: int = 1) -> None:
        """Count ``n`` more in this process's row; of a gauge, ``n`` may be negative."""
        self._cells[self._base + index] += n

    def put(self, index: int, value: int) -> None:
        """Set a gauge in this process's row."""
        self._cells[self._base + index] = value

    def observe(self, index: int, seconds: float) -> None:
        """Add one observation to a histogram of seconds."""
        first = self._base + index
        self._cells[first + bisect_left(_SECONDS, seconds)] += 1
        self._cells[first + len(_SECONDS) + 1] += int(seconds * 1_000_000)

    def count(self, name: str, n: int = 1, **labels: str) -> None:
        """``add`` by name, for what happens seldom."""
        self.add(self.index(name, **labels), n)

    def total(self, index: int) -> int:
        """The sum of one column over all rows."""
        return sum(self._cells[index :: self._layout.columns])

    def clear_gauges(self) -> None:
        """Set this row's gauges to zero: its process has ended. Counters stay."""
        for family in FAMILIES:
            if family.kind == "gauge":
                for column in self._layout.index[family.name].values():
                    self._cells[self._base + column] = 0

    def samples(self) -> Iterator[Sample]:
        """Every total. The columns of listeners that are not there, and those nobody counted for, are left out."""
        for family in FAMILIES:
            for key, column in self._layout.index[family.name].items():
                labels = [
                    self._layout.shown(label, value) for (label, _), value in zip(family.labels, key, strict=True)
                ]
                if None in labels:
                    continue
                shown = tuple(label for label in labels if label is not None)
                if family.kind == "histogram":
                    width = len(_SECONDS) + 1
                    buckets = tuple(self.total(column + at) for at in range(width))
                    yield Sample(family, shown, sum(buckets), buckets, self.total(column + width) / 1_000_000)
                    continue
                value = self.total(column)
                if value or not family.labels or len(family.labels) == 1:
                    yield Sample(family, shown, value)

    def totals(self) -> dict[str, int]:
        """The counters and gauges that are not zero, as ``name{label=value}``; for ``gatepost status``."""
        found = {}
        for sample in self.samples():
            if sample.value:
                pairs = zip((label for label, _ in sample.family.labels), sample.labels, strict=True)
                inner = ",".join(f"{label}={value}" for label, value in pairs)
                found[sample.family.name + (f"{{{inner}}}" if inner else "")] = sample.value
        return found


def bucket_bounds() -> tuple[float, ...]:
    """The upper bounds of the histograms' buckets, in seconds; the last bucket has none."""
    return _SECONDS
