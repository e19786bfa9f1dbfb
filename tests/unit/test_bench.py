"""The programs that measure: they do what they say, whatever the figures are."""

from __future__ import annotations

import importlib
import itertools
import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.ports import free_port

from gatepost.mailbox import deliver, mailbox_root, unique_name
from gatepost.testing.ca import TestAuthority
from gatepost.testing.server import MailServer

BENCH = Path(__file__).parents[2] / "bench"
USERS = {"user0@mx.test": "wonderland", "user1@mx.test": "wonderland"}


@pytest.fixture(autouse=True)
def _bench_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bench is scripts beside each other, and no package."""
    monkeypatch.syspath_prepend(str(BENCH))


def module(name: str) -> ModuleType:
    """A module of the bench."""
    return importlib.import_module(name)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The generator's driver, whose programs are built in a directory of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCH))
        generator = module("generator")
        patch.setattr(generator, "BUILT", tmp_path_factory.mktemp("built"))
        try:
            generator.program("load")
            generator.program("sink")
        except SystemExit as error:
            pytest.skip(str(error))
        yield generator


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    """A server that knows two users."""
    place = tmp_path_factory.mktemp("server")
    with MailServer(place, hostname="mx.test", domains=["mx.test"], users=USERS) as running:
        yield running


# The generator


@pytest.mark.parametrize(
    "words",
    [(), ("--messages", 3), ("--mode", "plain"), ("--resume",), ("--size", 300_000)],
    ids=["starttls", "many", "plain", "resumed", "large"],
)
def test_load_generator_sends_all_that_it_counts(
    words: tuple[object, ...], programs: ModuleType, server: MailServer
) -> None:
    """Every message that it says was taken is in the server's queue, whole and with a number of its own."""
    said = programs.run(server.ports["mx"], "--sessions", 6, "--concurrency", 3, *words)
    wanted = 18 if "--messages" in words else 6
    assert (said["sessions"], said["messages"], said["failed"]) == (6, wanted, 0), said
    assert said["handshakes"] == (0 if "plain" in words else 6)
    assert said["resumed"] <= said["handshakes"]
    assert 0 < said["session_ms"]["p50"] <= said["session_ms"]["p99"]
    taken = [body for _, body, _ in server.messages()]
    size = 300_000 if "--size" in words else 4096
    assert len(taken) == wanted
    assert len({body.partition(b"Message-ID: ")[2].partition(b"\r\n")[0] for body in taken}) == wanted
    assert all(size - 8 <= len(body[body.index(b"Message-ID: ") :]) <= size for body in taken)


def test_load_generator_counts_what_a_server_refuses(programs: ModuleType, server: MailServer) -> None:
    """A refusal is a failure, and is counted by its code."""
    said = programs.run(server.ports["mx"], "--sessions", 2, "--to", "nobody@mx.test")
    assert (said["sessions"], said["failed"], said["failures"]) == (0, 2, {"reply 550": 2})


def test_load_generator_counts_who_is_not_there(programs: ModuleType) -> None:
    """No server is no session."""
    said = programs.run(free_port(), "--sessions", 2)
    assert (said["sessions"], said["failures"]) == (0, {"connect": 2})


def test_load_generator_fetches_messages(programs: ModuleType, server: MailServer) -> None:
    """POP3: each session logs in as a user of its own, and all octets that were promised come."""
    content = b"Subject: x\r\n\r\n" + b"..stuffed\r\n" * 50
    for user in USERS:
        deliver(mailbox_root(server.data, user), [content], unique=unique_name(1.0, "1", user, "mx.test"))
    words = ("--protocol", "pop3", "--password", "wonderland", "--users", 2, "--concurrency", 2)
    said = programs.run(server.ports["pop3"], *words, "--sessions", 4, "--messages", 3)
    assert (said["sessions"], said["messages"], said["failed"]) == (4, 12, 0), said
    assert said["octets"] >= 12 * len(content)


@pytest.mark.parametrize("protocol", ["smtp", "pop3"])
def test_load_generator_holds_connections(protocol: str, programs: ModuleType, server: MailServer) -> None:
    """They are inside TLS, and none is lost while nothing is said."""
    port = server.ports["mx" if protocol == "smtp" else "pop3"]
    with programs.held(port, 5, "--protocol", protocol) as held:
        assert held.count == 5
    assert held.lost == 0


def test_holding_fails_where_nobody_listens(programs: ModuleType) -> None:
    """What cannot be held is an error, and no figure."""
    with pytest.raises(RuntimeError, match=r"0 of 2 connections.*connect"), programs.held(free_port(), 2):
        pass


