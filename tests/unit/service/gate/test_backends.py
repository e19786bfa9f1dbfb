"""Pools: who is well, who gets the connection, what becomes of a server that fails."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.ports import free_port
from tests.unit.service.gate.servants import CLIENT, SECONDS, Servant, Yard, greeting, no_question

from gatepost.config.schema import Backend
from gatepost.errors import DeadlineExceeded, LocalProtocolError, RemoteProtocolError
from gatepost.observe import logs
from gatepost.service.gate.backends import BackendUnavailable
from gatepost.service.gate.choice import Health
from gatepost.service.gate.link import Link
from gatepost.testing.ca import TestAuthority
from gatepost.testing.tls import contexts
from gatepost.tls.contexts import client_context, server_contexts
from gatepost.tls.sessions import SessionCache
from gatepost.tls.trust import TrustStore
from gatepost.wire.dialogue import receive
from gatepost.wire.proxy import Told

UP, UNKNOWN, DOWN = Health.UP, Health.UNKNOWN, Health.DOWN


class Log:
    """The log's lines."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def lines(self, event: str) -> list[str]:
        """Those of an event."""
        logs.flush()
        return [line for line in self.path.read_text().splitlines() if f" {event} " in line]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    with (tmp_path / "log").open("wb") as out:
        logs.setup(descriptor=out.fileno())
        yield Log(tmp_path / "log")
        logs.teardown()


# Health


def test_first_checks_tell_who_is_well(log: Log) -> None:
    """Each server is asked at the start; what the probe learned is known, and both are logged."""

    async def scenario() -> None:
        servant, gone = Servant(b"hello"), free_port()
        yard = Yard(f"127.0.0.1:{gone}", servant.name, probe=greeting)
        assert (yard.health(), yard.pool.known) == ([UNKNOWN, UNKNOWN], None)
        await yard.settled()
        assert (yard.health(), yard.pool.known) == ([DOWN, UP], b"hello")
        assert yard.pool.available()
        assert yard.pool.reason == ""
        assert (yard.total("checks_total", result="ok"), yard.total("checks_total", result="failed")) == (1, 1)
        assert (yard.total("servers", state="up"), yard.total("servers", state="down")) == (1, 1)
        assert yard.total("connections_open") == 0
        yard.pool.stop()
        servant.close()
        (down,) = log.lines("backend.down")
        assert f'server=127.0.0.1:{gone} reason="Connection refused" severity=error' in down
        assert f"backend.up backend=mail server={servant.name}" in log.lines("backend.up")[0]

    asyncio.run(scenario())


def test_server_that_comes_back_is_used_again(log: Log) -> None:
    """The next check finds it, and the log says for how long it was gone."""

    async def scenario() -> None:
        port = free_port()
        yard = Yard(f"127.0.0.1:{port}", health_every="1s")
        await yard.settled()
        assert yard.health() == [DOWN]
        servant = Servant(port=port)
        await yard.until(UP)
        (await yard.pool.dial(CLIENT)).close()
        yard.pool.stop()
        servant.close()
        assert "after=" in log.lines("backend.up")[0]
        assert "severity=notice" in log.lines("backend.up")[0]

    asyncio.run(scenario())


def test_failed_dial_takes_a_server_out_of_use_and_tries_the_next(log: Log) -> None:
    """At once, not at the next check; and the next check comes soon, not after its usual time."""

    async def scenario() -> None:
        first, second = Servant(port=free_port()), Servant()
        yard = Yard(first.name, second.name, health_every="1h")
        await yard.settled()
        first.close()
        links = [await yard.pool.dial(CLIENT) for _ in range(2)]
        assert [link.server for link in links] == [second.name, second.name]
        assert yard.health() == [DOWN, UP]
        assert yard.total("failures_total") == 1
        assert len(log.lines("backend.down")) == 1
        again = Servant(port=first.port)
        await yard.until(UP, UP)
        for link in links:
            link.close()
        yard.pool.stop()
        for servant in (second, again):
            servant.close()

    asyncio.run(scenario())


