"""The record of one session, while it goes on.

It is the witness of the session's engines (``wire.witness``), and is told by whoever decides. Each event becomes a line
at once and goes into the queue of the writer; nothing here waits, and nothing raises.
"""

from __future__ import annotations

import functools
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, final

from gatepost.record.events import Speaker
from gatepost.record.keys import octets_to_json
from gatepost.record.outcomes import GOOD, refuses
from gatepost.record.rules import RecordRule
from gatepost.record.version import CURRENT
from gatepost.wire.upgrade import Origin, TLSEvidence
from gatepost.wire.witness import harmless

if TYPE_CHECKING:
    from gatepost.record.recorder import Recorder

Side: TypeAlias = Literal["client", "backend"]
LINE_LIMIT: Final = 4096  # octets of a line that are kept
HEADERS_LIMIT: Final = 1 << 16  # of a message's header
CONTENT_LIMIT: Final = 1 << 20  # of a message
WAITING_LIMIT: Final = 1 << 18  # octets of a session of which it is not known yet whether it is a failure
_MASK: Final = b"***"
_NOTHING: Final[Mapping[str, object]] = {}
_HANDSHAKE: Final = (
    "version", "cipher", "group", "verified", "reason", "names", "resumed", "server_name", "alpn",
)  # fmt: skip
_to_json: Final = json.JSONEncoder(separators=(",", ":")).encode


