"""Log lines: one event, one line, whatever a peer put into it; and never a reason for the service to wait or fail."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gatepost.observe import logs
from gatepost.wire.sasl.secret import Secret

HOSTILE = (
    "a\r\nb",
    "a\nb",
    "\x1b[2J\x1b]0;owned\x07",
    "x y=1 event=forged",
    'quote " and \\ backslash',
    "\u202edetrevni\u2066",
    "line\u2028separator\u2029",
    "\x00\x7f\x85\x9b",
    "\ud800 lone surrogate",
    "=",
    "x" * 5000,
    "zero\u200bwidth",
)


class Sink:
    """A file that lines go to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT)

    def text(self) -> str:
        """What was written."""
        return self.path.read_text()

    def lines(self) -> list[str]:
        """What was written, by line."""
        return self.text().split("\n")[:-1]


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[Sink]:
    """Where this test's lines go."""
    made = Sink(tmp_path / "log")
    yield made
    logs.teardown()
    os.close(made.descriptor)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_text_line_holds_what_a_peer_sent(sink: Sink, hostile: str) -> None:
    """In text, a hostile value is one word of one line of printable characters."""
    logs.setup("text", descriptor=sink.descriptor)
    logs.event("smtp.session", helo=hostile, outcome="quit")
    (line,) = sink.lines()
    assert line.isprintable()
    assert re.fullmatch(
        r'[-0-9T:.Z]+ gatepost\[\d+\] smtp\.session helo=([^\s"=\\]+|"([^"\\]|\\.)*") outcome=quit', line
    )


@pytest.mark.parametrize("hostile", HOSTILE)
def test_json_line_holds_what_a_peer_sent(sink: Sink, hostile: str) -> None:
    """In JSON, a hostile value is one string of one ASCII line, and reads back as it was sent."""
    logs.setup("json", descriptor=sink.descriptor)
    logs.event("smtp.session", helo=hostile, outcome="quit")
    (line,) = sink.lines()
    assert line.isascii()
    assert line.isprintable()
    read = json.loads(line)
    assert read["helo"][:1024] == hostile[:1024]
    assert len(read["helo"]) <= 1025
    assert (read["event"], read["outcome"]) == ("smtp.session", "quit")


@pytest.mark.parametrize("form", ["text", "json"])
def test_secret_is_never_written(sink: Sink, form: logs.Format) -> None:
    """A secret prints as stars, alone and in a list."""
    logs.setup(form, descriptor=sink.descriptor)
    logs.event("x", password=Secret(b"hunter2"), all=[Secret(b"hunter2"), "b"])
    assert "hunter2" not in sink.text()
    assert "***" in sink.text()


@pytest.mark.parametrize("form", ["text", "json"])
def test_subclass_of_str_or_bytes_is_written_as_it_prints(sink: Sink, form: logs.Format) -> None:
    """A type that hides its content by its ``str`` is hidden even where it is a kind of text or of octets."""

    class HiddenText(str):
        __slots__ = ()

        def __str__(self) -> str:
            return "***"

    class HiddenBytes(bytes):
        __slots__ = ()

        def __str__(self) -> str:
            return "***"

    logs.setup(form, descriptor=sink.descriptor)
    logs.event("x", one=HiddenText("hunter2"), two=HiddenBytes(b"hunter2"))
    assert "hunter2" not in sink.text()
    assert sink.text().count("***") == 2


@pytest.mark.parametrize("severity", ["info", "notice"])
def test_empty_values_are_left_out_of_a_text_line(sink: Sink, severity: str) -> None:
    """Nothing and empty text cost no room, unless the event says that emptiness means something."""
    logs.setup("text", descriptor=sink.descriptor)
    logs.event("x", severity=severity, user="", helo=None, kept=logs.EMPTY, zero=0, no=False)
    (line,) = sink.lines()
    assert line.partition(" x ")[2].split() == ['kept=""', "zero=0", "no=no"] + ["severity=notice"] * (
        severity == "notice"
    )


