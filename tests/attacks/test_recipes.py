"""One suite of attacks for every recipe and both of its halves. Each test states the attacker's goal.

The attacks are made from what the two halves say to each other, so a new recipe is attacked by standing in the table.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import socket
import types
from collections.abc import Iterator

import pytest
from tests.attacks.exchanges import (
    HANG_UP,
    NAMES,
    TALKATIVE,
    Flood,
    Turn,
    answers,
    client_half,
    cut_off,
    drive_client,
    drive_server,
    last_answer,
    requests,
    server_half,
    turns,
    with_answer,
)

from gatepost.errors import DeadlineExceeded, HandshakeError, RemoteProtocolError
from gatepost.net.serve_dialogue import upgrade_accepted
from gatepost.testing.handshakes import CLIENT_ORIGIN, SERVER_ORIGIN, run_handshake
from gatepost.testing.memory import MemoryDriver, ScriptedPeer
from gatepost.testing.recipes import SERVER_TERMS, ServedPeer, converse, serve
from gatepost.testing.tls import client_settings, contexts
from gatepost.tls.engine import ClientHandshake, ServerHandshake
from gatepost.wire.recipes.recipe import PeerLeft, ServerTerms, UpgradeRefused
from gatepost.wire.recipes.table import RECIPES
from gatepost.wire.smtp.refusals import ConnectionLost
from gatepost.wire.upgrade import PlaintextAfterUpgrade, UpgradeReady, hand_over_client

BEHIND = [b"\r\n", b" ", b"N", b"XINJ", b"NOOP\r\n", b"S", b"\0", b"<a/>", b"\x16\x03\x03\x00\x31\x02", b"\xff" * 5000]
EVIL = (RemoteProtocolError, DeadlineExceeded, HandshakeError)

every = pytest.mark.parametrize("name", NAMES)
talkative = pytest.mark.parametrize("name", TALKATIVE)
behind = pytest.mark.parametrize("injected", BEHIND, ids=lambda octets: ascii(octets[:12]))


# Octets in the segment of the upgrade


@every
@behind
@pytest.mark.parametrize("chunks", [None, 1])
def test_attacker_cannot_answer_in_advance_what_is_asked_inside_tls(
    name: str, injected: bytes, chunks: int | None
) -> None:
    """Goal: words behind the go-ahead are read as if they had come through TLS. They are refused before a handshake."""
    number = last_answer(name)
    peer = ScriptedPeer(*with_answer(name, number, turns(name)[number][1] + injected))
    driver = MemoryDriver(peer, chunks=chunks)
    with pytest.raises(PlaintextAfterUpgrade) as finding:
        driver.run(converse(RECIPES[name]))
    assert finding.value.residue == injected
    assert driver.evidence is None


@talkative
@behind
def test_attacker_cannot_have_words_served_inside_tls(name: str, injected: bytes) -> None:
    """Goal: words behind the request run inside TLS. They are refused, in the protocol's words, with no go-ahead."""
    for cut in range(len(requests(name)) + 1):
        peer = serve(RECIPES[name])
        greeting = peer.outgoing()
        if cut:
            peer.receive(requests(name)[:cut])
            if cut == len(requests(name)):  # the request came by itself: what follows is another segment
                assert peer.granted is not None
                continue
        peer.receive(requests(name)[cut:] + injected)
        assert isinstance(peer.error, PlaintextAfterUpgrade)
        assert peer.error.residue == injected
        assert peer.granted is None
        said = greeting + peer.outgoing()
        assert not said.endswith(turns(name)[-1][1] or b"nothing")
        assert len(said) > len(greeting)


@every
@pytest.mark.parametrize("injected", [b"NOOP\r\n", b"S", b"\r\n", b"<a/>"], ids=ascii)
def test_attacker_cannot_inject_in_the_next_segment(name: str, injected: bytes) -> None:
    """Goal: words that come after the switch are read by somebody. They reach the handshake, which fails, both ways."""
    ready = MemoryDriver(ScriptedPeer(*turns(name))).run(client_half(name))
    client = ClientHandshake(client_settings(), ready)
    client.receive(injected)
    with pytest.raises(HandshakeError) as found:
        client.advance()
    assert found.value.plaintext
    granted, _ = drive_server(name, (b"", requests(name)))
    server = ServerHandshake(contexts(), granted.ready, early=granted.early)
    server.receive(injected)
    with pytest.raises(HandshakeError) as found:
        server.advance()
    assert found.value.plaintext


