"""Servers of the distribution that offer an upgrade: each with a private directory, one certificate, loopback ports.

Nothing of the system's own configuration is read, and every process that was started is ended with its group.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from tests.interop.patience import PATIENCE, listening, until
from tests.interop.programs import missing, require, require_root, run
from tests.ports import free_port

from gatepost.testing.ca import TestAuthority

HOST: Final = "far.test"


class Daemon:
    """A server in the foreground, from its start until its process group is killed.

    :param authority: issues its certificate.
    :param owner: the account that it runs as, which owns its directory, or an empty string for our own.
    """

    def __init__(self, authority: TestAuthority, owner: str = "") -> None:
        self.base = Path(tempfile.mkdtemp(prefix="gatepost-daemon-"))
        self.base.chmod(0o755)
        self.owner = owner
        self._process: subprocess.Popen[bytes] | None = None
        issued = authority.issue(HOST, "localhost")
        self.write("ca.pem", authority.pem.decode())
        self.certificate = self.write("cert.pem", issued.chain_pem.decode())
        self.key = self.write("key.pem", issued.key_pem.decode())
        self.key.chmod(0o600)
        if owner:
            shutil.chown(self.base, owner, owner)

    def write(self, name: str, text: str) -> Path:
        """A file of its directory."""
        path = self.base / name
        path.write_text(text)
        if self.owner:
            shutil.chown(path, self.owner, self.owner)
        return path

    def directory(self, name: str, mode: int = 0o755) -> Path:
        """A directory within its own."""
        path = self.base / name
        path.mkdir(mode=mode)
        if self.owner:
            shutil.chown(path, self.owner, self.owner)
        return path

    def as_owner(self, *command: str | Path) -> list[str]:
        """A command, to be run as the owner."""
        words = [str(word) for word in command]
        if not self.owner:
            return words
        changed = ["--reuid", self.owner, "--regid", self.owner, "--clear-groups"]
        return [require("setpriv", "util-linux"), *changed, *words]

    def start(self, *command: str | Path, ports: tuple[int, ...], env: Mapping[str, str] | None = None) -> None:
        """Start it, and wait until it listens on all of its ports."""
        with (self.base / "log").open("wb") as log:
            self._process = subprocess.Popen(
                self.as_owner(*command), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.base,
                env={**os.environ, **(env or {})}, start_new_session=True,
            )  # fmt: skip
        self.wait(lambda: all(map(listening, ports)), what=f"{command[0]} serves")

    def wait(self, promise: Callable[[], bool], *, what: str) -> None:
        """Wait for something of it, for as long as it lives."""
        try:
            until(lambda: self._lives() and promise(), what=what, log=self.log)
        except BaseException:
            self.close()
            raise

    def prepare(self, *command: str | Path, env: Mapping[str, str] | None = None) -> None:
        """Run a command of its own that has to come first."""
        done = run(self.as_owner(*command), cwd=self.base, env=env)
        if done.code != 0:
            self.close()
            raise AssertionError(done.said)

    def _lives(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"it ended with {self._process.returncode}\n{self.log()}")
        return True

    def log(self) -> str:
        """The end of everything that it has written."""
        texts = [
            path.read_text(errors="replace") for path in (self.base / "log", self.base / "daemon.log") if path.exists()
        ]
        return "\n".join("".join(texts).splitlines()[-40:])

    def close(self) -> None:
        """End it and everything that it started, and remove its directory."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(process.pid, signal.SIGTERM)
                process.wait(PATIENCE)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(PATIENCE)
        shutil.rmtree(self.base, ignore_errors=True)


Ports = Mapping[str, int]


def dovecot(authority: TestAuthority) -> tuple[Daemon, Ports]:
    """Dovecot: POP3, IMAP, ManageSieve, LMTP and submission."""
    program = require("dovecot", "dovecot-core")
    require_root("Dovecot")
    packages = {
        "pop3": "dovecot-pop3d", "imap": "dovecot-imapd", "managesieve": "dovecot-managesieved",
        "submission": "dovecot-submissiond",
    }  # fmt: skip
    for name, package in packages.items():
        if not Path(f"/usr/lib/dovecot/{name}-login").exists():
            missing(f"Dovecot has no {name}: apt-get install {package}")
    if not Path("/usr/lib/dovecot/lmtp").exists():
        missing("Dovecot has no LMTP: apt-get install dovecot-lmtpd")
    ports = {name: free_port() for name in ("pop3", "pop3s", "imap", "imaps", "sieve", "lmtp", "submission")}
    daemon = Daemon(authority)
    shutil.chown(daemon.directory("mail"), "mail", "mail")
    services = "".join(
        f"service {service} {{\n inet_listener {listener} {{\n  port = {ports[recipe]}\n }}\n{off}}}\n"
        for recipe, service, listener, off in (
            ("pop3", "pop3-login", "pop3", f" inet_listener pop3s {{\n  port = {ports['pop3s']}\n  ssl = yes\n }}\n"),
            ("imap", "imap-login", "imap", f" inet_listener imaps {{\n  port = {ports['imaps']}\n  ssl = yes\n }}\n"),
            ("sieve", "managesieve-login", "sieve", ""),
            ("lmtp", "lmtp", "lmtp", ""),
            ("submission", "submission-login", "submission", ""),
        )
    )
    config = daemon.write(
        "dovecot.conf",
        f"base_dir = {daemon.directory('run')}\nstate_dir = {daemon.directory('state')}\nlisten = 127.0.0.1\n"
        "protocols = imap pop3 lmtp sieve submission\nssl = yes\n"
        f"ssl_cert = <{daemon.certificate}\nssl_key = <{daemon.key}\nlog_path = {daemon.base}/daemon.log\n"
        f"hostname = {HOST}\nsubmission_relay_host = 127.0.0.1\nmail_location = maildir:{daemon.base}/mail/%u\n"
        "passdb {\n driver = static\n args = password=secret\n}\n"
        "passdb {\n driver = static\n args = password=wonderland-1\n}\n"
        f"userdb {{\n driver = static\n args = uid=mail gid=mail home={daemon.base}/mail/%u\n}}\nfirst_valid_uid = 1\n"
        + services,
    )
    daemon.start(program, "-F", "-c", config, ports=tuple(ports.values()))
    return daemon, ports