def test_empty_values_are_left_out_of_a_json_line(sink: Sink) -> None:
    """The same in JSON."""
    logs.setup("json", descriptor=sink.descriptor)
    logs.event("x", user="", helo=None, kept=logs.EMPTY, zero=0, no=False)
    (line,) = sink.lines()
    read = json.loads(line)
    assert {key: read.get(key) for key in ("user", "helo", "kept", "zero", "no")} == {
        "user": None, "helo": None, "kept": "", "zero": 0, "no": False,
    }  # fmt: skip
    assert "user" not in read


def test_text_values_have_their_forms(sink: Sink) -> None:
    """Numbers, truth, octets, lists and nothing each have one form."""
    logs.setup("text", descriptor=sink.descriptor)
    logs.event("x", a=1, b=1.23456, c=True, d=None, e=b"\xff\n", f=("p", 2), sender="<a@b.test>")
    assert sink.lines()[0].endswith(' x a=1 b=1.235 c=yes e="ÿ\\n" f=p,2 sender=<a@b.test>')


def test_json_values_have_their_types(sink: Sink) -> None:
    """Numbers and truth keep their types; a number that JSON does not know is null."""
    logs.setup("json", descriptor=sink.descriptor)
    logs.event("x", "warning", a=1, b=1.5, c=True, d=None, e=float("inf"))
    read = json.loads(sink.text())
    assert {key: read.get(key, "absent") for key in "abcde"} == {"a": 1, "b": 1.5, "c": True, "d": "absent", "e": None}
    assert read["severity"] == "warning"


def test_value_that_cannot_print_does_not_raise(sink: Sink) -> None:
    """A broken ``__str__`` costs the value, not the service."""

    class Broken:
        def __str__(self) -> str:
            raise RuntimeError

    logs.setup("text", descriptor=sink.descriptor)
    logs.event("x", value=Broken(), other=1)
    assert sink.lines()[0].endswith(" x value=<Broken> other=1")


def test_lines_of_a_turn_are_written_together(sink: Sink) -> None:
    """In a running loop nothing is written before the turn ends, and everything after it."""
    logs.setup("text", descriptor=sink.descriptor)

    async def turns() -> tuple[int, int]:
        for number in range(3):
            logs.event("x", number=number)
        before = len(sink.lines())
        await asyncio.sleep(0)
        return before, len(sink.lines())

    assert asyncio.run(turns()) == (0, 3)


def test_buffer_is_written_when_it_is_full(sink: Sink) -> None:
    """A turn that logs much does not pile it up."""
    logs.setup("text", descriptor=sink.descriptor)

    async def turn() -> int:
        for _ in range(100):
            logs.event("x", filler="y" * 200)
        return len(sink.lines())

    assert asyncio.run(turn()) > 30


def test_full_pipe_drops_lines_and_says_how_many() -> None:
    """Nobody reads: the service does not wait, and the reader who comes later is told what is missing."""
    reading, writing = os.pipe()
    counted: list[int] = []
    try:
        logs.setup("text", descriptor=writing)
        logs.identify("mx/0", drop_counter=counted.append)
        for number in range(20000):
            logs.event("x", number=number, filler="y" * 100)
        assert logs.dropped() > 0
        assert os.get_blocking(writing), "the descriptor that we were given keeps its mode"
        text = _drain(reading)
        assert "log.dropped" in text
        assert sum(counted) == logs.dropped()
        for line in text.split("\n")[:-1]:
            assert re.search(
                r" mx/0\[\d+\] (x number=\d+ filler=y{100}|log\.dropped lines=\d+ severity=warning)$", line
            )
    finally:
        logs.teardown()
        os.close(writing)
        os.close(reading)


def _drain(reading: int) -> str:
    os.set_blocking(reading, False)
    data = b""
    for _ in range(100):
        while True:
            try:
                data += os.read(reading, 65536)
            except BlockingIOError:
                break
        logs.flush()
    return data.decode()


