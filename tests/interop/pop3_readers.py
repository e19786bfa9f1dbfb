"""Mail readers of Debian, each fetching a mailbox over POP3 as its user would have it do: from a server, or a gate."""

from __future__ import annotations

import contextlib
import poplib
import re
import ssl
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from tests.interop.letters import Letter, letter
from tests.interop.patience import PATIENCE
from tests.interop.programs import Done, require, run
from tests.interop.terminal import run_on_terminal

from gatepost.mailbox import deliver, unique_name

READER, WRITER, PASSWORD = "reader@example.test", "writer@example.test", "wonderland-1"
ROADS = {"pop3": False, "pop3s": True}
"""STLS, and TLS from the first octet."""
# fetchmail says how it fetched, getmail that it knows no sender. The messages here begin with another field.
_ADDED = re.compile(rb"\A(?:(?:Received|Return-Path):[^\n]*\n(?:[ \t][^\n]*\n)*)+")


class Place(Protocol):
    """Where mail is fetched: its ports, and the authority of its certificate, by the names of ``ROADS``."""

    @property
    def ports(self) -> Mapping[str, int]: ...
    @property
    def ca_file(self) -> Path: ...


def put_mail(box: Path) -> list[Letter]:
    for path in [*box.glob("new/*"), *box.glob("cur/*")]:
        path.unlink()
    letters = [letter(WRITER, READER), letter(WRITER, READER, attachment=300_000)]
    for place, each in enumerate(letters):
        path = deliver(box, [each.crlf], unique=unique_name(1000.0 + place, each.token, READER, "mx.example.test"))
        if not place:
            path.rename(box / "cur" / f"{path.name}:2,S")
    return letters


def in_maildir(directory: Path) -> list[bytes]:
    """What a client stored, the smallest first, without the lines that it put on top."""
    found = sorted((path.read_bytes() for path in directory.glob("new/*")), key=len)
    return [_ADDED.sub(b"", content.replace(b"\r\n", b"\n")) for content in found]


def fetched(mail: list[Letter], directory: Path) -> None:
    """Everything arrived, octet for octet."""
    assert in_maildir(directory) == [each.lf for each in mail]


def new_maildir(directory: Path) -> Path:
    for name in ("tmp", "new", "cur"):
        (directory / "fetched" / name).mkdir(parents=True)
    return directory / "fetched"


def new_mda(directory: Path) -> Path:
    """A program that stores what it is given: some clients store nothing themselves as root."""
    mda = directory / "mda"
    mda.write_text(f'#!/bin/sh\ncat > "{new_maildir(directory)}/new/$$"\n')
    mda.chmod(0o700)
    return mda


def curl(server: Place, listener: str, number: int, *, ca: Path | None = None, host: str = "localhost") -> Done:
    scheme = "pop3s" if ROADS[listener] else "pop3"
    url = f"{scheme}://{host}:{server.ports[listener]}/{number}"
    command: list[str | Path] = [require("curl", "curl"), "--silent", "--show-error", "--ssl-reqd"]
    return run([*command, "--cacert", ca or server.ca_file, "--user", f"{READER}:{PASSWORD}", url])


def fetchmail(
    server: Place, listener: str, directory: Path, *, ca: Path | None = None, host: str = "localhost"
) -> Done:
    mda = new_mda(directory)
    tls = "ssl" if ROADS[listener] else ""
    rc = directory / "fetchmailrc"
    rc.write_text(
        f"poll {host} protocol POP3 port {server.ports[listener]} uidl\n"
        f'  user "{READER}" password "{PASSWORD}" {tls} sslproto tls1.2+ sslcertck sslcertfile {ca or server.ca_file}\n'
        f'  fetchall keep no rewrite no mimedecode mda "{mda}"\n'
    )
    rc.chmod(0o600)
    command: list[str | Path] = [
        require("fetchmail", "fetchmail"),
        "-f",
        rc,
        "--pidfile",
        directory / "pid",
        "--nosyslog",
        "-v",
    ]
    return run(command, env={"HOME": str(directory), "FETCHMAILHOME": str(directory), "LC_ALL": "C"})


