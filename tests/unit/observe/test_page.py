"""The metrics page: what it answers, and what it does with clients that are slow, silent or many."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gatepost.net.listen import bind
from gatepost.observe.page import Page
from gatepost.observe.shared import Shared, new_shared


class Clock:
    """A time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


class Stage:
    """A page, its clock and its address."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.shared: Shared = new_shared(listeners=("mx",), started_at=12345.0).with_contexts(
            {}, {"certificates": [{"name": "mx.test", "not_after": 99.0}]}
        )
        self.listening = bind(("127.0.0.1", 0))
        self.page = Page([self.listening], self.shared, self.clock)
        self.clients: list[socket.socket] = []

    def connect(self) -> socket.socket:
        """A client."""
        sock = socket.create_connection(self.listening.getsockname(), timeout=5)
        self.clients.append(sock)
        self.page.turn(5)
        return sock

    def get(self, request: bytes) -> bytes:
        """The answer to one request."""
        sock = self.connect()
        sock.sendall(request)
        sock.setblocking(False)
        answer = b""
        while True:
            self.page.turn(0.01)
            try:
                data = sock.recv(65536)
            except BlockingIOError:
                continue
            if not data:
                return answer
            answer += data


@pytest.fixture
def stage() -> Iterator[Stage]:
    """A page that is driven by hand."""
    made = Stage()
    yield made
    for sock in made.clients:
        sock.close()
    made.page.stopping = True
    made.page.serve()
    made.listening.close()


def test_metrics_are_what_prometheus_reads(stage: Stage) -> None:
    """The page parses, and holds the totals, the build, the start and the certificates."""
    stage.shared.counters.count("smtp_connections_total", 3, listener="mx")
    stage.shared.counters.observe(stage.shared.counters.index("queue_commit_seconds"), 0.002)
    head, _, body = stage.get(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4")
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }
    assert found["gatepost_smtp_connections_total", "mx"] == 3
    assert found["gatepost_queue_commit_seconds_count",] == 1
    assert found["gatepost_queue_commit_seconds_bucket", "0.0025"] == 1
    assert found["gatepost_queue_commit_seconds_bucket", "0.001"] == 0
    assert found["gatepost_start_time_seconds",] == 12345
    assert found["gatepost_tls_certificate_not_after_timestamp_seconds", "mx.test"] == 99
    assert any(name[0] == "gatepost_build_info" for name in found)


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET /healthz HTTP/1.1", 200),
        (b"HEAD /healthz HTTP/1.1", 200),
        (b"GET /readyz HTTP/1.0", 503),
        (b"GET /other HTTP/1.1", 404),
        (b"POST /metrics HTTP/1.1", 405),
        (b"\x16\x03\x01\x00\xff", 400),
        (b"GET /metrics", 400),
        (b"", 400),
    ],
)
def test_request_gets_its_status(stage: Stage, request_line: bytes, status: int) -> None:
    """Each request is answered with one status, and the connection is closed."""
    assert stage.get(request_line + b"\r\n\r\n").startswith(f"HTTP/1.1 {status} ".encode())


def test_readyz_follows_the_supervisor(stage: Stage) -> None:
    """Ready is what the supervisor says, in its row."""
    stage.shared.counters.put(stage.shared.counters.index("ready"), 1)
    assert stage.get(b"GET /readyz HTTP/1.1\r\n\r\n").endswith(b"\r\n\r\nready\n")


def test_silent_client_is_dropped_after_five_seconds(stage: Stage) -> None:
    """A client that says nothing loses its place."""
    sock = stage.connect()
    stage.clock.now += 6
    stage.page.turn(0)
    assert sock.recv(10) == b""


def test_endless_request_is_dropped(stage: Stage) -> None:
    """A request has a length that is enough."""
    assert stage.get(b"GET /metrics HTTP/1.1\r\n" + b"X: y\r\n" * 4000) == b""


def test_many_clients_do_not_shut_the_next_one_out(stage: Stage) -> None:
    """When every place is taken the oldest makes room."""
    first = stage.connect()
    for _ in range(40):
        stage.clock.now += 0.01
        stage.connect()
    assert stage.get(b"GET /healthz HTTP/1.1\r\n\r\n").endswith(b"ok\n")
    assert first.recv(10) == b""