def test_nobody_left_is_said_with_the_reason_of_each() -> None:
    """At once: a server that is down is not tried again for every client."""

    async def scenario() -> None:
        names = [f"127.0.0.1:{free_port()}" for _ in range(2)]
        yard = Yard(*names)
        await yard.settled()
        assert not yard.pool.available()
        with pytest.raises(BackendUnavailable) as refused:
            await yard.pool.dial(CLIENT)
        assert refused.value.reason == "; ".join(f"{name}: Connection refused" for name in names)
        assert refused.value.message.startswith("backend mail: 127.0.0.1")
        assert refused.value.temporary
        assert (yard.total("unavailable_total"), yard.total("failures_total")) == (1, 0)
        yard.pool.stop()

    asyncio.run(scenario())


def test_server_is_dialled_before_its_first_check_is_over() -> None:
    """A process that begins to serve does not turn clients away because a check is slow."""

    async def scenario() -> None:
        servant = Servant()
        yard = Yard(servant.name)
        link = await yard.pool.dial(CLIENT)
        assert (link.server, yard.health()) == (servant.name, [UNKNOWN])
        link.close()
        servant.close()

    asyncio.run(scenario())


def test_probe_that_fails_says_why(log: Log) -> None:
    """In the words of its error; what a server sent is escaped."""

    async def grumpy(link: Link, settings: Backend) -> object:
        raise RemoteProtocolError("it said 554 \\x1b[2Jgo away\\r\\n")

    async def scenario() -> None:
        servant = Servant()
        yard = Yard(servant.name, probe=grumpy)
        await yard.settled()
        assert yard.health() == [DOWN]
        yard.pool.stop()
        servant.close()
        assert r"554 \\x1b[2Jgo away\\r\\n" in log.lines("backend.down")[0]

    asyncio.run(scenario())


def test_probe_with_a_fault_of_its_own_does_not_end_the_asking(log: Log) -> None:
    """A server that a probe stumbles over is out of use, and asked again."""
    asked = 0

    async def stumbling(link: Link, settings: Backend) -> object:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise KeyError("it")
        return "well"

    async def scenario() -> None:
        servant = Servant()
        yard = Yard(servant.name, probe=stumbling, health_every="1s")
        await yard.settled()
        assert yard.health() == [DOWN]
        await yard.until(UP)
        yard.pool.stop()
        servant.close()
        assert "KeyError" in log.lines("backend.check-failed")[0]

    asyncio.run(scenario())


def test_check_has_its_own_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that says nothing is not waited for as long as sessions wait, and never asked twice at a time."""
    monkeypatch.setattr("gatepost.service.gate.backends.CHECK_SECONDS", 0.2)
    asking, most = 0, 0

    async def patient(link: Link, settings: Backend) -> object:
        nonlocal asking, most
        asking += 1
        most = max(most, asking)
        try:
            return await greeting(link, settings)
        finally:
            asking -= 1

    async def scenario() -> None:
        servant = Servant()  # says nothing
        yard = Yard(servant.name, probe=patient, health_every="1s")
        await yard.settled()
        assert yard.health() == [DOWN]
        assert "no answer in time" in yard.pool.reason
        await servant.meet()
        await servant.meet()
        await servant.meet()
        yard.pool.stop()
        servant.close()
        assert most == 1

    asyncio.run(scenario())


def test_condemned_server_is_out_of_use() -> None:
    """Its greeting was a refusal, say: the protocol's opening knows, and the pool believes it."""

    async def scenario() -> None:
        servant, other = Servant(), Servant()
        yard = Yard(servant.name, other.name, health_every="1h")
        await yard.settled()
        link = await yard.pool.dial(CLIENT)
        link.condemn("it greeted with 554")
        assert sorted(yard.health()) == [DOWN, UP]
        assert yard.total("connections_open") == 0
        await yard.until(UP, UP)
        yard.pool.stop()
        servant.close()
        other.close()

    asyncio.run(scenario())


# Connections


def test_connections_are_spread_and_bounded() -> None:
    """Each server takes so many, in turn; one more is told why not, and what is closed makes room."""

    async def scenario() -> None:
        servants = [Servant(), Servant()]
        yard = Yard(*(each.name for each in servants), connections=2)
        await yard.settled()
        links = [await yard.pool.dial(CLIENT) for _ in range(4)]
        assert sorted(link.server for link in links) == sorted(each.name for each in servants for _ in range(2))
        assert yard.total("connections_open") == 4
        assert not yard.pool.available()
        with pytest.raises(BackendUnavailable, match="as many connections as it may have"):
            await yard.pool.dial(CLIENT)
        links[1].close()
        again = await yard.pool.dial(CLIENT)
        assert again.server == links[1].server
        for link in (*links, again):
            link.abort()
        assert yard.total("connections_open") == 0
        yard.pool.stop()
        for each in servants:
            each.close()

    asyncio.run(scenario())


