"""A session that is recorded into memory, and a search for a secret in what was recorded."""

from __future__ import annotations

import base64
import json
from typing import Any

from gatepost.record.events import FileBegins, RecordEvent, from_json
from gatepost.record.rules import Extent, RecordRule
from gatepost.record.transcript import SessionRecord
from gatepost.wire.upgrade import Origin

ORIGIN = Origin(("192.0.2.1", 40000), ("192.0.2.2", 25), "mx", 1700000000.0, "c1")
WINDOW = 6  # octets of a secret that must not be found


class Shelved:
    """Takes lines in place of a recorder."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.kept: list[bool] = []
        self.lost_events = 0
        self.full = False

    def put(self, lines: str, loser: SessionRecord, events: int = 1) -> None:
        if self.full:
            loser.dropped += events
        else:
            each = lines.splitlines(keepends=True)
            assert len(each) == events
            self.lines += each

    def lost(self, events: int = 1) -> None:
        self.lost_events += events

    def broke(self, error: Exception) -> None:
        raise error

    def ended(self, *, kept: bool) -> None:
        self.kept.append(kept)

    @property
    def events(self) -> list[RecordEvent]:
        """What was recorded, read again."""
        found = [from_json(json.loads(line)) for line in self.lines]
        return [event for event in found if event is not None and not isinstance(event, FileBegins)]

    @property
    def text(self) -> bytes:
        return "".join(self.lines).encode("ascii")


def recorded(
    *, content: Extent = "none", only_failures: bool = False, protocol: str = "smtp"
) -> tuple[SessionRecord, Shelved]:
    """A session that has begun, and where its lines go."""
    shelved: Any = Shelved()
    rule = RecordRule("record_rule[0]", content=content, only_failures=only_failures)
    return SessionRecord(shelved, rule, ORIGIN, protocol, "server"), shelved


def base64_windows(secret: bytes) -> list[bytes]:
    """What every window of a secret looks like in Base64, wherever it stands in what was encoded."""
    found = []
    for start in range(len(secret) - WINDOW + 1):
        window = secret[start : start + WINDOW]
        for offset in range(3):
            encoded = base64.b64encode(b"\0" * offset + window)
            first = -(-offset * 8 // 6)  # the first digit that the window alone decides
            digits = encoded.rstrip(b"=")
            last = len(digits) if (offset + WINDOW) % 3 == 0 else len(digits) - 1
            found.append(digits[first:last])
    return found


def leaked(text: bytes, secret: bytes) -> bool:
    """Whether some octets of a secret in a row are in a record: as they are, in Base64, xtext or hexadecimal digits."""
    windows = [secret[start : start + WINDOW] for start in range(len(secret) - WINDOW + 1)]
    shapes = [
        *windows,
        *base64_windows(secret),
        *(json.dumps(window.decode("latin-1"))[1:-1].encode() for window in windows),
        *(b"".join(b"+%02X" % o if chr(o) in "+=" else bytes([o]) for o in window) for window in windows),
    ]
    return any(shape in text for shape in shapes) or any(w.hex().encode() in text.lower() for w in windows)
