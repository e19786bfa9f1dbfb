"""The first start: a data directory, a certificate, a postmaster who can log in. Each is made once and then left alone.

SECURITY: the data directory is made with mode 0700 and given to the workers' account; so is what the accounts child
writes, since it gives up root first. A run directory of its own is made with mode 0755: every program of the machine
may reach the local socket in it. The certificate's key is made with mode 0600 and stays the supervisor's. The password
is printed on a terminal or in a log of one's own, once; into the journal, which others may read, it is not.
"""

from __future__ import annotations

import os
import secrets
import shlex
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

from gatepost._version import __version__
from gatepost.certs.configured import needs_self_signed
from gatepost.config.invocation import command, program
from gatepost.config.schema import Config, Gate
from gatepost.errors import ConfigError, GatepostError
from gatepost.net.listen import show
from gatepost.observe import logs
from gatepost.observe.shared import BoundListener
from gatepost.serve import privileges
from gatepost.serve.behind import heading, manner, to_try
from gatepost.serve.bindings import shown
from gatepost.serve.post import run_apart
from gatepost.serve.selfsigned import SELF_SIGNED

# Easy to read aloud and to type: no 0/o, 1/l/i.
_ALPHABET: Final = "abcdefghjkmnpqrstuvwxyz23456789"
_GROUPS: Final = 5
_GROUP_LENGTH: Final = 4


@final
@dataclass(frozen=True, slots=True)
class FirstStart:
    """What was made.

    :param certificate: whether the self-signed certificate was.
    :param login: the postmaster's address when its account was made, else empty.
    :param password: its password when it may be shown, else empty.
    """

    certificate: bool = False
    login: str = ""
    password: str = ""


def make_directories(config: Config, account: privileges.Account) -> None:
    """Make the data and run directories where they are missing, and refuse those that others may write.

    :raises ConfigError: when one cannot be made or cannot be used.
    """
    wanted = [("data", config.data, 0o700)]
    if config.runtime != config.data:
        wanted.append(("run_directory", config.runtime, 0o755))
    for key, path, mode in wanted:
        try:
            if not path.is_dir():
                before = os.umask(0o022)
                try:
                    path.mkdir(mode=mode, parents=True, exist_ok=True)
                finally:
                    os.umask(before)
                privileges.give(path, account)
            status = path.stat()
        except OSError as error:
            hint = "choose another: gatepost serve --data DIRECTORY" if key == "data" else "choose another directory"
            raise ConfigError(f"{key}: {path}: {error.strerror}", hint=hint) from error
        if stat.S_IMODE(status.st_mode) & 0o022 and not stat.S_IMODE(status.st_mode) & stat.S_ISVTX:
            raise ConfigError(f"{key}: {path}: other accounts may write there", hint=f"chmod go-w {path}")
        if key == "data" and os.geteuid() not in (0, status.st_uid):
            raise ConfigError(f"{key}: {path} belongs to another account", hint="start as its owner, or as root")


def first_start(config: Config, account: privileges.Account) -> FirstStart:
    """Make what a server needs and this one does not have yet. Call it under the lock of the data directory.

    :raises GatepostError: when something cannot be made.
    """
    made_certificate = _make_certificate(config)
    if config.gates_only or (config.data / "accounts.db").exists():
        return FirstStart(made_certificate)
    login = f"postmaster@{config.domains[0]}"
    password = "-".join("".join(secrets.choice(_ALPHABET) for _ in range(_GROUP_LENGTH)) for _ in range(_GROUPS))
    _make_postmaster(config, account, login, password)
    return FirstStart(made_certificate, login, "" if _goes_to_journal(1) else password)


def _make_certificate(config: Config) -> bool:
    path = config.data / SELF_SIGNED
    if not needs_self_signed(config) or path.exists():
        return False
    from gatepost.certs.selfsigned import write_self_signed

    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        write_self_signed(path, config.hostname, at=time.time())
    except OSError as error:
        raise ConfigError(f"cannot make {path}: {error.strerror}") from error
    logs.event("certificate.made", "notice", path=path, name=config.hostname, self_signed=True)
    return True


def _make_postmaster(config: Config, account: privileges.Account, login: str, password: str) -> None:
    """In a child of its own: the supervisor opens no database."""
    if run_apart(lambda: _write_postmaster(config, account, login, password)):
        raise GatepostError(
            f"cannot make the account {login}",
            hint=f"see the lines above; {config.data} must be writable for {account.name}",
        )