def test_server_that_filled_up_while_another_failed_is_not_overfilled() -> None:
    """What was chosen before the first try is looked at again before the second."""

    async def scenario() -> None:
        servant, gone = Servant(), f"localhost:{free_port()}"  # a name: what is at once cannot be overtaken
        yard = Yard(gone, servant.name, connections=1)
        first, second = await asyncio.gather(
            yard.pool.dial(CLIENT), yard.pool.dial(CLIENT), return_exceptions=True
        )  # fmt: skip
        assert isinstance(first, BackendUnavailable)
        assert first.reason == f"{gone}: Connection refused; {servant.name}: as many connections as it may have"
        assert isinstance(second, Link)
        second.close()
        servant.close()

    asyncio.run(scenario())


def test_dialogue_runs_on_a_link() -> None:
    """What an engine says and hears, each step with its deadline."""

    async def scenario() -> None:
        servant = Servant(b"220 hello\r\n")
        link = await Yard(servant.name).pool.dial(CLIENT)
        assert await link.run(receive(SECONDS, "greeting")) == b"220 hello\r\n"
        with pytest.raises(DeadlineExceeded, match="no answer of the server in time"):
            await link.receive(0.05)
        assert link.closed
        link.close()
        servant.close()

    asyncio.run(scenario())


def test_link_counts_until_it_is_closed_once() -> None:
    """However often and however it is closed, and also when a session forgets it."""

    async def scenario() -> None:
        servant = Servant()
        yard = Yard(servant.name)
        column = yard.pool.servers[0].column
        kept, forgotten = await yard.pool.dial(CLIENT), await yard.pool.dial(CLIENT)
        wire = forgotten.wire
        assert yard.places.taken(column) == 2
        kept.close()
        kept.abort()
        kept.condemn("twice")
        assert yard.places.taken(column) == 1
        del forgotten
        gc.collect()
        assert (yard.places.taken(column), yard.total("connections_open")) == (0, 0)
        wire.abort()
        servant.close()

    asyncio.run(scenario())


def test_checks_do_not_count_as_connections() -> None:
    """A server that is full is still asked how it is."""

    async def scenario() -> None:
        servant = Servant()
        yard = Yard(servant.name, connections=1, health_every="1s")
        await yard.settled()
        link = await yard.pool.dial(CLIENT)
        for _ in range(3):  # the first check, the client, and the second check
            await servant.meet()
        assert yard.health() == [UP]
        link.close()
        yard.pool.stop()
        servant.close()

    asyncio.run(scenario())


def test_dial_that_is_cancelled_holds_nothing() -> None:
    """The client went away while its connection was being made."""

    async def scenario() -> None:
        servant = Servant(contexts=contexts())
        context = client_context(trust=TrustStore(()), sessions=SessionCache(0))
        yard = Yard(servant.name, context=context, tls="implicit", level="encrypt")
        dialling = asyncio.ensure_future(yard.pool.dial(CLIENT))
        await asyncio.sleep(0)
        dialling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dialling
        assert yard.places.taken(yard.pool.servers[0].column) == 0
        assert yard.health() == [UNKNOWN]
        servant.close()

    asyncio.run(scenario())


def test_octets_go_both_ways() -> None:
    """Send, receive, and the end."""

    async def scenario() -> None:
        servant = Servant(b"220 hello\r\n")
        yard = Yard(servant.name)
        link = await yard.pool.dial(CLIENT)
        assert await link.receive() == b"220 hello\r\n"
        await link.send(b"QUIT\r\n")
        wire = await servant.meet()
        assert (await wire.ready(SECONDS), link.closed) == (True, False)
        wire.close()
        assert await link.receive() == b""
        assert link.closed
        link.close()
        servant.close()

    asyncio.run(scenario())


# TLS, and who the client is


def test_implicit_tls_is_verified_and_resumed() -> None:
    """For the name in the configuration, or for those that it names; the second connection resumes the first."""
    authority = TestAuthority()
    served = server_contexts([authority.issue("mail.internal").credential])
    context = client_context(trust=TrustStore([authority.certificate]), sessions=SessionCache())

    async def scenario() -> None:
        servant = Servant(b"hello", contexts=served)
        yard = Yard(servant.name, context=context, tls="implicit", names="mail.internal")
        found = []
        for _ in range(2):
            link = await yard.pool.dial(CLIENT)
            assert await link.receive() == b"hello"
            assert link.tls is not None
            found.append((link.tls.verification.status, link.tls.resumed))
            link.close()
        assert found == [("verified", False), ("verified", True)]
        servant.close()

    asyncio.run(scenario())


