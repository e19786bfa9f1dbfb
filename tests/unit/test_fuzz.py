"""Fuzz targets: every one holds for its corpus, and everything that reads what others wrote has one."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fuzz import harness, measure
from fuzz.measure import held

ROOT = Path(__file__).parents[2]
README = (ROOT / "fuzz" / "README.md").read_text()
ROWS = [
    tuple(cell.strip(" `") for cell in row.strip("|").split("|")) for row in re.findall(r"^\| `.*\|$", README, re.M)
]
# Functions of these names take octets or texts of others.
READS = re.compile(
    r"^\s*def (?:receive|feed|hear|rewrite|(?:parse|read|decode|next|judge|take)(?:_\w+)?)\(", re.MULTILINE
)
PACKAGES = ("wire", "tls", "certs", "config", "record", "mailbox", "sendmail")


@pytest.mark.parametrize("name", harness.names())
def test_target_holds_for_its_corpus_and_for_random_inputs(name: str) -> None:
    """What once reached new code is read again, and inputs that are drawn the same way every time."""
    fuzzed = harness.load(name)
    corpus = fuzzed.corpus()
    assert corpus, "fuzz/run.py --minimise writes one"
    for data in (b"", *corpus):
        fuzzed.run(data)
    chance = random.Random(0)
    for data in itertools.islice(harness.draw(fuzzed, corpus, chance), 10):
        fuzzed.run(data)


@pytest.mark.parametrize("name", harness.names())
def test_target_says_what_it_asks(name: str) -> None:
    """The invariant is in the first line, the words are words, and the corpus is small."""
    fuzzed = harness.load(name)
    assert (ROOT / "fuzz" / f"fuzz_{name}.py").read_text().startswith('"""Invariant: ')
    assert all(fuzzed.words)
    assert fuzzed.seeds
    assert len(fuzzed.corpus()) <= 40
    assert sum(map(len, fuzzed.corpus())) <= 30_000


def test_table_names_what_is_there() -> None:
    """Every module, target and test of the table exists, every module stands there once, and every target is used."""
    assert len(ROWS) > 80
    for module, _, target, test in ROWS:
        assert (ROOT / "src" / "gatepost" / module).is_file(), module
        assert target in harness.names(), target
        assert test == "targets" or (ROOT / "tests" / "property" / test).is_file(), test
    assert len({row[0] for row in ROWS}) == len(ROWS)
    assert {row[2] for row in ROWS} == set(harness.names())


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_that_reads_is_named(package: str) -> None:
    """A new parser has a target, or a reason for none."""
    source = ROOT / "src" / "gatepost"
    readers = {
        str(path.relative_to(source)) for path in (source / package).rglob("*.py") if READS.search(path.read_text())
    }
    assert {name for name in readers if f"`{name}`" not in README} == set()


@pytest.mark.parametrize(("power", "found"), [(0, False), (1, False), (2, True)])
def test_growth_tells_linear_from_quadratic(power: int, found: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work that grows with the square of its input is found, and other work is not. (The clock is made up.)"""
    monkeypatch.setattr(measure, "cost", lambda target, data, times=1: 1e-4 * len(data) ** power)
    if found:
        with pytest.raises(measure.NotLinear):
            measure.check_growth(lambda data: None, b"a")
    else:
        measure.check_growth(lambda data: None, b"a")


def test_held_counts_what_an_object_can_reach() -> None:
    """Attributes, slots, containers, and the variables of a generator that waits; not what is everybody's."""

    class Slotted:
        __slots__ = ("_inner", "text")

        def __init__(self) -> None:
            self._inner = [b"12", {"key": bytearray(3)}]
            self.text = "1234"

    def waits() -> Iterator[object]:
        mine = b"12345"
        yield from also(mine)

    def also(given: bytes) -> Iterator[object]:
        more = given * 2
        yield more

    assert held(Slotted()) == 12
    generator = waits()
    next(generator)
    assert held(generator) == 15
    shared = Slotted()
    assert held([shared, b"1"], shared) == 1
