"""The events of a recorded session, as values and as JSON.

Each event is one JSON object on a line of its own. Reading is strict: an unknown event, an unknown key, a missing one
or a value of another type is an error, but for what a newer minor version may have added (see ``version``). The keys of
each event stand in one table beside it; ``docs/record-format.md`` describes them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal, TypeAlias, TypeVar, final

from gatepost.record.errors import RecordError
from gatepost.record.keys import ADDRESS, COUNT, MOMENT, NAMES, OCTETS, TEXT, TRUTH, Key, decode, encode, one_of
from gatepost.record.version import CURRENT, Version, convert

Speaker: TypeAlias = Literal["client", "server"]
_SPEAKER: Final = one_of("client", "server")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordEvent:
    """What all events of a session have.

    :param session: the connection's identifier (``Origin.connection``), as in every line of the log.
    :param serial: the number of the event in its session, from 1. A gap is what was dropped.
    :param at: when, in seconds since the Unix epoch.
    :param private: whether it happened inside TLS.
    """

    kind: ClassVar[str] = ""
    keys: ClassVar[tuple[Key, ...]] = (
        Key("s", "session", TEXT),
        Key("n", "serial", COUNT),
        Key("t", "at", MOMENT),
        Key("private", "private", TRUTH, default=False),
    )

    session: str
    serial: int
    at: float
    private: bool = False

    def to_json(self) -> dict[str, Any]:
        """The event as JSON has it; what has its default is left out."""
        return {"e": self.kind, **encode(self, RecordEvent.keys), **encode(self, self.keys)}


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Opened(RecordEvent):
    """A client connected.

    :param listener: the name of the listener that it came to.
    :param protocol: the listener's protocol.
    :param client: its address and port.
    :param local: ours.
    :param side: ``server`` when gatepost answers itself, ``gate`` when it stands before another server.
    :param version: of the format that this session is written in.
    """

    kind = "open"
    keys = (
        Key("v", "version", COUNT),
        Key("minor", "minor", COUNT, default=0),
        Key("listener", "listener", TEXT),
        Key("protocol", "protocol", TEXT),
        Key("client", "client", ADDRESS),
        Key("local", "local", ADDRESS),
        Key("side", "side", one_of("server", "gate")),
    )

    listener: str
    protocol: str
    client: tuple[str, int]
    local: tuple[str, int]
    side: Literal["server", "gate"] = "server"
    version: int = CURRENT.major
    minor: int = CURRENT.minor


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Line(RecordEvent):
    """A line, or a piece of something without lines.

    :param speaker: who said it.
    :param data: the octets without their line end; ``***`` stands where a secret was.
    :param masked: whether a ``***`` in it is a mask.
    :param cut: octets that were left out at its end, because it was too long to keep.
    """

    kind = "line"
    keys = (
        Key("from", "speaker", _SPEAKER),
        Key("text", "data", OCTETS),
        Key("masked", "masked", TRUTH, default=False),
        Key("cut", "cut", COUNT, default=0),
    )

    speaker: Speaker
    data: bytes
    masked: bool = False
    cut: int = 0


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Data(RecordEvent):
    """Content that passed: a message, a list, or octets of a protocol that is not read.

    :param speaker: who sent it.
    :param what: ``message`` for mail, ``listing`` for another long answer, ``octets`` for what is not read.
    :param octets: how many there were; of a message without the dots that are doubled on the way.
    :param sha256: of a message, in hexadecimal digits; otherwise empty.
    :param headers: the header of the message, where headers are kept; else None.
    :param content: the message, where all of it is kept; else None.
    :param cut: octets that were left out at the end of ``headers`` or ``content``, because they were too many to keep.
    :param whole: whether the end of it came.
    """

    kind = "data"
    keys = (
        Key("from", "speaker", _SPEAKER),
        Key("what", "what", one_of("message", "listing", "octets"), default="message"),
        Key("octets", "octets", COUNT),
        Key("sha256", "sha256", TEXT, default=""),
        Key("headers", "headers", OCTETS, default=None),
        Key("content", "content", OCTETS, default=None),
        Key("cut", "cut", COUNT, default=0),
        Key("whole", "whole", TRUTH, default=True),
    )

    speaker: Speaker
    octets: int
    sha256: str = ""
    what: Literal["message", "listing", "octets"] = "message"
    headers: bytes | None = None
    content: bytes | None = None
    cut: int = 0
    whole: bool = True


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Upgraded(RecordEvent):
    """A handshake ended: the way to the client, or to the server behind, is private from here, or is over.

    :param side: ``client`` for the way to the client, ``backend`` for the way to the server behind.
    :param version: ``TLSv1.2`` or ``TLSv1.3``; empty when it failed.
    :param cipher: as OpenSSL names it.
    :param group: of the key exchange, or an empty string.
    :param verified: what the peer's certificate proved, as ``Verification.status`` has it.
    :param reason: of ``untrusted``, or why the handshake failed; in words.
    :param names: that the peer's certificate carries, proved or not.
    :param resumed: whether an earlier session was resumed.
    :param server_name: that the client asked for (SNI), or an empty string.
    :param alpn: the protocol that was agreed on, or an empty string.
    :param server: behind the gate: which one it is; otherwise empty.
    """

    kind = "upgrade"
    keys = (
        Key("side", "side", one_of("client", "backend")),
        Key("version", "version", TEXT, default=""),
        Key("cipher", "cipher", TEXT, default=""),
        Key("group", "group", TEXT, default=""),
        Key("verified", "verified", TEXT, default=""),
        Key("reason", "reason", TEXT, default=""),
        Key("names", "names", NAMES, default=()),
        Key("resumed", "resumed", TRUTH, default=False),
        Key("server_name", "server_name", TEXT, default=""),
        Key("alpn", "alpn", TEXT, default=""),
        Key("server", "server", TEXT, default=""),
    )

    side: Literal["client", "backend"]
    version: str = ""
    cipher: str = ""
    group: str = ""
    verified: str = ""
    reason: str = ""
    names: tuple[str, ...] = ()
    resumed: bool = False
    server_name: str = ""
    alpn: str = ""
    server: str = ""

    @property
    def failed(self) -> bool:
        """Whether the handshake failed."""
        return not self.version


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Decision(RecordEvent):
    """What gatepost decided, and why.

    :param what: about: ``connection``, ``greylist``, ``relay``, ``login``, ``sender``, ``backend``, …
    :param verdict: in a word: ``accept``, ``refuse``, ``delay``, ``skip``, …
    :param rule: that decided it, as in the configuration; empty when none has a name.
    :param reason: in words.
    :param subject: whom or what it was about: a recipient, a user, a server.
    """

    kind = "decision"
    keys = (
        Key("what", "what", TEXT),
        Key("verdict", "verdict", TEXT),
        Key("rule", "rule", TEXT, default=""),
        Key("reason", "reason", TEXT, default=""),
        Key("subject", "subject", TEXT, default=""),
    )

    what: str
    verdict: str
    rule: str = ""
    reason: str = ""
    subject: str = ""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Blind(RecordEvent):
    """From here nothing that is said can be read: client and server speak TLS with each other.

    :param reason: in words.
    :param server: which server it is.
    """

    kind = "blind"
    keys = (Key("reason", "reason", TEXT, default=""), Key("server", "server", TEXT, default=""))

    reason: str = ""
    server: str = ""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Closed(RecordEvent):
    """The connection is gone.

    :param outcome: how it ended, in the stable words of the log.
    :param seconds: from the first octet to here.
    :param dropped: events of this session that were not written.
    """

    kind = "close"
    keys = (
        Key("outcome", "outcome", TEXT),
        Key("seconds", "seconds", MOMENT),
        Key("dropped", "dropped", COUNT, default=0),
    )

    outcome: str
    seconds: float
    dropped: int = 0


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class FileBegins:
    """The first line of each file: who wrote it, and in which version of the format.

    :param role: which kind of process, as ``gatepost status`` names it.
    :param pid: its process.
    :param at: when, in seconds since the Unix epoch.
    """

    kind: ClassVar[str] = "file"
    keys: ClassVar[tuple[Key, ...]] = (
        Key("v", "version", COUNT),
        Key("minor", "minor", COUNT, default=0),
        Key("role", "role", TEXT),
        Key("pid", "pid", COUNT),
        Key("t", "at", MOMENT),
    )

    role: str
    pid: int
    at: float
    version: int = CURRENT.major
    minor: int = CURRENT.minor

    def to_json(self) -> dict[str, Any]:
        """The line as JSON has it."""
        return {"e": self.kind, **encode(self, self.keys)}


_EventType = TypeVar("_EventType", bound=RecordEvent)
KINDS: Final[Mapping[str, type[RecordEvent]]] = {
    each.kind: each for each in (Opened, Line, Data, Upgraded, Decision, Blind, Closed)
}


def from_json(document: object, written: Version = CURRENT) -> RecordEvent | FileBegins | None:
    """Read one event.

    :param document: what the JSON of one line holds.
    :param written: the version of the file that it stands in; ``file`` and ``open`` say their own.
    :return: the event; None for a kind of event that only a newer minor version knows.
    :raises RecordError: for what is no event of that version, or of a version that is newer.
    """
    if not isinstance(document, dict) or not isinstance(document.get("e"), str):
        raise RecordError("a line of a record is an object with an event's name in it")
    if document["e"] in (Opened.kind, FileBegins.kind):
        written = _version_of(document)
    document = convert(dict(document), written)
    kind = document.pop("e")
    lenient = written.major == CURRENT.major and written.minor > CURRENT.minor
    if kind == FileBegins.kind:
        return FileBegins(**decode(document, FileBegins.keys, lenient=lenient))
    event = KINDS.get(kind)
    if event is None:
        if lenient:
            return None
        raise RecordError(f"a record has no event {kind[:32]!r}")
    return event(**decode(document, (*RecordEvent.keys, *event.keys), lenient=lenient))


def _version_of(document: dict[str, Any]) -> Version:
    major, minor = document.get("v"), document.get("minor", 0)
    if type(major) is not int or type(minor) is not int or major < 0 or minor < 0:
        raise RecordError("the version of a record is a number")
    return Version(major, minor)


def to_line(event: RecordEvent | FileBegins) -> bytes:
    """One event as one line of ASCII, with its line end: no octet of it does anything to a terminal."""
    return json.dumps(event.to_json(), separators=(",", ":")).replace("\x7f", "\\u007f").encode() + b"\n"