@final
class SessionRecord:
    """What is recorded of one session.

    :param recorder: takes the lines.
    :param rule: by which it is recorded.
    :param origin: of the connection.
    :param protocol: of the listener.
    :param side: ``server`` or ``gate``.
    """

    __slots__ = (
        "_closed", "_content", "_octets", "_passing", "_prefix", "_protocol", "_recorder", "_rule", "_serial",
        "_session", "_started", "_waiting", "_waiting_size", "connection", "dropped", "private",
    )  # fmt: skip

    def __init__(
        self, recorder: Recorder, rule: RecordRule, origin: Origin, protocol: str, side: Literal["server", "gate"]
    ) -> None:
        self._recorder: Final = recorder
        self._rule: Final = rule
        self.connection: Final = origin.connection
        self._session: Final = encode_basestring_ascii(origin.connection)
        self._prefix: Final = f'{{"e":"line","s":{self._session},"n":'
        self._started: Final = origin.accepted_at
        self._protocol: Final = protocol
        self._serial = 0
        self._passing: _Passing | None = None
        self._octets = {"client": 0, "server": 0}  # of what is not read
        self._waiting: list[tuple[str, int]] | None = [] if rule.only_failures else None
        self._waiting_size = 0
        self._closed = False
        self.dropped = 0
        """Events that were not written, as far as it is known yet."""
        self.private = False
        """Whether what is said now is said inside TLS."""
        self._event(
            "open",
            {
                "v": CURRENT.major,
                "listener": origin.listener,
                "protocol": protocol,
                "client": origin.peer,
                "local": origin.local,
                "side": side,
            },
        )

    # wire.witness.Witness

    @harmless
    def heard(self, line: bytes, hidden_from: int | None = None) -> None:
        """The client said a line."""
        if hidden_from is not None and hidden_from < len(line):
            shown = line[:hidden_from].rstrip()
            self._lines("client", (_shown((shown + b" " if shown else b"") + _MASK),), masked=True)
        else:
            self._lines("client", (_shown(line),))

    @harmless
    def said(self, lines: bytes, challenge: bytes) -> None:
        """We said some lines."""
        if self._waiting is None and challenge not in lines:
            self._lines("server", _shown_each(lines))
            return
        each = _split(lines)
        if self._waiting is not None and any(refuses(line, self._protocol) for line in each):
            self._failed()
        if (
            challenge
            and challenge in lines
            and any(line.startswith(challenge) and len(line) > len(challenge) for line in each)
        ):
            for line in each:
                if line.startswith(challenge):
                    self._lines("server", (_shown(challenge + _MASK),), masked=True)
                else:
                    self._lines("server", (_shown(line),))
            return
        self._lines("server", _shown_each(lines))

    @harmless
    def passed(self, speaker: Speaker, octets: bytes, *, message: bool = True) -> None:
        """A piece of content passed."""
        passing = self._passing
        if passing is None:
            passing = self._passing = _Passing(speaker, self._rule.content if message else "none", message=message)
        passing.add(octets)

    @harmless
    def passed_all(self, *, whole: bool = True) -> None:
        """The content ended."""
        passing, self._passing = self._passing, None
        if passing is not None:
            facts = passing.facts()
            if not whole:
                facts["whole"] = False
            self._event("data", {"from": passing.speaker, **facts})

    def broke(self, error: Exception) -> None:
        """Something in here is wrong: an event is lost, and nothing else."""
        self.dropped += 1
        self._recorder.broke(error)

    # What is not lines

    @harmless
    def octets(self, speaker: Speaker, count: int) -> None:
        """Octets passed of which nothing is read: only their number is told, at the end."""
        self._octets[speaker] += count

    @harmless
    def upgrade(self, side: Side, evidence: TLSEvidence, server: str = "") -> None:
        """A handshake completed.

        :param side: ``client``: the client's with us; ``backend``: ours with the server behind.
        :param server: which server that is.
        """
        verification = evidence.verification
        self._tell(
            "upgrade",
            _handshake(
                side, server, evidence.version, evidence.cipher, evidence.group, verification.status,
                verification.reason, verification.names, evidence.resumed, evidence.server_name, evidence.alpn,
            ),
        )  # fmt: skip
        if side == "client":
            self.private = True

    @harmless
    def upgrade_failed(self, side: Side, reason: str, server: str = "") -> None:
        """A handshake failed.

        :param reason: in words.
        """
        self._failed()
        self._event("upgrade", {"side": side}, {"reason": reason, "server": server})

    @harmless
    def decision(self, what: str, verdict: str, rule: str = "", reason: str = "", subject: str = "") -> None:
        """Something was decided: see ``events.Decision``."""
        told = {"rule": rule, "reason": reason, "subject": subject}
        self._event("decision", {"what": what, "verdict": verdict}, told)

    @harmless
    def blind(self, reason: str = "", server: str = "") -> None:
        """From here on nothing can be read."""
        self._event("blind", {}, {"reason": reason, "server": server})

    @harmless
    def close(self, outcome: str) -> None:
        """The connection is gone. Twice is once."""
        if self._closed:
            return
        self._closed = True
        self.passed_all(whole=False)
        for speaker, count in self._octets.items():
            if count:
                self._event("data", {"from": speaker, "what": "octets", "octets": count})
        if outcome not in GOOD:
            self._failed()
        if self._waiting is None:
            seconds = round(max(0.0, time.time() - self._started), 6)
            self._event("close", {"outcome": outcome, "seconds": seconds}, {"dropped": self.dropped})
        self._recorder.ended(kept=self._waiting is None)

    # To the queue

    def _failed(self) -> None:
        """It is a failure: what waited is written, and so is what comes."""
        waiting, self._waiting = self._waiting, None
        for lines, events in waiting or ():
            self._recorder.put(lines, self, events)

    def _event(self, kind: str, facts: Mapping[str, object], others: Mapping[str, object] = _NOTHING) -> None:
        """An event, as ``events`` has it.

        :param others: facts that are left out where there is nothing to say.
        """
        told = {**facts, **{key: fact for key, fact in others.items() if fact}} if others else facts
        self._tell(kind, _facts(told))

    def _tell(self, kind: str, facts: str) -> None:
        """An event whose facts are JSON, each with a comma before it."""
        self._serial += 1
        private = ',"private":true' if self.private else ""
        self._put(f'{{"e":"{kind}","s":{self._session},"n":{self._serial},"t":{time.time():.6f}{private}{facts}}}\n')

    def _lines(self, speaker: Speaker, lines: Sequence[str], *, masked: bool = False) -> None:
        """Lines, written by hand: they are what most events are.

        :param lines: as ``_shown`` makes them.
        """
        private = ',"private":true' if self.private else ""
        behind = f',"t":{time.time():.6f}{private},"from":"{speaker}","text":'
        ending = ',"masked":true}\n' if masked else "}\n"
        prefix, serial = self._prefix, self._serial
        self._serial += len(lines)
        if len(lines) == 1:
            self._put(f"{prefix}{serial + 1}{behind}{lines[0]}{ending}")
            return
        written = [f"{prefix}{number}{behind}{line}{ending}" for number, line in enumerate(lines, serial + 1)]
        self._put("".join(written), len(written))

    def _put(self, lines: str, events: int = 1) -> None:
        waiting = self._waiting
        if waiting is None:
            self._recorder.put(lines, self, events)
        elif self._waiting_size + len(lines) <= WAITING_LIMIT:
            self._waiting_size += len(lines)
            waiting.append((lines, events))
        else:
            self.dropped += events
            self._recorder.lost(events)


