"""``gatepost.connect`` and its blocking twin: the same bodies, the same answers."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest
from tests.unit.connecting.peers import SECONDS, Connect, Server, Talker

import gatepost
from gatepost.errors import DeadlineExceeded, LocalProtocolError, RemoteProtocolError
from gatepost.testing.ca import TestAuthority
from gatepost.wire.dialogue import Dialogue, receive, send, upgrade
from gatepost.wire.recipes.recipe import ClientTerms, Recipe, UpgradeRefused
from gatepost.wire.upgrade import Origin, UpgradeReady, hand_over_client


def smtp(talker: Talker) -> None:
    """Enough of an SMTP server for one upgrade, and an echo inside."""
    talker.say(b"220 hello\r\n")
    assert talker.line().startswith(b"EHLO ")
    talker.say(b"250-hello\r\n250 STARTTLS\r\n")
    assert talker.line() == b"STARTTLS\r\n"
    talker.say(b"220 go\r\n")
    talker.upgrade()
    while data := talker.hear():
        talker.say(data)


def test_upgrade_by_name_makes_a_private_connection(connect: Connect, tmp_path: Path) -> None:
    """The recipe's words, the handshake, the evidence, and then octets both ways."""

    async def talk() -> None:
        async with connect("localhost", server.port, ca_file=server.ca_file, timeout=SECONDS) as plain:
            secure = await plain.upgrade("smtp")
            assert secure.evidence.version == "TLSv1.3"
            assert secure.evidence.peer_names == ("localhost", "127.0.0.1")
            assert secure.evidence.verification.status == "verified"
            assert secure.origin.peer == ("127.0.0.1", server.port)
            await secure.send(b"one\r\ntwo\nthree")
            assert [await secure.readline(), await secure.readline()] == [b"one\r\n", b"two\n"]
            assert await secure.read_exactly(3) == b"thr"
            assert await secure.read() == b"ee"

    with Server(smtp, tmp_path) as server:
        asyncio.run(talk())


def test_plain_is_spent_after_the_upgrade(connect: Connect, tmp_path: Path) -> None:
    """Every use of the connection in the clear is a mistake afterwards, and says so."""

    async def talk() -> None:
        async with connect("localhost", server.port, ca_file=server.ca_file, timeout=SECONDS) as plain:
            secure = await plain.upgrade("smtp")
            for use in (
                plain.read, plain.readline, plain.ready, lambda: plain.read_exactly(1), lambda: plain.send(b"x"),
                lambda: plain.upgrade("raw"), lambda: plain.run(receive(1, "x")),
            ):  # fmt: skip
                with pytest.raises(LocalProtocolError, match="was upgraded"):
                    await use()
            with pytest.raises(LocalProtocolError, match="was upgraded"):
                plain.poll()
            await secure.send(b"x")
            assert await secure.read() == b"x"
            await plain.close()
            for use in (secure.readline, lambda: secure.send(b"x")):
                with pytest.raises(LocalProtocolError, match="this connection is closed"):
                    await use()

    with Server(smtp, tmp_path) as server:
        asyncio.run(talk())


def test_raw_upgrades_after_own_words(connect: Connect, tmp_path: Path) -> None:
    """A protocol without a recipe: the caller says what is to be said and then upgrades."""

    def script(talker: Talker) -> None:
        talker.say(b"KNOCK?\n")
        assert talker.line() == b"ENTER PRIVATE\n"
        talker.say(b"OK\n")
        talker.upgrade()
        talker.say(b"inside\n")
        talker.hear()

    async def talk() -> None:
        async with connect("localhost", server.port, ca_file=server.ca_file, timeout=SECONDS) as plain:
            assert await plain.readline() == b"KNOCK?\n"
            await plain.send(b"ENTER PRIVATE\n")
            assert await plain.readline() == b"OK\n"
            secure = await plain.upgrade("raw")
            assert await secure.readline() == b"inside\n"

    with Server(script, tmp_path) as server:
        asyncio.run(talk())


