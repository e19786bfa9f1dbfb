"""Mail readers of Debian fetch mail over POP3 with STLS and over implicit TLS, and check who they talk to."""

from __future__ import annotations

import contextlib
import os
import poplib
import re
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.interop.letters import Letter, letter
from tests.interop.patience import PATIENCE
from tests.interop.programs import Done, require, require_root, run
from tests.interop.running import Gatepost
from tests.interop.terminal import run_on_terminal

from gatepost.mailbox import deliver, unique_name
from gatepost.testing.ca import TestAuthority

pytestmark = pytest.mark.interop

READER, WRITER, PASSWORD = "reader@example.test", "writer@example.test", "wonderland-1"
ROADS = {"pop3": False, "pop3s": True}
_NOBODY = 65534
# fetchmail says how it fetched, getmail that it knows no sender. The messages here begin with another field.
_ADDED = re.compile(rb"\A(?:(?:Received|Return-Path):[^\n]*\n(?:[ \t][^\n]*\n)*)+")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, authority: TestAuthority) -> Iterator[Gatepost]:
    """A server for readers of mail. Its certificate names mx.example.test and localhost, not 127.0.0.1."""
    directory = tmp_path_factory.mktemp("server")
    running = Gatepost(directory, authority, users={READER: PASSWORD, WRITER: PASSWORD})
    certificate = authority.issue("mx.example.test", "localhost", common_name="mx.example.test")  # fetchmail wants one
    certificate.write(directory / "server.pem")
    with running:
        yield running


@pytest.fixture
def mail(server: Gatepost) -> list[Letter]:
    """Two messages in the reader's mailbox, one of them already seen by another program, and nothing else."""
    return put_mail(server.mailbox(READER))


@pytest.fixture(params=ROADS)
def listener(request: pytest.FixtureRequest) -> str:
    """STLS, and TLS from the first octet."""
    return str(request.param)


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


# curl


def _curl(server: Gatepost, listener: str, number: int, *, ca: Path | None = None, host: str = "localhost") -> Done:
    scheme = "pop3s" if ROADS[listener] else "pop3"
    url = f"{scheme}://{host}:{server.ports[listener]}/{number}"
    command: list[str | Path] = [require("curl", "curl"), "--silent", "--show-error", "--ssl-reqd"]
    return run([*command, "--cacert", ca or server.ca_file, "--user", f"{READER}:{PASSWORD}", url])


def test_curl_fetches_over_verified_tls(server: Gatepost, mail: list[Letter], listener: str) -> None:
    """Octet for octet, with CRLF line ends."""
    for number, each in enumerate(mail, 1):
        done = _curl(server, listener, number)
        assert done.code == 0, done.said
        assert done.out == each.crlf


def test_curl_refuses_a_wrong_authority_and_a_wrong_name(
    server: Gatepost, mail: list[Letter], listener: str, wrong_ca: Path
) -> None:
    """No password is sent."""
    assert _curl(server, listener, 1, ca=wrong_ca).code == 60
    assert _curl(server, listener, 1, host="127.0.0.1").code == 60


# fetchmail


