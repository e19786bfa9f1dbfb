"""Targets, their words and seeds, and the check of their time, for whoever runs them: the fuzzer or the tests."""

from __future__ import annotations

import importlib
import random
import sys
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final, final

from fuzz.measure import SLOW, NotLinear, Target, check_growth

import gatepost

HERE: Final = Path(__file__).parent
CORPUS: Final = HERE / "corpus"
SOURCE: Final = str(Path(gatepost.__file__).parent)
SHARE: Final = 0.2  # of the time for the question whether work is linear


def names() -> list[str]:
    """All targets, in order."""
    return sorted(path.stem.removeprefix("fuzz_") for path in HERE.glob("fuzz_*.py"))


@final
@dataclass(frozen=True, slots=True)
class Fuzzed:
    """One target.

    :param run: takes an input, and raises when the invariant breaks.
    :param words: of its protocol.
    :param seeds: inputs as they should be: real dialogues, mostly.
    """

    name: str
    run: Target
    words: tuple[bytes, ...]
    seeds: tuple[bytes, ...]

    def corpus(self) -> list[bytes]:
        """The inputs that are kept in ``corpus/NAME``."""
        return [path.read_bytes() for path in sorted((CORPUS / self.name).glob("*"))]


def dictionary(words: tuple[bytes, ...]) -> str:
    """Words as libFuzzer reads them: quoted, and of 64 octets at most."""
    quoted = ("".join(f"\\x{octet:02x}" for octet in word[:64]) for word in words)
    return "".join(f'"{word}"\n' for word in quoted)


def load(name: str) -> Fuzzed:
    """A target by its name: the module ``fuzz_NAME``, its ``target``, its ``WORDS`` and its ``SEEDS``."""
    module = importlib.import_module(f"fuzz.fuzz_{name}")
    return Fuzzed(name, module.target, tuple(module.WORDS), tuple(module.SEEDS))


@final
class Timed:
    """A target whose time is watched: no input may be slow, and of some it is asked whether their work is linear."""

    __slots__ = ("_asked", "_spent", "_target", "runs")

    def __init__(self, target: Target) -> None:
        self._target: Final = target
        self._spent = self._asked = 0.0
        self.runs = 0

    def __call__(self, data: bytes) -> None:
        """Run it.

        :raises NotLinear: beside what the target raises.
        """
        began = time.thread_time()
        self._target(data)
        spent = time.thread_time() - began
        if spent > SLOW:
            raise NotLinear(f"{len(data)} octets take {spent:.1f} s")
        self._spent += spent
        self.runs += 1
        if self._asked <= SHARE * self._spent:
            began = time.thread_time()
            check_growth(self._target, data)
            self._asked += time.thread_time() - began


def reached(run: Target, data: bytes) -> frozenset[tuple[str, int, int]]:
    """Which lines of gatepost run behind which, with an input; nothing for one that breaks the invariant."""
    found: set[tuple[str, int, int]] = set()

    def called(frame: FrameType, event: str, argument: Any) -> Callable[[FrameType, str, Any], Any] | None:
        file = frame.f_code.co_filename
        if not file.startswith(SOURCE):
            return None
        before = 0

        def line(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal before
            found.add((file, before, frame.f_lineno))
            before = frame.f_lineno
            return line

        return line

    sys.settrace(called)
    try:
        run(data)
    except Exception:  # noqa: BLE001  # a finding is no part of a corpus
        return frozenset()
    finally:
        sys.settrace(None)
    return frozenset(found)


def smallest_cover(fuzzed: Fuzzed, known: Collection[bytes], files: int, octets: int) -> list[bytes]:
    """Inputs that together reach all that any of them reaches, or as much as fits: what adds most comes first.

    :param files: how many inputs.
    :param octets: of all of them.
    """
    left = {data: reached(fuzzed.run, data) for data in sorted(known, key=lambda data: (len(data), data))}
    kept: list[bytes] = []
    seen: frozenset[tuple[str, int, int]] = frozenset()
    while len(kept) < files:
        room = octets - sum(map(len, kept))
        gains = {data: len(arcs - seen) for data, arcs in left.items() if len(data) <= room}
        best = max(gains, key=lambda data: gains[data], default=b"")
        if not gains.get(best):
            break
        seen |= left.pop(best)
        kept.append(best)
    return kept


def draw(fuzzed: Fuzzed, corpus: list[bytes], chance: random.Random) -> Iterator[bytes]:
    """Inputs without end: words of the protocol, and changed ones of the corpus."""
    while True:
        if not corpus or chance.random() < 0.4:
            parts = [
                chance.choice(fuzzed.words) if chance.random() < 0.9 else chance.randbytes(chance.randrange(8))
                for _ in range(chance.randrange(30))
            ]
            yield b"".join(parts)
        else:
            yield change(chance.choice(corpus), fuzzed.words, chance)


def change(data: bytes, words: tuple[bytes, ...], chance: random.Random) -> bytes:
    """Change, insert, delete and repeat a few octets."""
    octets = bytearray(data)
    for _ in range(chance.randrange(1, 6)):
        at = chance.randrange(len(octets) + 1)
        match chance.randrange(4):
            case 0 if octets:
                octets[at % len(octets)] = chance.randrange(256)
            case 1:
                octets[at:at] = chance.choice(words)
            case 2:
                del octets[at : at + chance.randrange(5)]
            case _:
                octets[at:at] = octets[at : at + 20] * chance.randrange(1, 20)
    return bytes(octets[:16384])
