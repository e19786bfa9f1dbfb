"""Who is measured, and how each is started: the same certificate, the same recipient, loopback.

A peer is a context manager that is given a directory, a port and a processor, and gives a running ``Server``. What each
has on disk when it says 250 is written beside it, because that is most of what a mail server's speed costs.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import pwd
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

from generator import program
from servers import Server, found, started

from gatepost.accounts.passwords import Passwords
from gatepost.mailbox import mailbox_root
from gatepost.store.sqlite.accounts import FILE_NAME as ACCOUNTS
from gatepost.store.sqlite.accounts import SQLiteAccountStore
from gatepost.testing.ca import TestAuthority
from gatepost.wire.sasl.secret import Secret

HERE: Final = Path(__file__).parent
PASSWORD: Final = "wonderland"
Start: TypeAlias = Callable[[Path, int, int | None], AbstractContextManager[Server]]


@dataclass(frozen=True, slots=True)
class Peer:
    """One server.

    :param durable: what is on disk when it says 250.
    :param found: whether it is installed here.
    :param install: how to get it.
    :param version: asks for it.
    :param cases: the sections it is measured in.
    :param warm_up: how many sessions it has before anything counts; those that compile as they go need more.
    :param delivered: how many messages its mailbox has, for a server that delivers while it is measured.
    :param most_held: how many idle connections it is asked to hold; ``why_not_more`` says why.
    """

    name: str
    start: Start
    durable: str
    found: Callable[[], bool]
    install: str
    version: Callable[[], str]
    cases: frozenset[str]
    warm_up: int = 100
    delivered: Callable[[Path], int] | None = None
    most_held: int = 10_000
    why_not_more: str = ""


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
from = "127.0.0.0/8"
{limits}{delivery}"""
LIMITS: Final = """\
[limits]
connections = 100000
connections_per_address = 100000
connection_rate_per_address = 1000000000
message_rate_per_address = 1000000000
"""


def gatepost_config(place: Path, port: int, *, implicit: bool = False, delivery: str = "") -> Path:
    """Write a configuration, and make the recipient."""
    place.mkdir(parents=True, exist_ok=True)
    config = place / "gatepost.toml"
    config.write_text(
        GATEPOST.format(
            data=place / "data", certificate=certificate(place.parent), port=port, delivery=delivery, limits=LIMITS,
            implicit='tls = "implicit"\n' if implicit else "",
        )
    )  # fmt: skip
    if not (place / "data").exists():
        (place / "data").mkdir()
        make_users(place / "data", ["user0@mx.test"])
    return config


def make_users(data: Path, names: Sequence[str]) -> None:
    """Accounts with ``PASSWORD``, which is hashed once for all."""
    store, record = SQLiteAccountStore(data / ACCOUNTS), Passwords().record(Secret(PASSWORD.encode()))
    for name in names:
        store.create(name, record)
    store.close()


def gatepost_command(config: Path) -> list[str]:
    """The command line with this configuration."""
    return [sys.executable, "-m", "gatepost", "--config", str(config)]


def serving(config: Path, port: int, core: int | None, name: str = "gatepost") -> AbstractContextManager[Server]:
    """``gatepost serve``."""
    return started(name, [*gatepost_command(config), "serve"], port, config.parent / "log", core=core)


def _gatepost_peer(delivery: str, *, implicit: bool = False) -> Start:
    @contextlib.contextmanager
    def start(place: Path, port: int, core: int | None) -> Iterator[Server]:
        shutil.rmtree(place, ignore_errors=True)
        config = gatepost_config(place, port, implicit=implicit, delivery=delivery)
        with serving(config, port, core) as server:
            yield server

    return start


