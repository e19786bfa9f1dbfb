"""Misuse of the library's connections and clients."""

import gatepost
import gatepost.blocking
from gatepost.connecting import PlainConnection, SecureConnection
from gatepost.net.drive import Wire


async def plain_has_no_evidence(plain: PlainConnection) -> None:
    print(plain.evidence)  # rejected: attr-defined


async def secure_is_not_upgraded_again(secure: SecureConnection) -> None:
    await secure.upgrade("smtp")  # rejected: attr-defined


async def implicit_is_private_already() -> None:
    async with gatepost.connect("mail.example.org", 465, implicit=True) as secure:
        await secure.upgrade("smtp")  # rejected: attr-defined


async def upgrade_is_awaited(plain: PlainConnection) -> None:
    plain.upgrade("smtp").readline()  # rejected: attr-defined


async def plain_is_not_secure(plain: PlainConnection) -> SecureConnection:
    return plain  # rejected: return-value


def recipe_is_no_number(plain: gatepost.blocking.PlainConnection) -> None:
    plain.upgrade(25)  # rejected: arg-type


def blocking_has_no_evidence_in_the_clear() -> None:
    with gatepost.blocking.connect("mail.example.org", 25) as plain:
        print(plain.evidence)  # rejected: attr-defined


def level_is_one_of_four(wire: Wire) -> None:
    gatepost.connect("mail.example.org", 25, level="trust-me")  # rejected: call-overload
    SecureConnection(wire)  # rejected: call-arg


def starttls_is_one_of_three() -> None:
    gatepost.smtp.BlockingClient("mail.example.org", 25, starttls="maybe")  # rejected: arg-type
    gatepost.smtp.Client("mail.example.org", 25, verify=False)  # rejected: call-arg


def secret_is_not_text(client: gatepost.smtp.BlockingClient) -> None:
    client.login("alice", 12345)  # rejected: arg-type