@pytest.mark.parametrize("behind", [b"x", b"injected\n", b"OK again\nand again\n"])
@pytest.mark.parametrize("looked", [False, True], ids=["unseen", "seen by ready"])
def test_raw_refuses_whatever_was_not_read(connect: Connect, tmp_path: Path, behind: bytes, looked: bool) -> None:
    """Octets that the look-ahead of readline holds, or that wait in the kernel, never cross: no handshake is begun."""
    heard: list[bytes] = []

    def script(talker: Talker) -> None:
        talker.say(b"OK\n" + behind)
        heard.append(talker.hear())

    async def talk() -> None:
        async with connect("localhost", server.port, ca_file=server.ca_file, timeout=SECONDS) as plain:
            assert await plain.readline() == b"OK\n"
            if looked:
                assert await plain.ready() and plain.poll()
            with pytest.raises(gatepost.PlaintextAfterUpgrade) as caught:
                await plain.upgrade("raw")
            assert caught.value.residue == behind
            with pytest.raises(LocalProtocolError):
                await plain.read()

    with Server(script, tmp_path) as server:
        asyncio.run(talk())
    assert heard in ([b""], [])  # a reset, or an end: not one octet of a hello


def test_octets_in_the_kernel_are_refused_before_the_hello(connect: Connect, tmp_path: Path) -> None:
    """Nobody has asked for them, nobody has seen them: they were still sent in the clear."""
    heard: list[bytes] = []

    def script(talker: Talker) -> None:
        talker.say(b"early")
        heard.append(talker.hear())

    async def talk() -> None:
        async with connect("localhost", server.port, ca_file=server.ca_file, timeout=SECONDS) as plain:
            assert await plain.ready()
            with pytest.raises(gatepost.PlaintextAfterUpgrade, match="5 bytes"):
                await plain.upgrade("raw")

    with Server(script, tmp_path) as server:
        asyncio.run(talk())
    assert heard in ([b""], [])


def test_recipe_hears_what_was_read_ahead(connect: Connect, tmp_path: Path) -> None:
    """What ready saw is still there for the recipe, and a look-ahead is not lost to it."""

    async def talk() -> None:
        async with connect("localhost", server.port, ca_file=server.ca_file, timeout=SECONDS) as plain:
            assert await plain.read_exactly(2) == b"he"
            secure = await plain.upgrade(recipe)
            assert secure.evidence.verification.status == "verified"

    def client(origin: Origin, terms: ClientTerms) -> Dialogue[UpgradeReady]:
        heard = b""
        while not heard.endswith(b"\n"):
            heard += yield from receive(terms.seconds, "greeting")
        assert heard == b"llo\n"
        yield from send(b"TLS\n")
        heard = yield from receive(terms.seconds, "go-ahead")
        return hand_over_client(origin, heard.partition(b"\n")[2])

    def script(talker: Talker) -> None:
        talker.say(b"hello\n")
        assert talker.line() == b"TLS\n"
        talker.say(b"+\n")
        talker.upgrade()
        talker.hear()

    recipe = Recipe("hello", 0, None, client, gatepost.recipe("raw").server)
    with Server(script, tmp_path) as server:
        asyncio.run(talk())


def test_refusal_closes_the_connection(connect: Connect, tmp_path: Path) -> None:
    """A server that does not offer TLS gets nothing more, and the peer's words are in the error."""

    def script(talker: Talker) -> None:
        talker.say(b"220 hello\r\n")
        talker.line()
        talker.say(b"250-hello\r\n250 STARTTLS\r\n")
        talker.line()
        talker.say(b"454 4.7.0 not today\r\n")
        assert talker.hear() == b""

    async def talk() -> None:
        async with connect("localhost", server.port, ca_file=server.ca_file, timeout=SECONDS) as plain:
            with pytest.raises(UpgradeRefused, match="not today"):
                await plain.upgrade("smtp")
            with pytest.raises(LocalProtocolError):
                await plain.send(b"anything")

    with Server(script, tmp_path) as server:
        asyncio.run(talk())


