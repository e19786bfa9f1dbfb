"""POP3 beside Dovecot: the same Maildirs, the same certificate, one run.

    python bench/pop3.py [--sessions N] [--clients N] [--json]
    python bench/pop3.py --maildrop 100000

Three figures of each server:

* sessions: STLS, USER and PASS, STAT, RETR of a 4 KiB message, QUIT. The base is the CPU time of the server, all of its
  processes together, so that clients on the same processors do not disturb the figure: sessions per CPU second are
  sessions per second per core.
* RETR of a 10 MB message: MB per CPU second of the server, and per second of the clock with one client.
* memory of an idle TLS connection before its login, and of one that is logged in: growth of the PSS of all processes.

Password checks are kept out of the figures: gatepost has argon2id and remembers right passwords for a while, so that
only the first login of each user, before anything is measured, pays for it; Dovecot, which would compute argon2id at
each login, has the cheap SSHA256. Dovecot runs with its login processes in the mode for many connections,
and its POP3 processes serve one session after the other. Needs root, for Dovecot.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from servers import Server, until_open

from gatepost.mailbox import deliver, mailbox_root, make_mailbox, unique_name
from gatepost.mailbox.maildrop import open_maildrop
from gatepost.testing.ca import TestAuthority

HOSTNAME = "mx.example.test"
PASSWORD = "wonderland"
SMALL = b"Subject: small\r\n\r\n" + (b"x" * 70 + b"\r\n") * 56
LARGE = b"Subject: large\r\n\r\n" + (b"x" * 76 + b"\r\n") * 134_400  # 10 MB
PORTS = {"gatepost": 21100, "dovecot": 21101}

DOVECOT = """
base_dir = {run}
state_dir = {run}
log_path = {run}/log
protocols = pop3
listen = 127.0.0.1
mail_location = maildir:{data}/mail/%d/%n
mail_uid = {uid}
mail_gid = {gid}
first_valid_uid = 1
first_valid_gid = 1
default_internal_user = {internal}
default_login_user = {login}
default_internal_group = {group}
disable_plaintext_auth = yes
ssl = required
ssl_cert = <{directory}/server.pem
ssl_key = <{directory}/server.pem
auth_mechanisms = plain
mail_max_userip_connections = 1000
passdb {{
  driver = passwd-file
  args = {directory}/passwd
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={directory}/home
}}
service pop3-login {{
  service_count = 0
  process_min_avail = 1
  process_limit = 1
  client_limit = 4000
  inet_listener pop3 {{
    port = {port}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
service pop3 {{
  service_count = 100000
  process_limit = 1000
}}
service anvil {{
  client_limit = 10000
}}
service auth {{
  client_limit = 10000
}}
"""


class Client:
    """One POP3 session over STLS, verified."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        plain = socket.create_connection(("127.0.0.1", port), 60)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _line(plain.makefile("rb", buffering=0))
        plain.sendall(b"STLS\r\n")
        _line(plain.makefile("rb", buffering=0))
        self.sock = context.wrap_socket(plain, server_hostname=HOSTNAME)
        self.file = self.sock.makefile("rb", buffering=65536)

    def say(self, line: bytes) -> bytes:
        self.sock.sendall(line + b"\r\n")
        return _line(self.file)

    def log_in(self, user: str) -> None:
        self.say(b"USER " + user.encode())
        self.say(b"PASS " + PASSWORD.encode())

    def retrieve(self, number: int) -> int:
        """Fetch a message; how many octets it had."""
        promised = int(self.say(b"RETR %d" % number).split()[1])
        data = self.file.read(promised + 3)  # no line of these messages begins with a dot
        assert data.endswith(b"\r\n.\r\n"), data[-20:]
        return promised

    def quit(self) -> None:
        self.say(b"QUIT")
        self.file.close()
        self.sock.close()


def _line(file: Any) -> bytes:
    line = bytes(file.readline())
    assert line.startswith((b"+OK", b"+ ")), line
    return line


def context_of(ca_file: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca_file)


def work(port: int, ca_file: str, user: str, sessions: int) -> None:
    """One client: sessions one after the other, a full handshake each."""
    for _ in range(sessions):
        client = Client(port, context_of(ca_file))
        client.log_in(user)
        client.say(b"STAT")
        client.retrieve(1)
        client.quit()


def measure_sessions(server: Server, ca_file: str, users: list[str], sessions: int) -> dict[str, float]:
    with ProcessPoolExecutor(len(users)) as pool:
        list(pool.map(work, *zip(*((server.port, ca_file, user, 2) for user in users), strict=True)))  # warm
        cpu, begun = server.cpu(), time.perf_counter()
        list(pool.map(work, *zip(*((server.port, ca_file, user, sessions) for user in users), strict=True)))
        seconds, cpu = time.perf_counter() - begun, server.cpu() - cpu
    total = sessions * len(users)
    return {"sessions per CPU second": total / cpu, "sessions per second": total / seconds}


def measure_retrieval(server: Server, ca_file: str, user: str, times: int) -> dict[str, float]:
    client = Client(server.port, context_of(ca_file))
    client.log_in(user)
    client.retrieve(2)
    cpu, begun = server.cpu(), time.perf_counter()
    octets = sum(client.retrieve(2) for _ in range(times))
    seconds, cpu = time.perf_counter() - begun, server.cpu() - cpu
    client.quit()
    return {"MB per CPU second": octets / 1e6 / cpu, "MB per second": octets / 1e6 / seconds}


def measure_memory(server: Server, ca_file: str, users: list[str], connections: int) -> dict[str, float]:
    context = context_of(ca_file)
    for user in users:  # what is allocated once, first logins included
        client = Client(server.port, context)
        client.log_in(user)
        client.quit()

    def growth(count: int, prepare: Callable[[int, Client], None]) -> float:
        time.sleep(2)
        before = server.memory()
        clients = [Client(server.port, context) for _ in range(count)]
        for place, client in enumerate(clients):
            prepare(place, client)
        time.sleep(2)
        grown = server.memory() - before
        for client in clients:
            client.quit()
        return grown / count / 1024

    return {
        "KiB per idle login": growth(len(users), lambda place, client: client.log_in(users[place])),
        "KiB per idle connection": growth(connections, lambda place, client: None),
    }


def measure_opening(directory: Path, messages: int) -> dict[str, float]:
    """Seconds for the login to a mailbox of many messages, the first time and then."""
    figures = {}
    for kind, form in (("ours", "{}.M1Q{:032x}.mx.example.test,S=8,W=11"), ("foreign", "{}.{:032x}.mx.example.test")):
        root = directory / kind
        make_mailbox(root)
        for number in range(messages):
            (root / "cur" / f"{form.format(1_700_000_000 + number, number)}:2,S").write_bytes(b"a: b\n\nc\n"[:8])
        for attempt in ("first", "then"):
            begun, cpu = time.perf_counter(), time.process_time()
            drop = open_maildrop(root)
            figures[f"{kind}, {attempt}: seconds"] = time.perf_counter() - begun
            figures[f"{kind}, {attempt}: CPU seconds"] = time.process_time() - cpu
            assert drop.count == messages
            drop.close()
    return figures


@contextlib.contextmanager
def gatepost(directory: Path, data: Path, users: list[str]) -> Iterator[Server]:
    port = PORTS["gatepost"]
    config = directory / "gatepost.toml"
    config.write_text(f"""
hostname = "{HOSTNAME}"
domains = ["example.test"]
data = "{data}"
user = "root"
[tls]
certificate = "server.pem"
[[listener]]
name = "pop3"
protocol = "pop3"
bind = "127.0.0.1:{port}"
[limits]
connections = 10000
""")
    base = [sys.executable, "-m", "gatepost", "--config", str(config)]
    for user in users:
        subprocess.run(
            [*base, "user", "add", user, "--password-stdin"], input=PASSWORD.encode(), check=True, capture_output=True
        )
    with (directory / "gatepost.log").open("wb") as log:
        process = subprocess.Popen([*base, "serve"], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        until_open(port)
        yield Server("gatepost", process.pid, port)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


@contextlib.contextmanager
def dovecot(directory: Path, data: Path, users: list[str]) -> Iterator[Server]:
    run = Path(tempfile.mkdtemp(prefix="dovecot"))
    run.chmod(0o755)
    hashed = subprocess.run(
        ["doveadm", "pw", "-s", "SSHA256", "-p", PASSWORD], check=True, capture_output=True, text=True
    ).stdout.strip()
    (directory / "passwd").write_text("".join(f"{user}:{hashed}\n" for user in users))
    for path in (directory, data, *data.rglob("mail/**")):
        if path.is_dir():
            path.chmod(0o755)
    config = directory / "dovecot.conf"
    uid, gid = os.getuid() or 0, os.getgid()
    settings = {
        "uid": uid or 65534,
        "gid": gid or 65534,
        "internal": "dovecot",
        "login": "dovenull",
        "group": "dovecot",
    }
    for path in [data / "mail", *(data / "mail").rglob("*")]:
        os.chown(path, settings["uid"], settings["gid"])  # type: ignore[arg-type]
    (directory / "passwd").chmod(0o644)
    config.write_text(DOVECOT.format(run=run, data=data, directory=directory, port=PORTS["dovecot"], **settings))
    process = subprocess.Popen(
        ["dovecot", "-F", "-c", str(config)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
    )
    try:
        until_open(PORTS["dovecot"])
        yield Server("dovecot", process.pid, PORTS["dovecot"])
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        for path in [data / "mail", *(data / "mail").rglob("*")]:
            os.chown(path, uid, gid)


SERVERS: dict[str, Callable[[Path, Path, list[str]], contextlib.AbstractContextManager[Server]]] = {
    "gatepost": gatepost, "dovecot": dovecot,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=100, help="sessions of each client")
    parser.add_argument("--clients", type=int, default=2, help="clients at a time, each a user of its own")
    parser.add_argument("--times", type=int, default=20, help="retrievals of the large message")
    parser.add_argument("--connections", type=int, default=200, help="idle connections")
    parser.add_argument("--users", type=int, default=40, help="users that are logged in at a time")
    parser.add_argument("--server", choices=SERVERS, action="append", help="only this one")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--maildrop", type=int, metavar="N", help="only time the opening of a mailbox of N messages")
    options = parser.parse_args()
    if options.maildrop:
        gc.set_threshold(50_000, 20, 50)  # as the server has it
        with tempfile.TemporaryDirectory() as name:
            for each, seconds in measure_opening(Path(name), options.maildrop).items():
                print(f"{each:28}{seconds:8.2f}")
        return
    users = [f"user{number}@example.test" for number in range(max(options.users, options.clients))]
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        data = directory / "data"
        authority = TestAuthority()
        ca_file = str(directory / "ca.pem")
        Path(ca_file).write_bytes(authority.pem)
        authority.issue(HOSTNAME).write(directory / "server.pem")
        for user in users:
            root = mailbox_root(data, user)
            for number, content in enumerate((SMALL, LARGE) if user == users[0] else (SMALL,)):
                deliver(root, [content], unique=unique_name(1000.0 + number, str(number), user, HOSTNAME))
        for server_name in options.server or SERVERS:
            with SERVERS[server_name](directory, data, users) as server:
                clients = users[: options.clients]
                figures[server_name] = {
                    **measure_sessions(server, ca_file, clients, options.sessions),
                    **measure_retrieval(server, ca_file, users[0], options.times),
                    **measure_memory(server, ca_file, users, options.connections),
                }
    if options.json:
        print(json.dumps(figures, indent=2))
        return
    names = list(next(iter(figures.values())))
    print(f"{'':28}" + "".join(f"{server:>14}" for server in figures))
    for each in names:
        print(f"{each:28}" + "".join(f"{figures[server][each]:14.1f}" for server in figures))


if __name__ == "__main__":
    main()
