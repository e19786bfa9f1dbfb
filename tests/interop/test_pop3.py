"""Mail readers of Debian fetch mail over POP3 with STLS and over implicit TLS, and check who they talk to."""

from __future__ import annotations

import os
import shutil
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.interop.letters import Letter, letter
from tests.interop.pop3_readers import (
    PASSWORD,
    READER,
    ROADS,
    WRITER,
    by_hand,
    curl,
    fetched,
    fetchmail,
    getmail,
    in_maildir,
    log_on,
    mpop,
    mutt,
    mutt_fetches,
    put_mail,
)
from tests.interop.programs import Done, require, require_root, run
from tests.interop.running import Gatepost

from gatepost.testing.ca import TestAuthority

pytestmark = pytest.mark.interop

_NOBODY = 65534


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


# curl


def test_curl_fetches_over_verified_tls(server: Gatepost, mail: list[Letter], listener: str) -> None:
    """Octet for octet, with CRLF line ends."""
    for number, each in enumerate(mail, 1):
        done = curl(server, listener, number)
        assert done.code == 0, done.said
        assert done.out == each.crlf


def test_curl_refuses_a_wrong_authority_and_a_wrong_name(
    server: Gatepost, mail: list[Letter], listener: str, wrong_ca: Path
) -> None:
    """No password is sent."""
    assert curl(server, listener, 1, ca=wrong_ca).code == 60
    assert curl(server, listener, 1, host="127.0.0.1").code == 60


# fetchmail


def test_fetchmail_fetches_over_verified_tls(
    server: Gatepost, mail: list[Letter], listener: str, tmp_path: Path
) -> None:
    """With UIDL, keeping what is on the server."""
    done = fetchmail(server, listener, tmp_path)
    assert done.code == 0, done.said
    fetched(mail, tmp_path / "fetched")


def test_fetchmail_refuses_a_wrong_authority_and_a_wrong_name(
    server: Gatepost, mail: list[Letter], listener: str, tmp_path: Path, wrong_ca: Path
) -> None:
    """Nothing is fetched."""
    for name, ca, host in (("ca", wrong_ca, "localhost"), ("name", server.ca_file, "127.0.0.1")):
        (tmp_path / name).mkdir()
        done = fetchmail(server, listener, tmp_path / name, ca=ca, host=host)
        assert done.code not in (0, 1), done.said
        assert in_maildir(tmp_path / name / "fetched") == []


# mpop


@pytest.mark.parametrize("method", ["user", "plain", "scram-sha-256"])
def test_mpop_fetches_over_verified_tls(
    server: Gatepost, mail: list[Letter], listener: str, tmp_path: Path, method: str
) -> None:
    """With its own login, with PLAIN and with SCRAM; then nothing is new, by the unique ids."""
    done = mpop(server, listener, tmp_path, method=method)
    assert done.code == 0, done.said
    fetched(mail, tmp_path / "fetched")
    for path in (tmp_path / "fetched" / "new").iterdir():
        path.unlink()
    shutil.rmtree(tmp_path / "fetched")
    assert mpop(server, listener, tmp_path, method=method).code == 0
    assert in_maildir(tmp_path / "fetched") == []


def test_mpop_deletes_what_it_fetched(server: Gatepost, mail: list[Letter], tmp_path: Path) -> None:
    """DELE and QUIT: the mailbox is empty afterwards."""
    done = mpop(server, "pop3", tmp_path, keep=False)
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
    assert mpop(server, listener, tmp_path / "ca", ca=wrong_ca).code != 0
    assert mpop(server, listener, tmp_path / "name", host="127.0.0.1").code != 0
    assert in_maildir(tmp_path / "ca" / "fetched") == in_maildir(tmp_path / "name" / "fetched") == []


# getmail6, which has no STLS


def test_getmail_fetches_over_verified_tls(server: Gatepost, mail: list[Letter], tmp_path: Path) -> None:
    """TLS from the first octet."""
    done = getmail(server, tmp_path)
    assert done.code == 0, done.said
    fetched(mail, tmp_path / "fetched")


def test_getmail_refuses_a_wrong_authority(
    server: Gatepost, mail: list[Letter], tmp_path: Path, wrong_ca: Path
) -> None:
    """Nothing is fetched."""
    getmail(server, tmp_path, ca=wrong_ca)  # its exit code does not say
    assert in_maildir(tmp_path / "fetched") == []


# mutt


def test_mutt_fetches_over_verified_tls(server: Gatepost, mail: list[Letter], listener: str, tmp_path: Path) -> None:
    """It opens the mailbox over POP3 and copies the first message; only its own status lines are added."""
    done = mutt_fetches(server, listener, tmp_path, server.ca_file)
    (copied,) = [path.read_bytes() for path in [*tmp_path.glob("out/new/*"), *tmp_path.glob("out/cur/*")]]
    header, _, body = copied.partition(b"\n\n")
    assert f"Subject: {mail[0].token}".encode() in header, done.said
    assert body == mail[0].lf.partition(b"\n\n")[2]


# poplib and openssl s_client


def test_poplib_fetches_over_verified_tls(server: Gatepost, mail: list[Letter], listener: str) -> None:
    """All the commands that it has."""
    client = log_on(server, listener)
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
        log_on(server, listener, ca=wrong_ca)
    with pytest.raises(ssl.SSLCertVerificationError):
        log_on(server, listener, host="127.0.0.1")


def test_person_with_openssl_reads_a_message(server: Gatepost, mail: list[Letter], listener: str) -> None:
    """openssl s_client, typed by hand, with verification of chain and name."""
    assert by_hand(server, listener, "mx.example.test") == mail[0].crlf


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
    done = curl(server, listener, 1)
    assert done.code == 0, done.said
    assert done.out.endswith(sent.crlf)
    trace = done.out[: -len(sent.crlf)]
    assert trace.startswith(b"Return-Path: ")
    assert trace.count(b"\r\nReceived: ") == 1
    assert done.out.replace(b"\r\n", b"\n") == arrived.content


def test_user_list_shows_size_and_last_login(server: Gatepost, mail: list[Letter]) -> None:
    """What an operator asks first."""
    assert curl(server, "pop3s", 1).code == 0
    (reader,) = [user for user in server.ask("user", "list") if user["address"] == READER]
    assert (reader["messages"], reader["bytes"]) == (2, sum(len(each.lf) for each in mail))
    assert reader["last_login"] is not None
    counters = server.ask("status")["counters"]
    assert counters["pop3_sessions_total{listener=pop3s,tls=implicit}"] > 0
    assert counters["pop3_messages_retrieved_total{listener=pop3s}"] > 0


def _unique_ids(server: Gatepost) -> list[bytes]:
    client = log_on(server, "pop3s")
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
            done = mutt(["-f", box], keys, directory)
            assert [*directory.glob("copied/*/*")], done.said
            assert len([path for path in box.glob("*/1*") if "F" in path.name.rpartition(":2,")[2]]) == 1, done.said
            assert _unique_ids(server) == before
            client = log_on(server, "pop3")
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