def test_ready_and_poll_take_nothing(connect: Connect, tmp_path: Path) -> None:
    """In the clear and inside TLS, at the end of the handshake, and at the end of the stream."""

    def script(talker: Talker) -> None:
        assert talker.hear() == b"1"
        talker.say(b"clear")
        assert talker.hear(1) == b"2"
        talker.upgrade()
        talker.say(b"private")  # may come in one segment with the end of the handshake
        assert talker.hear() == b"3"
        talker.say(b"more")
        assert talker.hear() == b"4"
        talker.end()

    async def talk() -> None:
        async with connect("localhost", server.port, ca_file=server.ca_file, timeout=SECONDS) as plain:
            assert not plain.poll() and not await plain.ready(0.01)
            await plain.send(b"1")
            assert await plain.ready() and plain.poll()
            assert await plain.read() == b"clear"
            assert not plain.poll()
            await plain.send(b"2")
            secure = await plain.upgrade("raw")
            assert await secure.ready() and secure.poll()
            assert await secure.read(3) == b"pri"
            assert secure.poll() and await secure.ready(0)
            assert await secure.read() == b"vate"
            assert not secure.poll() and not await secure.ready(0.01)
            await secure.send(b"3")
            assert await secure.ready() and await secure.read() == b"more"
            await secure.send(b"4")
            assert await secure.ready()  # the end
            assert await secure.read() == b"" == await secure.readline()
            assert secure.poll()

    with Server(script, tmp_path) as server:
        asyncio.run(talk())


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_words_right_behind_the_handshake_are_ready(connect: Connect, tmp_path: Path, version: str) -> None:
    """Implicit TLS with a server that greets: what comes with the end of the handshake waits inside TLS."""
    import ssl

    def script(talker: Talker) -> None:
        talker.upgrade()
        talker.say(b"220 hello\r\n")
        talker.hear()

    async def talk() -> None:
        address = ("localhost", server.port)
        async with connect(*address, ca_file=server.ca_file, timeout=SECONDS, implicit=True) as secure:
            assert await secure.ready()
            assert await secure.readline() == b"220 hello\r\n"
            assert not hasattr(secure, "upgrade")

    with Server(script, tmp_path, maximum_version=getattr(ssl.TLSVersion, version)) as server:
        asyncio.run(talk())


def test_verification_is_the_default(connect: Connect, tmp_path: Path) -> None:
    """Another authority, or another name, is an error; levels and pins change what is asked, and the evidence says."""

    async def attempt(host: str = "localhost", **how: object) -> str:
        async with connect(host, server.port, timeout=SECONDS, **how) as plain:
            return str((await plain.upgrade("smtp")).evidence.verification.status)

    other = tmp_path / "other.pem"
    other.write_bytes(TestAuthority("another").pem)
    with Server(smtp, tmp_path) as server:
        ca = server.ca_file
        for how in ({"ca_file": other}, {"ca_file": ca, "server_name": "other.test"}, {"pins": ["ab" * 32]}):
            with pytest.raises(gatepost.VerificationError):
                asyncio.run(attempt(**how))
        assert asyncio.run(attempt(ca_file=ca)) == "verified"
        assert asyncio.run(attempt("127.0.0.1", ca_file=str(ca))) == "verified"
        assert asyncio.run(attempt(ca_file=ca, server_name="x.test", names=["localhost"])) == "verified"
        assert asyncio.run(attempt(ca_file=other, level="encrypt")) == "untrusted"


def test_sessions_are_resumed_where_they_are_shared(connect: Connect, tmp_path: Path) -> None:
    """The second connection with the same cache resumes, and is verified all the same; without a cache none does."""

    async def attempt(**how: object) -> tuple[bool, str]:
        async with connect("localhost", server.port, ca_file=server.ca_file, timeout=SECONDS, **how) as plain:
            secure = await plain.upgrade("smtp")
            await secure.send(b"x")
            assert await secure.read() == b"x"
            return secure.evidence.resumed, secure.evidence.verification.status

    cache = gatepost.SessionCache()
    with Server(smtp, tmp_path) as server:
        assert asyncio.run(attempt(sessions=cache)) == (False, "verified")
        assert asyncio.run(attempt(sessions=cache)) == (True, "verified")
        assert asyncio.run(attempt(sessions=cache, level="encrypt")) == (False, "verified")
        assert asyncio.run(attempt()) == (False, "verified")


def test_deadline_closes_and_says_what_was_waited_for(connect: Connect, tmp_path: Path) -> None:
    """A silent peer costs the time that was given, and the connection."""

    async def talk() -> None:
        async with connect("localhost", server.port, ca_file=server.ca_file, timeout=SECONDS) as plain:
            with pytest.raises(DeadlineExceeded, match="line"):
                await plain.readline(timeout=0.05)
            with pytest.raises(LocalProtocolError, match="closed"):
                await plain.send(b"x")
        async with connect("localhost", server.port, ca_file=server.ca_file, timeout=SECONDS) as plain:
            with pytest.raises(DeadlineExceeded):
                await plain.upgrade("raw", timeout=0.05)
        with pytest.raises(DeadlineExceeded):
            async with connect("localhost", server.port, ca_file=server.ca_file, timeout=0.1) as plain:
                await plain.upgrade("smtp")

    with Server(lambda talker: talker.hear() and talker.hear(), tmp_path) as server:
        asyncio.run(talk())


