"""What honest clients and servers do, all the time, while things go wrong."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from accounting import TOKEN, Book

import gatepost
from gatepost.smtp import Client, Handler, IncomingMessage, Mailbox, Reply, Server, Session

USERS: Final = tuple(f"user{number}@mx.test" for number in range(8))
PASSWORD: Final = "correct horse battery"  # noqa: S105 - of nobody
ELSEWHERE: Final = tuple(f"friend{number}@elsewhere.test" for number in range(4))
NOBODY: Final = "nobody@elsewhere.test"
SIZES: Final = (*(500, 2_000, 4_000, 4_000, 4_000, 20_000) * 5, 90_000, 700_000)
PATIENCE: Final = 20.0


@dataclass(slots=True)
class World:
    """The server as its clients see it.

    :param ports: by listener.
    :param ca_file: trusts its certificate.
    :param until: when to stop, by the monotonic clock.
    """

    ports: dict[str, int]
    ca_file: Path
    until: float
    chance: random.Random
    book: Book = field(default_factory=Book)
    probes: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def going(self) -> bool:
        """Whether it is not over."""
        return time.monotonic() < self.until


def message(token: str, sender: str, size: int) -> bytes:
    """A message of about this size, with lines that begin with dots."""
    head = f"From: <{sender}>\r\nSubject: soak\r\nX-Soak: {token}\r\nMessage-ID: <{token}@soak.test>\r\n\r\n"
    line = b".stuffed and " + b"x" * 50 + b"\r\n"
    return head.encode() + line * (size // len(line) + 1)


async def send(world: World, listener: str, sender: str, recipients: tuple[str, ...], login: bool) -> None:
    """One session with one to three messages; every answer goes into the book."""
    book, chance = world.book, world.chance
    async with asyncio.timeout(3 * PATIENCE):
        client = Client("127.0.0.1", world.ports[listener], ca_file=world.ca_file, server_name="mx.test",
                        timeout=PATIENCE)  # fmt: skip
        async with client:
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


async def strangers(world: World) -> None:
    """Mail from elsewhere to our users."""
    while world.going:
        recipients = tuple(world.chance.sample(USERS, world.chance.randint(1, 3)))
        await _trying(world, send(world, "mx", "someone@elsewhere.test", recipients, login=False))
        await asyncio.sleep(world.chance.uniform(0, 0.1))


async def users(world: World) -> None:
    """Mail of our users, to each other, to elsewhere, and to nobody."""
    while world.going:
        sender = world.chance.choice(USERS)
        recipients: tuple[str, ...] = (world.chance.choice(USERS), world.chance.choice(ELSEWHERE))
        if world.chance.random() < 0.1:
            recipients = (*recipients, NOBODY)
        await _trying(world, send(world, "submission", sender, recipients, login=True))
        await asyncio.sleep(world.chance.uniform(0, 0.3))


async def readers(world: World) -> None:
    """Fetch mail, look whether it is whole, and delete it. Where the answer to QUIT is lost, it may be deleted."""
    from gatepost.pop3 import Client as Reader

    while world.going:
        user = world.chance.choice(USERS)

        async def fetch(user: str = user) -> None:
            book = world.book
            async with asyncio.timeout(3 * PATIENCE):
                reader = Reader("127.0.0.1", world.ports["pop3"], ca_file=world.ca_file, server_name="mx.test",
                                timeout=PATIENCE)  # fmt: skip
                took: set[tuple[str, str]] = set()
                try:
                    async with reader:
                        await reader.login(user, PASSWORD)
                        listed = await reader.list()
                        for number in sorted(listed)[:20]:
                            octets = await reader.retrieve(number)
                            assert octets.endswith(b"\r\n"), "a message without its end"
                            if not octets.startswith(b"Return-Path: <>"):
                                await reader.delete(number)
                                took |= {(match.decode(), user) for match in TOKEN.findall(octets)}
                except BaseException:
                    book.perhaps_fetched |= took
                    raise
                book.fetched.update(took)

        await _trying(world, fetch())
        await asyncio.sleep(world.chance.uniform(0.2, 1.0))


async def prober(world: World) -> None:
    """How long others wait: a whole STARTTLS session, ten times a second."""
    while world.going:
        begun = time.perf_counter()
        try:
            async with asyncio.timeout(3 * PATIENCE):
                plain_at = gatepost.connect("127.0.0.1", world.ports["mx"], ca_file=world.ca_file,
                                            server_name="mx.test", timeout=PATIENCE)  # fmt: skip
                async with plain_at as plain:
                    secure = await plain.upgrade("smtp")
                    await secure.send(b"QUIT\r\n")
                    await secure.readline()
        except (gatepost.GatepostError, OSError, TimeoutError) as error:
            world.failures.append(type(error).__name__)
        else:
            world.probes.append(time.perf_counter() - begun)
        await asyncio.sleep(0.1)


async def _trying(world: World, attempt: Coroutine[Any, Any, None]) -> None:
    """A session that may fail: processes are being killed."""
    try:
        await attempt
    except (gatepost.GatepostError, OSError, TimeoutError) as error:
        world.book.refused[type(error).__name__] += 1


class Elsewhere(Handler):
    """The server that mail is relayed to: takes most, puts some off, refuses nobody@, hangs up now and then."""

    def __init__(self, book: Book, chance: random.Random) -> None:
        self.book = book
        self.chance = chance

    async def on_rcpt(self, session: Session, recipient: Mailbox, parameters: object) -> Reply | None:
        """Refuse whom nobody knows."""
        return Reply(550, "5.1.1", "No such user") if str(recipient) == NOBODY else None

    async def on_message(self, session: Session, message: IncomingMessage) -> Reply | None:
        """Take it, or not: what is refused after the content is not counted."""
        octets = await message.read()
        luck = self.chance.random()
        if luck < 0.05:
            return Reply(451, "4.3.0", "Not now")
        found = TOKEN.search(octets)
        if found is None:
            return Reply(554, "5.6.0", "That is not ours")
        self.book.relayed.update((found[1].decode(), str(each)) for each in message.recipients)
        return None


def elsewhere(book: Book, chance: random.Random, certificate: Path) -> Server:
    """The server for ``elsewhere.test``."""
    return Server(lambda: Elsewhere(book, chance), hostname="elsewhere.test", certificate=certificate)