@talkative
@pytest.mark.parametrize("cut", [1, 5, 6, 60, None])
def test_an_eager_client_is_no_attacker(name: str, cut: int | None) -> None:
    """Goal: none. The ClientHello in the segment of the request is handshake, wherever it is cut."""
    client = ClientHandshake(client_settings(), hand_over_client(CLIENT_ORIGIN, b""))
    hello = client.outgoing()
    granted, _ = drive_server(name, (b"", requests(name) + hello[:cut]))
    server = ServerHandshake(contexts(), granted.ready, early=granted.early)
    if cut is not None:
        server.receive(hello[cut:])
    assert server.advance() is None
    theirs, ours = run_handshake(server, client)
    assert theirs.evidence.cipher == ours.evidence.cipher


@talkative
def test_attacker_cannot_hide_behind_the_beginning_of_a_hello(name: str) -> None:
    """Goal: text behind the first octets of a ClientHello is taken for one. The handshake finds it, and fails."""
    granted, _ = drive_server(name, (b"", requests(name) + b"\x16\x03\x01"))
    server = ServerHandshake(contexts(), granted.ready, early=granted.early)
    server.receive(b"NOOP\r\n" * 20000)
    with pytest.raises(HandshakeError):
        server.advance()


# Words that are said too early, in another order, or in place of others


def forerunners() -> Iterator[tuple[str, int]]:
    for name in TALKATIVE:
        for number in range(len(turns(name)) - 1):
            if any(answer for _, answer in turns(name)[number + 1 :]):
                yield name, number


@pytest.mark.parametrize(("name", "number"), list(forerunners()))
@pytest.mark.parametrize("chunks", [None, 1])
def test_attacker_cannot_answer_before_the_question(name: str, number: int, chunks: int | None) -> None:
    """Goal: replies that wait for their question, so that what is heard inside TLS is one step behind."""
    later = b"".join(answer for _, answer in turns(name)[number + 1 :])
    script = with_answer(name, number, turns(name)[number][1] + later)
    driver = MemoryDriver(ScriptedPeer(*script), chunks=chunks)
    with pytest.raises(RemoteProtocolError):
        driver.run(converse(RECIPES[name]))
    assert driver.evidence is None
    if chunks is None and turns(name)[number][1]:  # it was there to be seen, so the next question was not even asked
        assert b"".join(driver.sent) == b"".join(said for said, _ in turns(name)[: number + 1])


@talkative
def test_attacker_cannot_put_the_go_ahead_first(name: str) -> None:
    """Goal: a client that upgrades without having asked, or a server that grants what nobody asked for."""
    *others, go_ahead = (answer for _, answer in turns(name) if answer)
    if others:
        rotated = [go_ahead, *others]
        script = [(said, rotated.pop(0) if answer else b"") for said, answer in turns(name)]
        with pytest.raises((RemoteProtocolError, DeadlineExceeded)):
            drive_client(name, ScriptedPeer(*script))
    words = [said for said, _ in turns(name) if said]
    out_of_order = b"".join(words[::-1]) if len(words) > 1 else words[0] * 2
    with pytest.raises(RemoteProtocolError):
        drive_server(name, (b"", out_of_order))


@talkative
def test_attacker_cannot_have_a_refusal_taken_for_a_go_ahead(name: str) -> None:
    """Goal: a handshake after a refusal. What our own server says when it refuses is a refusal to our own client."""
    peer = serve(RECIPES[name])
    peer.receive(requests(name)[:-1])
    peer.outgoing()
    peer.receive(requests(name)[-1:] + b"NOOP\r\n")
    refusal = peer.outgoing()
    script = with_answer(name, len(turns(name)) - 1, refusal)
    silent = not turns(name)[-1][1]  # no go-ahead, so no refusal either: it is plaintext where the handshake was due
    with pytest.raises(PlaintextAfterUpgrade if silent else UpgradeRefused):
        drive_client(name, ScriptedPeer(*script))


# Silence, and the end at every octet


@talkative
def test_attacker_cannot_make_a_client_go_on_by_hanging_up(name: str) -> None:
    """Goal: half a reply counts as a whole one. The end at any octet of the dialogue is an end, and says so."""
    for octets in range(len(answers(name))):
        driver = MemoryDriver(ScriptedPeer(*cut_off(name, octets, HANG_UP)))
        with pytest.raises((PeerLeft, ConnectionLost)):
            driver.run(converse(RECIPES[name]))
        assert driver.evidence is None