def test_peer_that_does_not_read_is_left(connect: Connect, tmp_path: Path) -> None:
    """A megabyte that nobody takes meets its deadline."""
    import threading

    over = threading.Event()

    async def talk() -> None:
        async with connect("localhost", server.port, ca_file=server.ca_file, timeout=SECONDS) as plain:
            with pytest.raises((DeadlineExceeded, OSError)):
                for _ in range(64):
                    await plain.send(bytes(1 << 20), timeout=0.2)
        over.set()

    with Server(lambda talker: over.wait(SECONDS), tmp_path) as server:
        asyncio.run(talk())


def test_large_octets_arrive_as_they_were_sent(connect: Connect, tmp_path: Path) -> None:
    """Eight megabytes there and back, through TLS, at the peer's pace."""
    size = 8 << 20
    data = bytes(range(256)) * (size // 256)

    def script(talker: Talker) -> None:
        assert talker.line() == b"go\n"
        talker.upgrade()
        heard = bytearray()
        while len(heard) < size:
            heard += talker.hear()
        talker.say(bytes(heard))

    async def talk() -> None:
        async with connect("localhost", server.port, ca_file=server.ca_file, timeout=SECONDS) as plain:
            await plain.send(b"go\n")
            secure = await plain.upgrade("raw")
            await secure.send(data)
            assert await secure.read_exactly(size) == data

    with Server(script, tmp_path) as server:
        asyncio.run(talk())


def test_lines_have_a_limit_and_an_end(connect: Connect, tmp_path: Path) -> None:
    """A line that is too long, or cut off by the end, is an error; the octets can still be read."""

    async def talk() -> None:
        async with connect("localhost", server.port, ca_file=server.ca_file, timeout=SECONDS) as plain:
            with pytest.raises(RemoteProtocolError, match="more than 4 octets"):
                await plain.readline(4)
            assert await plain.readline(5) == b"1234\n"
            with pytest.raises(RemoteProtocolError, match="closed the connection"):
                await plain.readline()
            with pytest.raises(RemoteProtocolError, match="3 of 4"):
                await plain.read_exactly(4)
            assert await plain.read() == b"cut"
            assert await plain.readline() == b""
            for wrong in (plain.read(0), plain.read_exactly(0), plain.readline(0), plain.read(timeout=-1)):
                with pytest.raises(LocalProtocolError):
                    await wrong

    with Server(lambda talker: talker.say(b"1234\ncut"), tmp_path) as server:
        asyncio.run(talk())


def test_run_drives_a_dialogue_but_never_upgrades(connect: Connect, tmp_path: Path) -> None:
    """A conversation hears what was read ahead first; one that tries to upgrade is stopped."""

    def dialogue() -> Dialogue[bytes]:
        heard = b""
        while not heard.endswith(b"\n"):
            heard += yield from receive(SECONDS, "words")
        yield from send(b"thanks")
        return heard

    def secret() -> Dialogue[object]:
        return (yield from upgrade(hand_over_client(origins[0], b"")))

    async def talk() -> None:
        async with connect("localhost", server.port, ca_file=server.ca_file, timeout=SECONDS) as plain:
            origins.append(plain.origin)
            assert await plain.read(1) == b"a"
            assert await plain.run(dialogue()) == b"bc\n"
            with pytest.raises(LocalProtocolError, match="upgrade"):
                await plain.run(secret())

    def script(talker: Talker) -> None:
        talker.say(b"abc\n")
        assert talker.hear() == b"thanks"
        assert talker.hear() == b""

    origins: list[Origin] = []
    with Server(script, tmp_path) as server:
        asyncio.run(talk())


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"level": "fingerprint"}, "needs pins"),
        ({"level": "verify", "pins": ["00" * 32]}, "not looked at"),
        ({"pins": ["abc"]}, "no pin"),
        ({"level": "secure"}, "no TLS level"),
        ({"timeout": -1}, "no timeout"),
        ({"timeout": float("nan")}, "no timeout"),
        ({"timeout": float("inf")}, "no timeout"),
        ({"server_name": "not a name"}, "not a host name"),
    ],
)
def test_arguments_that_mean_nothing_are_refused(connect: Connect, how: dict[str, object], words: str) -> None:
    """Before anything is opened: nobody believes in a check that is not made."""

    async def talk() -> None:
        async with connect("localhost", 1, **how):
            raise AssertionError("connected")

    with pytest.raises(LocalProtocolError, match=words):
        asyncio.run(talk())


