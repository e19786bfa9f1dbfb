"""``gatepost gate``: what its options come to, and what it says when they come to nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gatepost.config.schema import Config
from gatepost.record.configured import directory_of
from gatepost.serve.behind import manner
from gatepost.serve.firststart import FirstStart, welcome

Gatepost = Callable[..., Any]
FILE = """
[[backend]]
name = "far"
servers = "127.0.0.1:10025"
[[gate]]
name = "front"
protocol = "smtp"
backend = "far"
bind = "127.0.0.1:2525"
[[listener]]
name = "mx"
protocol = "smtp"
bind = "127.0.0.1:2526"
"""


class Started(list[tuple[Config, Callable[[], Config]]]):
    """What would have been started, and how it would be read again."""

    @property
    def config(self) -> Config:
        ((config, _),) = self
        return config


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    """Nothing is started; the configuration is kept."""
    found = Started()

    def main(config: Config, load: Callable[[], Config]) -> int:
        found.append((config, load))
        return 0

    monkeypatch.setattr("gatepost.serve.launch.main", main)
    monkeypatch.setattr("gatepost.tls.openssl.limit_tickets", lambda tickets: None)
    return found


def test_options_describe_one_gate(gatepost: Gatepost, started: Started, tmp_path: Path) -> None:
    """Each option is a key; paths are from where the command was typed, and what is not said has its default."""
    done = gatepost(
        "gate", "--bind", "127.0.0.1:2525", "--bind", "[::1]:2525", "--backend", "a.test:25", "--backend", "b.test:25",
        "--backend-tls", "starttls", "--ca", "ca.pem", "--server-name", "mail.test", "--client", "xclient",
        "--certificate", "own.pem", "--greylist", "--starttls", "require", "--hostname", "gate.test", "--data", "here",
    )  # fmt: skip
    assert done.code == 0, done.err
    config = started.config
    (gate,), (backend,) = config.gate, config.backend
    assert (gate.protocol, gate.mode, gate.tls, gate.starttls) == ("smtp", "terminate", "starttls", "require")
    assert gate.bind == ("127.0.0.1:2525", "[::1]:2525")
    assert (backend.servers, backend.tls, backend.level) == (("a.test:25", "b.test:25"), "starttls", "verify")
    assert (backend.ca, backend.names, backend.client) == (tmp_path / "ca.pem", ("mail.test",), "xclient")
    assert (config.tls.certificate, config.data) == (tmp_path / "own.pem", tmp_path / "here")
    assert (config.hostname, config.greylist.enabled, config.gates_only) == ("gate.test", True, True)
    assert started[0][1]() is config  # a reload has nothing to read again


def test_its_data_is_its_own(gatepost: Gatepost, started: Started) -> None:
    """Without --data it keeps out of the way of a server on the default directory."""
    assert gatepost("gate", "--bind", "127.0.0.1:0", "--backend", "a.test:25").code == 0
    assert started.config.data == Config().data.with_name("gatepost-gate")


def test_record_writes_sessions_into_its_data_directory(gatepost: Gatepost, started: Started, tmp_path: Path) -> None:
    """All of them, up to a budget that fills no disk; nothing is kept of messages."""
    assert gatepost("gate", "--bind", "127.0.0.1:0", "--backend", "a.test:25", "--record", "--data", "here").code == 0
    config = started.config
    (rule,) = config.record_rule
    assert (rule.listeners, rule.fraction, rule.content) == (None, 1.0, "none")
    assert (directory_of(config), config.record.budget) == (tmp_path / "here" / "records", 256 << 20)


def test_advice_of_a_gate_says_where_its_data_is(gatepost: Gatepost, started: Started) -> None:
    """What is printed works in another terminal as it stands, without a configuration."""
    gatepost("gate", "--bind", "127.0.0.1:0", "--backend", "a.test:25", "--record")
    printed = welcome(started.config, FirstStart(), ())
    for words in ("record list", "status"):
        assert f"  gatepost {words} --data {started.config.data}\n" in printed


def test_banner_of_a_gate_that_passes_tls_does_not_say_in_the_clear(gatepost: Gatepost, started: Started) -> None:
    """What goes to the server is the client's TLS."""
    gatepost("gate", "--bind", "127.0.0.1:0", "--backend", "a.test:25", "--mode", "pass")
    (gate,) = started.config.gate
    assert manner(gate, started.config) == (
        "smtp, STARTTLS; behind it a.test:25, the client's own TLS goes through unread"
    )


def test_gates_of_the_configuration_are_served_alone(gatepost: Gatepost, started: Started, tmp_path: Path) -> None:
    """Its listeners stay away, after a reload too."""
    with (tmp_path / "gatepost.toml").open("a") as stream:
        stream.write(FILE)
    assert gatepost("gate").code == 0
    config, again = started[0]
    assert ([each.name for each in config.listeners], config.gates_only) == (["front"], True)
    assert (config.source, again().listeners) == (tmp_path / "gatepost.toml", config.listeners)


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ((), 78, "gatepost.toml: there is no [[gate]]: write one (docs/gate.md), or: gatepost gate --bind"),
        (("--bind", "127.0.0.1:25"), 64, "--backend is missing"),
        (("--backend", "a.test:25"), 64, "--bind is missing"),
        (("--bind", "127.0.0.1", "--backend", "a.test:25"), 78, "--bind: "),
        (("--bind", "127.0.0.1:25", "--backend", "a.test"), 78, '--backend: "a.test" has no port'),
        (("--bind", "127.0.0.1:25", "--backend", "a:25", "--level", "verify"), 78, "--level: decides nothing"),
        (("--bind", "127.0.0.1:25", "--backend", "a:25", "--protocol", "ldap", "--mode", "refuse"), 78, "--mode: "),
        (("--bind", "127.0.0.1:25", "--backend", "a:25", "--protocol", "pop3", "--greylist"), 64, "--greylist is for"),
        (("--config", "gatepost.toml", "--bind", "127.0.0.1:25", "--backend", "a:25"), 64, "--config names a file"),
    ],
)
def test_what_cannot_be_is_said_in_the_words_of_its_options(
    gatepost: Gatepost, started: Started, options: tuple[str, ...], code: int, words: str
) -> None:
    """One line, which says what to do."""
    done = gatepost("gate", *options)
    assert (done.code, started) == (code, [])
    (complaint,) = done.complaints
    assert words in complaint


def test_explanation_knows_gates_by_name(gatepost: Gatepost, tmp_path: Path) -> None:
    """``gatepost explain inbound`` tells of each gate what its client gets."""
    with (tmp_path / "gatepost.toml").open("a") as stream:
        stream.write(FILE)
    said = gatepost("explain", "inbound", "192.0.2.7", "--listener", "front").out
    assert said.startswith("client 192.0.2.7, listener front: offer: STARTTLS is offered")
    assert "the server behind gets what it says, over a connection of its own" in said
    assert "there are: mx, front" in gatepost("explain", "inbound", "192.0.2.7", "--listener", "back").err
