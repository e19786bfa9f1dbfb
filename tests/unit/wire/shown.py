"""A witness that keeps what it may show, in its order."""

from __future__ import annotations

from gatepost.wire.witness import Speaker


class Shown:
    """Each thing as one entry: who (``C`` client, ``S`` server), then what, with three stars for what is hidden.

    ``D`` is a piece of content, ``L`` a piece of something else that is long, ``E`` its end and ``E half`` the end of
    what was cut off.
    """

    def __init__(self) -> None:
        self.seen: list[bytes] = []

    def heard(self, line: bytes, hidden_from: int | None = None) -> None:
        self.seen.append(b"C " + (line if hidden_from is None else line[:hidden_from] + b"***"))

    def said(self, lines: bytes, challenge: bytes) -> None:
        for line in lines.split(b"\r\n")[:-1]:
            hidden = challenge and line.startswith(challenge)
            self.seen.append(b"S " + (challenge + b"***" if hidden else line))

    def passed(self, speaker: Speaker, octets: bytes, *, message: bool = True) -> None:
        self.seen.append((b"D " if message else b"L ") + octets)

    def passed_all(self, *, whole: bool = True) -> None:
        self.seen.append(b"E" if whole else b"E half")

    def broke(self, error: Exception) -> None:
        raise error
