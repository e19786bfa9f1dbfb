"""The two columns as lines of text, for terminals, pipes and files.

    +0.012 s  EHLO me.example.org                     ->
    +0.003 s                                          <-  250-mail.example.org
    +0.031 s  ==== private from here: TLSv1.3, … ==================================
    +0.010 s  EHLO me.example.org                     =>

The arrows are those of a trace: ``->`` and ``<-`` in the clear, ``=>`` and ``<=`` in private. Our own remarks stand in
brackets, and no line that a peer said begins with one; quoted content stands behind a bar.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final, NamedTuple, TypeAlias, final

from rich.cells import cell_len

from gatepost.record.columns import Row, Tone

WIDTH: Final = 100
NARROWEST: Final = 60
_TIME: Final = 11
_ARROWS: Final = {
    ("client", False): "->", ("server", False): "<-", ("client", True): "=>", ("server", True): "<=",
}  # fmt: skip
_FILL: Final[dict[Tone, str]] = {
    "upgrade": "=",
    "backend": "=",
    "unproved": "=",
    "failed": "!",
    "blind": "#",
    "missing": "?",
}
_INDENT: Final = "  "

Style: TypeAlias = str
"""As rich names styles: ``bold green``."""

_TONES: Final[dict[Tone, Style]] = {
    "upgrade": "bold green", "backend": "green", "unproved": "yellow", "failed": "bold red",
    "decision": "magenta", "blind": "bold yellow",
    "missing": "bold yellow", "end": "dim", "content": "blue", "said": "",
}  # fmt: skip
_CLEAR: Final = "yellow"
_PRIVATE: Final = "green"


class Piece(NamedTuple):
    """Text in one style."""

    text: str
    style: Style = ""


Drawn: TypeAlias = list[Piece]
"""One line, without its end."""


@final
@dataclass(frozen=True, slots=True)
class Columns:
    """Draws rows.

    :param width: of the whole, in cells of a terminal; what is narrower than ``NARROWEST`` is made that wide.
    """

    width: int = WIDTH

    @property
    def _cell(self) -> int:
        return (max(self.width, NARROWEST) - _TIME - len("   ->  ")) // 2

    def head(self) -> Iterator[Drawn]:
        """The heads of the columns."""
        yield _trimmed([Piece(" " * (_TIME + 1)), Piece(_padded("client", self._cell + 6) + "server", "bold")])

    def draw(self, row: Row) -> Iterator[Drawn]:
        """The lines of one row."""
        yield from self._across(row) if row.place == "across" else self._said(row)

    def _said(self, row: Row) -> Iterator[Drawn]:
        said = [Piece(line, _TONES[row.tone]) for line in wrap(row.text, self._cell, _INDENT)] if row.text else []
        if row.note:
            said += [Piece(line, "dim") for line in wrap(f"[{row.note}]", self._cell, _INDENT)]
        for line in row.quoted:
            said += [Piece(f"| {part}", "blue") for part in wrap(line, self._cell - 2)]
        arrow = Piece(f" {_ARROWS[row.place, row.private]}  ", _PRIVATE if row.private else _CLEAR)
        for first, piece in zip_longest((True,), said or [Piece("")]):
            assert piece is not None
            time = Piece(f"{pause(row) if first else '':>{_TIME}} ", "dim")
            between = arrow if first else Piece(" " * len(arrow.text))
            if row.place == "client":
                yield _trimmed([time, Piece(_padded(piece.text, self._cell + 1), piece.style), between])
            else:
                yield _trimmed([time, Piece(" " * (self._cell + 1)), between, piece])

    def _across(self, row: Row) -> Iterator[Drawn]:
        width = max(self.width, NARROWEST) - _TIME - 1
        fill, style = _FILL.get(row.tone, "-"), _TONES[row.tone]
        headline = wrap(row.text, width - 10)
        for at, line in enumerate(headline):
            last = at == len(headline) - 1
            ruled = f"{fill * 4} {line} " if at == 0 else f"     {line} "
            yield _trimmed([
                Piece(f"{pause(row) if at == 0 else '':>{_TIME}} ", "dim"),
                Piece(ruled + (fill * (width - cell_len(ruled)) if last else ""), style),
            ])  # fmt: skip
        for detail in row.details:
            for line in wrap(detail, width - 5, _INDENT):
                yield _trimmed([Piece(" " * (_TIME + 6)), Piece(line, style.removeprefix("bold "))])


def style_of(row: Row) -> Style:
    """The style of a row that has one line for itself."""
    return _TONES[row.tone] if row.place == "across" else _PRIVATE if row.private else _CLEAR


def pause(row: Row) -> str:
    """The time since the row before."""
    return f"{row.offset:.3f} s" if row.pause is None else f"{row.pause:+.3f} s"


def plain(lines: Iterable[Drawn]) -> Iterator[str]:
    """Lines without their styles."""
    for line in lines:
        yield "".join(piece.text for piece in line)


def headed(heading: dict[str, str]) -> Iterator[Drawn]:
    """What stands above the columns."""
    width = max(map(len, heading), default=0) + 1
    for name, value in heading.items():
        yield [Piece(f"{name + ':':<{width}} ", "dim"), Piece(value, "bold yellow" if name == "missing" else "")]


def wrap(text: str, width: int, indent: str = "") -> list[str]:
    """Cut text into lines of so many cells: at a blank where there is one in the last third, else anywhere.

    :param indent: stands before all lines but the first, so that they do not look like lines of their own.
    """
    lines: list[str] = []
    at = 0
    while True:
        front = indent if lines else ""
        end = _fitting(text, at, width - len(front))
        if end == len(text):
            return [*lines, front + text[at:]]
        blank = text.rfind(" ", at + (end - at) * 2 // 3, end + 1)
        if blank > at:
            lines.append(front + text[at:blank])
            at = blank + 1
        else:
            lines.append(front + text[at:end])
            at = end


def _fitting(text: str, start: int, width: int) -> int:
    """Behind which character from ``start`` on no more fit; at least one does."""
    used = 0
    for at in range(start, len(text)):
        used += cell_len(text[at])
        if used > width:
            return max(at, start + 1)
    return len(text)


def _padded(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))


def _trimmed(line: Drawn) -> Drawn:
    """A line without the blanks at its end."""
    while line and not line[-1].text.strip(" "):
        line.pop()
    if line:
        line[-1] = Piece(line[-1].text.rstrip(" "), line[-1].style)
    return line
