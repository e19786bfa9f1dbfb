"""The gate beside others that can stand before a mail server: the same certificate, the same server behind, one run.

    python bench/gate.py [--sessions N] [--clients N] [--rounds N] [--json]

What they can do differs, and so does what they see of it:

* ``gatepost``: STARTTLS to the client, both sides read, command by command; ``recording`` with every session written
  down; ``implicit`` with TLS from the first octet in place of STARTTLS.
* ``stunnel`` with ``protocol = smtp``: STARTTLS, nothing is read behind it.
* ``nginx`` as a mail proxy: STARTTLS; commands are read up to the first RCPT, nothing behind it. It asks an HTTP server
  where to go, whose CPU time is not counted.
* ``haproxy``: TLS from the first octet, nothing is read: to be compared with ``implicit``.

The server behind throws messages away, in the clear. The base of the figures is the CPU time of all processes of the
gate, so that clients and the server behind do not disturb them: sessions per CPU second are sessions per second per
core. A session is a full handshake, one message of 4 KiB, QUIT. An idle connection is one inside TLS that has said
EHLO; growth of the PSS of all processes. The rounds go through all servers in turn; what is shown is the median.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.server
import json
import multiprocessing
import os
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from servers import Server, until_open

from gatepost.testing.ca import TestAuthority

HOSTNAME = "mx.example.test"
SMALL = b"Subject: small\r\n\r\n" + (b"x" * 70 + b"\r\n") * 56
LARGE = b"Subject: large\r\n\r\n" + (b"x" * 76 + b"\r\n") * 268_800  # 20 MB
PORTS = {"gatepost": 21200, "recording": 21201, "implicit": 21202, "stunnel": 21203, "nginx": 21204, "haproxy": 21205}
PRIVATE = ("implicit", "haproxy")  # TLS from the first octet
SINK, AUTH = 21210, 21211


# The server behind


class Sink(asyncio.Protocol):
    """Takes everything and keeps nothing."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.buffer = b""
        self.content = False
        transport.write(b"220 sink ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while True:
            if self.content:
                if not self.buffer.endswith(b"\r\n.\r\n"):
                    self.buffer = self.buffer[-5:]
                    return
                self.buffer, self.content = b"", False
                self.transport.write(b"250 2.0.0 thrown away\r\n")
            line, end, self.buffer = self.buffer.partition(b"\r\n")
            if not end:
                self.buffer = line
                return
            self.answer(line[:4].upper())

    def answer(self, verb: bytes) -> None:
        if verb == b"EHLO":
            self.transport.write(b"250-sink\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250 SIZE 52428800\r\n")
        elif verb == b"DATA":
            self.content = True
            self.transport.write(b"354 go on\r\n")
        elif verb == b"QUIT":
            self.transport.write(b"221 2.0.0 bye\r\n")
            self.transport.close()
        else:
            self.transport.write(b"250 2.0.0 ok\r\n")


def sink() -> None:
    """Serve until it is ended."""

    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", SINK, backlog=1024)
        await server.serve_forever()

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(serve())


# The clients


class Client:
    """One SMTP session inside TLS, verified, after EHLO."""

    def __init__(self, name: str, context: ssl.SSLContext) -> None:
        sock = socket.create_connection(("127.0.0.1", PORTS[name]), 60)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if name not in PRIVATE:
            plain = sock.makefile("rb", buffering=0)
            _reply(plain, b"220")
            sock.sendall(b"EHLO client.test\r\n")
            _reply(plain, b"250")
            sock.sendall(b"STARTTLS\r\n")
            _reply(plain, b"220")
        self.sock = context.wrap_socket(sock, server_hostname=HOSTNAME)
        self.file = self.sock.makefile("rb", buffering=8192)
        if name in PRIVATE:
            _reply(self.file, b"220")
        self.say(b"EHLO client.test\r\n", b"250")

    def say(self, words: bytes, code: bytes) -> None:
        self.sock.sendall(words)
        _reply(self.file, code)

    def send(self, content: bytes) -> None:
        self.say(b"MAIL FROM:<load@client.test>\r\n", b"250")
        self.say(b"RCPT TO:<user@example.test>\r\n", b"250")
        self.say(b"DATA\r\n", b"354")
        self.say(content + b".\r\n", b"250")

    def quit(self) -> None:
        self.say(b"QUIT\r\n", b"221")
        self.file.close()
        self.sock.close()


def _reply(file: Any, code: bytes) -> None:
    while True:
        line = bytes(file.readline())
        assert line.startswith(code), line
        if line[3:4] != b"-":
            return


def context_of(ca_file: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca_file)


def work(name: str, ca_file: str, sessions: int) -> None:
    """One client: sessions one after the other, a full handshake each."""
    for _ in range(sessions):
        client = Client(name, context_of(ca_file))
        client.send(SMALL)
        client.quit()


# What is measured


def measure_sessions(server: Server, ca_file: str, clients: int, sessions: int) -> dict[str, float]:
    with ProcessPoolExecutor(clients, mp_context=multiprocessing.get_context("spawn")) as pool:
        list(pool.map(work, [server.name] * clients, [ca_file] * clients, [10] * clients))  # warm
        cpu, begun = server.cpu(), time.perf_counter()
        list(pool.map(work, [server.name] * clients, [ca_file] * clients, [sessions] * clients))
        seconds, cpu = time.perf_counter() - begun, server.cpu() - cpu
    return {"sessions per CPU second": clients * sessions / cpu, "sessions per second": clients * sessions / seconds}


def measure_content(server: Server, ca_file: str, times: int) -> dict[str, float]:
    client = Client(server.name, context_of(ca_file))
    client.send(LARGE)
    cpu, begun = server.cpu(), time.perf_counter()
    for _ in range(times):
        client.send(LARGE)
    seconds, cpu = time.perf_counter() - begun, server.cpu() - cpu
    client.quit()
    octets = times * len(LARGE) / 1e6
    return {"MB per CPU second": octets / cpu, "MB per second": octets / seconds}


def measure_memory(server: Server, ca_file: str, connections: int) -> dict[str, float]:
    context = context_of(ca_file)
    for client in [Client(server.name, context) for _ in range(20)]:  # what is allocated once
        client.quit()
    time.sleep(1)
    before = server.memory()
    clients = [Client(server.name, context) for _ in range(connections)]
    time.sleep(1)
    grown = server.memory() - before
    for client in clients:
        client.quit()
    return {"KiB per idle connection": grown / connections / 1024}


# The servers


@contextlib.contextmanager
def started(name: str, command: list[str], directory: Path) -> Iterator[Server]:
    """Run a server in the foreground."""
    with (directory / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=directory)
    try:
        until_open(PORTS[name])
        yield Server(name, process.pid, PORTS[name])
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def gatepost(name: str, directory: Path) -> list[str]:
    config = directory / f"{name}.toml"
    account = 'user = "root"' if os.geteuid() == 0 else ""
    recording = "[[record_rule]]" if name == "recording" else ""
    config.write_text(f"""
hostname = "{HOSTNAME}"
data = "{directory / name}"
{account}
[tls]
certificate = "server.pem"
[[backend]]
name = "mail"
servers = "127.0.0.1:{SINK}"
connections = 10000
[[gate]]
name = "front"
protocol = "smtp"
backend = "mail"
bind = "127.0.0.1:{PORTS[name]}"
tls = "{"implicit" if name in PRIVATE else "starttls"}"
[limits]
connections = 10000
{recording}
""")
    return [sys.executable, "-m", "gatepost", "--config", str(config), "gate"]


def stunnel(name: str, directory: Path) -> list[str]:
    (directory / "stunnel.conf").write_text(f"""
foreground = yes
pid =
debug = 3
[smtp]
accept = 127.0.0.1:{PORTS[name]}
connect = 127.0.0.1:{SINK}
protocol = smtp
cert = {directory}/server.pem
sslVersionMin = TLSv1.2
""")
    return ["stunnel", str(directory / "stunnel.conf")]


def nginx(name: str, directory: Path) -> list[str]:
    (directory / "nginx.conf").write_text(f"""
load_module /usr/lib/nginx/modules/ngx_mail_module.so;
daemon off;
worker_processes auto;
pid {directory}/nginx.pid;
error_log {directory}/nginx-error.log warn;
events {{ worker_connections 8000; }}
mail {{
    server_name {HOSTNAME};
    auth_http 127.0.0.1:{AUTH}/;
    proxy_pass_error_message on;
    ssl_certificate {directory}/server.pem;
    ssl_certificate_key {directory}/server.pem;
    ssl_protocols TLSv1.2 TLSv1.3;
    smtp_capabilities "SIZE 52428800" 8BITMIME ENHANCEDSTATUSCODES;
    server {{
        listen 127.0.0.1:{PORTS[name]};
        protocol smtp;
        smtp_auth none;
        starttls on;
        xclient off;
        timeout 600s;
    }}
}}
""")
    return ["nginx", "-c", str(directory / "nginx.conf")]


def haproxy(name: str, directory: Path) -> list[str]:
    (directory / "haproxy.cfg").write_text(f"""
global
    ssl-default-bind-options ssl-min-ver TLSv1.2
    maxconn 4000
defaults
    mode tcp
    timeout connect 20s
    timeout client 600s
    timeout server 600s
listen mail
    bind 127.0.0.1:{PORTS[name]} ssl crt {directory}/server.pem
    server behind 127.0.0.1:{SINK}
""")
    return ["haproxy", "-f", str(directory / "haproxy.cfg"), "-db"]


SERVERS: dict[str, Callable[[str, Path], list[str]]] = {
    "gatepost": gatepost, "recording": gatepost, "implicit": gatepost, "stunnel": stunnel, "nginx": nginx,
    "haproxy": haproxy,
}  # fmt: skip
PROGRAMS = {"stunnel": "stunnel4", "nginx": "libnginx-mod-mail", "haproxy": "haproxy"}


class Directions(http.server.BaseHTTPRequestHandler):
    """Tells nginx where the server behind is."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        for key, value in (("Auth-Status", "OK"), ("Auth-Server", "127.0.0.1"), ("Auth-Port", str(SINK))):
            self.send_header(key, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@contextlib.contextmanager
def surroundings() -> Iterator[None]:
    """The server behind, and what nginx asks."""
    behind = multiprocessing.get_context("spawn").Process(target=sink)
    behind.start()
    directions = http.server.ThreadingHTTPServer(("127.0.0.1", AUTH), Directions)
    threading.Thread(target=directions.serve_forever, daemon=True).start()
    try:
        until_open(SINK)
        yield
    finally:
        directions.shutdown()
        directions.server_close()
        behind.terminate()
        behind.join(60)


def measure(name: str, directory: Path, options: argparse.Namespace) -> dict[str, float]:
    """All figures of one server, once."""
    ca_file = str(directory / "ca.pem")
    with started(name, SERVERS[name](name, directory), directory) as server:
        time.sleep(1)
        found = {
            **measure_sessions(server, ca_file, options.clients, options.sessions),
            **measure_content(server, ca_file, options.times),
            **measure_memory(server, ca_file, options.connections),
        }
    print(f"{name}: " + ", ".join(f"{value:.1f} {each}" for each, value in found.items()), file=sys.stderr)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=300, help="sessions of each client")
    parser.add_argument("--clients", type=int, default=4, help="clients at a time")
    parser.add_argument("--times", type=int, default=5, help="large messages")
    parser.add_argument("--connections", type=int, default=300, help="idle connections")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--server", choices=SERVERS, action="append", help="only this one")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    names = options.server or [
        name for name in SERVERS if name not in PROGRAMS or shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    ]
    os.environ["PATH"] += ":/usr/sbin"
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder, surroundings():
        directory = Path(folder)
        directory.chmod(0o755)
        authority = TestAuthority()
        (directory / "ca.pem").write_bytes(authority.pem)
        authority.issue(HOSTNAME).write(directory / "server.pem").chmod(0o600)
        for _ in range(options.rounds):
            for name in names:
                rounds[name].append(measure(name, directory, options))
    figures = {
        name: {each: statistics.median(found[each] for found in made) for each in made[0]}
        for name, made in rounds.items()
    }
    if options.json:
        print(json.dumps(figures, indent=2))
        return
    print(f"{'':28}" + "".join(f"{server:>12}" for server in figures))
    for each in next(iter(figures.values())):
        print(f"{each:28}" + "".join(f"{figures[server][each]:12.1f}" for server in figures))


if __name__ == "__main__":
    main()
