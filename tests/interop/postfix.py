"""A private Postfix: its own configuration, queue and data, one loopback port; the system's own is not touched."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.interop.letters import Arrived, find
from tests.interop.patience import listening, until
from tests.interop.programs import Done, group_lives, require, run
from tests.ports import free_port

from gatepost.testing.ca import TestAuthority

HOSTNAME = "mx.far.test"
CAROL = "carol@far.test"
_MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup    unix  n - n 60 1 pickup
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
verify    unix  - - n - 1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp      unix  - - n - - smtp
relay     unix  - - n - - smtp
virtual   unix  - n n - - virtual
showq     unix  n - n - - showq
error     unix  - - n - - error
retry     unix  - - n - - error
discard   unix  - - n - - discard
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
"""
_MAIN = """\
compatibility_level = 3.6
config_directory = {base}/conf
queue_directory = {base}/queue
data_directory = {base}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
maillog_file = {base}/maillog
maillog_file_prefixes = {base}
myhostname = {hostname}
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
biff = no
message_size_limit = 67108864
virtual_mailbox_limit = 0
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_tls_security_level = may
smtpd_tls_chain_files = {base}/server.pem
smtpd_tls_received_header = yes
smtpd_tls_loglevel = 1
virtual_mailbox_domains = far.test
virtual_mailbox_maps = inline:{{ {{ carol@far.test = carol/ }} }}
virtual_mailbox_base = {base}/mail
virtual_minimum_uid = 1
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
disable_dns_lookups = yes
smtp_host_lookup = native
smtp_tls_loglevel = 1
smtp_tls_CAfile = {base}/ca.pem
smtp_tls_session_cache_database =
maximal_backoff_time = 300s
"""


class Postfix:
    """Postfix, from ``postfix start`` to ``postfix stop``.

    Its directory lies outside of pytest's own, which the account of Postfix may not enter.
    """

    def __init__(self, authority: TestAuthority) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="gatepost-postfix-"))
        self.port = free_port()
        self.mailbox = self.base / "mail" / "carol"
        self._authority = authority
        self._parameters: dict[str, str] = {}

    def __enter__(self) -> Postfix:
        try:
            self._write()
            self._command("start")
            until(lambda: listening(self.port), what="Postfix serves", log=self.log)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        pid_file = self.base / "queue" / "pid" / "master.pid"
        group = int(pid_file.read_text()) if pid_file.exists() else 0  # all of its processes are in one group
        self._command("abort")
        try:
            until(lambda: not (group and group_lives(group)), what="Postfix has ended", log=self.log)
        finally:
            shutil.rmtree(self.base)

    def _write(self) -> None:
        self.base.chmod(0o755)
        for name in ("conf", "queue", "data", "mail"):
            (self.base / name).mkdir()
        for name in ("data", "mail"):
            shutil.chown(self.base / name, "postfix", "postfix")
        (self.base / "ca.pem").write_bytes(self._authority.pem)
        self._authority.issue(HOSTNAME).write(self.base / "server.pem", key_first=True)  # as smtpd_tls_chain_files asks
        owner = (self.base / "mail").stat()
        main = _MAIN.format(base=self.base, hostname=HOSTNAME, uid=owner.st_uid, gid=owner.st_gid)
        (self.base / "conf" / "main.cf").write_text(main)
        (self.base / "conf" / "master.cf").write_text(_MASTER.format(port=self.port))

    def _command(self, verb: str) -> None:
        # A daemon that inherited a pipe would keep whoever reads it waiting.
        with (self.base / "commands").open("ab") as out:
            subprocess.run(
                [require("postfix", "postfix"), "-c", str(self.base / "conf"), verb],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=60, check=False,
            )  # fmt: skip

    def set(self, **parameters: str) -> None:
        """Change parameters of main.cf (``postconf -e``), and put them in force."""
        if parameters.items() <= self._parameters.items():
            return
        self._parameters.update(parameters)
        settings = [f"{key} = {value}" for key, value in parameters.items()]
        done = run([require("postconf", "postfix"), "-c", self.base / "conf", "-e", *settings])
        assert done.code == 0, done.said
        self.reload()

    def reload(self) -> None:
        """Put changed files in force."""
        self._command("reload")

    def queue(self) -> str:
        """What ``postqueue -j`` lists: a JSON object a line."""
        done: Done = run([require("postqueue", "postfix"), "-c", self.base / "conf", "-j"])
        assert done.code == 0, done.said
        return done.out.decode()

    def drop(self, queue_id: str) -> None:
        """Remove a message from its queue."""
        run([require("postsuper", "postfix"), "-c", self.base / "conf", "-d", queue_id])

    def log(self) -> str:
        """The end of its log, and what its commands printed."""
        texts = [path.read_text() for name in ("commands", "maillog") if (path := self.base / name).exists()]
        return "\n".join("".join(texts).splitlines()[-40:])

    def logged(self, *words: str) -> str:
        """Wait for a line of the log that has all these words; returns it."""

        def look() -> str | None:
            lines = (self.base / "maillog").read_text().splitlines()
            return next((line for line in lines if all(word in line for word in words)), None)

        return until(look, what=f"Postfix logs {words}", log=self.log)

    def mailbox_has(self, token: str) -> bool:
        """Whether Carol's message whose header has the token is there."""
        return find(self.mailbox, token) is not None

    def arrived(self, token: str) -> Arrived:
        """Wait for Carol's message whose header has the token."""
        return until(lambda: find(self.mailbox, token), what=f"{token} arrives at {CAROL}", log=self.log)
