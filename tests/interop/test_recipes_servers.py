"""The client half of each recipe, with both drivers, against servers of the distribution."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from tests.interop.daemons import HOST
from tests.interop.started import Running

from gatepost.errors import VerificationError
from gatepost.net.blocking import BlockingWire
from gatepost.net.dial import dial
from gatepost.testing.ca import TestAuthority
from gatepost.testing.recipes import converse
from gatepost.tls.contexts import ClientTLS, client_context
from gatepost.wire.dialogue import Dialogue, receive, send
from gatepost.wire.recipes.mysql import (
    CLIENT_LONG_PASSWORD,
    CLIENT_PLUGIN_AUTH,
    CLIENT_PROTOCOL_41,
    CLIENT_SECURE_CONNECTION,
    CLIENT_SSL,
    CLIENT_TRANSACTIONS,
)
from gatepost.wire.recipes.recipe import ClientTerms
from gatepost.wire.recipes.table import RECIPES
from gatepost.wire.upgrade import Origin, TLSEvidence

pytestmark = pytest.mark.interop

_SECONDS: Final = 20.0
_STREAM: Final = (
    f"<?xml version='1.0'?><stream:stream to='{HOST}' version='1.0' xmlns='jabber:%s' "
    "xmlns:stream='http://etherx.jabber.org/streams'>"
)
_BIND: Final = b"\x30\x0c\x02\x01\x02\x60\x07\x02\x01\x03\x04\x00\x80\x00"  # anonymous, LDAP 3 (RFC 4511 §4.2)
_BOUND: Final = b"\x02\x01\x02\x61\x07\x0a\x01\x00"  # the response to it: success
_STARTUP: Final = b"\0\3\0\0user\0postgres\0database\0postgres\0\0"
_CAPABILITIES: Final = (
    CLIENT_LONG_PASSWORD
    | CLIENT_PROTOCOL_41
    | CLIENT_SSL
    | CLIENT_TRANSACTIONS
    | CLIENT_SECURE_CONNECTION
    | CLIENT_PLUGIN_AUTH
)
_LOGIN: Final = _CAPABILITIES.to_bytes(4, "little") + b"\0\0\0\1\x2d" + bytes(23) + b"root\0\0mysql_native_password\0"


@dataclass(frozen=True, slots=True)
class First:
    """The first words inside TLS.

    :param server: who is talked to.
    :param say: what the client says; empty where the server speaks first.
    :param hear: what must be in the answer.
    :param gone: what must not be in it any more: the offer of what has happened.
    """

    server: str
    say: bytes
    hear: bytes
    gone: bytes = b"<nothing of the kind>"


FIRST: Final[Mapping[str, First]] = {
    "smtp": First("postfix", b"EHLO client.example\r\n", b"\r\n250 ", b"STARTTLS"),
    "submission": First("dovecot", b"EHLO client.example\r\n", b"\r\n250 ", b"STARTTLS"),
    "lmtp": First("dovecot", b"LHLO client.example\r\n", b"\r\n250 ", b"STARTTLS"),
    "pop3": First("dovecot", b"CAPA\r\n", b"\r\n.\r\n", b"STLS"),
    "imap": First("dovecot", b"x CAPABILITY\r\n", b"x OK", b"STARTTLS"),
    "sieve": First("dovecot", b"", b"\r\nOK", b"STARTTLS"),
    "nntp": First("inn", b"CAPABILITIES\r\n", b"\r\n.\r\n", b"STARTTLS"),
    "ftp": First("vsftpd", b"FEAT\r\n", b"\r\n211 "),
    "irc": First("inspircd", b"CAP LS\r\n", b" LS :"),
    "xmpp": First("prosody", (_STREAM % "client").encode(), b"</stream:features>", b"xmpp-tls"),
    "xmpp-server": First("prosody", (_STREAM % "server").encode(), b"<stream:features", b"xmpp-tls"),
    "ldap": First("slapd", _BIND, _BOUND),
    "postgres": First("postgres", (len(_STARTUP) + 4).to_bytes(4) + _STARTUP, b"R\0\0\0\x08\0\0\0\0"),
    "mysql": First(
        "mariadb", len(_LOGIN).to_bytes(3, "little") + b"\2" + _LOGIN, b"\0\0\3\0\0\0"
    ),  # an OK packet, the fourth
}


@pytest.fixture(scope="module")
def running(authority: TestAuthority, request: pytest.FixtureRequest) -> Iterator[Running]:
    servers = Running(authority, lambda: request.getfixturevalue("postfix"))
    yield servers
    servers.close()


@pytest.fixture(scope="module")
def ca_file(authority: TestAuthority, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    path.write_bytes(authority.pem)
    return path


def session(recipe: str, origin: Origin, name: str) -> Dialogue[tuple[TLSEvidence, bytes]]:
    """Upgrade, say the first words, and hear the answer."""
    evidence = yield from converse(RECIPES[recipe], origin, ClientTerms("client.example", name, _SECONDS))
    first = FIRST[recipe]
    if first.say:
        yield from send(first.say)
    heard = b""
    while first.hear not in heard:
        data = yield from receive(_SECONDS, "answer inside TLS")
        assert data, heard
        heard += data
    return evidence, heard


def run_async(recipe: str, port: int, name: str, tls: ClientTLS) -> tuple[TLSEvidence, bytes]:
    async def main() -> tuple[TLSEvidence, bytes]:
        wire = await dial("127.0.0.1", port, tls=tls)
        try:
            return await wire.run(session(recipe, wire.origin, name))
        finally:
            wire.close()

    return asyncio.run(main())


def run_blocking(recipe: str, port: int, name: str, tls: ClientTLS) -> tuple[TLSEvidence, bytes]:
    with BlockingWire("127.0.0.1", port, tls=tls) as wire:
        return wire.run(session(recipe, wire.origin, name))


def test_every_recipe_that_speaks_has_a_server_here() -> None:
    """A new recipe is shown against a real server."""
    assert set(FIRST) == set(RECIPES) - {"raw"}


@pytest.mark.parametrize("recipe", FIRST)
@pytest.mark.parametrize("run", [run_async, run_blocking], ids=["asyncio", "blocking"])
def test_client_half_upgrades_a_real_server_and_goes_on_inside(
    running: Running,
    ca_file: Path,
    recipe: str,
    run: Callable[[str, int, str, ClientTLS], tuple[TLSEvidence, bytes]],
) -> None:
    """The certificate is verified, the first words inside TLS are answered, and TLS is not offered again."""
    name, port = running.port(FIRST[recipe].server, recipe)
    evidence, heard = run(recipe, port, name, ClientTLS(client_context(ca_file), name))
    assert evidence.verification.status == "verified"
    assert evidence.version == "TLSv1.3"
    assert FIRST[recipe].gone not in heard


@pytest.mark.parametrize("recipe", FIRST)
def test_client_half_refuses_a_real_server_of_an_unknown_authority(
    running: Running, wrong_ca: Path, recipe: str
) -> None:
    """The certificate is really looked at."""
    name, port = running.port(FIRST[recipe].server, recipe)
    with pytest.raises(VerificationError):
        run_blocking(recipe, port, name, ClientTLS(client_context(wrong_ca), name))


def test_inspircd_offers_starttls_in_the_clear(running: Running) -> None:
    """That InspIRCd has STARTTLS at all is seen in its own words."""
    _, port = running.port("inspircd", "irc")

    def ask() -> Dialogue[bytes]:
        yield from send(b"CAP LS\r\n")
        heard = b""
        while b" LS :" not in heard or not heard.endswith(b"\r\n"):
            heard += yield from receive(_SECONDS, "reply to CAP LS")
        return heard

    with BlockingWire("127.0.0.1", port) as wire:
        assert b"tls" in wire.run(ask()).split(b" LS :")[1].split()