def test_reader_that_went_away_does_not_raise() -> None:
    """A broken pipe is counted, nothing more."""
    reading, writing = os.pipe()
    logs.setup("text", descriptor=writing)
    os.close(reading)
    logs.event("x")
    assert logs.dropped() >= 1
    logs.teardown()
    os.close(writing)


def test_full_disk_does_not_raise() -> None:
    """ENOSPC is counted, nothing more."""
    descriptor = os.open("/dev/full", os.O_WRONLY)
    logs.setup("text", descriptor=descriptor)
    logs.event("x")
    assert logs.dropped() >= 1
    logs.teardown()
    os.close(descriptor)


def test_library_warnings_come_in_the_same_form(sink: Sink) -> None:
    """What a library logs is one line too, with its traceback inside."""
    logs.setup("json", descriptor=sink.descriptor)
    try:
        raise ValueError("bad\nvalue")
    except ValueError:
        logging.getLogger("some.library").exception("it %s", "failed")
    read: dict[str, Any] = json.loads(sink.text())
    assert (read["event"], read["logger"], read["message"], read["severity"]) == (
        "log.message",
        "some.library",
        "it failed",
        "error",
    )
    assert "ValueError: bad\nvalue" in read["exception"]


def test_library_chatter_is_left_out(sink: Sink) -> None:
    """Below a warning, libraries are not heard."""
    logs.setup("text", descriptor=sink.descriptor)
    logging.getLogger("some.library").info("chatter")
    assert sink.text() == ""


def test_severity_below_the_threshold_is_left_out(sink: Sink) -> None:
    """Debug lines appear when they were asked for."""
    logs.setup("text", descriptor=sink.descriptor)
    logs.event("x", "debug")
    assert sink.text() == ""
    logs.setup("text", descriptor=sink.descriptor, level="debug")
    logs.event("x", "debug")
    assert sink.lines()[0].endswith(" x severity=debug")


def test_journal_gets_priorities_and_no_time(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines that lead to the journal carry its prefix (sd-daemon(3)); the journal knows the time."""
    status = os.fstat(sink.descriptor)
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
    logs.setup("text", descriptor=sink.descriptor)
    logs.event("x", "error", a=1)
    assert re.fullmatch(r"<3>gatepost\[\d+\] x a=1 severity=error", sink.lines()[0])


def test_failure_says_where(sink: Sink) -> None:
    """An unexpected error is one line with its place."""
    logs.setup("text", descriptor=sink.descriptor)
    try:
        raise ValueError("bad\nvalue")
    except ValueError as error:
        logs.failure("thing.failed", error, thing="a")
    assert re.search(r'thing\.failed thing=a error="ValueError: bad\\nvalue" where=\S*test_logs', sink.lines()[0])


def test_log_and_standard_output_in_one_file_do_not_overwrite_each_other(tmp_path: Path) -> None:
    """``serve > log 2>&1``: what is printed stands behind the lines logged before it."""
    program = (
        "import os; from gatepost.observe import logs; logs.setup('text'); logs.event('one.two'); "
        "os.write(1, b'printed\\n'); logs.event('three.four')"
    )
    file = tmp_path / "log"
    with file.open("wb") as out:
        subprocess.run([sys.executable, "-c", program], stdout=out, stderr=out, check=True)
    lines = file.read_text().splitlines()
    assert len(lines) == 3 and "one.two" in lines[0] and lines[1] == "printed" and "three.four" in lines[2]


def test_teardown_leaves_nothing_of_the_setup(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lines are plain again, and all of them are said."""
    with (tmp_path / "log").open("wb") as out:
        logs.setup("json", descriptor=out.fileno(), level="error")
        logs.identify("mx/0")
        logs.teardown()
    logs.event("smtp.session", messages=1)
    assert re.search(r"Z gatepost\[[0-9]+\] smtp\.session messages=1\n$", capsys.readouterr().err)
