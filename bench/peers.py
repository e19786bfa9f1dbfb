"""Who is measured, and how each is started: the same certificate, the same recipient, loopback.

A peer is a context manager that is given a directory, a port and a processor, and gives a running ``Server``. What each
has on disk when it says 250 is written beside it, because that is most of what a mail server's speed costs.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from servers import Server, found, started

from gatepost.testing.ca import TestAuthority

HERE: Final = Path(__file__).parent
Start: TypeAlias = Callable[[Path, int, int | None], AbstractContextManager[Server]]


@dataclass(frozen=True, slots=True)
class Peer:
    """One server.

    :param durable: what is on disk when it says 250.
    :param found: whether it is installed here.
    :param install: how to get it.
    :param version: asks for it.
    :param cases: the cases it is measured in; empty is all.
    """

    name: str
    start: Start
    durable: str
    found: Callable[[], bool]
    install: str
    version: Callable[[], str]
    cases: frozenset[str] = frozenset()


def certificate(place: Path) -> Path:
    """Chain and key in one file, ECDSA P-256, made once for all."""
    path = place / "server.pem"
    if not path.exists():
        TestAuthority().issue("mx.test").write(path)
        path.chmod(0o644)
    return path


GATEPOST: Final = """\
hostname = "mx.test"
domains = ["mx.test"]
data = "{data}"
user = "root"
[tls]
certificate = "{certificate}"
[[listener]]
name = "mx"
protocol = "smtp"
bind = "127.0.0.1:{port}"
{implicit}[[relay]]
from = "127.0.0.1"
[limits]
connections = 100000
connections_per_address = 100000
connection_rate_per_address = 1000000000
message_rate_per_address = 1000000000
{delivery}"""


def gatepost_config(place: Path, port: int, *, implicit: bool = False, delivery: str = "") -> Path:
    """Write a configuration, and make the recipient."""
    place.mkdir(parents=True, exist_ok=True)
    config = place / "gatepost.toml"
    config.write_text(
        GATEPOST.format(
            data=place / "data", certificate=certificate(place.parent), port=port, delivery=delivery,
            implicit='tls = "implicit"\n' if implicit else "",
        )
    )  # fmt: skip
    if not (place / "data").exists():
        subprocess.run(
            [*_gatepost(config), "user", "add", "user0@mx.test", "--password-stdin"],
            input=b"not used here", check=True, capture_output=True,
        )  # fmt: skip
    return config


def _gatepost(config: Path) -> list[str]:
    return [sys.executable, "-m", "gatepost", "--config", str(config)]


def serving(config: Path, port: int, core: int | None, name: str = "gatepost") -> AbstractContextManager[Server]:
    """``gatepost serve``."""
    return started(name, [*_gatepost(config), "serve"], port, config.parent / "log", core=core)


def _gatepost_peer(delivery: str, *, implicit: bool = False) -> Start:
    @contextlib.contextmanager
    def start(place: Path, port: int, core: int | None) -> Iterator[Server]:
        shutil.rmtree(place, ignore_errors=True)
        config = gatepost_config(place, port, implicit=implicit, delivery=delivery)
        with serving(config, port, core) as server:
            yield server

    return start


def sink_program(place: Path) -> Path:
    """The C sink, built once."""
    program = place / "sink-program"
    if not program.exists():
        subprocess.run(["cc", "-O2", "-o", program, HERE / "sink.c", "-lssl", "-lcrypto"], check=True)
    return program


def sink(place: Path, port: int, core: int | None) -> AbstractContextManager[Server]:
    """The bound."""
    place.mkdir(parents=True, exist_ok=True)
    command = [sink_program(place.parent), str(port), certificate(place.parent)]
    return started("sink", command, port, place / "log", core=core)


POSTFIX_MASTER: Final = """\
127.0.0.1:{port} inet n - n - 2000 smtpd
pickup    unix  n - n 60 1 pickup
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
verify    unix  - - n - 1 verify
proxymap  unix  - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp      unix  - - n - - smtp
relay     unix  - - n - - smtp
error     unix  - - n - - error
retry     unix  - - n - - error
discard   unix  - - n - - discard
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
showq     unix  n - n - - showq
postlog   unix-dgram n - n - 1 postlogd
"""
POSTFIX_MAIN: Final = """\
compatibility_level = 3.6
config_directory = {base}/conf
queue_directory = {base}/queue
data_directory = {base}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
maillog_file = {base}/maillog
maillog_file_prefixes = {base}
myhostname = mx.test
mydestination =
local_recipient_maps =
alias_maps =
mynetworks = 127.0.0.0/8
relay_domains = mx.test
relay_recipient_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
biff = no
message_size_limit = 67108864
smtpd_recipient_restrictions = permit_mynetworks, reject
smtpd_client_connection_count_limit = 0
smtpd_client_restrictions = check_client_access inline:{{127.0.0.1=HOLD}}
smtpd_tls_security_level = may
smtpd_tls_chain_files = {base}/server.pem
smtpd_tls_loglevel = 0
smtpd_tls_wrappermode = {implicit}
smtp_tls_security_level = encrypt
smtp_tls_session_cache_database = btree:{base}/data/smtp_scache
relayhost = [127.0.0.1]:{sink}
relay_transport = relay
disable_dns_lookups = yes
smtp_host_lookup = native
default_process_limit = 100
"""


def _postfix_peer(*, implicit: bool = False) -> Start:
    @contextlib.contextmanager
    def start(place: Path, port: int, core: int | None) -> Iterator[Server]:
        with postfix(place, port, core, implicit=implicit) as server:
            yield server

    return start


@contextlib.contextmanager
def postfix(
    place: Path, port: int, core: int | None, *, implicit: bool = False, sink_port: int = 9
) -> Iterator[Server]:
    """Postfix that puts what it accepts on hold."""
    shutil.rmtree(place, ignore_errors=True)
    for name in ("conf", "queue", "data"):
        (place / name).mkdir(parents=True)
    for each in (place.parent, place):
        each.chmod(0o755)
    shutil.chown(place / "data", "postfix")
    pem = certificate(place.parent).read_text()
    begin = pem.index("-----BEGIN PRIVATE") if "-----BEGIN PRIVATE" in pem else pem.index("-----BEGIN EC PRIVATE")
    end = pem.index("\n", pem.index("-----END", begin)) + 1
    (place / "server.pem").write_text(pem[begin:end] + pem[:begin] + pem[end:])  # the key first
    settings = {"base": place, "implicit": "yes" if implicit else "no", "sink": sink_port}
    (place / "conf" / "main.cf").write_text(POSTFIX_MAIN.format(**settings))
    (place / "conf" / "master.cf").write_text(POSTFIX_MASTER.format(port=port))
    command = ["/usr/sbin/postfix", "-c", place / "conf", "start-fg"]
    with started("postfix", command, port, place / "log", core=core) as server:
        yield server


EXIM: Final = """\
primary_hostname = mx.test
exim_path = {base}/exim4
exim_user = Debian-exim
exim_group = Debian-exim
spool_directory = {base}/spool
log_file_path = {base}/logs/%slog
pid_file_path = {base}/pid
keep_environment =
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port}
host_lookup =
rfc1413_query_timeout = 0s
dns_dnssec_ok = -1
disable_ipv6 = true
smtp_accept_max = 0
smtp_connect_backlog = 1024
smtp_accept_max_per_connection = 1000
smtp_accept_queue_per_connection = 0
queue_only = true
tls_advertise_hosts = *
tls_certificate = {base}/server.pem
tls_privatekey = {base}/server.pem
tls_resumption_hosts = *
{implicit}acl_smtp_rcpt = accept
acl_smtp_data = accept
never_users =
begin acl
begin routers
hole:
  driver = redirect
  data = :blackhole:
