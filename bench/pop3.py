"""POP3 beside Dovecot: mailboxes of the same content, the same certificate.

Sessions are STLS, USER and PASS, STAT, RETR of a 4 KiB message, QUIT; then a message of 10 MB is fetched again and
again; then connections are held that are idle before their login, and some that are logged in.

Password checks are kept out of the figures: gatepost has argon2id and remembers right passwords for a while, so that
only the first login of each user, before anything is measured, pays for it; Dovecot, which would compute argon2id at
each login, has the cheap SSHA256. Dovecot runs with its login processes in the mode for many connections,
and its POP3 processes serve one session after the other. It needs root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Final

import generator
import idle
from mailservers import LIMITS, PASSWORD, certificate, make_users, serving
from servers import Server, found, started
from throughput import enough
from turns import Bench, Figures, in_turns, medians

from gatepost.mailbox import deliver, mailbox_root, unique_name

PORTS: Final = {"gatepost": 13881, "Dovecot": 13882}
USERS: Final = 40
IDLE: Final = 500
SMALL: Final = b"Subject: small\r\n\r\n" + (b"x" * 70 + b"\r\n") * 56
LARGE: Final = b"Subject: large\r\n\r\n" + (b"x" * 76 + b"\r\n") * 134_400  # 10 MB
WORDS: Final = ("--protocol", "pop3", "--password", PASSWORD)

CONFIG: Final = """
hostname = "mx.test"
domains = ["mx.test"]
data = "{data}"
user = "root"
[tls]
certificate = "{certificate}"
[[listener]]
name = "pop3"
protocol = "pop3"
bind = "127.0.0.1:{port}"
{limits}
"""
DOVECOT: Final = """
base_dir = {run}
state_dir = {run}
log_path = {run}/log
protocols = pop3
listen = 127.0.0.1
mail_location = maildir:{data}/mail/%d/%n
mail_uid = {account}
mail_gid = {account}
first_valid_uid = 1
first_valid_gid = 1
default_internal_user = dovecot
default_login_user = dovenull
default_internal_group = dovecot
disable_plaintext_auth = yes
ssl = required
ssl_cert = <{certificate}
ssl_key = <{certificate}
auth_mechanisms = plain
mail_max_userip_connections = 1000
passdb {{
  driver = passwd-file
  args = {place}/passwd
}}
userdb {{
  driver = static
  args = uid={account} gid={account} home={place}/home
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
NOBODY: Final = 65534


def pop3(bench: Bench) -> Figures:
    """Sessions and MB per CPU second, and KiB for each idle connection, by server."""
    kinds: dict[str, Callable[[Path, int | None], AbstractContextManager[Server]]] = {"gatepost": gatepost}
    if found("dovecot", "doveadm") and os.geteuid() == 0:
        kinds["Dovecot"] = dovecot
    else:
        bench.leave_out("Dovecot", "it is not here: apt-get install dovecot-pop3d; needs root")
    with ExitStack() as stack:
        servers = {
            name: stack.enter_context(start(bench.place / name, bench.server_core))
            for name, start in kinds.items()
            if bench.wants(name)
        }
        held = {name: memory(server) for name, server in servers.items()}
        for server in servers.values():  # every user once, whose password is then remembered
            generator.run(server.port, *WORDS, "--users", USERS, "--sessions", USERS, "--concurrency", USERS)
        figures = medians(in_turns(bench, servers, bench.rounds, lambda name: turn(servers[name], bench.seconds)))
        for name in figures:
            figures[name] |= held[name]
    return figures


def turn(server: Server, seconds: float) -> Figures:
    """Sessions of many users, then one who fetches the large message."""
    many = (*WORDS, "--users", USERS, "--concurrency", USERS)
    first = generator.measured(server, *many, "--sessions", 2 * USERS)
    small = generator.measured(server, *many, "--sessions", max(2 * USERS, enough(first, seconds)))
    one = (*WORDS, "--concurrency", 1, "--sessions", 1, "--retrieve", 2)
    first = generator.measured(server, *one, "--messages", 5)
    large = generator.measured(server, *one, "--messages", max(5, 5 * enough(first, seconds)))
    if small["failed"] or large["failed"]:
        raise RuntimeError(f"sessions failed: {small['failures']} {large['failures']}")
    return {
        "sessions per CPU second": small["sessions"] / small["server_cpu_s"],
        "RETR, MB per CPU second": large["octets"] / 1e6 / large["server_cpu_s"],
    }


def memory(server: Server) -> Figures:
    """KiB for each connection that says nothing: before its login, and logged in."""
    return {
        "KiB for each idle connection": idle.each(server, IDLE, "--protocol", "pop3"),
        "KiB for each idle login": idle.each(server, USERS, *WORDS, "--users", USERS),
    }


def mailboxes(data: Path) -> None:
    """A small message for each user, and a large one for the first."""
    for user in users():
        root = mailbox_root(data, user)
        for number, content in enumerate((SMALL, LARGE) if user == users()[0] else (SMALL,)):
            deliver(root, [content], unique=unique_name(1000.0 + number, str(number), user, "mx.test"))


def users() -> list[str]:
    """Their addresses."""
    return [f"user{number}@mx.test" for number in range(USERS)]


def pop3_config(place: Path, port: int, names: list[str]) -> Path:
    """Write the configuration of a gatepost that serves POP3 alone, and make its users."""
    data, config = place / "data", place / "gatepost.toml"
    data.mkdir(parents=True)
    config.write_text(CONFIG.format(data=data, certificate=certificate(place.parent), port=port, limits=LIMITS))
    make_users(data, names)
    return config


def gatepost(place: Path, core: int | None) -> AbstractContextManager[Server]:
    """Ours."""
    config = pop3_config(place, PORTS["gatepost"], users())
    mailboxes(place / "data")
    return serving(config, PORTS["gatepost"], core)


def dovecot(place: Path, core: int | None) -> AbstractContextManager[Server]:
    """Dovecot 2.3."""
    run, data = place / "run", place / "data"
    run.mkdir(parents=True)
    mailboxes(data)
    for path in (data, *data.rglob("*")):
        shutil.chown(path, NOBODY, NOBODY)
        if path.is_dir():
            path.chmod(0o755)
    hashed = subprocess.run(
        ["doveadm", "pw", "-s", "SSHA256", "-p", PASSWORD], check=True, capture_output=True, text=True
    ).stdout.strip()
    (place / "passwd").write_text("".join(f"{user}:{hashed}\n" for user in users()))
    config = place / "dovecot.conf"
    config.write_text(
        DOVECOT.format(
            run=run, data=data, place=place, certificate=certificate(place.parent), port=PORTS["Dovecot"],
            account=NOBODY,
        )
    )  # fmt: skip
    return started("Dovecot", ["dovecot", "-F", "-c", config], PORTS["Dovecot"], place / "log", core=core)
