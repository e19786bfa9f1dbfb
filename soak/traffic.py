"""What honest clients do, all the time, through every service, while things go wrong.

Whatever fails may be tried again under another name: no client here sends one message twice, so a message that arrives
twice was doubled by the server.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from accounting import Book, read_copy

import gatepost
from gatepost.connecting import SecureConnection
from gatepost.pop3 import Client as Reader
from gatepost.smtp import Client
from gatepost.tls.sessions import SessionCache

USERS: Final = tuple(f"user{number}@mx.test" for number in range(8))
GREYLISTED: Final = USERS[6:]
PASSWORD: Final = "correct horse battery"  # noqa: S105 - of nobody
STALLING: Final = tuple(f"stall{number}.test" for number in range(10))
FRIENDS: Final = tuple(f"friend{number}@elsewhere.test" for number in range(4))
NOBODY: Final = "nobody@elsewhere.test"
STRANGER: Final = "someone@elsewhere.test"
SIZES: Final = (*(500, 2_000, 4_000, 4_000, 4_000, 20_000) * 5, 90_000, 400_000)
PATIENCE: Final = 20.0
PUT_OFF: Final = 4.0
"""Seconds after which a stranger who was put off comes again."""


@dataclass(slots=True)
class World:
    """The server as its clients see it.

    :param ports: by listener.
    :param ca_file: trusts its certificate.
    :param until: when to stop, by the monotonic clock.
    :param absent: whether there is no server at all just now.
    :param waits: seconds that sessions of the probers took, by service.
    :param failures: those that came to nothing though there was a server, and why.
    :param served: sessions of each service that did what they came for.
    :param broken: promises that were broken on the way.
    :param sessions: of those who resume TLS: the probers, and who stalls. All others begin anew.
    """

    ports: Mapping[str, int]
    ca_file: Path
    until: float
    chance: random.Random
    absent: Callable[[], bool] = lambda: False
    book: Book = field(default_factory=Book)
    waits: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    failures: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    served: Counter[str] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    sessions: SessionCache = field(default_factory=SessionCache)

    @property
    def going(self) -> bool:
        """Whether it is not over."""
        return time.monotonic() < self.until

    def writer(self, service: str) -> Client:
        """A client that sends mail."""
        return Client("127.0.0.1", self.ports[service], ca_file=self.ca_file, server_name="mx.test",
                      implicit=service.endswith("s"), timeout=PATIENCE, hostname="soak.test")  # fmt: skip

    def reader(self, service: str) -> Reader:
        """A client that fetches mail."""
        return Reader("127.0.0.1", self.ports[service], ca_file=self.ca_file, server_name="mx.test",
                      implicit=service.endswith("s"), timeout=PATIENCE)  # fmt: skip

    async def attempt(self, service: str, session: Awaitable[None]) -> None:
        """A session that may fail: processes are being killed."""
        try:
            async with asyncio.timeout(3 * PATIENCE):
                await session
        except (gatepost.GatepostError, OSError, TimeoutError) as error:
            self.book.refused[type(error).__name__] += 1
            await asyncio.sleep(0.5)
        else:
            self.served[service] += 1


def message(token: str, sender: str, size: int) -> bytes:
    """A message of about this size, with lines that begin with dots."""
    head = (
        f"From: <{sender}>\r\nDate: Sat, 21 Nov 2026 10:00:00 +0000\r\nSubject: soak\r\n"
        f"X-Soak: {token}\r\nMessage-ID: <{token}@soak.test>\r\n\r\n"
    )
    line = b".stuffed and " + b"x" * 50 + b"\r\n"
    return head.encode() + line * (size // len(line) + 1)


async def write(world: World, service: str, sender: str, recipients: tuple[str, ...], *, login: bool = False) -> bool:
    """One session with one to three messages; every answer goes into the book.

    :return: whether somebody was put off.
    """
    book, chance, put_off = world.book, world.chance, False
    async with world.writer(service) as client:
        if login:
            await client.login(sender, PASSWORD)
        for _ in range(chance.randint(1, 3)):
            token = secrets.token_hex(8)
            promised = {(token, each) for each in recipients}
            book.unknown |= promised
            outcome = await client.send_message(
                message(token, sender, chance.choice(SIZES)), sender=sender, recipients=recipients
            )
            book.unknown -= promised
            book.acknowledged |= {(token, each) for each in outcome.accepted}
            for reply in outcome.refused.values():
                book.refused[f"{reply.code} {reply.enhanced}"] += 1
                put_off = put_off or reply.temporary
    return put_off


async def strangers(world: World, service: str) -> None:
    """Mail from elsewhere to our users, straight or through a gate. Who is put off comes again, once."""
    while world.going:
        recipients = tuple(world.chance.sample(USERS, world.chance.randint(1, 3)))
        sender = f"{secrets.token_hex(4)}@elsewhere.test" if set(recipients) & set(GREYLISTED) else STRANGER

        async def once(sender: str = sender, recipients: tuple[str, ...] = recipients) -> None:
            if await write(world, service, sender, recipients) and set(recipients) & set(GREYLISTED):
                await asyncio.sleep(PUT_OFF)
                put_off = await write(world, service, sender, recipients)
                world.served["greylisted, and put off again" if put_off else "greylisted, and let in"] += 1

        await world.attempt(service, once())
        await asyncio.sleep(world.chance.uniform(0, 0.1))


async def users(world: World, service: str) -> None:
    """Mail of our users, to each other, to elsewhere, to servers that stall, and to nobody."""
    while world.going:
        sender, luck = world.chance.choice(USERS), world.chance.random()
        recipients: tuple[str, ...] = (world.chance.choice(USERS[:6]), world.chance.choice(FRIENDS))
        if luck < 0.1:
            recipients = (*recipients, NOBODY)
        elif luck < 0.3:
            recipients = (*recipients, f"friend@{world.chance.choice(STALLING)}")

        async def once(sender: str = sender, recipients: tuple[str, ...] = recipients) -> None:
            await write(world, service, sender, recipients, login=True)

        await world.attempt(service, once())
        await asyncio.sleep(world.chance.uniform(0, 0.3))


async def neighbours(world: World) -> None:
    """Mail from another server of ours, over LMTP, which answers for each recipient."""
    while world.going:
        await world.attempt("lmtp", _lmtp(world))
        await asyncio.sleep(world.chance.uniform(0.1, 0.5))


async def _lmtp(world: World) -> None:
    book, token = world.book, secrets.token_hex(8)
    recipients = world.chance.sample(USERS, 2)
    promised = {(token, each) for each in recipients}
    async with gatepost.connect("127.0.0.1", world.ports["lmtp"], ca_file=world.ca_file, server_name="mx.test",
                                timeout=PATIENCE, sessions=world.sessions) as plain:  # fmt: skip
        secure = await plain.upgrade("lmtp")
        for words in ("LHLO soak.test", f"MAIL FROM:<{STRANGER}>", *(f"RCPT TO:<{each}>" for each in recipients)):
            if not (await _asked(secure, words.encode())).startswith(b"2"):
                book.refused["LMTP"] += 1
                return
        await _asked(secure, b"DATA")
        content = message(token, STRANGER, world.chance.choice(SIZES)).replace(b"\r\n.", b"\r\n..")
        book.unknown |= promised
        await secure.send(content + b".\r\n")
        for each in recipients:
            if (await secure.readline()).startswith(b"250"):
                book.acknowledged.add((token, each))
            book.unknown.discard((token, each))
        await _asked(secure, b"QUIT")


async def _asked(secure: SecureConnection, words: bytes) -> bytes:
    await secure.send(words + b"\r\n")
    while (line := await secure.readline())[3:4] == b"-":
        pass
    return line


async def readers(world: World, service: str) -> None:
    """Fetch mail, look whether it is whole, and delete it; straight or through a gate."""
    while world.going:
        await world.attempt(service, _fetch(world, service, world.chance.choice(USERS)))
        await asyncio.sleep(world.chance.uniform(0.1, 0.5))


async def _fetch(world: World, service: str, user: str) -> None:
    took: dict[tuple[str, str], str] = {}
    try:
        async with world.reader(service) as reader:
            await reader.login(user, PASSWORD)
            listed = await reader.list()
            for number in sorted(listed, reverse=world.chance.random() < 0.5)[:20]:
                octets = await reader.retrieve(number)
                if not octets.endswith(b"\r\n") or len(octets) != listed[number]:
                    world.broken["a message that was fetched is not whole"] += 1
                copy = read_copy(octets)
                if copy is not None and not octets.startswith(b"Return-Path: <>"):
                    await reader.delete(number)
                    took[copy.token, user] = copy.message
    except BaseException:
        world.book.perhaps_fetched |= took
        raise
    for promise, name in took.items():
        world.book.fetched[promise].append(name)


async def echoes(world: World) -> None:
    """Octets through a gate that reads none of them: what comes back is what was sent."""
    while world.going:
        await world.attempt("echo", _echo(world))
        await asyncio.sleep(world.chance.uniform(0.1, 0.5))


async def _echo(world: World) -> None:
    async with gatepost.connect("127.0.0.1", world.ports["echo"], ca_file=world.ca_file, server_name="mx.test",
                                timeout=PATIENCE, implicit=True, sessions=world.sessions) as secure:  # fmt: skip
        sent = os.urandom(world.chance.choice((10, 1_000, 100_000)))
        came, _ = await asyncio.gather(secure.read_exactly(len(sent)), secure.send(sent))
        if came != sent:
            world.broken["octets were changed on their way through a gate"] += 1


async def mailboxes(world: World) -> None:
    """A session over IMAP, through a gate."""
    while world.going:
        await world.attempt("imap", _imap(world))
        await asyncio.sleep(world.chance.uniform(0.1, 0.5))


async def _imap(world: World) -> None:
    async with gatepost.connect("127.0.0.1", world.ports["imap"], ca_file=world.ca_file, server_name="mx.test",
                                timeout=PATIENCE, sessions=world.sessions) as plain:  # fmt: skip
        secure = await plain.upgrade("imap")
        for tag, words in enumerate((f'LOGIN {USERS[0]} "{PASSWORD}"', "NOOP", "LOGOUT")):
            await secure.send(f"s{tag} {words}\r\n".encode())
            while not (line := await secure.readline()).startswith(f"s{tag} ".encode()):
                if not line:
                    raise ConnectionResetError("the gate closed")


PROBED: Final = (("mx", "smtp"), ("front", "smtp"), ("submission", "smtp"), ("pop3", "pop3"), ("frontpop3", "pop3"))


async def prober(world: World, service: str, recipe: str) -> None:
    """How long others wait: a whole session with STARTTLS, some times a second."""
    while world.going:
        begun, absent = time.monotonic(), world.absent()
        try:
            async with asyncio.timeout(3 * PATIENCE):
                plain_at = gatepost.connect("127.0.0.1", world.ports[service], ca_file=world.ca_file,
                                            server_name="mx.test", timeout=PATIENCE,
                                            sessions=world.sessions)  # fmt: skip
                async with plain_at as plain:
                    secure = await plain.upgrade(recipe)
                    await secure.send(b"QUIT\r\n")
                    await secure.readline()
        except (gatepost.GatepostError, OSError, TimeoutError) as error:
            if not absent and not world.absent():
                world.failures[service][type(error).__name__] += 1
        else:
            world.waits[service].append(time.monotonic() - begun)
        await asyncio.sleep(0.25)


def crowd(world: World) -> Iterable[Callable[[], Coroutine[object, object, None]]]:
    """Everybody who is there all the time."""
    yield from (partial(strangers, world, service) for service in ("mx", "mx", "front"))
    yield from (partial(users, world, service) for service in ("submission", "submissions"))
    yield from (partial(readers, world, service) for service in ("pop3", "pop3s", "frontpop3"))
    yield from (partial(each, world) for each in (neighbours, echoes, mailboxes))
    yield from (partial(prober, world, *probed) for probed in PROBED)
