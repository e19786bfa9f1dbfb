"""The pools of a process, and the TLS that a backend's keys make."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.ports import free_port
from tests.unit.service.gate.servants import CLIENT, SECONDS, Servant, no_question

from gatepost.config.schema import Config
from gatepost.errors import CertificateError, ConfigError
from gatepost.observe.shared import Shared, new_shared
from gatepost.service.gate import pools
from gatepost.service.gate.backend_tls import backend_context, backend_files, server_tls
from gatepost.service.gate.backends import BackendUnavailable
from gatepost.service.gate.choice import Health
from gatepost.service.gate.pools import Pools
from gatepost.service.gate.probes import PROBES, connected, probe_of
from gatepost.testing.ca import TestAuthority
from gatepost.tls.clientfiles import ClientFiles
from gatepost.tls.contexts import server_contexts
from gatepost.tls.verify import both_fingerprints


def config(tmp_path: Path, backends: list[dict[str, Any]], gates: list[dict[str, Any]] | None = None) -> Config:
    """A configuration with these backends, and a gate for each where none are given."""
    gates = gates or [{"backend": each["name"], "name": f"front{at}"} for at, each in enumerate(backends)]
    return Config.model_validate(
        {
            "hostname": "mx.example.test", "data": tmp_path, "backend": backends,
            "gate": [{"protocol": "raw", "tls": "implicit", "bind": "127.0.0.1:0", **gate} for gate in gates],
        }
    )  # fmt: skip


def shared() -> Shared:
    made = new_shared(slots=4)
    made.counters.learn_backends(["mail", "other"])
    return made.for_worker("gate", 0, 1)


def test_gates_with_one_backend_and_protocol_share_a_pool(tmp_path: Path) -> None:
    """Its servers are asked once for all of them; another protocol asks in its own words."""
    made = config(
        tmp_path,
        [{"name": "mail", "servers": "127.0.0.1:1"}],
        [
            {"name": "a", "backend": "mail"},
            {"name": "b", "backend": "mail"},
            {"name": "c", "backend": "mail", "protocol": "sieve"},
        ],
    )
    found = Pools(made, shared())
    first, second, third = (found.pool(gate) for gate in made.gate)
    assert first is second
    assert first is not third
    assert len(list(found)) == 2


def test_start_waits_for_the_first_answers_but_not_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes its time does not hold up the others' clients."""
    answered = asyncio.Event()

    async def slow(link: object, settings: object) -> object:
        await answered.wait()
        return None

    async def scenario() -> None:
        servant = Servant()
        made = config(
            tmp_path,
            [{"name": "mail", "servers": f"127.0.0.1:{free_port()}"}, {"name": "other", "servers": servant.name}],
        )
        found = Pools(made, shared())
        monkeypatch.setattr(pools, "probe_of", lambda protocol: no_question)
        quick = found.pool(made.gate[0])
        monkeypatch.setattr(pools, "probe_of", lambda protocol: slow)
        late = found.pool(made.gate[1])
        async with asyncio.timeout(SECONDS):
            await found.start(0.3)
        assert [pool.servers[0].health for pool in (quick, late)] == [Health.DOWN, Health.UNKNOWN]
        answered.set()
        async with asyncio.timeout(SECONDS):
            await late.settled()
        assert late.servers[0].health is Health.UP
        found.stop()
        servant.close()

    asyncio.run(scenario())


def test_process_that_retires_counts_no_servers_any_more(tmp_path: Path) -> None:
    """After a reload its successor does; what it still finds out stays its own."""

    async def scenario() -> None:
        made, ours = config(tmp_path, [{"name": "mail", "servers": f"127.0.0.1:{free_port()}"}]), shared()
        down = ours.counters.index("gate_backend_servers", backend="mail", state="down")
        found = Pools(made, ours)
        pool = found.pool(made.gate[0])
        async with asyncio.timeout(SECONDS):
            await found.start(SECONDS)
        assert ours.counters.total(down) == 1
        found.hush()
        assert ours.counters.total(down) == 0
        with pytest.raises(BackendUnavailable):
            await pool.dial(CLIENT)
        found.stop()

    asyncio.run(scenario())


def test_gate_without_a_backend_is_an_error(tmp_path: Path) -> None:
    """It is found when the configuration is read; here is the second look."""
    made = config(tmp_path, [{"name": "mail", "servers": "127.0.0.1:1"}])
    lost = made.gate[0].model_copy(update={"backend": "nobody"})
    with pytest.raises(ConfigError, match="nobody"):
        Pools(made, shared()).pool(lost)


