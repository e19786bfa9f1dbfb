"""Talking on a connection from a terminal or a pipe: what is typed goes out, what comes in is shown.

To a terminal nothing goes that could move its cursor; to a pipe or file everything as it came.

The pace of a script: a line is sent when the peer has answered the one before it, or has been silent for ``pace``
seconds. After such a silence the lines that follow go out at once (they are the text of a message, say) until the peer
speaks again.

There is no half-closing: TLS has an end for each direction, but few servers go on behind the client's. At the end of
input nothing is sent; the peer may go on until it closes or is silent for ``wait`` seconds, and then we close.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import sys
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NoReturn, TextIO, final

import click

from gatepost.cli import exits
from gatepost.cli.output import printable

if TYPE_CHECKING:
    from gatepost.connecting import PlainConnection, SecureConnection

UPGRADE: Final = ".starttls"
_ESCAPED_UPGRADE: Final = b"..starttls"
_LINE_LIMIT: Final = 65536
_QUEUE: Final = 8  # reads that wait to be sent
_LOOK_AGAIN: Final = 3600.0
_QUIET: Final = 0.2  # seconds without a word, behind a go-ahead


@final
@dataclass(frozen=True, slots=True)
class Manner:
    """How to talk.

    :param line_end: what ends a line that is sent: CRLF, LF, or what the input has.
    :param wait: seconds of silence, after the end of input, after which we close.
    :param pace: seconds to wait for the answer to a line of a script.
    :param timeout: seconds in which the peer must take what is sent.
    """

    line_end: Literal["crlf", "lf", "asis"] = "crlf"
    wait: float = 5.0
    pace: float = 0.5
    timeout: float = 20.0

    def ended(self, line: bytes) -> bytes:
        """The line as it is sent; one that does not end is the input's last, and is sent so."""
        if self.line_end == "asis" or not line.endswith(b"\n"):
            return line
        text = line[:-1].removesuffix(b"\r")
        return text + (b"\r\n" if self.line_end == "crlf" else b"\n")


@final
class Input:
    """Lines from a terminal, a pipe or a file, read by a thread of its own so that reading may block.

    :param stream: standard input.
    :param upgrade_line: whether the line ``.starttls`` asks for the upgrade; ``..starttls`` is then sent with one dot.
    """

    def __init__(self, stream: TextIO, *, upgrade_line: bool = False) -> None:
        self._stream: Final = stream
        self._upgrade_line = upgrade_line
        self._queue: asyncio.Queue[list[bytes]] = asyncio.Queue()
        self._room: Final = threading.Semaphore(_QUEUE)
        self._closed = False
        self._lines: deque[bytes] = deque()
        self._begun = False
        self._ended = False
        self.interactive: Final = stream.isatty()
        self.upgrade_asked = False  # where the last ``lines`` ended

    async def lines(self) -> AsyncIterator[bytes]:
        """The lines up to the end of input, or to the one that asks for the upgrade."""
        if not self._begun:
            self._begun = True
            loop = asyncio.get_running_loop()
            threading.Thread(target=self._read, args=(loop,), name="standard input", daemon=True).start()
        self.upgrade_asked = False
        while await self._more():
            line = self._lines.popleft()
            if self._upgrade_line:
                text = line.rstrip(b"\r\n")
                if text == UPGRADE.encode():
                    self._upgrade_line, self.upgrade_asked = False, True
                    return
                if text == _ESCAPED_UPGRADE:
                    line = line[1:]
            yield line

    async def _more(self) -> bool:
        """Whether there is another line; waits for it."""
        if not self._lines and not self._ended:
            self._lines.extend(await self._queue.get())
            self._room.release()
            self._ended = not self._lines
        return bool(self._lines)

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        with contextlib.suppress(RuntimeError, OSError, ValueError):  # the loop, or the stream, is closed
            for lines in self._read_lines():
                self._room.acquire()
                if self._closed:
                    return
                loop.call_soon_threadsafe(self._queue.put_nowait, lines)
            loop.call_soon_threadsafe(self._queue.put_nowait, [])

    def close(self) -> None:
        """Nobody asks for lines any more: the thread ends, unless it waits for the stream."""
        self._closed = True
        self._room.release()

    def _read_lines(self) -> Iterator[list[bytes]]:
        """Lines as they can be read; never none of them."""
        try:
            descriptor = self._stream.fileno()
        except (OSError, ValueError):
            while line := self._stream.buffer.readline(_LINE_LIMIT):
                yield [line]
            return
        # Not through the stream's buffer: a thread that waits in it keeps the interpreter from ending.
        held = b""
        while data := os.read(descriptor, _LINE_LIMIT):
            *lines, held = (held + data).split(b"\n")
            if lines:
                yield [line + b"\n" for line in lines]
            if len(held) > _LINE_LIMIT:
                yield [held]
                held = b""
        if held:
            yield [held]


