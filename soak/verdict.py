"""What happened, as text, and which promises were broken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from accounting import Balance
from causes import History
from faults import FAULTS, KILLING
from flat import line
from peers import BOUND, SLOW, STEPS, Seen
from traffic import World

UNSERVED: Final = 0.05
"""Of the probers' sessions those that may come to nothing: whose worker is killed under them, or has no descriptor
left. Those that found no server at all are not among them."""

SLOWEST: Final = 20.0
"""Seconds within which 99 of 100 other clients are served."""

GROWTH: Final = 0.15
"""Of its level by which a quantity may grow in the time behind the warm-up."""

MIB: Final = float(1 << 20)


@dataclass(slots=True)
class Use:
    """What the server used, by the seconds since the beginning.

    :param memory: octets of all processes (proportional set size).
    :param descriptors: open ones of all processes, but for those of the slow connections.
    :param processes: the octets of each process.
    """

    memory: list[tuple[float, float]] = field(default_factory=list)
    descriptors: list[tuple[float, float]] = field(default_factory=list)
    processes: dict[int, list[tuple[float, float]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Result:
    """Everything that a run has found.

    :param happened: how often each fault came about.
    :param absences: seconds in which there was no server, each time.
    :param left: messages that are still queued although everything works again.
    :param secrets: files of records in which a password was found.
    """

    world: World
    seen: Seen
    happened: Mapping[str, int]
    balance: Balance
    history: History
    use: Use
    absences: Sequence[float]
    left: int
    secrets: Sequence[str] = ()


def broken(result: Result) -> list[str]:
    """Every promise that was broken."""
    return [*_of_mail(result), *_of_service(result), *_of_use(result.use)]


def _of_mail(result: Result) -> Iterator[str]:
    found = result.balance
    for what, which in (
        ("acknowledged and lost", found.lost),
        ("bounced although they arrived, or bounced twice", found.contradicted),
        ("twice in one mailbox at a time", found.side_by_side),
        ("there, though nobody was told 250", found.unasked),
        ("there more than once, and no reason is found", found.unexplained),
    ):
        if which:
            yield f"{len(which)} messages are {what}: {which[:5]}"
    if result.left:
        yield f"{result.left} messages are left in the queue"
    for what, times in result.world.broken.items():
        yield f"{times} x {what}"
    for name in result.secrets:
        yield f"a password stands in {name}"


def _of_service(result: Result) -> Iterator[str]:
    world, seen = result.world, result.seen
    for service, waits in world.waits.items():
        failed = world.failures[service].total()
        if failed > UNSERVED * (failed + len(waits)):
            yield f"{service}: {failed} of {failed + len(waits)} other clients were not served"
        if share(waits, 0.99) > SLOWEST:
            yield f"{service}: other clients waited longer than {SLOWEST:g} s"
    for step, times in seen.forgotten.items():
        yield f"{times} peers that stalled ({step}) were still connected after {BOUND:g} s"
    for fault in {each.name: each for each in (*KILLING, *FAULTS)}.values():
        if result.happened.get(fault.name) and not fault.bit(result.history.counts, world.book.refused):
            yield f"nothing shows that {fault.name}: the soak itself is broken"


def _of_use(use: Use) -> Iterator[str]:
    for name, samples, slack in (("memory", use.memory, 16 * MIB), ("descriptors", use.descriptors, 100)):
        through = line(samples)
        if through.growth > GROWTH * through.level + slack:
            yield f"{name} grew"


def share(waits: Sequence[float], part: float) -> float:
    """The wait that this part of all stays below; 0 where there is none."""
    ordered = sorted(waits)
    return ordered[min(int(len(ordered) * part), len(ordered) - 1)] if ordered else 0.0


def report(result: Result) -> str:
    """The whole result."""
    return "\n".join([*_faults(result), "", *_books(result), "", *_peers(result), "", *_others(result)])


def _faults(result: Result) -> Iterator[str]:
    for name, times in sorted(result.happened.items(), key=lambda each: -each[1]):
        yield f"{times:5} x {name}"


def _books(result: Result) -> Iterator[str]:
    found, book = result.balance, result.world.book
    yield f"promises (a message and a recipient, answered with 250): {found.acknowledged}"
    for name in ("delivered", "relayed", "bounced", "queued"):
        yield f"  {name:9} {getattr(found, name):7}"
    yield f"  lost      {len(found.lost):7}"
    for place, causes in (("a mailbox", found.again_here), ("another server", found.again_there)):
        yield f"came again to {place}: {causes.total()}"
        yield from (f"  {times:5} {cause}" for cause, times in causes.most_common())
    yield f"no answer came, and they may be there: {len(book.unknown)}; not acknowledged: {_most(book.refused)}"


def _peers(result: Result) -> Iterator[str]:
    seen, served = result.seen, result.world.served
    held = seen.held[len(seen.held) // 4 :]
    yield (
        f"slow connections: {share(held, 0.5):g} of {SLOW} held (median); {seen.opened} were opened in all; "
        f"handshakes left half open: {seen.half_open}"
    )
    yield (
        f"clients that stalled: {seen.reached.total()} at {len(seen.reached)} of {len(STEPS)} steps; ended by the "
        f"server after at most {max(seen.longest.values(), default=0.0):.0f} s; forgotten: {seen.forgotten.total()}"
    )
    stalled = {name: times for name, times in served.items() if name.startswith("stalled")}
    yield f"servers that stalled: {sum(stalled.values())} sessions at {len(stalled)} steps"


def _others(result: Result) -> Iterator[str]:
    world, use = result.world, result.use
    sessions = {name: times for name, times in world.served.items() if not name.startswith("stalled")}
    yield (
        f"no server, while the supervisor was dead or could not start: {len(result.absences)} times, "
        f"{sum(result.absences):.0f} s in all, {max(result.absences, default=0.0):.0f} s at most"
    )
    yield f"sessions: {_most(Counter(sessions), 20)}"
    yield "other clients, a session with STARTTLS each:  p50 ms  p99 ms  not served"
    for service, waits in world.waits.items():
        failed = world.failures[service]
        yield (
            f"  {service:12} {len(waits):6} {'':22} {1000 * share(waits, 0.5):7.0f} {1000 * share(waits, 0.99):7.0f}  "
            f"{failed.total()}{f' ({_most(failed)})' if failed else ''}"
        )
    for name, samples, unit in (("memory, MiB", use.memory, MIB), ("descriptors", use.descriptors, 1.0)):
        through = line(samples)
        yield (
            f"{name} of all processes: {through.level / unit:.0f} (median), at most "
            f"{max((each[1] for each in samples), default=0) / unit:.0f}; the line through it grows "
            f"{through.growth / unit:+.1f} in the time behind the warm-up"
        )
    for name, slopes in sorted(_by_role(result).items()):
        grew = f"{share(slopes, 0.5):+.1f} MiB a minute (median)"
        yield f"  {name:11} {len(slopes):3} processes that lived a minute or more, each of which grew by {grew}"


def _by_role(result: Result) -> dict[str, list[float]]:
    """How fast the processes of each role grew that lived long enough to tell."""
    found: dict[str, list[float]] = {}
    for pid, samples in result.use.processes.items():
        if samples[-1][0] - samples[0][0] >= 60:
            role = result.history.roles.get(pid, "supervisor").partition("/")[0]
            found.setdefault(role, []).append(line(samples).slope / MIB)
    return found


def _most(what: Counter[str], count: int = 8) -> str:
    return ", ".join(f"{times} {name}" for name, times in what.most_common(count)) or "none"
