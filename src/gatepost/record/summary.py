"""A recorded session in one line, and whether it is one that was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, final

from gatepost.policy.addresses import AddressList
from gatepost.record.columns import dropped, endpoint
from gatepost.record.escaping import shown_text
from gatepost.record.events import Blind, Data, Line, Upgraded
from gatepost.record.outcomes import GOOD, refuses
from gatepost.record.reading import Session

UNFINISHED: Final = "(goes on)"


@final
@dataclass(frozen=True, slots=True)
class Summary:
    """One session.

    :param began: seconds since the Unix epoch: its first event that was kept.
    :param client: its address; empty when the beginning is missing.
    :param tls: the version; ``failed``; ``blind`` when client and server spoke TLS past us; empty in the clear.
    :param outcome: in the words of the log.
    :param messages: how many.
    :param octets: of all content.
    :param dropped: events that are missing.
    :param failed: whether something was refused, its handshake failed, or it did not end well.
    """

    id: str
    began: float
    listener: str
    protocol: str
    client: str
    port: int
    tls: str
    outcome: str
    seconds: float | None
    messages: int
    octets: int
    dropped: int
    failed: bool

    def facts(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "id": self.id, "began": self.began, "listener": self.listener, "protocol": self.protocol,
            "client": [self.client, self.port] if self.client else None, "tls": self.tls or None,
            "outcome": self.outcome, "seconds": self.seconds, "messages": self.messages, "octets": self.octets,
            "dropped": self.dropped, "failed": self.failed,
        }  # fmt: skip

    def cells(self) -> tuple[str, ...]:
        """For a table, but the time; harmless text."""
        return (
            shown_text(self.id), shown_text(self.listener), endpoint((self.client, self.port)).replace(" port ", " "),
            self.tls or "-", shown_text(self.outcome), str(self.messages), f"{self.octets:,}", str(self.dropped or "-"),
        )  # fmt: skip


COLUMNS: Final = ("id", "listener", "client", "TLS", "outcome", "messages", "octets", "dropped")


def summarise(session: Session) -> Summary:
    """One session in one line."""
    opened, closed = session.opened, session.closed
    content = [event for event in session.events if isinstance(event, Data)]
    tls = _tls(session)
    outcome = closed.outcome if closed is not None else UNFINISHED
    client = opened.client if opened is not None else ("", 0)
    return Summary(
        id=session.id,
        began=min(event.at for event in session.events),
        listener=opened.listener if opened is not None else "",
        protocol=opened.protocol if opened is not None else "",
        client=client[0],
        port=client[1],
        tls=tls,
        outcome=outcome,
        seconds=closed.seconds if closed is not None else None,
        messages=sum(event.what == "message" for event in content),
        octets=sum(event.octets for event in content),
        dropped=dropped(session),
        failed=tls == "failed" or (closed is not None and outcome not in GOOD) or _refused(session),
    )


def _refused(session: Session) -> bool:
    protocol = session.opened.protocol if session.opened is not None else ""
    said = (event for event in session.events if isinstance(event, Line) and event.speaker == "server")
    return any(refuses(event.data, protocol) for event in said)


def _tls(session: Session) -> str:
    if any(isinstance(event, Blind) for event in session.events):
        return "blind"
    upgrades = [event for event in session.events if isinstance(event, Upgraded) and event.side == "client"]
    if not upgrades:
        return ""
    return "failed" if upgrades[-1].failed else shown_text(upgrades[-1].version)


@final
@dataclass(frozen=True, slots=True)
class Wanted:
    """Which sessions were asked for. What is None or empty is not asked.

    :param listeners: their names.
    :param clients: addresses and networks.
    :param since: began then or later, in seconds since the Unix epoch.
    :param until: began before.
    :param failed: only those that failed.
    """

    listeners: tuple[str, ...] = ()
    clients: AddressList | None = None
    since: float | None = None
    until: float | None = None
    failed: bool = False

    def takes(self, each: Summary) -> bool:
        """Whether this one was."""
        return (
            (not self.listeners or each.listener in self.listeners)
            and (self.clients is None or (bool(each.client) and self.clients.matches(each.client)))
            and (self.since is None or each.began >= self.since)
            and (self.until is None or each.began < self.until)
            and (each.failed or not self.failed)
        )
