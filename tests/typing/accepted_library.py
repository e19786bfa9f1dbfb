"""The library as it is meant to be used."""

from email.message import EmailMessage

import gatepost
import gatepost.blocking


async def upgraded() -> tuple[str, bytes]:
    async with gatepost.connect("mail.example.org", 587) as plain:
        secure = await plain.upgrade("smtp")
        await secure.send(b"EHLO me\r\n")
        return secure.evidence.version, await secure.readline()


async def implicit() -> str | None:
    async with gatepost.connect("mail.example.org", 465, implicit=True) as secure:
        return secure.evidence.group


def waiting() -> tuple[str, ...]:
    with gatepost.blocking.connect("mail.example.org", 143, pins=["00" * 32]) as plain:
        return plain.upgrade(gatepost.recipe("imap")).evidence.peer_names


async def sent(message: EmailMessage) -> tuple[str, ...]:
    async with gatepost.smtp.Client("mail.example.org", 587) as client:
        mechanism: str = await client.login("alice", "wonderland")
        assert mechanism
        return (await client.send_message(message)).require_all().accepted


def read() -> list[bytes]:
    with gatepost.pop3.BlockingClient("mail.example.org", 995, implicit=True) as client:
        client.login("alice", "wonderland")
        return [client.retrieve(number) for number in client.list()]