def sink(place: Path, port: int, core: int | None, *, implicit: bool = False) -> AbstractContextManager[Server]:
    """The bound."""
    place.mkdir(parents=True, exist_ok=True)
    command = [program("sink"), *(["-i"] if implicit else []), port, certificate(place.parent)]
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
tlsproxy  unix  - - n - 0 tlsproxy
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
relay_domains = mx.test, elsewhere.test
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
smtp_tls_connection_reuse = {reuse}
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
    place: Path, port: int, core: int | None, *, implicit: bool = False, sink_port: int = 9, reuse: bool = False
) -> Iterator[Server]:
    """Postfix that puts what it accepts on hold.

    :param sink_port: where it delivers what is released; with ``reuse`` over connections that are kept.
    """
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
    settings = {"base": place, "implicit": "yes" if implicit else "no", "sink": sink_port,
                "reuse": "yes" if reuse else "no"}  # fmt: skip
    (place / "conf" / "main.cf").write_text(POSTFIX_MAIN.format(**settings))
    (place / "conf" / "master.cf").write_text(POSTFIX_MASTER.format(port=port))
    command = ["postfix", "-c", place / "conf", "start-fg"]
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
        shutil.copy(shutil.which("exim4") or "exim4", place / "exim4")
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


HARAKA_PLUGIN: Final = """\
exports.hook_rcpt = (next) => next(OK);
exports.hook_queue = (next) => next(OK);
"""


@contextlib.contextmanager
def _haraka(place: Path, port: int, core: int | None) -> Iterator[Server]:
    home = node_module("Haraka")
    assert home is not None
    shutil.rmtree(place, ignore_errors=True)
    for name in ("config", "plugins"):
        (place / name).mkdir(parents=True)
    pair = certificate(place.parent)
    texts = {
        "config/smtp.ini": f"listen=127.0.0.1:{port}\nnodes=0\ndaemonize=false\n",
        "config/me": "mx.test\n",
        "config/loglevel": "WARN\n",
        "config/tls.ini": f"key={pair}\ncert={pair}\n[outbound]\n",
        "config/plugins": "tls\ntake_all\n",
        "config/connection.ini": (home / "config/connection.ini").read_text().replace("=26214400", "=67108864"),
        "plugins/take_all.js": HARAKA_PLUGIN,
    }
    for name, text in texts.items():
        (place / name).write_text(text)
    with started("haraka", ["node", home / "bin/haraka", "-c", place], port, place / "log", core=core) as server:
        yield server


SMTP_SERVER: Final = """\
const {{ SMTPServer }} = require('{module}');
const pair = require('fs').readFileSync('{pair}');
const server = new SMTPServer({{
  key: pair, cert: pair, authOptional: true, disableReverseLookup: true, banner: 'mx.test', size: 67108864,
  onData(stream, session, callback) {{ stream.on('data', () => {{}}); stream.on('end', callback); }},
}});
server.on('error', () => {{}});
server.listen({port}, '127.0.0.1');
"""


@contextlib.contextmanager
def _smtp_server(place: Path, port: int, core: int | None) -> Iterator[Server]:
    place.mkdir(parents=True, exist_ok=True)
    script = place / "server.js"
    module = node_module("smtp-server")
    script.write_text(SMTP_SERVER.format(module=module, pair=certificate(place.parent), port=port))
    with started("smtp-server", ["node", script], port, place / "log", core=core) as server:
        yield server


def node_module(name: str) -> Path | None:
    """Where a package of npm is: in the directories of NODE_PATH, or in bench/node_modules."""
    places = [Path(each) for each in os.environ.get("NODE_PATH", "").split(":") if each]
    homes = [place / name for place in [*places, HERE / "node_modules"]]
    return next((home for home in homes if (home / "package.json").exists()), None)


def _node_version(name: str) -> str:
    home = node_module(name)
    assert home is not None
    version = json.loads((home / "package.json").read_text())["version"]
    return f"{version} on Node.js {printed_version('node', '--version')}"