def mpop(
    server: Place,
    listener: str,
    directory: Path,
    *,
    ca: Path | None = None,
    host: str = "localhost",
    method: str = "user",
    keep: bool = True,
) -> Done:
    box = new_maildir(directory)
    starttls = "off" if ROADS[listener] else "on"
    command = [require("mpop", "mpop"), f"--host={host}", f"--port={server.ports[listener]}", "--tls=on"]
    command += [f"--tls-starttls={starttls}", f"--tls-trust-file={ca or server.ca_file}", f"--auth={method}"]
    command += [f"--user={READER}", f"--passwordeval=echo {PASSWORD}", f"--delivery=maildir,{box}"]
    command += ["--received-header=off", f"--keep={'on' if keep else 'off'}", f"--uidls-file={directory / 'uidls'}"]
    return run(command, env={"HOME": str(directory)})


def getmail(server: Place, directory: Path, *, ca: Path | None = None) -> Done:
    mda = new_mda(directory)
    (directory / "getmailrc").write_text(
        "[retriever]\ntype = SimplePOP3SSLRetriever\n"
        f"server = localhost\nport = {server.ports['pop3s']}\nusername = {READER}\npassword = {PASSWORD}\n"
        f"ca_certs = {ca or server.ca_file}\n"
        f"[destination]\ntype = MDA_external\npath = {mda}\nallow_root_commands = true\n"
        "[options]\ndelivered_to = false\nreceived = false\nread_all = true\ndelete = false\n"
    )
    command: list[str | Path] = [
        require("getmail", "getmail6"),
        "--getmaildir",
        directory,
        "--rcfile",
        directory / "getmailrc",
    ]
    return run(command, env={"HOME": str(directory)})


def mutt(command: list[str | Path], keys: str, directory: Path, *settings: str) -> Done:
    configuration = directory / "muttrc"
    lines = (
        f"folder={directory}",
        "mbox_type=Maildir confirmcreate=no confirmappend=no copy=no quit=yes move=no delete=yes",
        *settings,
    )  # without a folder it asks
    configuration.write_text("\n".join(f"set {line}" for line in lines) + f'\npush "{keys}"\n')
    words = [require("mutt", "mutt"), "-n", "-F", configuration, *command]
    return run_on_terminal(words, env={"HOME": str(directory)}, seconds=3 * PATIENCE)


def mutt_fetches(server: Place, listener: str, directory: Path, ca: Path) -> Done:
    url = f"{'pops' if ROADS[listener] else 'pop'}://{READER.replace('@', '%40')}@localhost:{server.ports[listener]}/"
    settings = (f'pop_pass="{PASSWORD}" pop_authenticators="user" pop_delete=no', f'certificate_file="{ca}"')
    tls = "ssl_starttls=yes ssl_force_tls=yes ssl_verify_host=yes header_cache="
    return mutt(["-f", url], f"<copy-message>{directory}/out<enter><exit>", directory, *settings, tls)


def log_on(server: Place, listener: str, *, ca: Path | None = None, host: str = "localhost") -> poplib.POP3:
    context = ssl.create_default_context(cafile=str(ca or server.ca_file))
    if ROADS[listener]:
        return poplib.POP3_SSL(host, server.ports[listener], timeout=PATIENCE, context=context)
    client = poplib.POP3(host, server.ports[listener], timeout=PATIENCE)
    try:
        client.stls(context)
    except BaseException:
        with contextlib.suppress(OSError):  # the failed handshake has closed it
            client.close()
        raise
    return client


def by_hand(server: Place, listener: str, name: str) -> bytes:
    """The first message, read with openssl s_client, typed by hand, with verification of chain and name."""
    command = [require("openssl", "openssl"), "s_client", "-connect", f"127.0.0.1:{server.ports[listener]}"]
    command += ["-CAfile", str(server.ca_file), "-verify_return_error", "-verify_hostname", name, "-quiet"]
    command += [] if ROADS[listener] else ["-starttls", "pop3"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        if ROADS[listener]:
            assert client.stdout.readline().startswith(b"+OK")
        for line in (f"USER {READER}", f"PASS {PASSWORD}"):
            client.stdin.write(line.encode() + b"\r\n")
            client.stdin.flush()
            assert client.stdout.readline().startswith(b"+OK")
        client.stdin.write(b"RETR 1\r\n")
        client.stdin.flush()
        assert client.stdout.readline().startswith(b"+OK")
        lines = iter(client.stdout.readline, b".\r\n")
        content = b"".join(line.removeprefix(b".") for line in lines)
        client.stdin.write(b"QUIT\r\n")
        client.stdin.flush()
        assert client.stdout.readline().startswith(b"+OK")
        client.stdin.close()
        client.wait(PATIENCE)
    return content