def _fetchmail(
    server: Gatepost, listener: str, directory: Path, *, ca: Path | None = None, host: str = "localhost"
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


def test_fetchmail_fetches_over_verified_tls(
    server: Gatepost, mail: list[Letter], listener: str, tmp_path: Path
) -> None:
    """With UIDL, keeping what is on the server."""
    done = _fetchmail(server, listener, tmp_path)
    assert done.code == 0, done.said
    fetched(mail, tmp_path / "fetched")


def test_fetchmail_refuses_a_wrong_authority_and_a_wrong_name(
    server: Gatepost, mail: list[Letter], listener: str, tmp_path: Path, wrong_ca: Path
) -> None:
    """Nothing is fetched."""
    for name, ca, host in (("ca", wrong_ca, "localhost"), ("name", server.ca_file, "127.0.0.1")):
        (tmp_path / name).mkdir()
        done = _fetchmail(server, listener, tmp_path / name, ca=ca, host=host)
        assert done.code not in (0, 1), done.said
        assert in_maildir(tmp_path / name / "fetched") == []


# mpop


def _mpop(
    server: Gatepost,
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


@pytest.mark.parametrize("method", ["user", "plain", "scram-sha-256"])
def test_mpop_fetches_over_verified_tls(
    server: Gatepost, mail: list[Letter], listener: str, tmp_path: Path, method: str
) -> None:
    """With its own login, with PLAIN and with SCRAM; then nothing is new, by the unique ids."""
    done = _mpop(server, listener, tmp_path, method=method)
    assert done.code == 0, done.said
    fetched(mail, tmp_path / "fetched")
    for path in (tmp_path / "fetched" / "new").iterdir():
        path.unlink()
    shutil.rmtree(tmp_path / "fetched")
    assert _mpop(server, listener, tmp_path, method=method).code == 0
    assert in_maildir(tmp_path / "fetched") == []


def test_mpop_deletes_what_it_fetched(server: Gatepost, mail: list[Letter], tmp_path: Path) -> None:
    """DELE and QUIT: the mailbox is empty afterwards."""
    done = _mpop(server, "pop3", tmp_path, keep=False)
    assert done.code == 0, done.said
    fetched(mail, tmp_path / "fetched")
    box = server.mailbox(READER)
    assert [*box.glob("new/*"), *box.glob("cur/*")] == []


def test_mpop_refuses_a_wrong_authority_and_a_wrong_name(
    server: Gatepost, mail: list[Letter], listener: str, tmp_path: Path, wrong_ca: Path
) -> None:
    """Nothing is fetched."""
    (tmp_path / "ca").mkdir()
    (tmp_path / "name").mkdir()
    assert _mpop(server, listener, tmp_path / "ca", ca=wrong_ca).code != 0
    assert _mpop(server, listener, tmp_path / "name", host="127.0.0.1").code != 0
    assert in_maildir(tmp_path / "ca" / "fetched") == in_maildir(tmp_path / "name" / "fetched") == []


# getmail6, which has no STLS


def _getmail(server: Gatepost, directory: Path, *, ca: Path | None = None) -> Done:
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


def test_getmail_fetches_over_verified_tls(server: Gatepost, mail: list[Letter], tmp_path: Path) -> None:
    """TLS from the first octet."""
    done = _getmail(server, tmp_path)
    assert done.code == 0, done.said
    fetched(mail, tmp_path / "fetched")


def test_getmail_refuses_a_wrong_authority(
    server: Gatepost, mail: list[Letter], tmp_path: Path, wrong_ca: Path
) -> None:
    """Nothing is fetched."""
    _getmail(server, tmp_path, ca=wrong_ca)  # its exit code does not say
    assert in_maildir(tmp_path / "fetched") == []


# mutt


def _mutt(command: list[str | Path], keys: str, directory: Path, *settings: str) -> Done:
    configuration = directory / "muttrc"
    lines = (
        f"folder={directory}",
        "mbox_type=Maildir confirmcreate=no confirmappend=no copy=no quit=yes move=no delete=yes",
        *settings,
    )  # without a folder it asks
    configuration.write_text("\n".join(f"set {line}" for line in lines) + f'\npush "{keys}"\n')
    words = [require("mutt", "mutt"), "-n", "-F", configuration, *command]
    return run_on_terminal(words, env={"HOME": str(directory)}, seconds=3 * PATIENCE)


def _mutt_fetches(server: Gatepost, listener: str, directory: Path, ca: Path) -> Done:
    url = f"{'pops' if ROADS[listener] else 'pop'}://{READER.replace('@', '%40')}@localhost:{server.ports[listener]}/"
    settings = (f'pop_pass="{PASSWORD}" pop_authenticators="user" pop_delete=no', f'certificate_file="{ca}"')
    tls = "ssl_starttls=yes ssl_force_tls=yes ssl_verify_host=yes header_cache="
    return _mutt(["-f", url], f"<copy-message>{directory}/out<enter><exit>", directory, *settings, tls)


def test_mutt_fetches_over_verified_tls(server: Gatepost, mail: list[Letter], listener: str, tmp_path: Path) -> None:
    """It opens the mailbox over POP3 and copies the first message; only its own status lines are added."""
    done = _mutt_fetches(server, listener, tmp_path, server.ca_file)
    (copied,) = [path.read_bytes() for path in [*tmp_path.glob("out/new/*"), *tmp_path.glob("out/cur/*")]]
    header, _, body = copied.partition(b"\n\n")
    assert f"Subject: {mail[0].token}".encode() in header, done.said
    assert body == mail[0].lf.partition(b"\n\n")[2]


# poplib and openssl s_client


def _poplib(server: Gatepost, listener: str, *, ca: Path | None = None, host: str = "localhost") -> poplib.POP3:
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


def test_poplib_fetches_over_verified_tls(server: Gatepost, mail: list[Letter], listener: str) -> None:
    """All the commands that it has."""
    client = _poplib(server, listener)
    client.utf8()
    client.user(READER)
    client.pass_(PASSWORD)
    count, octets = client.stat()
    assert (count, octets) == (2, sum(len(each.crlf) for each in mail))
    for number, each in enumerate(mail, 1):
        assert b"\r\n".join(client.retr(number)[1]) + b"\r\n" == each.crlf
        assert client.list(number) == b"+OK %d %d" % (number, len(each.crlf))  # type: ignore[comparison-overlap]
    assert len(client.uidl()[1]) == 2
    assert b"\r\n".join(client.top(1, 0)[1]).startswith(b"From: ")
    client.dele(1)
    client.rset()
    client.noop()
    client.quit()


def test_poplib_refuses_a_wrong_authority_and_a_wrong_name(server: Gatepost, listener: str, wrong_ca: Path) -> None:
    """The certificate is really looked at."""
    with pytest.raises(ssl.SSLCertVerificationError):
        _poplib(server, listener, ca=wrong_ca)
    with pytest.raises(ssl.SSLCertVerificationError):
        _poplib(server, listener, host="127.0.0.1")


def test_person_with_openssl_reads_a_message(server: Gatepost, mail: list[Letter], listener: str) -> None:
    """openssl s_client, typed by hand, with verification of chain and name."""
    command = [require("openssl", "openssl"), "s_client", "-connect", f"127.0.0.1:{server.ports[listener]}"]
    command += ["-CAfile", str(server.ca_file), "-verify_return_error", "-verify_hostname", "mx.example.test", "-quiet"]
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
        assert content == mail[0].crlf
        client.stdin.write(b"QUIT\r\n")
        client.stdin.flush()
        assert client.stdout.readline().startswith(b"+OK")
        client.stdin.close()
        client.wait(PATIENCE)


# From one end to the other, and beside other programs


def test_message_sent_with_swaks_is_fetched_as_it_was_sent(server: Gatepost, tmp_path: Path, listener: str) -> None:
    """Submission with a login, delivery, POP3: behind the lines that delivery puts on top, octet for octet."""
    for path in [*server.mailbox(READER).glob("new/*"), *server.mailbox(READER).glob("cur/*")]:
        path.unlink()
    sent = letter(WRITER, READER)
    file = sent.write(tmp_path)
    with file.open("ab") as stream:
        stream.write(b".\n")  # swaks takes a dot on the last line for the end, and adds one only where there is none
    command: list[str | Path] = [require("swaks", "swaks"), "--server", "localhost", "--tls", "--tls-verify"]
    command += ["--port", str(server.ports["submission"]), "--tls-ca-path", server.ca_file, "--no-strip-from"]
    command += ["--from", WRITER, "--to", READER, "--data", f"@{file}"]
    command += ["--auth", "PLAIN", "--auth-user", WRITER, "--auth-password", PASSWORD]
    done = run(command)
    assert done.code == 0, done.said
    arrived = server.arrived(READER, sent.token)
    done = _curl(server, listener, 1)
    assert done.code == 0, done.said
    assert done.out.endswith(sent.crlf)
    trace = done.out[: -len(sent.crlf)]
    assert trace.startswith(b"Return-Path: ")
    assert trace.count(b"\r\nReceived: ") == 1
    assert done.out.replace(b"\r\n", b"\n") == arrived.content


def test_user_list_shows_size_and_last_login(server: Gatepost, mail: list[Letter]) -> None:
    """What an operator asks first."""
    assert _curl(server, "pop3s", 1).code == 0
    (reader,) = [user for user in server.ask("user", "list") if user["address"] == READER]
    assert (reader["messages"], reader["bytes"]) == (2, sum(len(each.lf) for each in mail))
    assert reader["last_login"] is not None
    counters = server.ask("status")["counters"]
    assert counters["pop3_sessions_total{listener=pop3s,tls=implicit}"] > 0
    assert counters["pop3_messages_retrieved_total{listener=pop3s}"] > 0


def _unique_ids(server: Gatepost) -> list[bytes]:
    client = _poplib(server, "pop3s")
    client.user(READER)
    client.pass_(PASSWORD)
    ids = [line.split()[1] for line in client.uidl()[1]]
    client.quit()
    return ids


def test_dovecot_and_mutt_read_the_maildir_and_the_ids_stay(authority: TestAuthority) -> None:
    """Both open it, Dovecot and mutt change flags, and what clients have seen is still known to them."""
    require("doveadm", "dovecot-core")
    require("mutt", "mutt")
    require_root("Dovecot as another user")
    with tempfile.TemporaryDirectory() as name:  # Dovecot refuses root, and others may not enter pytest's directories
        directory = Path(name)
        with Gatepost(directory, authority, users={READER: PASSWORD}) as server:
            box = server.mailbox(READER)
            mail = put_mail(box)
            before = _unique_ids(server)
            for each in mail:
                assert each.token.encode() in _doveadm(server, box, "fetch", "text", "ALL").out
            assert _doveadm(server, box, "flags", "add", "\\Flagged \\Seen", "ALL").code == 0
            assert all("F" in path.name.rpartition(":2,")[2] for path in box.glob("*/1*"))
            assert _unique_ids(server) == before
            keys = f"<copy-message>{directory}/copied<enter><clear-flag>!<sync-mailbox><exit>"
            done = _mutt(["-f", box], keys, directory)
            assert [*directory.glob("copied/*/*")], done.said
            assert len([path for path in box.glob("*/1*") if "F" in path.name.rpartition(":2,")[2]]) == 1, done.said
            assert _unique_ids(server) == before
            client = _poplib(server, "pop3")
            client.user(READER)
            client.pass_(PASSWORD)
            assert b"\r\n".join(client.retr(1)[1]) + b"\r\n" == mail[0].crlf
            client.quit()


def _doveadm(server: Gatepost, box: Path, *arguments: str) -> Done:
    """Run Dovecot's own tool on a mailbox, as nobody; the mailbox is ours again afterwards."""
    directory = server.directory
    (directory / "dovecot.conf").write_text(f"""
base_dir = {directory}/dovecot
log_path = /dev/stderr
mail_location = maildir:{box}
ssl = no
first_valid_uid = 1
first_valid_gid = 1
userdb {{
  driver = static
  args = uid={_NOBODY} gid={_NOBODY} home={directory}
}}
""")
    above = [path for path in box.parents if path == directory or directory in path.parents]
    modes = {path: path.stat().st_mode for path in above}
    tree = [box, *box.rglob("*")]
    try:
        for path in above:
            path.chmod(0o755)
        for path in tree:
            os.chown(path, _NOBODY, _NOBODY)
        nobody = ["setpriv", "--reuid", str(_NOBODY), "--regid", str(_NOBODY), "--clear-groups"]
        command = [*nobody, require("doveadm", "dovecot-core"), "-c", str(directory / "dovecot.conf"), *arguments]
        return run(command, env={"USER": "nobody", "HOME": str(directory)})
    finally:
        for path, mode in modes.items():
            path.chmod(mode)
        for path in [box, *box.rglob("*")]:
            os.chown(path, os.getuid(), os.getgid())
