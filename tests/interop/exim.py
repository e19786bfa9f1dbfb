"""A private Exim. Debian lets no two mail servers be installed at once, so its package is only unpacked, into the
user's cache; the account that it was built for exists for itself alone (libnss-wrapper)."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

from tests.interop.daemons import HOST, Daemon
from tests.interop.letters import Arrived, find
from tests.interop.patience import until
from tests.interop.programs import missing, require, require_root, run
from tests.ports import free_port

from gatepost.testing.ca import TestAuthority

PACKAGE: Final = "exim4-daemon-light"
CAROL: Final = f"carol@{HOST}"
_ACCOUNT: Final = "Debian-exim"
_CONFIG: Final = """\
exim_path = {program}
spool_directory = {base}/spool
log_file_path = {base}/%slog
primary_hostname = {host}
domainlist local_domains = {host}
daemon_smtp_ports = {port}
local_interfaces = 127.0.0.1
exim_user = mail
exim_group = mail
deliver_drop_privilege = true
never_users =
message_size_limit = 64M
hosts_treat_as_local =
dns_again_means_nonexist = *
host_lookup =
rfc1413_hosts =
chunking_advertise_hosts = *
dsn_advertise_hosts = *
smtp_accept_max_per_connection = 0
acl_smtp_rcpt = rcpt
acl_smtp_data = accept
acl_smtp_auth = accept
{tls}
begin acl
rcpt:
  deny message = no such user here
       local_parts = nobody
  accept domains = +local_domains
  deny message = relay not permitted
begin routers
local:
  driver = accept
  domains = +local_domains
  local_parts = carol
  transport = maildir
begin transports
maildir:
  driver = appendfile
  directory = {base}/mail/$local_part_data
  maildir_format
  create_directory
  user = mail
  group = mail
  delivery_date_add
  envelope_to_add
  return_path_add
begin retry
* * F,2h,15m
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${{if and {{{{eq{{$auth2}}{{carol}}}}{{eq{{$auth3}}{{secret}}}}}}}}
  server_set_id = $auth2
  server_advertise_condition = yes
"""
_TLS: Final = "tls_advertise_hosts = *\ntls_certificate = {base}/cert.pem\ntls_privatekey = {base}/key.pem\n"


class Exim:
    """Exim, in the foreground.

    :param authority: issues its certificate.
    :param tls: offer STARTTLS.
    """

    def __init__(self, authority: TestAuthority, *, tls: bool) -> None:
        program, wrapper = _unpacked(), _wrapper()
        require_root("Exim")
        self.port: Final = free_port()
        self._daemon = daemon = Daemon(authority)
        self.mailbox: Final = daemon.directory("mail", 0o777) / "carol"
        shutil.chown(daemon.base / "mail", "mail", "mail")
        shutil.chown(daemon.directory("spool", 0o750), "mail", "mail")
        shutil.chown(daemon.base, "mail", "mail")
        shutil.chown(daemon.key, "mail", "mail")
        passwd = Path("/etc/passwd").read_text() + f"{_ACCOUNT}:x:8:8::/:/bin/false\n"
        group = Path("/etc/group").read_text() + f"{_ACCOUNT}:x:8:\n"
        environment = {
            "LD_PRELOAD": wrapper,
            "NSS_WRAPPER_PASSWD": str(daemon.write("passwd", passwd)),
            "NSS_WRAPPER_GROUP": str(daemon.write("group", group)),
        }
        own = Path(shutil.copy(program, daemon.base / "exim4"))  # its accounts may not enter the cache
        extra = _TLS.format(base=daemon.base) if tls else "tls_advertise_hosts =\n"
        config = daemon.write(
            "exim.conf",
            "keep_environment = LD_PRELOAD : NSS_WRAPPER_PASSWD : NSS_WRAPPER_GROUP\n"
            + _CONFIG.format(base=daemon.base, program=own, host=HOST, port=self.port, tls=extra),
        )
        daemon.start(own, "-C", config, "-bdf", "-q1m", ports=(self.port,), env=environment)

    def arrived(self, token: str) -> Arrived:
        """Wait for Carol's message whose header has the token."""
        return until(lambda: find(self.mailbox, token), what=f"{token} arrives at {CAROL}", log=self.log)

    def log(self) -> str:
        """The end of its logs."""
        texts = [path.read_text(errors="replace") for path in self._daemon.base.glob("*log") if path.is_file()]
        return "\n".join("".join(texts).splitlines()[-40:])

    def close(self) -> None:
        """End it."""
        self._daemon.close()


def _unpacked() -> Path:
    """The program, from its package, which is fetched once."""
    if shutil.which("exim4"):
        return Path(require("exim4", PACKAGE))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gatepost-interop" / PACKAGE
    program = cache / "usr" / "sbin" / "exim4"
    if not program.exists():
        apt, dpkg = require("apt-get", "apt"), require("dpkg-deb", "dpkg")
        cache.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache.parent) as directory:
            done = run([apt, "download", PACKAGE], cwd=Path(directory), seconds=110)
            found = list(Path(directory).glob("*.deb"))
            if done.code != 0 or not found:
                missing(f"{PACKAGE} cannot be fetched: {done.said[-500:]}")
            unpacked = Path(directory) / "root"
            done = run([dpkg, "-x", found[0], unpacked])
            if done.code != 0:
                missing(f"{PACKAGE} cannot be unpacked: {done.said[-500:]}")
            shutil.move(unpacked, cache)
    return program


def _wrapper() -> str:
    """libnss-wrapper, under whichever machine's directory it lies."""
    found = next(Path("/usr/lib").glob("*/libnss_wrapper.so"), None)
    if found is None:
        missing("libnss_wrapper.so is not here: apt-get install libnss-wrapper")
    return str(found)