def printed_version(*command: str) -> str:
    """The first version number that a command prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    number = re.search(r"\d+(\.\d+)+", done.stdout + done.stderr)
    return number[0] if number else "unknown"


def _gatepost_version() -> str:
    from gatepost import __version__

    return __version__


def _root() -> bool:
    return os.geteuid() == 0


def _account(name: str) -> bool:
    with contextlib.suppress(KeyError):
        return bool(pwd.getpwnam(name))
    return False


def _mailbox(place: Path) -> int:
    """How many messages were delivered to the recipient."""
    new = mailbox_root(place / "data", "user0@mx.test") / "new"
    return len(os.listdir(new)) if new.exists() else 0  # noqa: PTH208


HOLD: Final = "[delivery]\nhold = true\n"
MESSAGES: Final = frozenset({"starttls", "starttls20", "plain", "resumed", "large"})
ALL: Final = MESSAGES | {"latency", "idle"}
IMPLICIT: Final = frozenset({"implicit"})
COMMITTED: Final = "the message: a committed, synced transaction"
A_PROCESS_EACH: Final = "it has a process for each connection: 10,000 do not fit into the memory of most machines"

_SINK: Final = Peer(
    "sink", sink, "nothing: it throws messages away", lambda: True, "",
    lambda: f"OpenSSL {printed_version('openssl', 'version')}", ALL,
)  # fmt: skip
_POSTFIX: Final = Peer(
    "postfix", _postfix_peer(), "the queue file, synced", lambda: found("postfix") and _root(),
    "apt-get install postfix; needs root", lambda: printed_version("postconf", "-dh", "mail_version"), ALL,
    most_held=1_000, why_not_more=A_PROCESS_EACH,
)  # fmt: skip
_EXIM: Final = Peer(
    "exim", _exim_peer(), "both spool files, synced", lambda: found("exim4") and _root() and _account("Debian-exim"),
    "apt-get install exim4-daemon-light; beside Postfix: apt-get download it, dpkg -x, put it in PATH, useradd -r "
    "Debian-exim; needs root",
    lambda: printed_version("exim4", "-bV"), ALL, most_held=1_000, why_not_more=A_PROCESS_EACH,
)  # fmt: skip


def _gatepost(name: str, start: Start, durable: str, cases: frozenset[str]) -> Peer:
    return Peer(name, start, durable, lambda: True, "", _gatepost_version, cases)


def _aiosmtpd(name: str, handler: str, durable: str) -> Peer:
    return Peer(
        name, _aiosmtpd_peer(handler), durable, lambda: importlib.util.find_spec("aiosmtpd") is not None,
        "pip install aiosmtpd",
        lambda: printed_version(sys.executable, "-c", "import aiosmtpd; print(aiosmtpd.__version__)"), ALL,
    )  # fmt: skip


def _node(name: str, start: Start, durable: str) -> Peer:
    return Peer(
        name, start, durable, lambda: found("node") and node_module(name) is not None,
        f"npm install --prefix bench {name}, or say where it is with NODE_PATH", lambda: _node_version(name), ALL,
        warm_up=600,
    )  # fmt: skip


PEERS: Final = (
    _SINK,
    replace(_SINK, name="sink, implicit", start=partial(sink, implicit=True), cases=IMPLICIT),
    _gatepost("gatepost", _gatepost_peer(HOLD), COMMITTED, ALL),
    _gatepost("gatepost, implicit", _gatepost_peer(HOLD, implicit=True), COMMITTED, IMPLICIT),
    replace(
        _gatepost("gatepost, delivering", _gatepost_peer(""), f"{COMMITTED}; delivery to a Maildir runs meanwhile",
                  MESSAGES),
        delivered=_mailbox,
    ),
    _POSTFIX,
    replace(_POSTFIX, name="postfix, implicit", start=_postfix_peer(implicit=True), cases=IMPLICIT),
    _EXIM,
    replace(_EXIM, name="exim, implicit", start=_exim_peer(implicit=True), cases=IMPLICIT),
    _aiosmtpd("aiosmtpd", "discard", "nothing: its handler throws messages away"),
    _aiosmtpd("aiosmtpd, Maildir", "maildir", "a file of the Maildir, synced with its directory"),
    _node("Haraka", _haraka, "nothing: its plugin throws messages away"),
    _node("smtp-server", _smtp_server, "nothing: its handler throws messages away"),
)  # fmt: skip