@talkative
def test_attacker_cannot_hold_a_client_for_ever(name: str) -> None:
    """Goal: a client that waits without an end. Silence at any octet of the dialogue runs into a deadline."""
    for octets in range(len(answers(name))):
        driver = MemoryDriver(ScriptedPeer(*cut_off(name, octets)))
        with pytest.raises(DeadlineExceeded):
            driver.run(converse(RECIPES[name]))
        assert all(0 < wait.seconds <= 60 for wait in driver.waited)


@talkative
def test_attacker_cannot_make_a_server_go_on_by_hanging_up(name: str) -> None:
    """Goal: half a request counts as a whole one."""
    for octets in range(len(requests(name))):
        with pytest.raises(PeerLeft):
            drive_server(name, (b"", requests(name)[:octets]), HANG_UP)


@talkative
def test_attacker_cannot_hold_a_server_for_ever(name: str) -> None:
    """Goal: a server that waits without an end: silence at any octet, and all waiting has one deadline."""
    for octets in range(len(requests(name))):
        driver = MemoryDriver(ScriptedPeer((b"", requests(name)[:octets])))
        with pytest.raises(DeadlineExceeded):
            driver.run(server_half(name))
        assert len({wait.step for wait in driver.waited}) == 1


# Too much


def floods(name: str) -> list[bytes]:
    """What to say for ever: nothing that ends, things that end, and whatever the protocol says itself."""
    own = [part for turn in turns(name) for part in turn if part]
    lines = [line + b"\r\n" for part in own for line in part.split(b"\r\n") if line]
    return list(dict.fromkeys([b"a", b"\0", b"\r\n", b"\n", b"<a>", b" ", b"\x30\x84\x7f\xff\xff\xff", *own, *lines]))


@talkative
def test_attacker_cannot_make_a_client_read_for_ever(name: str) -> None:
    """Goal: the client's memory or time. Whatever is repeated, at whatever step, it has had enough before 1 MiB."""
    for number in range(len(turns(name))):
        for words in floods(name):
            with pytest.raises(EVIL):
                drive_client(name, Flood(words, (*turns(name)[:number], (turns(name)[number][0], b""))))


@talkative
def test_attacker_cannot_make_a_server_read_for_ever(name: str) -> None:
    """Goal: the server's memory or time. Whatever is repeated, it has had enough, and says little, before 1 MiB."""
    for words in floods(name):
        flood = Flood(words)
        with pytest.raises(RemoteProtocolError):
            MemoryDriver(flood).run(server_half(name))


@talkative
def test_attacker_cannot_break_either_half_with_noise(name: str) -> None:
    """Goal: an exception that nobody expects. Octets without a meaning break the protocol, and no more."""
    chance = random.Random(name)
    for length in [1, 2, 4, 8, 9, 40, 300] * 30:
        noise = chance.randbytes(length)
        with pytest.raises(EVIL):
            drive_client(name, ScriptedPeer((b"", noise), HANG_UP))
        with pytest.raises(EVIL):
            drive_server(name, (b"", noise), HANG_UP)


@talkative
def test_attacker_cannot_break_either_half_with_almost_the_right_words(name: str) -> None:
    """Goal: the same, one or two octets away from the honest exchange, where parsers have their edges."""
    chance = random.Random(name)
    for _ in range(300):
        number = chance.randrange(len(turns(name)))
        script: list[Turn] = list(with_answer(name, number, mutated(turns(name)[number][1], chance)))
        with pytest.raises(EVIL):
            drive_client(name, ScriptedPeer(*script, HANG_UP))
        peer = serve(RECIPES[name])
        peer.receive(mutated(requests(name), chance) or b" ")
        assert peer.error is None or isinstance(peer.error, RemoteProtocolError)


def mutated(octets: bytes, chance: random.Random) -> bytes:
    """One or two octets changed, added or taken away."""
    found = bytearray(octets)
    for _ in range(chance.randint(1, 2)):
        at = chance.randrange(len(found) + 1)
        match chance.randrange(3):
            case 0:
                found[at : at + 1] = chance.randbytes(1)
            case 1:
                found[at:at] = chance.choice([b"\r", b"\n", b"\r\n", b" ", b"\0", b"<", b"{9}", b"\xff"])
            case _:
                del found[at : at + 1]
    return bytes(found)


# What survives


def reachable(root: object) -> Iterator[object]:
    """Everything that an object holds, code and classes left out."""
    seen, waiting = set[int](), [root]
    while waiting:
        each = waiting.pop()
        if id(each) in seen or isinstance(each, (type, types.ModuleType, types.FunctionType)):
            continue
        seen.add(id(each))
        yield each
        waiting.extend(gc.get_referents(each))