def _facts(facts: Mapping[str, object]) -> str:
    """Facts in JSON, each with a comma before it."""
    return "," + _to_json(facts)[1:-1].replace("\x7f", "\\u007f") if facts else ""


@functools.lru_cache(64)
def _handshake(side: Side, server: str, *facts: object) -> str:
    """What an upgrade event says, as ``_facts`` makes it: one handshake is much like another.

    :param facts: in the order of ``_HANDSHAKE``.
    """
    told = {"side": side, **dict(zip(_HANDSHAKE, facts, strict=True)), "server": server}
    return _facts({key: fact for key, fact in told.items() if fact or key == "side"})


@functools.lru_cache(1024)
def _shown(line: bytes) -> str:
    """A line in JSON, and with it what was cut off; replies and commands come again and again."""
    cut = len(line) - LINE_LIMIT
    text = octets_to_json(line[:LINE_LIMIT] if cut > 0 else line)
    shown = (
        encode_basestring_ascii(text).replace("\x7f", "\\u007f") if isinstance(text, str)
        else f'{{"b64":"{text["b64"]}"}}'
    )  # fmt: skip
    return f'{shown},"cut":{cut}' if cut > 0 else shown


def _split(lines: bytes) -> list[bytes]:
    return lines.removesuffix(b"\r\n").split(b"\r\n")


@functools.lru_cache(256)
def _shown_each(lines: bytes) -> tuple[str, ...]:
    """The lines of a reply, each as ``_shown`` makes it."""
    return tuple(map(_shown, _split(lines)))


@final
class _Passing:
    """Content that passes: measured, and kept as far as the rule wants it."""

    __slots__ = ("_extent", "_hash", "_headers_end", "_kept", "_left", "_message", "_octets", "speaker")

    def __init__(self, speaker: Speaker, extent: str, *, message: bool) -> None:
        self.speaker: Final = speaker
        self._message: Final = message
        self._extent: Final = extent
        self._hash: Final = hashlib.sha256()
        self._octets = 0
        self._kept = bytearray()
        self._left = {"none": 0, "headers": HEADERS_LIMIT, "full": CONTENT_LIMIT}[extent]
        self._headers_end = -1

    def add(self, octets: bytes) -> None:
        """A piece of it."""
        self._octets += len(octets)
        if self._message:
            self._hash.update(octets)
        if self._left:
            before = max(0, len(self._kept) - 3)
            self._kept += octets[: self._left]
            self._left = max(0, self._left - len(octets))
            if self._extent == "headers" and (end := self._kept.find(b"\r\n\r\n", before)) >= 0:
                self._headers_end = end + 2
                del self._kept[self._headers_end :]
                self._left = 0

    def facts(self) -> dict[str, object]:
        """What the event says of it."""
        if not self._message:
            return {"what": "listing", "octets": self._octets}
        facts: dict[str, object] = {"octets": self._octets, "sha256": self._hash.hexdigest()}
        kept = bytes(self._kept)
        if self._extent == "headers":
            facts["headers"] = octets_to_json(kept)
            if self._headers_end < 0:
                facts["cut"] = self._octets - len(kept)
        elif self._extent == "full":
            facts["content"] = octets_to_json(kept)
            if len(kept) < self._octets:
                facts["cut"] = self._octets - len(kept)
        return facts