@pytest.mark.parametrize("protocol", sorted(PROBES))
def test_protocols_that_are_read_say_hello(protocol: str) -> None:
    """Each has a probe of its own."""
    assert probe_of(protocol) is not connected


def test_protocols_that_are_not_read_are_connected_to() -> None:
    """Nothing is said, and nothing learned."""
    assert probe_of("xmpp") is connected


# TLS


@pytest.mark.parametrize("level", ["encrypt", "verify", "fingerprint"])
def test_level_decides_what_is_checked(tmp_path: Path, level: str) -> None:
    """Nothing, an authority and a name, or a fingerprint."""
    authority, stranger = TestAuthority(), TestAuthority("somebody else")
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    right, wrong = authority.issue("mail.internal"), stranger.issue("mail.internal")
    demands: dict[str, dict[str, Any]] = {
        "encrypt": {},
        "verify": {"ca": tmp_path / "ca.pem", "names": ["mail.internal"]},
        "fingerprint": {"fingerprints": both_fingerprints(right.der[0])[0]},
    }

    async def scenario() -> list[str]:
        outcomes = []
        for shown in (right, wrong):
            servant = Servant(b"hello", contexts=server_contexts([shown.credential]))
            made = config(
                tmp_path,
                [{"name": "mail", "servers": servant.name, "tls": "implicit", "level": level, **demands[level]}],
            )
            pool = Pools(made, shared()).pool(made.gate[0])
            try:
                link = await pool.dial(CLIENT)
            except Exception as error:  # noqa: BLE001 - it is what is looked at
                outcomes.append(type(error).__name__)
            else:
                outcomes.append(link.tls.verification.status if link.tls is not None else "in the clear")
                link.close()
            servant.close()
        return outcomes

    good = {"encrypt": "untrusted", "verify": "verified", "fingerprint": "pinned"}[level]
    bad = "untrusted" if level == "encrypt" else "BackendUnavailable"
    assert asyncio.run(scenario()) == [good, bad]


def test_files_of_a_backend_are_read_before_they_are_needed(tmp_path: Path) -> None:
    """With the supervisor's rights: a worker that may not read the key shows the certificate all the same."""
    authority = TestAuthority()
    path = authority.issue(common_name="gate").write(tmp_path / "gate.pem")
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    made = config(
        tmp_path,
        [{
            "name": "mail", "servers": "mail.internal:25", "tls": "implicit", "ca": tmp_path / "ca.pem",
            "client_certificate": path,
        }],
    )  # fmt: skip
    files = backend_files(made)
    path.unlink()
    (tmp_path / "ca.pem").unlink()
    backend = made.backend[0]
    context = backend_context(made, backend, files)
    settings = server_tls(backend, context)("mail.internal")
    assert settings is not None
    assert (settings.server_name, settings.level, settings.references) == (
        "mail.internal",
        "verify",
        ("mail.internal",),
    )


@pytest.mark.parametrize("key", ["ca", "client_certificate"])
def test_file_that_cannot_be_read_is_named_with_its_backend(tmp_path: Path, key: str) -> None:
    """At the start, not at the first connection."""
    made = config(
        tmp_path,
        [{"name": "other", "servers": "a:1"},
         {"name": "mail", "servers": "a:1", "tls": "implicit", key: tmp_path / "missing.pem"}],
    )  # fmt: skip
    with pytest.raises(CertificateError, match=r"backend\[1\]: .*missing.pem"):
        backend_files(made)


def test_versions_that_exclude_each_other_are_named_with_the_backend(tmp_path: Path) -> None:
    """They stand in [tls]."""
    made = config(tmp_path, [{"name": "mail", "servers": "a:1", "tls": "implicit", "level": "encrypt"}])
    broken = made.model_copy(update={"tls": made.tls.model_copy(update={"ciphers": "NONE-SUCH"})})
    with pytest.raises(ConfigError, match=r"backend\[0\]: .*NONE-SUCH"):
        backend_files(broken)


def test_backend_in_the_clear_has_no_tls(tmp_path: Path) -> None:
    """An upgrade is refused then, whatever its server offers."""
    made = config(tmp_path, [{"name": "mail", "servers": "a:1"}])
    assert backend_context(made, made.backend[0], ClientFiles()) is None
    assert server_tls(made.backend[0], None)("a") is None