begin transports
begin retry
begin rewrite
begin authenticators
"""


def _exim_peer(*, implicit: bool = False) -> Start:
    @contextlib.contextmanager
    def start(place: Path, port: int, core: int | None) -> Iterator[Server]:
        shutil.rmtree(place, ignore_errors=True)
        for name in ("spool", "logs"):
            (place / name).mkdir(parents=True)
            shutil.chown(place / name, "Debian-exim", "Debian-exim")
        for each in (place.parent, place):
            each.chmod(0o755)
        shutil.copy(shutil.which("exim4") or "/usr/sbin/exim4", place / "exim4")
        (place / "exim4").chmod(0o4755)
        shutil.copy(certificate(place.parent), place / "server.pem")
        shutil.chown(place / "server.pem", "root", "Debian-exim")
        (place / "server.pem").chmod(0o640)
        on = f"tls_on_connect_ports = {port}\n" if implicit else ""
        (place / "conf").write_text(EXIM.format(base=place, port=port, implicit=on))
        command = [place / "exim4", "-C", place / "conf", "-bdf"]
        with started("exim", command, port, place / "log", core=core) as server:
            yield server

    return start


def _aiosmtpd_peer(handler: str) -> Start:
    @contextlib.contextmanager
    def start(place: Path, port: int, core: int | None) -> Iterator[Server]:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        command = [sys.executable, HERE / "aiosmtpd_server.py", str(port), certificate(place.parent), handler, place]
        with started("aiosmtpd", command, port, place / "log", core=core) as server:
            yield server

    return start


def _printed(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip().partition("\n")[0]


def _gatepost_version() -> str:
    from gatepost import __version__

    return __version__


def _root() -> bool:
    return os.geteuid() == 0


HOLD: Final = "[delivery]\nhold = true\n"
STARTTLS: Final = frozenset({"starttls", "starttls20", "plain", "resumed", "large", "idle"})
IMPLICIT: Final = frozenset({"implicit"})


def _aiosmtpd(name: str, handler: str, durable: str) -> Peer:
    return Peer(
        name, _aiosmtpd_peer(handler), durable, lambda: importlib.util.find_spec("aiosmtpd") is not None,
        "pip install aiosmtpd",
        lambda: _printed(sys.executable, "-c", "import aiosmtpd; print(aiosmtpd.__version__)"), STARTTLS,
    )  # fmt: skip


PEERS: Final = (
    Peer("sink", sink, "nothing: it throws messages away", lambda: found("cc"), "apt install gcc libssl-dev",
         lambda: _printed("openssl", "version"), STARTTLS),
    Peer("gatepost", _gatepost_peer(HOLD), "the message: a committed, synced transaction", lambda: True, "",
         _gatepost_version, STARTTLS),
    Peer("gatepost, implicit", _gatepost_peer(HOLD, implicit=True), "the message: a committed, synced transaction",
         lambda: True, "", _gatepost_version, IMPLICIT),
    Peer("gatepost, delivering", _gatepost_peer(""), "the message; its delivery to a Maildir runs meanwhile",
         lambda: True, "", _gatepost_version, STARTTLS - {"idle"}),
    Peer("postfix", _postfix_peer(), "the queue file, synced", lambda: found("postfix") and _root(),
         "apt install postfix; needs root", lambda: _printed("postconf", "-d", "mail_version"), STARTTLS),
    Peer("postfix, implicit", _postfix_peer(implicit=True), "the queue file, synced",
         lambda: found("postfix") and _root(), "apt install postfix; needs root",
         lambda: _printed("postconf", "-d", "mail_version"), IMPLICIT),
    Peer("exim", _exim_peer(), "both spool files, synced", lambda: found("exim4") and _root(),
         "apt install exim4-daemon-light (in place of Postfix, or unpacked); needs root",
         lambda: _printed("exim4", "-bV"), STARTTLS),
    Peer("exim, implicit", _exim_peer(implicit=True), "both spool files, synced",
         lambda: found("exim4") and _root(), "apt install exim4-daemon-light; needs root",
         lambda: _printed("exim4", "-bV"), IMPLICIT),
    _aiosmtpd("aiosmtpd", "discard", "nothing: its handler throws messages away"),
    _aiosmtpd("aiosmtpd, Maildir", "maildir", "a file of the Maildir, synced with its directory"),
)  # fmt: skip
