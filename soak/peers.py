"""Clients that stall: at every step of every protocol, by the thousand, or so slowly that it makes no difference.

The server's clocks (``limits`` in ``soak.CONFIG``) must end each of them. Who is still connected ``BOUND`` seconds
after it fell silent was forgotten, and that is a broken promise.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import random
import socket
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any, Final

from traffic import STRANGER, USERS, World

import gatepost
from gatepost.connecting import PlainConnection, SecureConnection

HELLO: Final = bytes.fromhex("16030100c8010000c40303")
"""The beginning of a ClientHello."""

BOUND: Final = 60.0
"""Seconds after which the server must have ended a silent client: twice the longest of its clocks, which is 30."""

DEAF: Final = 45.0
"""Seconds for which who never reads does not; then it looks whether the server has ended it."""

_TIMES: Final = 20
"""How often it says what it says."""

SLOW: Final = 1000
STALLED: Final = 50
HALF_OPEN: Final = 2000
_EHLO: Final = b"EHLO staller\r\n"
_MAIL: Final = f"MAIL FROM:<{STRANGER}>\r\n".encode()
_RCPT: Final = f"RCPT TO:<{USERS[0]}>\r\n".encode()
_SOME: Final = b"Subject: never\r\n\r\n" + b"ended\r\n" * 10


@dataclass(frozen=True, slots=True)
class Step:
    """Where a client stops.

    :param name: in words.
    :param service: the listener.
    :param words: said one after the other, each after an answer.
    :param last: said then, and nothing after it.
    :param recipe: the way into TLS, where the words are said inside; ``implicit`` for no way at all.
    :param deaf: say the last words many times over, and read no answer.
    """

    name: str
    service: str
    words: tuple[bytes, ...] = ()
    last: bytes = b""
    recipe: str = ""
    deaf: bool = False


STEPS: Final = (
    Step("before the greeting's answer", "mx"),
    Step("in a command", "mx", last=b"EH"),
    Step("after EHLO", "mx", (_EHLO,)),
    Step("after the go-ahead", "mx", (_EHLO, b"STARTTLS\r\n")),
    Step("in the handshake", "mx", (_EHLO, b"STARTTLS\r\n"), HELLO),
    Step("in the clear, after MAIL", "mx", (_EHLO, _MAIL)),
    Step("in the clear, never reading", "mx", (_EHLO,), b"EHLO again\r\n" * 100, deaf=True),
    Step("behind the handshake", "mx", recipe="smtp"),
    Step("after EHLO inside TLS", "mx", (_EHLO,), recipe="smtp"),
    Step("after MAIL", "mx", (_EHLO, _MAIL), recipe="smtp"),
    Step("after RCPT", "mx", (_EHLO, _MAIL, _RCPT), recipe="smtp"),
    Step("after DATA", "mx", (_EHLO, _MAIL, _RCPT, b"DATA\r\n"), recipe="smtp"),
    Step("in the content", "mx", (_EHLO, _MAIL, _RCPT, b"DATA\r\n"), _SOME + b"in a li", recipe="smtp"),
    Step("before the dot", "mx", (_EHLO, _MAIL, _RCPT, b"DATA\r\n"), _SOME, recipe="smtp"),
    Step("in the dot", "mx", (_EHLO, _MAIL, _RCPT, b"DATA\r\n"), _SOME + b".", recipe="smtp"),
    Step("inside TLS, never reading", "mx", (_EHLO,), b"EHLO again\r\n" * 100, recipe="smtp", deaf=True),
    Step("TLS first: before the handshake", "submissions"),
    Step("TLS first: in the handshake", "submissions", last=HELLO),
    Step("submission: in AUTH", "submission", (_EHLO, b"AUTH PLAIN\r\n"), recipe="smtp"),
    Step("LMTP: after LHLO", "lmtp", (b"LHLO staller\r\n",)),
    Step("POP3: after the greeting", "pop3"),
    Step("POP3: after the go-ahead", "pop3", (b"STLS\r\n",)),
    Step("POP3: in the handshake", "pop3", (b"STLS\r\n",), HELLO),
    Step("POP3: before the login", "pop3", recipe="pop3"),
    Step("POP3: after USER", "pop3", (f"USER {USERS[7]}\r\n".encode(),), recipe="pop3"),
    Step("POP3: never reading", "pop3", last=b"CAPA\r\n" * 500, recipe="pop3", deaf=True),
    Step("gate: after the greeting", "front"),
    Step("gate: in the handshake", "front", (_EHLO, b"STARTTLS\r\n"), HELLO),
    Step("gate: after RCPT", "front", (_EHLO, _MAIL, _RCPT), recipe="smtp"),
    Step("gate: in the content", "front", (_EHLO, _MAIL, _RCPT, b"DATA\r\n"), _SOME, recipe="smtp"),
    Step("gate: never reading", "front", (_EHLO,), b"EHLO again\r\n" * 100, recipe="smtp", deaf=True),
    Step("gate: POP3, before the login", "frontpop3", recipe="pop3"),
    Step("gate: IMAP, before the login", "imap", recipe="imap"),
    Step("gate: unread, behind the handshake", "echo", recipe="implicit"),
    Step("gate: unread, never reading", "echo", last=b"echo" * 50000, recipe="implicit", deaf=True),
)  # fmt: skip


@dataclass(slots=True)
class Seen:
    """What became of those who stalled.

    :param reached: how many came to each step and stayed there.
    :param longest: seconds until the last of them was ended.
    :param forgotten: who was not.
    :param opened: slow connections that were opened, in all.
    :param holding: how many of them are there now.
    :param held: how many there were, each time they were counted.
    :param half_open: handshakes that were begun and left.
    """

    reached: Counter[str] = field(default_factory=Counter)
    longest: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    forgotten: Counter[str] = field(default_factory=Counter)
    opened: int = 0
    holding: int = 0
    held: list[int] = field(default_factory=list)
    half_open: int = 0


async def stallers(world: World, seen: Seen) -> None:
    """So many clients that stall, at any time; each step in its turn."""
    steps = cycle(STEPS)

    async def one() -> None:
        while world.going:
            step = next(steps)
            try:
                async with asyncio.timeout(2 * BOUND):
                    await _stall(world, step, seen)
            except (gatepost.GatepostError, OSError, TimeoutError):
                await asyncio.sleep(0.5)

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(world.until - time.monotonic()):
            await asyncio.gather(*(one() for _ in range(STALLED)))


async def _stall(world: World, step: Step, seen: Seen) -> None:
    if step.recipe == "implicit":
        async with gatepost.connect("127.0.0.1", world.ports[step.service], ca_file=world.ca_file, implicit=True,
                                    server_name="mx.test", timeout=20.0,
                                    sessions=world.sessions) as secure:  # fmt: skip
            await _say_and_stop(step, secure, seen, greeted=True)
        return
    async with gatepost.connect("127.0.0.1", world.ports[step.service], ca_file=world.ca_file,
                                server_name="mx.test", timeout=20.0, sessions=world.sessions) as plain:  # fmt: skip
        if step.recipe:
            await _say_and_stop(step, await plain.upgrade(step.recipe), seen, greeted=True)
        else:
            await _say_and_stop(step, plain, seen, greeted=not step.words)


async def _say_and_stop(
    step: Step, connection: PlainConnection | SecureConnection, seen: Seen, *, greeted: bool
) -> None:
    if not greeted:
        await connection.read()
    for words in step.words:
        await connection.send(words)
        await connection.read()
    begun = time.monotonic()
    seen.reached[step.name] += 1
    try:
        async with asyncio.timeout(BOUND):
            if step.deaf:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(DEAF):
                        for _ in range(_TIMES):
                            await connection.send(step.last, timeout=2 * BOUND)
                await asyncio.sleep(begun + DEAF - time.monotonic())
            elif step.last:
                await connection.send(step.last)
            while await connection.read(timeout=2 * BOUND):
                pass
    except TimeoutError:
        seen.forgotten[step.name] += 1
        return
    except (gatepost.GatepostError, OSError):
        pass  # reset is an end as well
    seen.longest[step.name] = max(seen.longest[step.name], time.monotonic() - begun)


async def slow(world: World, seen: Seen) -> None:
    """A thousand connections that stay: each says an octet every second or two, and is opened again when it ends."""
    services = ["mx"] * 6 + ["front"] * 3 + ["submission"]
    held: list[tuple[socket.socket, Iterator[bytes]] | None] = [None] * SLOW
    while world.going:
        for number, one in enumerate(held):
            if one is not None and not _drip(*one):
                one[0].close()
                held[number] = one = None
                seen.holding -= 1
            if one is None and world.going:
                service = services[number % len(services)]
                with contextlib.suppress(OSError):
                    held[number] = (await _connected(world, service), cycle((b"N", b"O", b"O", b"P", b"\r", b"\n")))
                    seen.opened += 1
                    seen.holding += 1
            if number % 50 == 49:
                await asyncio.sleep(0.05)
        seen.held.append(seen.holding)
    for one in held:
        if one is not None:
            one[0].close()


def _drip(sock: socket.socket, octets: Iterator[bytes]) -> bool:
    """Say one octet; whether the connection is still there."""
    try:
        sock.send(next(octets))
        return bool(sock.recv(4096))
    except BlockingIOError:
        return True
    except OSError:
        return False


async def half_open(world: World, seen: Seen) -> None:
    """Handshakes that are begun by the thousand and left: behind STARTTLS, and where TLS comes first."""
    ways = (("mx", (_EHLO, b"STARTTLS\r\n", HELLO)), ("front", (_EHLO, b"STARTTLS\r\n", HELLO)),
            ("submissions", (HELLO,)), ("pop3", (b"STLS\r\n", HELLO)))  # fmt: skip
    sockets: list[socket.socket] = []
    for start in range(0, HALF_OPEN, 100):
        opening = (_spoken(world, *ways[number % len(ways)]) for number in range(start, start + 100))
        found: list[Any] = await asyncio.gather(*opening, return_exceptions=True)
        sockets += [each for each in found if isinstance(each, socket.socket)]
    seen.half_open += len(sockets)
    await asyncio.sleep(3)
    for each in sockets:
        each.close()


async def _spoken(world: World, service: str, words: tuple[bytes, ...]) -> socket.socket:
    loop = asyncio.get_running_loop()
    sock = await _connected(world, service)
    try:
        async with asyncio.timeout(10):
            for word in words:
                if word is not words[0] or service != "submissions":
                    await loop.sock_recv(sock, 4096)
                await loop.sock_sendall(sock, word)
    except BaseException:
        sock.close()
        raise
    return sock


async def unanswered(world: World, count: int, seconds: float) -> int:
    """How many of some connections are not greeted within some seconds."""
    loop = asyncio.get_running_loop()

    async def greeted() -> bool:
        sock = await _connected(world, "mx")
        try:
            async with asyncio.timeout(seconds):
                return bool(await loop.sock_recv(sock, 1))
        finally:
            sock.close()

    answers = await asyncio.gather(*(greeted() for _ in range(count)), return_exceptions=True)
    await asyncio.sleep(0)
    return sum(each is not True for each in answers)


async def _connected(world: World, service: str) -> socket.socket:
    """A connection from an address of its own, so that the limits of one address do not help."""
    sock = socket.socket()
    try:
        sock.setblocking(False)
        sock.bind((_address(world.chance), 0))
        async with asyncio.timeout(5):
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", world.ports[service]))
    except OSError as error:
        sock.close()
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise RuntimeError("the soak itself has no descriptors left; raise ulimit -n") from error
        raise
    return sock


def _address(chance: random.Random) -> str:
    return f"127.{chance.randint(1, 200)}.{chance.randint(0, 250)}.{chance.randint(2, 250)}"