def test_server_that_cannot_prove_its_name_is_not_spoken_to(log: Log) -> None:
    """It is out of use, and the reason names what is wrong."""
    authority = TestAuthority()
    context = client_context(trust=TrustStore([authority.certificate]), sessions=SessionCache(0))

    async def scenario() -> None:
        servant = Servant(contexts=server_contexts([authority.issue("other.internal").credential]))
        yard = Yard(servant.name, context=context, tls="implicit", names="mail.internal")
        await yard.settled()
        assert yard.health() == [DOWN]
        assert "other.internal" in log.lines("backend.down")[0]
        yard.pool.stop()
        servant.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(("manner", "version"), [("proxy1", 1), ("proxy2", 2)])
@pytest.mark.parametrize("tls", ["none", "implicit"])
def test_server_is_told_who_the_client_is_before_anything_else(manner: str, version: int, tls: str) -> None:
    """The header goes first, also before TLS; checks introduce themselves."""

    async def scenario() -> None:
        servant = Servant(b"hello", contexts=contexts() if tls == "implicit" else None, header=True)
        context = client_context(trust=TrustStore(()), sessions=SessionCache(0))
        yard = Yard(servant.name, context=context, client=manner, tls=tls, level="encrypt", probe=greeting)
        await yard.settled()
        assert yard.pool.known == b"hello"
        yard.pool.stop()
        link = await yard.pool.dial(CLIENT)
        assert await link.receive() == b"hello"
        own, told = servant.headers
        assert isinstance(own, Told)
        assert own.source is None if version == 2 else own.source is not None and own.source[0] == "127.0.0.1"
        assert told == Told(version, CLIENT.origin.peer, CLIENT.origin.local)
        link.close()
        servant.close()

    asyncio.run(scenario())


def test_server_that_breaks_off_behind_the_header_of_a_client_stays_in_use() -> None:
    """It may have meant the client, and no client is to take a server away from the others."""

    async def scenario() -> None:
        servant = Servant(b"no TLS for you", header=True)
        context = client_context(trust=TrustStore(()), sessions=SessionCache(0))
        yard = Yard(servant.name, context=context, client="proxy1", tls="implicit", level="encrypt")
        with pytest.raises(BackendUnavailable, match=servant.name):
            await yard.pool.dial(CLIENT)
        assert (yard.health(), yard.total("failures_total")) == ([UNKNOWN], 1)
        servant.close()

    asyncio.run(scenario())


def test_client_that_cannot_be_told_of_is_no_fault_of_the_servers() -> None:
    """An address that is none fails the dial, and no server is blamed."""

    async def scenario() -> None:
        servant = Servant()
        yard = Yard(servant.name, client="proxy1")
        odd = CLIENT.origin.__class__(("not an address", 1), ("192.0.2.1", 25), "front", 0.0, "c2")
        with pytest.raises(LocalProtocolError):
            await yard.pool.dial(CLIENT.__class__(odd))
        assert (yard.health(), yard.total("failures_total")) == ([UNKNOWN], 0)
        servant.close()

    asyncio.run(scenario())


def test_plaintext_before_implicit_tls_is_never_read_as_private() -> None:
    """A server, or somebody before it, that speaks in the clear first is refused."""

    async def scenario() -> None:
        servant = Servant(b"220 in the clear\r\n")
        context = client_context(trust=TrustStore(()), sessions=SessionCache(0))
        yard = Yard(servant.name, context=context, tls="implicit", level="encrypt")
        with pytest.raises(BackendUnavailable):
            await yard.pool.dial(CLIENT)
        assert yard.health() == [DOWN]
        servant.close()

    asyncio.run(scenario())


def test_pool_without_question_learns_nothing() -> None:
    """A probe that only connects."""

    async def scenario() -> None:
        servant = Servant()
        yard = Yard(servant.name, probe=no_question)
        await yard.settled()
        assert yard.pool.known == "well"
        yard.pool.stop()
        servant.close()

    asyncio.run(scenario())
