"""The gate beside others that can stand before a mail server: the same certificate, the same server behind.

What they can do differs, and so does what they see of it:

* ``gatepost``: STARTTLS to the client, both sides read, command by command; ``recording`` with every session written
  down; ``implicit`` with TLS from the first octet in place of STARTTLS.
* ``stunnel`` with ``protocol = smtp``: STARTTLS, nothing is read behind it.
* ``nginx`` as a mail proxy: STARTTLS; commands are read up to the first RCPT, nothing behind it. It asks an HTTP server
  where to go, whose CPU time is not counted.
* ``haproxy``: TLS from the first octet, nothing is read: to be compared with ``implicit``.

The server behind is the sink, in the clear; ``sink`` is the same program as if there were no gate, with STARTTLS.
"""

from __future__ import annotations

import contextlib
import http.server
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import generator
import idle
from mailservers import LIMITS, certificate
from servers import Server, found, started
from throughput import enough
from turns import Bench, Figures, in_turns, medians

FIRST_PORT: Final = 13861
BEHIND: Final = 13871
DIRECTIONS: Final = 13872
IDLE: Final = 500
PRIVATE: Final = ("gatepost, implicit", "haproxy")  # TLS from the first octet
LARGE: Final = ("--messages", 4, "--size", 1 << 20, "--concurrency", 10)


@dataclass(frozen=True, slots=True)
class Gate:
    """One that is measured.

    :param command: writes its configuration into a directory, and says how it is started to listen on a port.
    :param programs: what has to be installed.
    """

    command: Callable[[Path, int], list[object]]
    programs: tuple[str, ...] = ()
    install: str = ""


def gate(bench: Bench) -> Figures:
    """Sessions and MB per CPU second, and KiB for each idle connection, by gate."""
    with ExitStack() as stack:
        behind = [generator.program("sink"), BEHIND, certificate(bench.place)]
        stack.enter_context(started("behind", behind, BEHIND, bench.place / "behind.log"))
        stack.enter_context(directions())
        servers: dict[str, Server] = {}
        for port, (name, each) in enumerate(GATES.items(), FIRST_PORT):
            if not bench.wants(name):
                continue
            if not found(*each.programs):
                bench.leave_out(name, f"it is not here: {each.install}")
                continue
            with bench.sparing(name):
                servers[name] = stack.enter_context(_start(bench, name, each, port))
        figures = medians(in_turns(bench, servers, bench.rounds, lambda name: turn(servers[name], bench.seconds)))
        for name in figures:
            figures[name]["KiB for each idle connection"] = idle.each(servers[name], IDLE, *mode(servers[name]))
    return figures


def _start(bench: Bench, name: str, each: Gate, port: int) -> AbstractContextManager[Server]:
    place = bench.place / name.replace(", ", "-")
    place.mkdir()
    return started(name, each.command(place, port), port, place / "log", core=bench.server_core)


def mode(server: Server) -> tuple[str, str]:
    """How the generator's connections to it become private."""
    return "--mode", "implicit" if server.name in PRIVATE else "starttls"


def turn(server: Server, seconds: float) -> Figures:
    """Sessions with one small message, then some with large ones."""
    words = mode(server)
    first = generator.measured(server, "--sessions", 100, *words)
    small = generator.measured(server, "--sessions", max(100, enough(first, seconds)), *words)
    first = generator.measured(server, "--sessions", 10, *words, *LARGE)
    large = generator.measured(server, "--sessions", max(10, enough(first, seconds)), *words, *LARGE)
    if small["failed"] or large["failed"]:
        raise RuntimeError(f"sessions failed: {small['failures']} {large['failures']}")
    return {
        "sessions per CPU second": small["sessions"] / small["server_cpu_s"],
        "MB per CPU second": large["octets"] / 1e6 / large["server_cpu_s"],
    }


def _sink(place: Path, port: int) -> list[object]:
    return [generator.program("sink"), port, certificate(place.parent)]


def _gatepost(*, implicit: bool = False, recording: bool = False) -> Callable[[Path, int], list[object]]:
    def command(place: Path, port: int) -> list[object]:
        config = place / "gatepost.toml"
        config.write_text(f"""
hostname = "mx.test"
data = "{place}/data"
{'user = "root"' if os.geteuid() == 0 else ""}
[tls]
certificate = "{certificate(place.parent)}"
[[backend]]
name = "mail"
servers = "127.0.0.1:{BEHIND}"
connections = 20000
[[gate]]
name = "front"
protocol = "smtp"
backend = "mail"
bind = "127.0.0.1:{port}"
tls = "{"implicit" if implicit else "starttls"}"
{LIMITS}
{"[[record_rule]]" if recording else ""}
""")
        return [sys.executable, "-m", "gatepost", "--config", config, "gate"]

    return command


def _stunnel(place: Path, port: int) -> list[object]:
    (place / "stunnel.conf").write_text(f"""
foreground = yes
pid =
debug = 3
[smtp]
accept = 127.0.0.1:{port}
connect = 127.0.0.1:{BEHIND}
protocol = smtp
cert = {certificate(place.parent)}
sslVersionMin = TLSv1.2
""")
    return ["stunnel", place / "stunnel.conf"]


def _nginx(place: Path, port: int) -> list[object]:
    pair = certificate(place.parent)
    (place / "nginx.conf").write_text(f"""
load_module /usr/lib/nginx/modules/ngx_mail_module.so;
daemon off;
worker_processes 1;
pid {place}/nginx.pid;
error_log {place}/error.log warn;
events {{ worker_connections 8000; }}
mail {{
    server_name mx.test;
    auth_http 127.0.0.1:{DIRECTIONS}/;
    proxy_pass_error_message on;
    ssl_certificate {pair};
    ssl_certificate_key {pair};
    ssl_protocols TLSv1.2 TLSv1.3;
    smtp_capabilities "SIZE 52428800" 8BITMIME ENHANCEDSTATUSCODES;
    server {{
        listen 127.0.0.1:{port};
        protocol smtp;
        smtp_auth none;
        starttls on;
        xclient off;
        timeout 600s;
    }}
}}
""")
    return ["nginx", "-c", place / "nginx.conf"]


def _haproxy(place: Path, port: int) -> list[object]:
    (place / "haproxy.cfg").write_text(f"""
global
    ssl-default-bind-options ssl-min-ver TLSv1.2
    maxconn 4000
defaults
    mode tcp
    timeout connect 20s
    timeout client 600s
    timeout server 600s
listen mail
    bind 127.0.0.1:{port} ssl crt {certificate(place.parent)}
    server behind 127.0.0.1:{BEHIND}
""")
    return ["haproxy", "-f", place / "haproxy.cfg", "-db"]


GATES: Final = {
    "sink": Gate(_sink),
    "gatepost": Gate(_gatepost()),
    "gatepost, recording": Gate(_gatepost(recording=True)),
    "gatepost, implicit": Gate(_gatepost(implicit=True)),
    "stunnel": Gate(_stunnel, ("stunnel",), "apt-get install stunnel4"),
    "nginx": Gate(_nginx, ("nginx",), "apt-get install nginx-light libnginx-mod-mail"),
    "haproxy": Gate(_haproxy, ("haproxy",), "apt-get install haproxy"),
}


class _Directions(http.server.BaseHTTPRequestHandler):
    """Tells nginx where the server behind is."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        for key, value in (("Auth-Status", "OK"), ("Auth-Server", "127.0.0.1"), ("Auth-Port", str(BEHIND))):
            self.send_header(key, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@contextlib.contextmanager
def directions() -> Iterator[None]:
    """What nginx asks."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", DIRECTIONS), _Directions)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