def test_unknown_recipe_leaves_the_connection_as_it_is(connect: Connect, tmp_path: Path) -> None:
    """A name that was mistyped costs nothing, and the nearest is named."""

    async def talk() -> None:
        async with connect("localhost", server.port, ca_file=server.ca_file, timeout=SECONDS) as plain:
            with pytest.raises(LocalProtocolError, match="smtp"):
                await plain.upgrade("smtpp")
            assert (await plain.upgrade("smtp")).evidence.version

    with Server(smtp, tmp_path) as server:
        asyncio.run(talk())


def test_every_address_of_a_name_is_tried(connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first refuses, the second answers; when all refuse, each is named."""
    found = socket.getaddrinfo

    def several(host: str, port: int, *arguments: object, **named: object) -> list[object]:
        if host != "several.test":
            return list(found(host, port, *arguments, **named))  # type: ignore[arg-type]
        stream = (socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        return [(socket.AF_INET, *stream, (address, port)) for address in ("127.0.0.9", "127.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", several)

    async def talk(port: int) -> None:
        async with connect(
            "several.test", port, ca_file=server.ca_file, server_name="localhost", timeout=SECONDS
        ) as plain:
            assert (await plain.upgrade("smtp")).evidence.server_name == "localhost"

    with Server(smtp, tmp_path) as server:
        asyncio.run(talk(server.port))
    with pytest.raises(OSError, match=r"127\.0\.0\.9: .*127\.0\.0\.1: "):
        asyncio.run(talk(server.port))


def test_client_certificate_is_shown(connect: Connect, tmp_path: Path) -> None:
    """From one file, and from a pair of files; the server sees who it is."""
    import ssl

    authority = TestAuthority("clients")
    issued = authority.issue("client.test")
    (tmp_path / "clients.pem").write_bytes(authority.pem)
    (tmp_path / "both.pem").write_bytes(issued.chain_pem + issued.key_pem)
    (tmp_path / "chain.pem").write_bytes(issued.chain_pem)
    (tmp_path / "key.pem").write_bytes(issued.key_pem)
    seen: list[bytes | None] = []

    def script(talker: Talker) -> None:
        assert talker.hear(2) == b"go"
        talker.context.load_verify_locations(tmp_path / "clients.pem")
        talker.upgrade()
        assert isinstance(talker.sock, ssl.SSLSocket)
        seen.append(talker.sock.getpeercert(binary_form=True))
        talker.say(b"seen")

    async def talk(certificate: object) -> None:
        address = ("localhost", server.port)
        async with connect(*address, ca_file=server.ca_file, client_certificate=certificate, timeout=SECONDS) as plain:
            await plain.send(b"go")
            assert await (await plain.upgrade("raw")).read() == b"seen"

    with Server(script, tmp_path, verify_mode=ssl.CERT_REQUIRED) as server:
        asyncio.run(talk(tmp_path / "both.pem"))
        asyncio.run(talk((tmp_path / "chain.pem", str(tmp_path / "key.pem"))))
    assert seen == [issued.der[0]] * 2


def test_alpn_is_offered_and_reported(connect: Connect, tmp_path: Path) -> None:
    """What the server chose is in the evidence."""

    def script(talker: Talker) -> None:
        talker.context.set_alpn_protocols(["imap"])
        assert talker.hear(2) == b"go"
        talker.upgrade()
        talker.hear()

    async def talk() -> None:
        address = ("localhost", server.port)
        async with connect(*address, ca_file=server.ca_file, alpn=["xyz", "imap"], timeout=SECONDS) as plain:
            await plain.send(b"go")
            assert (await plain.upgrade("raw")).evidence.alpn == "imap"

    with Server(script, tmp_path) as server:
        asyncio.run(talk())