def inn(authority: TestAuthority) -> tuple[Daemon, Ports]:
    """INN's server for readers, by itself."""
    program = Path("/usr/lib/news/bin/nnrpd")
    if not program.exists():
        missing(f"{program} is not here: apt-get install inn2")
    require_root("INN")
    daemon, port = Daemon(authority, "news"), free_port()
    names = ("pathnews", "pathdb", "pathetc", "pathrun", "pathlog", "pathspool", "pathtmp", "pathhttp", "pathoverview")
    paths = "".join(f"{name}: {daemon.directory(name)}\n" for name in names)
    config = daemon.write(
        "inn.conf",
        f"{paths}pathbin: {program.parent}\ndomain: {HOST}\nfromhost: {HOST}\npathhost: {HOST}\n"
        "organization: gatepost\nserver: 127.0.0.1\nhismethod: hisv6\novmethod: tradindexed\nenableoverview: true\n"
        'mta: "/bin/true %s"\nnnrpdloadlimit: 0\n'  # it would refuse service on a busy machine
        f"tlscafile: {daemon.base}/ca.pem\ntlscertfile: {daemon.certificate}\ntlskeyfile: {daemon.key}\n",
    )
    daemon.write(
        "pathetc/readers.conf",
        'auth "all" {\n hosts: "*"\n default: "<reader>"\n}\naccess "all" {\n users: "<reader>"\n newsgroups: "*"\n}\n',
    )
    daemon.write("pathetc/storage.conf", "method tradspool {\n newsgroups: *\n class: 0\n}\n")
    daemon.write("pathdb/active", "local.test 0000000000 0000000001 y\n")
    daemon.write("pathdb/active.times", "")
    daemon.write("pathdb/newsgroups", "local.test a test\n")
    daemon.prepare(program.parent / "overchan", env={"INNCONF": str(config)})  # makes its overview
    command = (program, "-D", "-f", "-4", "127.0.0.1", "-p", str(port))
    daemon.start(*command, ports=(port,), env={"INNCONF": str(config)})
    return daemon, {"nntp": port}


def vsftpd(authority: TestAuthority) -> tuple[Daemon, Ports]:
    """vsftpd."""
    program = require("vsftpd", "vsftpd")
    require_root("vsftpd")
    daemon, port = Daemon(authority), free_port()
    config = daemon.write(
        "vsftpd.conf",
        f"listen=YES\nlisten_address=127.0.0.1\nlisten_port={port}\nbackground=NO\nssl_enable=YES\nlocal_enable=YES\n"
        f"rsa_cert_file={daemon.certificate}\nrsa_private_key_file={daemon.key}\nvsftpd_log_file={daemon.base}/daemon.log\n"
        f"secure_chroot_dir={daemon.directory('empty')}\nanonymous_enable=NO\nssl_ciphers=HIGH\nisolate=NO\n"
        "isolate_network=NO\nseccomp_sandbox=NO\n",
    )
    daemon.start(program, config, ports=(port,))
    return daemon, {"ftp": port}


def slapd(authority: TestAuthority) -> tuple[Daemon, Ports]:
    """OpenLDAP."""
    program = require("slapd", "slapd")
    daemon, port = Daemon(authority), free_port()
    config = daemon.write(
        "slapd.conf",
        f"TLSCACertificateFile {daemon.base}/ca.pem\nTLSCertificateFile {daemon.certificate}\n"
        f"TLSCertificateKeyFile {daemon.key}\npidfile {daemon.base}/slapd.pid\n",
    )
    daemon.start(program, "-f", config, "-h", f"ldap://127.0.0.1:{port}/", "-d", "0", ports=(port,))
    return daemon, {"ldap": port}