@every
def test_nothing_said_in_the_clear_is_held_by_what_crosses(name: str) -> None:
    """Goal: a word of the clear that is believed inside. The tokens hold the origin, and no octets at all."""
    half = client_half(name)
    ready = MemoryDriver(ScriptedPeer(*turns(name))).run(half)
    assert isinstance(half, types.GeneratorType) and half.gi_frame is None  # nothing is left of the half itself
    granted, _ = drive_server(name, (b"", requests(name)))
    for token in (ready, granted.ready):
        assert isinstance(token, UpgradeReady)
        held = list(reachable(token))
        assert not any(isinstance(each, (bytes, bytearray, memoryview)) for each in held)
        origin = token.spend()
        words = {each for each in held if isinstance(each, str)}
        own = {origin.peer[0], origin.local[0], origin.listener, origin.connection, origin.proxy, token.role.value}
        assert words <= own | {each for each in reachable(type(token.role)) if isinstance(each, str)} | {
            token.role.name,
            "_value_",
            "_name_",
            "__objclass__",
            "_sort_order_",
        }
    assert granted.early is None


@talkative
def test_a_second_conversation_knows_nothing_of_the_first(name: str) -> None:
    """Goal: a half that remembers. After one that was injected into, the next is as honest as the first."""
    peer = serve(RECIPES[name])
    peer.receive(requests(name) + b"XINJ")
    assert isinstance(peer.error, PlaintextAfterUpgrade)
    again: ServedPeer = serve(RECIPES[name])
    assert again.outgoing() == turns(name)[0][1]
    again.receive(requests(name))
    assert again.granted is not None
    assert again.granted.early is None


# On a socket


async def attacked(name: str, words: bytes, *, seconds: float = 20.0) -> tuple[BaseException, bytes]:
    """Say words to a server half on a real socket: why it refused, and all that it said until it closed."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    with theirs:
        terms = ServerTerms(SERVER_TERMS.hostname, seconds=seconds)
        served = asyncio.ensure_future(
            upgrade_accepted(
                loop, ours, RECIPES[name], contexts(), terms=terms, origin=SERVER_ORIGIN, handshake_seconds=seconds
            )
        )
        said = b""
        with contextlib.suppress(ConnectionError):  # it may have had enough before it has heard all
            async with asyncio.timeout(30):
                await loop.sock_sendall(theirs, words)
                while data := await loop.sock_recv(theirs, 65536):
                    said += data
    async with asyncio.timeout(30):
        error = (await asyncio.gather(served, return_exceptions=True))[0]
    assert isinstance(error, BaseException)
    assert ours.fileno() == -1
    return error, said


@talkative
def test_attacker_is_refused_on_a_socket_and_hears_why(name: str) -> None:
    """Goal: an injection over a real socket. The refusal arrives, the socket is closed, nothing else was said."""
    error, said = asyncio.run(attacked(name, requests(name) + b"XINJ"))
    assert isinstance(error, PlaintextAfterUpgrade)
    peer = serve(RECIPES[name])
    peer.receive(requests(name) + b"XINJ")
    assert said == peer.outgoing()


@every
def test_attacker_cannot_talk_instead_of_the_handshake(name: str) -> None:
    """Goal: plaintext after the go-ahead, on a real socket. It ends with at most an alert."""

    async def late() -> tuple[BaseException, bytes]:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        served = asyncio.ensure_future(
            upgrade_accepted(loop, ours, RECIPES[name], contexts(), terms=SERVER_TERMS, origin=SERVER_ORIGIN)
        )
        expected = answers(name)
        with theirs:
            async with asyncio.timeout(30):
                await loop.sock_sendall(theirs, requests(name))
                said = b""
                while len(said) < len(expected):
                    said += await loop.sock_recv(theirs, 65536)
                assert said == expected
                await loop.sock_sendall(theirs, b"NOOP\r\n")
                rest = b""
                while data := await loop.sock_recv(theirs, 65536):
                    rest += data
        async with asyncio.timeout(30):
            (error,) = await asyncio.gather(served, return_exceptions=True)
        assert ours.fileno() == -1
        assert isinstance(error, BaseException)
        return error, rest

    error, rest = asyncio.run(late())
    assert isinstance(error, (HandshakeError, PlaintextAfterUpgrade))
    assert rest[:1] in (b"", b"\x15")


@every
def test_attacker_cannot_hold_a_socket_with_silence(name: str) -> None:
    """Goal: a connection for nothing. The deadline closes it, in the dialogue or in the handshake."""
    error, _ = asyncio.run(attacked(name, requests(name)[:-1], seconds=0.05))
    assert isinstance(error, DeadlineExceeded)