@final
class Screen:
    """Standard output: escaped on a terminal, as it came elsewhere."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._held = ""  # a CR that may belong to a line end of which the rest is still to come

    def show(self, data: bytes) -> None:
        if self._terminal:
            self._write(self._held + self._decoder.decode(data))
        else:
            sys.stdout.buffer.write(data)
        sys.stdout.flush()

    def finish(self) -> None:
        """Nothing comes any more: show what was held back."""
        if self._terminal and (rest := self._held + self._decoder.decode(b"", final=True)):
            self._held = ""
            sys.stdout.write(_on_terminal(rest))
            sys.stdout.flush()

    def _write(self, text: str) -> None:
        self._held = "\r" if text.endswith("\r") else ""
        *lines, rest = text.removesuffix(self._held).split("\n")
        sys.stdout.write("\n".join(_on_terminal(each) for each in (*(line.removesuffix("\r") for line in lines), rest)))


def _quit_quietly() -> NoReturn:
    """Whoever read our output has stopped: keep the interpreter from flushing into it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise click.exceptions.Exit(1)


def _on_terminal(line: str) -> str:
    return "\t".join(printable(part) for part in line.split("\t"))


@final
class _Talk:
    """One conversation, in the clear or in private."""

    def __init__(
        self, connection: PlainConnection | SecureConnection, source: Input, manner: Manner, *, greeting: bool
    ) -> None:
        self._connection: Final = connection
        self._source: Final = source
        self._manner: Final = manner
        self._greeting: Final = greeting
        self._screen: Final = Screen()
        self._heard: Final = asyncio.Event()
        self._streaming = False

    async def run(self) -> int:
        hearing = asyncio.create_task(self._hear())
        saying = asyncio.create_task(self._say())
        try:
            await asyncio.wait((hearing, saying), return_when=asyncio.FIRST_COMPLETED)
            if hearing.done():
                return hearing.result()
            saying.result()
            if self._source.upgrade_asked:
                return 0
            return await self._linger(hearing)
        finally:
            for task in (hearing, saying):
                task.cancel()
            await asyncio.gather(hearing, saying, return_exceptions=True)
            with contextlib.suppress(BrokenPipeError):
                self._screen.finish()

    async def _linger(self, hearing: asyncio.Task[int]) -> int:
        """The input is over: hear what still comes."""
        while not hearing.done():
            self._heard.clear()
            waiting = asyncio.create_task(self._heard.wait())
            await asyncio.wait((hearing, waiting), timeout=self._manner.wait, return_when=asyncio.FIRST_COMPLETED)
            silent = not waiting.done()
            waiting.cancel()
            if silent and not hearing.done():
                return 0
        return hearing.result()

    async def _hear(self) -> int:
        """Show what comes, to its end; the exit code that the end gives."""
        while True:
            if not await self._connection.ready(timeout=_LOOK_AGAIN):
                continue
            try:
                data = await self._connection.read()
            except ConnectionError as error:
                click.echo(f"gatepost: {printable(error)}: what came may not be all", err=True)
                return exits.IO
            if not data:
                return 0
            try:
                self._screen.show(data)
            except BrokenPipeError:
                _quit_quietly()
            self._streaming = False
            self._heard.set()

    async def _say(self) -> None:
        said = False
        async for line in self._source.lines():
            if not self._source.interactive and self._manner.pace and (said or self._greeting):
                await self._be_patient()
            said = True
            self._heard.clear()
            await self._connection.send(self._manner.ended(line), timeout=self._manner.timeout)
        if self._source.upgrade_asked and not self._source.interactive:
            await self._go_ahead(self._manner.timeout if said else self._manner.pace)

    async def _go_ahead(self, seconds: float) -> None:
        """A script's upgrade begins when the server has answered, and has no more to say."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._heard.wait()
            while True:
                self._heard.clear()
                async with asyncio.timeout(_QUIET):
                    await self._heard.wait()

    async def _be_patient(self) -> None:
        """Wait for the answer to the line before, or for the greeting, unless lines are streaming."""
        if self._streaming:
            return
        try:
            async with asyncio.timeout(self._manner.pace):
                await self._heard.wait()
        except TimeoutError:
            self._streaming = True


async def talk(connection: PlainConnection | SecureConnection, source: Input, manner: Manner, *, greeting: bool) -> int:
    """Talk until the peer closes, or the input ends and the peer is silent, or the upgrade is asked for.

    :param greeting: whether the peer may speak first; a script then waits for it as for an answer.
    :return: 0, or the exit code for a connection that was lost.
    """
    return await _Talk(connection, source, manner, greeting=greeting).run()