def prosody(authority: TestAuthority) -> tuple[Daemon, Ports]:
    """Prosody, for clients and for servers."""
    program = require("prosody", "prosody")
    daemon = Daemon(authority)
    ports = {"xmpp": free_port(), "xmpp-server": free_port()}
    config = daemon.write(
        "prosody.cfg.lua",
        f'run_as_root = true\npidfile = "{daemon.base}/prosody.pid"\ndata_path = "{daemon.directory("data")}"\n'
        f'interfaces = {{ "127.0.0.1" }}\nc2s_ports = {{ {ports["xmpp"]} }}\ns2s_ports = {{ {ports["xmpp-server"]} }}\n'
        "c2s_direct_tls_ports = { }\ns2s_direct_tls_ports = { }\nhttp_ports = { }\nhttps_ports = { }\n"
        'modules_enabled = { "tls", "saslauth", "dialback", "disco" }\nmodules_disabled = { "http", "admin_shell" }\n'
        f'log = {{ info = "{daemon.base}/daemon.log" }}\n'
        f'VirtualHost "{HOST}"\n ssl = {{ certificate = "{daemon.certificate}"; key = "{daemon.key}" }}\n',
    )
    daemon.start(program, "-F", "--config", config, ports=tuple(ports.values()))
    return daemon, ports


def postgres(authority: TestAuthority) -> tuple[Daemon, Ports]:
    """PostgreSQL."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        missing("initdb is not here: apt-get install postgresql")
    require_root("PostgreSQL")
    programs = found[-1].parent
    daemon, port = Daemon(authority, "postgres"), free_port()
    data = daemon.base / "data"
    manner = ("--no-sync", "--auth=trust", "--no-instructions", "--encoding=UTF8", "--locale=C")
    daemon.prepare(programs / "initdb", "-D", data, *manner)
    settings = ("ssl=on", f"ssl_cert_file={daemon.certificate}", f"ssl_key_file={daemon.key}", "fsync=off")
    options = [word for setting in settings for word in ("-c", setting)]
    listen = ("-h", "127.0.0.1", "-p", str(port), "-k", daemon.base)
    daemon.start(programs / "postgres", "-D", data, *listen, *options, ports=(port,))
    ask = (str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port))
    daemon.wait(lambda: run(ask).code == 0, what="PostgreSQL takes logins")  # it listens before that
    return daemon, {"postgres": port}


def mariadb(authority: TestAuthority) -> tuple[Daemon, Ports]:
    """MariaDB, without a system database: there is nobody to log in as, and everybody may."""
    program = require("mariadbd", "mariadb-server-core")
    require_root("MariaDB")
    daemon, port = Daemon(authority), free_port()
    daemon.start(
        program, "--no-defaults", "--user=root", f"--datadir={daemon.directory('data')}", f"--port={port}",
        "--bind-address=127.0.0.1", f"--socket={daemon.base}/socket", f"--pid-file={daemon.base}/pid",
        "--skip-grant-tables", "--skip-networking=0", "--skip-log-bin", "--innodb-buffer-pool-size=8M",
        "--innodb-log-file-size=4M", "--innodb-flush-method=nosync", f"--ssl-cert={daemon.certificate}",
        f"--ssl-key={daemon.key}", "--aria-checkpoint-interval=0",
        ports=(port,),
    )  # fmt: skip
    return daemon, {"mysql": port}


def inspircd(authority: TestAuthority) -> tuple[Daemon, Ports]:
    """InspIRCd, with its modules for TLS and STARTTLS."""
    program = require("inspircd", "inspircd")
    daemon, port = Daemon(authority), free_port()
    config = daemon.write(
        "inspircd.conf",
        f'<server name="{HOST}" description="test" network="test">\n<admin name="a" nick="a" email="a@{HOST}">\n'
        '<module name="cap">\n<module name="ssl_gnutls">\n<module name="starttls">\n'
        f'<sslprofile name="Clients" provider="gnutls" certfile="{daemon.certificate}" keyfile="{daemon.key}">\n'
        f'<bind address="127.0.0.1" port="{port}" type="clients">\n<starttls sslprofile="Clients">\n'
        f'<pid file="{daemon.base}/pid">\n<connect allow="*">\n<options prefixquit="">\n'
        f'<path datadir="{daemon.directory("data")}" logdir="{daemon.base}" runtimedir="{daemon.base}">\n'
        f'<log method="file" type="*" level="default" target="{daemon.base}/daemon.log">\n',
    )
    daemon.start(program, "--runasroot", "--nofork", "--config", config, ports=(port,))
    return daemon, {"irc": port}


DAEMONS: Final[Mapping[str, Callable[[TestAuthority], tuple[Daemon, Ports]]]] = {
    "dovecot": dovecot,
    "inn": inn,
    "vsftpd": vsftpd,
    "slapd": slapd,
    "prosody": prosody,
    "postgres": postgres,
    "mariadb": mariadb,
    "inspircd": inspircd,
}