@pytest.mark.parametrize("mode", ["starttls", "implicit", "plain"])
def test_sink_takes_what_the_generator_sends(mode: str, programs: ModuleType, tmp_path: Path) -> None:
    """The one is the bound that the others are compared with, in each mode."""
    servers, port = module("servers"), free_port()
    pair = TestAuthority().issue("mx.test").write(tmp_path / "server.pem")
    command = [programs.program("sink"), *(["-i"] if mode == "implicit" else []), port, pair]
    with servers.started("sink", command, port, tmp_path / "log") as sink:
        said = programs.measured(sink, "--mode", mode, "--sessions", 20, "--messages", 2, "--size", 70_000)
        assert (said["sessions"], said["messages"], said["failed"]) == (20, 40, 0), said
        assert said["server_cpu_s"] > 0


def test_programs_say_what_has_to_be_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a compiler there is no stack trace, but the name of the packages."""
    generator = module("generator")
    monkeypatch.setattr(generator, "BUILT", tmp_path)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SystemExit, match="libssl-dev"):
        generator.program("load")


# The turns


def test_server_that_fails_has_no_figures_and_the_others_do(tmp_path: Path) -> None:
    """It is left out with the reason, and has no further turns."""
    turns = module("turns")
    bench, asked = turns.Bench(tmp_path, None, 3, 1.0, quick=False), []

    def turn(name: str) -> dict[str, float]:
        asked.append(name)
        if name == "bad" and asked.count("bad") == 2:
            raise RuntimeError("it broke")
        return {"rate": float(len(asked))}

    runs = turns.in_turns(bench, ["good", "bad"], 3, turn)
    assert asked == ["good", "bad", "good", "bad", "good"]
    assert turns.medians(runs) == {"good": {"rate": 3.0}}
    assert bench.left_out == {"bad": "it broke"}


def test_run_is_as_long_as_the_last_one_was_costly() -> None:
    """The number of sessions is what takes the server so many seconds of CPU time."""
    assert module("throughput").enough({"sessions": 100, "server_cpu_s": 0.05}, 1.5) == 3000


def test_section_that_fails_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its figures are missing, and the reason is kept beside what it had left out."""
    run = module("run")

    def broken(bench: Any) -> Any:
        bench.leave_out("postfix", "not here")
        raise OSError("no more")

    monkeypatch.setattr(run, "SECTIONS", {"gate": broken})
    found = run.measure("gate", True, frozenset(), None)
    assert found["figures"] == {} and found["failed"] == "OSError: no more"
    assert found["left out"] == {"postfix": "not here"}


def test_packages_of_npm_are_found_by_node_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NODE_PATH says where, as it does for Node.js."""
    mailservers = module("mailservers")
    home = tmp_path / "Haraka"
    home.mkdir()
    (home / "package.json").write_text("{}")
    monkeypatch.setenv("NODE_PATH", f"/nowhere:{tmp_path}")
    assert mailservers.node_module("Haraka") == home
    assert mailservers.node_module("no-such-package") is None


# The report


def case(rate: float) -> dict[str, float]:
    """What a case gives for one server."""
    return {
        "per_cpu_second": rate, "lowest": rate - 1, "highest": rate + 1, "sessions_per_s": rate, "failed": 0,
        "resumed": 0.5, "busy": 0.75, "p50": 1.0, "p95": 2.0, "p99": 3.0,
    }  # fmt: skip


def section(figures: Any, *, failed: str | None = None, **left_out: str) -> dict[str, Any]:
    """What a section's file holds."""
    return {"figures": figures, "left out": left_out, "failed": failed, "seconds": 1.0}


@pytest.fixture
def results() -> dict[str, Any]:
    """A small run, in which not all went well."""
    percentiles = {"p50": 5.0, "p95": 7.5, "p99": 250.0}
    peers = {"sink": {"durable": "nothing", "version": "3"}, "gatepost": {"durable": "all", "version": "1"}}
    return {
        "machine": {**module("report").machine(), "quick": True, "peers": peers, "others": {"Dovecot": "2.3"}},
        "starttls": section({"sink": case(2000.0), "gatepost": case(1400.0), "a <b>": case(1.0)}, exim="no\nroot"),
        "plain": section({"sink": case(2000.0), "gatepost": case(400.0)}),
        "latency": section({"sink": {"1": percentiles, "50": percentiles}, "gatepost": {"1": percentiles}}),
        "idle": section({"gatepost": {"100": 20.0, "10000": 24.56}}),
        "drain": section({"gatepost": {"messages per CPU second": 4000.0, "messages per second": 3.5}}),
        "gate": section({}, failed="RuntimeError: a | b"),
        "growth": section({
            "queue": {"10": {"a session": 500.0, "a message of twenty": 90.0}, "100": {"a session": 510.0,
                                                                                     "a message of twenty": 91.0}},
            "maildrop": {"10": {"a session": 700.0}, "100": {"a session": 7000.0}},
        }),
    }  # fmt: skip


