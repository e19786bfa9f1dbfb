"""The programs that measure: they do what they say, whatever the figures are."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from gatepost.testing.server import MailServer

BENCH = Path(__file__).parents[2] / "bench"


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> Any:
    """bench/report.py, which is a script's neighbour and in no package."""
    monkeypatch.syspath_prepend(str(BENCH))
    return importlib.import_module("report")


@pytest.mark.parametrize(
    "words",
    [(), ("--messages", "3"), ("--mode", "plain"), ("--resume",), ("--size", "300000")],
    ids=["starttls", "many", "plain", "resumed", "large"],
)
def test_load_generator_sends_all_that_it_counts(words: tuple[str, ...], tmp_path: Path) -> None:
    """Every message that it says was taken is in the server's queue."""
    with MailServer(tmp_path, hostname="mx.test", domains=["mx.test"], users={"user0@mx.test": "secret enough"}) as mx:
        done = subprocess.run(
            [sys.executable, BENCH / "load.py", "--port", str(mx.ports["mx"]), "--sessions", "6", "--concurrency", "3",
             "--json", *words],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        figures = json.loads(done.stdout)
        wanted = 18 if "--messages" in words else 6
        assert (figures["sessions"], figures["messages"], figures["failed"]) == (6, wanted, 0), done.stderr
        assert figures["handshakes"] == (0 if "plain" in words else 6)
        assert figures["resumed"] <= figures["handshakes"]


def test_load_generator_counts_what_a_server_refuses(tmp_path: Path) -> None:
    """A refusal is a failure, and the exit code says so."""
    with MailServer(tmp_path, hostname="mx.test", domains=["mx.test"], users={"user0@mx.test": "secret enough"}) as mx:
        done = subprocess.run(
            [sys.executable, BENCH / "load.py", "--port", str(mx.ports["mx"]), "--sessions", "2", "--json", "--to",
             "nobody@mx.test"],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 1
        assert json.loads(done.stdout)["failures"] == {"reply 550": 2}


def test_report_has_every_figure_and_ratio(report: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row a server, its ratio to the sink, what was durable, and a picture that is well-formed."""
    monkeypatch.setattr(report, "DOCS", tmp_path)

    def figures(rate: float) -> dict[str, Any]:
        return {
            "per_cpu_second": rate, "spread": (rate - 1, rate + 1), "wall": rate, "failed": 0, "resumed": 0.5,
            "busy": 0.75, "milliseconds": {"p50": 1.0, "p95": 2.0, "p99": 3.0},
        }  # fmt: skip

    results = {
        "machine": report.machine(),
        "peers": {"sink": {"durable": "nothing", "version": "3"}, "a <b>": {"durable": "all", "version": "1"}},
        "cases": {"starttls": {"sink": figures(2000.0), "a <b>": figures(1000.0)}},
        "idle": {"a <b>": {"1000": 24.5}},
    }
    path = report.write(results, {"starttls": ("STARTTLS", "sessions")})
    text = path.read_text()
    assert "| a <b> | 1000 (999–1001) | 0.50 | 75% | 1 / 2 / 3 | 50% | 0 |" in text
    assert "| a <b> | 1 | all |" in text and "| a <b> | 24.5 |" in text
    for name in ("starttls", "idle"):
        ElementTree.parse(tmp_path / "performance" / f"{name}.svg")  # noqa: S314 - our own