def _write_postmaster(config: Config, account: privileges.Account, login: str, password: str) -> int:
    from gatepost.accounts.users import Users
    from gatepost.store.sqlite.accounts import FILE_NAME, SQLiteAccountStore
    from gatepost.wire.sasl.secret import Secret

    os.umask(0o077)
    privileges.drop(account)
    store = SQLiteAccountStore(config.data / FILE_NAME)
    try:
        Users(store, config.domains).add(login, Secret(password))
    except GatepostError as error:
        logs.event("account.not-made", "error", login=login, reason=error.message, hint=error.hint or None)
        return 1
    finally:
        store.close()
    return 0


def _goes_to_journal(descriptor: int) -> bool:
    try:
        device, inode = os.environ.get("JOURNAL_STREAM", "").split(":")
        status = os.fstat(descriptor)
        return (int(device), int(inode)) == (status.st_dev, status.st_ino)
    except (ValueError, OSError):
        return False


def welcome(config: Config, made: FirstStart, listeners: Sequence[BoundListener]) -> str:
    """What a person who started the server wants to know: where it listens, how to log in, what to try next."""
    does = heading(config) if config.gates_only else f"serves {', '.join(config.domains)} as {config.hostname}"
    lines = [f"gatepost {__version__} {does}"]
    for listener in listeners:
        addresses = " ".join(shown(sock) for sock in listener.sockets)
        lines.append(f"  {listener.name:<12} {addresses}  ({_manner(listener, config)})")
    lines += [f"  data         {config.data}", f"  settings     {config.source or 'built-in defaults, no file'}"]
    if made.certificate:
        lines += [
            "",
            f"A self-signed certificate was made for {config.hostname}: {config.data / SELF_SIGNED}",
            "Clients trust it only when they are given that file. For the world, set tls.certificate.",
        ]
    if made.login:
        lines += ["", *_login(config, made)]
    if made.password or made.certificate or config.gates_only:
        lines += _next(config, made, listeners)
    return "\n".join(lines) + "\n"


def _manner(listener: BoundListener, config: Config) -> str:
    settings = listener.settings
    if isinstance(settings, Gate):
        return manner(settings, config)
    if listener.name == "local":
        return "sendmail, for programs of this machine"
    if settings.protocol not in ("smtp", "submission", "lmtp", "pop3"):
        return "http"
    if settings.tls == "implicit":
        return f"{settings.protocol}, TLS from the start"
    upgrade = "STLS" if settings.protocol == "pop3" else "STARTTLS"
    return {"offer": f"{settings.protocol}, {upgrade}", "require": f"{settings.protocol}, {upgrade} required"}.get(
        settings.starttls, f"{settings.protocol}, no TLS"
    )


def _login(config: Config, made: FirstStart) -> list[str]:
    passwd = command(config, "user", "passwd", made.login)
    if not made.password:
        return [f"The account {made.login} was made. Give it a password: {passwd}"]
    return [
        f"Login:     {made.login}",
        f"Password:  {made.password}",
        f"It is shown this once. Set another one with: {passwd}",
    ]


def _next(config: Config, made: FirstStart, listeners: Sequence[BoundListener]) -> list[str]:
    """Commands that work as they stand, for the listeners there are."""
    login = made.login or f"postmaster@{config.domains[0]}"
    mx = _endpoint(listeners, "smtp", "starttls")
    submission = _endpoint(listeners, "submission", "starttls")
    pop3 = _endpoint(listeners, "pop3", "starttls")
    certificate, own = config.data / SELF_SIGNED, needs_self_signed(config)
    lines = ["", "Next, in another terminal:"]
    if submission:
        trust = f" --server-name {config.hostname}" + (f" --ca-file {shlex.quote(str(certificate))}" if own else "")
        people = f"--user {login} --from {login} --to {login}"
        send = f"{shlex.quote(program())} send --server {submission}{trust} {people} --subject Hello"
        lines.append(f"  echo Hello | {send}")
        lines.append(f"  swaks --server {submission} --tls --auth-user {login} --from {login} --to {login}")
    if pop3:
        trust = f" --cacert {shlex.quote(str(certificate))}" if own else ""
        there = f"--resolve {config.hostname}:{pop3.rpartition(':')[2]}:{pop3.rpartition(':')[0]}"
        lines.append(
            f"  curl --ssl-reqd{trust} {there} --user {login} pop3://{config.hostname}:{pop3.rpartition(':')[2]}/"
        )
    if mx:
        trust = f" -CAfile {shlex.quote(str(certificate))}" if own else ""
        lines.append(f"  openssl s_client -starttls smtp -connect {mx} -verify_hostname {config.hostname}{trust}")
    lines += to_try(config, listeners)
    lines.append(f"  {command(config, 'status')}")
    return lines


def _endpoint(listeners: Sequence[BoundListener], protocol: str, tls: str) -> str:
    for listener in listeners:
        if listener.settings.trade == protocol and listener.settings.tls == tls:
            for sock in listener.sockets:
                host, port = sock.getsockname()[:2]
                host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
                return show((host, port))
    return ""