def test_report_has_every_figure_and_ratio(
    results: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row a server, its ratio to the sink, what was durable, what is missing, and pictures that are well-formed."""
    report = module("report")
    monkeypatch.setattr(report, "DOCS", tmp_path)
    text = report.write(results).read_text()
    for row in (
        "| gatepost | 1,400 (1,399–1,401) | 0.70 | 75% | 1 / 2 / 3 | 50% | 0 |",
        "| gatepost | 1 | all |",
        "Dovecot 2.3.",
        "| gatepost | 20.0 | 24.6 |",
        "| gatepost | 5 / 7.5 / 250 | – |",
        "| maildrop: a session | 700 | 7,000 |",
        "| starttls | exim | no root |",
        "| gate | all of it | RuntimeError: a \\| b |",
        "| pop3 | all of it | it was not asked for |",
    ):
        assert row in text
    drawn = sorted(path.stem for path in (tmp_path / "performance").glob("*.svg"))
    assert drawn == [
        "growth-message", "growth-session", "idle", "latency-p50", "latency-p95", "latency-p99", "outgoing", "plain",
        "starttls",
    ]  # fmt: skip
    for name in drawn:
        ElementTree.parse(tmp_path / "performance" / f"{name}.svg")  # noqa: S314 - our own
        assert f"(performance/{name}.svg)" in text


def test_report_says_which_targets_were_reached(results: dict[str, Any]) -> None:
    """A ratio that is printed as the goal has reached it; what was not measured is no verdict."""
    text = "\n".join(module("report").targets(results))
    assert "| STARTTLS, one message of 4 KiB | ≥ 0.70 of the sink | 0.70 | reached |" in text
    assert "| in the clear, one message | ≥ 0.42 of the sink | 0.20 | missed by 52% |" in text
    assert "| STARTTLS, 20 messages | ≥ 0.48 of the sink | – | not measured |" in text
    assert "| idle STARTTLS connection, 10,000 held | ≤ 42 KiB | 24.6 | reached |" in text
    assert "| outgoing, connections reused | ≥ 5,000 messages per CPU second | 4,000 | missed by 20% |" in text


def test_report_is_written_from_files_alone(
    results: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sections that ended are reported even if the run did not."""
    report = module("report")
    monkeypatch.setattr(report, "DOCS", tmp_path)
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    for name in ("machine", "starttls"):
        (tmp_path / f"{name}.json").write_text(json.dumps(results[name]))
    text = report.write().read_text()
    assert "## STARTTLS, one message of 4 KiB a session" in text and "## Gate" not in text


# The pictures


def test_names_beside_lines_do_not_cover_each_other() -> None:
    """Lines that end at one place have their names below each other, within the picture."""
    drawn = module("plot").curves("t", "x", "y", {f"line {number}": [(1, 10), (10, 20)] for number in range(8)})
    texts = list(ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text"))  # noqa: S314 - our own
    places = sorted(float(each.attrib["y"]) for each in texts if (each.text or "").startswith("line"))
    assert len(places) == 8
    assert all(below - above >= 17 for above, below in itertools.pairwise(places))
    assert places[0] > 0 and places[-1] < 420


def test_axis_spans_what_is_drawn() -> None:
    """From a round number to a round number, also where all values are one."""
    plot = module("plot")
    assert plot._decades([4.1, 6805.0]) == (2.0, 10_000.0)
    assert plot._decades([20.0]) == (20.0, 40.0)
    assert plot._ticks(20.0, 200.0) == [20.0, 50.0, 100.0, 200.0]


@pytest.mark.parametrize(
    ("value", "text"), [(1234.5, "1,234"), (99.95, "100"), (42.0, "42"), (0.7, "0.7"), (12345678.0, "12,345,678")]
)
def test_numbers_are_brief(value: float, text: str) -> None:
    """Three digits, and thousands apart."""
    assert module("plot").brief(value) == text
