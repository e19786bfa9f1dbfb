"""Gates in front of Dovecot: what mail programs do without a gate they do through it."""

from __future__ import annotations

import imaplib
import json
import os
import random
import re
import shutil
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.interop.gates import Gates
from tests.interop.imap_roads import PASSWORD, ROADS, Hand, Road, append, by_hand, somebody, stored, write
from tests.interop.letters import MEGABYTE, letter
from tests.interop.programs import Done, missing, require, run
from tests.interop.started import Running

from gatepost.testing.ca import TestAuthority

pytestmark = pytest.mark.interop
_MAIL = letter("friend@elsewhere.example", "bob@example.test")
_TWO = (ROADS[0], ROADS[3])  # STARTTLS to a server in the clear, implicit TLS to one with STARTTLS
_IMAPFLOW = "1.0.164"


@pytest.fixture(scope="module")
def gates(tmp_path_factory: pytest.TempPathFactory, authority: TestAuthority) -> Iterator[Gates]:
    """A gate for each road, one that denies TLS, and one that passes it on."""
    directory, servers = tmp_path_factory.mktemp("gates"), Running(authority, pytest.fail)
    try:
        name, clear = servers.port("dovecot", "imap")
        _, private = servers.port("dovecot", "imaps")
        backends = [
            {
                "name": tls,
                "servers": f"127.0.0.1:{private if tls == 'implicit' else clear}",
                "tls": tls,
                **({} if tls == "none" else {"ca": "ca.pem", "names": name}),
            }
            for tls in ("none", "starttls", "implicit")
        ]
        fronts = [
            {
                "name": road.gate,
                "protocol": "imap",
                "backend": road.backend,
                "tls": "implicit" if road.implicit else "starttls",
            }
            for road in ROADS
        ]
        others = [{"name": mode, "protocol": "imap", "backend": "none", "mode": mode} for mode in ("pass", "refuse")]
        running = Gates(directory, authority, backends=backends, gates=[*fronts, *others])
        certificate = authority.issue("gate.example.test", "localhost", common_name="localhost")  # fetchmail wants one
        certificate.write(directory / "server.pem")
        with running:
            yield running
    finally:
        servers.close()


@pytest.fixture(params=ROADS, ids=lambda road: road.gate)
def road(request: pytest.FixtureRequest) -> Road:
    """Every way in."""
    found: Road = request.param
    return found


@pytest.fixture(params=_TWO, ids=lambda road: road.gate)
def some_road(request: pytest.FixtureRequest) -> Road:
    """Two ways in."""
    found: Road = request.param
    return found


# by hand


def test_20_megabytes_go_both_ways_unharmed(gates: Gates, road: Road) -> None:
    """A message of 20 MB in one line, all octets but CR, LF and NUL, is stored and fetched octet for octet."""
    user = somebody()
    content = b"Subject: large\r\n\r\n" + random.Random(user).randbytes(20 * MEGABYTE).translate(None, b"\0\r\n")
    with by_hand(gates, road, user) as hand:
        append(hand, content)
        hand.command(b"LOGOUT")
    assert stored(gates, user) == [content]


def test_idle_hears_of_new_mail(gates: Gates, road: Road) -> None:
    """Who idles through the gate is told when a message arrives, and ends it with DONE."""
    user = somebody()
    with by_hand(gates, road, user) as reader, by_hand(gates, road, user) as writer:
        reader.command(b"SELECT INBOX")
        reader.send(b"i IDLE\r\n")
        reader.until(b"+ ")
        append(writer, _MAIL.crlf)
        assert reader.until(b"* 1 EXISTS")
        reader.send(b"DONE\r\ni2 NOOP\r\n")
        assert reader.until(b"i ")[-1].startswith(b"i OK")
        assert reader.until(b"i2 ")[-1].startswith(b"i2 OK")


def test_pipelined_commands_and_literals_that_do_not_wait(gates: Gates, some_road: Road) -> None:
    """A whole session in one segment, with LITERAL+, is answered in order."""
    user = somebody()
    with by_hand(gates, some_road, user) as hand:
        text = b"Subject: a\r\n\r\nc9 LOGOUT\r\n"
        hand.send(
            b"a APPEND INBOX {%d+}\r\n%b\r\nb SELECT {5+}\r\nINBOX\r\nc FETCH 1 (FLAGS BODY[] ENVELOPE)\r\nd NOOP\r\n"
            % (len(text), text)
        )
        for tag in (b"a ", b"b ", b"c ", b"d "):
            assert hand.until(tag)[-1].startswith(tag + b"OK")


def test_binary_catenate_and_notify_pass(gates: Gates, some_road: Road) -> None:
    """Extensions of Dovecot that a gate knows nothing of: literal8 with NUL, CATENATE, NOTIFY, CONDSTORE."""
    user = somebody()
    with by_hand(gates, some_road, user) as hand:
        part = b"Content-Transfer-Encoding: binary\r\n\r\na\0b\xff\r\n"
        hand.send(b"a APPEND INBOX ~{%d+}\r\n%b\r\n" % (len(part), part))
        assert hand.until(b"a ")[-1].startswith(b"a OK")
        hand.send(b"b APPEND INBOX CATENATE (TEXT {9+}\r\nX: y\r\n\r\na TEXT {1+}\r\nb)\r\n")
        assert hand.until(b"b ")[-1].startswith(b"b OK")
        hand.command(b"ENABLE CONDSTORE")
        hand.command(b"NOTIFY SET STATUS (personal (MessageNew MessageExpunge))")
        lines = hand.command(b"SELECT INBOX (CONDSTORE)")
        assert any(b"* 2 EXISTS" in line for line in lines)


def test_capabilities_are_the_servers(gates: Gates, road: Road) -> None:
    """After the login the list is Dovecot's, but for compression; before TLS it offers no login."""
    with by_hand(gates, road, somebody()) as hand:
        (line, *_) = hand.command(b"CAPABILITY")
        words = line.split()[2:]
        assert {b"IMAP4rev1", b"IDLE", b"NOTIFY", b"CATENATE", b"LITERAL+"} <= set(words)
        assert not any(word.startswith((b"STARTTLS", b"COMPRESS", b"LOGINDISABLED")) for word in words)
    if not road.implicit:
        with Hand(road.port(gates)) as hand:
            (line, *_) = hand.command(b"CAPABILITY")
            assert b"STARTTLS LOGINDISABLED" in line
            assert b"AUTH=" not in line
            hand.send(b"a LOGIN bob secret\r\n")
            assert hand.reply().startswith(b"a NO [PRIVACYREQUIRED]")


def test_where_tls_is_denied_clients_log_in_in_the_clear(gates: Gates) -> None:
    """mode = refuse: the server's own greeting, no STARTTLS, everything else."""
    with Hand(gates.ports["refuse"]) as hand:
        assert b"Dovecot" in hand.greeting
        hand.send(b"s STARTTLS\r\n")
        assert hand.reply().startswith(b"s BAD")
        hand.command(f"LOGIN {somebody()} {PASSWORD}".encode())
        hand.command(b"SELECT INBOX")
        hand.command(b"LOGOUT")


def test_where_tls_is_passed_on_it_is_the_servers(gates: Gates) -> None:
    """mode = pass: behind STARTTLS the certificate is Dovecot's, and every octet goes through."""
    user = somebody()
    content = bytes(range(1, 256)).translate(None, b"\r\n") * 4000  # Dovecot keeps no lone CR and LF
    with Hand(gates.ports["pass"], timeout=60.0) as hand:
        assert b"Dovecot" in hand.greeting
        hand.command(b"STARTTLS")
        hand.start_tls(gates.ca_file, name="far.test")
        hand.command(f"LOGIN {user} {PASSWORD}".encode())
        append(hand, content)
        hand.command(b"LOGOUT")
    gates.logged("gate.session", "listener=pass", "blind=yes")
    assert stored(gates, user) == [content]


def test_the_log_tells_who_it_was_and_no_password(gates: Gates, some_road: Road) -> None:
    """The summary names the user and the server's TLS; no line of the log has the password."""
    user = somebody()
    with by_hand(gates, some_road, user) as hand:
        hand.send(b"x AUTHENTICATE PLAIN AHgAd3Jvbmctd3Jvbmc=\r\n")
        hand.until(b"x ")
        hand.command(b"LOGOUT")
    line = gates.logged("gate.session", f"user={user}")
    assert "outcome=logout" in line
    assert ("backend_tls=TLSv1" in line) == (some_road.backend != "none")
    text = gates.log_file.read_text()
    assert PASSWORD not in text
    assert "AHgAd3Jvbmctd3Jvbmc" not in text


def test_imaplib_works_through_it(gates: Gates, road: Road) -> None:
    """Python's own client: STARTTLS or implicit TLS, a login, mailboxes, a message, a search with a literal."""
    context = ssl.create_default_context(cafile=gates.ca_file)
    client: imaplib.IMAP4
    if road.implicit:
        client = imaplib.IMAP4_SSL("localhost", road.port(gates), ssl_context=context, timeout=60)
    else:
        client = imaplib.IMAP4("localhost", road.port(gates), timeout=60)
        client.starttls(context)
    with client:
        client.login(somebody(), PASSWORD)
        assert client.create("Work")[0] == "OK"
        assert client.append("Work", r"(\Seen)", None, _MAIL.crlf)[0] == "OK"
        client.select("Work")
        client.literal = _MAIL.token.encode()  # type: ignore[assignment]
        assert client.search("UTF-8", "SUBJECT") == ("OK", [b"1"])
        _, data = client.fetch("1", "(BODY.PEEK[])")
        assert isinstance(data[0], tuple)
        assert data[0][1] == _MAIL.crlf


def test_openssl_speaks_by_hand(gates: Gates, some_road: Road) -> None:
    """openssl s_client verifies the gate, and a session typed ahead is answered."""
    user = somebody()
    start = [] if some_road.implicit else ["-starttls", "imap"]
    done = run(
        [require("openssl", "openssl"), "s_client", "-quiet", "-ign_eof", "-verify_return_error",
         "-connect", f"localhost:{some_road.port(gates)}", "-CAfile", gates.ca_file, "-verify_hostname", "localhost",
         "-crlf", *start],
        given=f"a LOGIN {user} {PASSWORD}\nb SELECT INBOX\nc LOGOUT\n".encode(),
    )  # fmt: skip
    assert b"a OK" in done.out, done.said
    assert b"b OK" in done.out
    assert b"* BYE" in done.out


# mail programs


def _curl(gates: Gates, road: Road, user: str, path: str, *options: str | Path, ca: Path | None = None) -> Done:
    scheme = "imaps" if road.implicit else "imap"
    url = f"{scheme}://localhost:{road.port(gates)}/{path}"
    always: list[str | Path] = ["-sS", "--ssl-reqd", "--cacert", ca or gates.ca_file, "-u", f"{user}:{PASSWORD}"]
    return run([require("curl", "curl"), *always, *options, url])


def test_curl_stores_and_fetches(gates: Gates, road: Road, tmp_path: Path) -> None:
    """An upload is an APPEND; the message comes back octet for octet."""
    user = somebody()
    done = _curl(gates, road, user, "INBOX", "-T", write(tmp_path, _MAIL.crlf))
    assert done.code == 0, done.said
    done = _curl(gates, road, user, "INBOX;MAILINDEX=1")
    assert done.code == 0, done.said
    assert done.out == _MAIL.crlf


def test_curl_refuses_a_gate_of_an_unknown_authority(gates: Gates, road: Road, wrong_ca: Path) -> None:
    """The certificate is really looked at."""
    assert _curl(gates, road, somebody(), "INBOX", "-X", "NOOP", ca=wrong_ca).code == 60


def test_mbsync_keeps_two_mailboxes_the_same(gates: Gates, some_road: Road, tmp_path: Path) -> None:
    """A new message on either side comes to the other, octet for octet."""
    user = somebody()
    with by_hand(gates, ROADS[0], user) as hand:
        append(hand, _MAIL.crlf)
    box = tmp_path / "mail" / "INBOX"
    for name in ("cur", "new", "tmp"):
        (box / name).mkdir(parents=True)
    other = letter("bob@example.test", "friend@elsewhere.example", attachment=300_000)
    (box / "cur" / "1700000000.1.host:2,S").write_bytes(other.lf)
    rc = tmp_path / "mbsyncrc"
    rc.write_text(
        f"IMAPAccount far\nHost localhost\nPort {some_road.port(gates)}\nUser {user}\nPass {PASSWORD}\n"
        f"SSLType {'IMAPS' if some_road.implicit else 'STARTTLS'}\nSystemCertificates no\n"
        f"CertificateFile {gates.ca_file}\n\nIMAPStore far\nAccount far\n\n"
        f"MaildirStore near\nPath {tmp_path}/mail/\nInbox {box}\n\n"
        f"Channel all\nFar :far:\nNear :near:\nSync All\nCreate Both\nSyncState {tmp_path}/state\n"
    )
    done = run([require("mbsync", "isync"), "-c", rc, "-V", "all"], env={"HOME": str(tmp_path)})
    assert done.code == 0, done.said
    here = [path.read_bytes() for place in ("cur", "new") for path in (box / place).iterdir()]
    assert _without_marks(here) == [_MAIL.lf, other.lf]
    assert _without_marks(stored(gates, user)) == [_MAIL.crlf, other.crlf]


def _without_marks(found: list[bytes]) -> list[bytes]:
    """Messages, the shortest first, without the field by which mbsync knows them."""
    return sorted((re.sub(rb"X-TUID: [^\n]*\n", b"", content) for content in found), key=len)


def test_fetchmail_fetches(gates: Gates, some_road: Road, tmp_path: Path) -> None:
    """Over IMAP, the message arrives and is kept."""
    user = somebody()
    with by_hand(gates, ROADS[0], user) as hand:
        append(hand, _MAIL.crlf)
    fetched = tmp_path / "fetched"
    mda = tmp_path / "mda"
    mda.write_text(f"#!/bin/sh\ncat >> {fetched}\n")
    mda.chmod(0o755)
    rc = tmp_path / "fetchmailrc"
    rc.write_text(
        f"poll localhost protocol IMAP port {some_road.port(gates)}\n"
        f'  user "{user}" password "{PASSWORD}" {"ssl" if some_road.implicit else ""} sslproto tls1.2+ sslcertck\n'
        f'  sslcertfile {gates.ca_file} fetchall keep no rewrite no mimedecode mda "{mda}"\n'
    )
    rc.chmod(0o600)
    always: list[str | Path] = ["--pidfile", tmp_path / "pid", "--nosyslog", "-v"]
    command: list[str | Path] = [require("fetchmail", "fetchmail"), "-f", rc, *always]
    done = run(command, env={"HOME": str(tmp_path), "FETCHMAILHOME": str(tmp_path), "LC_ALL": "C"})
    assert done.code == 0, done.said
    assert _MAIL.lf in fetched.read_bytes().replace(b"\r\n", b"\n")


def test_mutt_keeps_a_copy(gates: Gates, some_road: Road, tmp_path: Path) -> None:
    """What mutt sends it stores in a folder on the server."""
    user = somebody()
    with by_hand(gates, ROADS[0], user) as hand:
        hand.command(b"CREATE Sent")
    scheme = "imaps" if some_road.implicit else "imap"
    rc = tmp_path / "muttrc"
    rc.write_text(
        f'set imap_user="{user}" imap_pass="{PASSWORD}" record="{scheme}://localhost:{some_road.port(gates)}/Sent"\n'
        f'set ssl_starttls=yes ssl_force_tls=yes certificate_file="{gates.ca_file}" copy=yes sendmail=/bin/true\n'
        "set from=bob@example.test hostname=client.example crypt_use_gpgme=no\n"
    )
    what = ("-s", _MAIL.token, "--", "friend@elsewhere.example")
    command: list[str | Path] = [require("mutt", "mutt"), "-n", "-F", rc, *what]
    done = run(command, given=b"hello\n", env={"HOME": str(tmp_path), "TERM": "dumb"})
    assert done.code == 0, done.said
    (copy,) = stored(gates, user, "Sent")
    assert f"Subject: {_MAIL.token}\r\n".encode() in copy


_FLOW = """
const fs = require('fs');
const given = JSON.parse(fs.readFileSync(0));
const { ImapFlow } = require(given.module);
const client = new ImapFlow({
  host: '127.0.0.1', port: given.port, secure: given.secure, doSTARTTLS: given.secure ? undefined : true,
  servername: 'localhost', logger: false, auth: { user: given.user, pass: given.password },
  tls: { ca: fs.readFileSync(given.ca) },
});
(async () => {
  await client.connect();
  await client.append('INBOX', fs.readFileSync(given.file));
  const lock = await client.getMailboxLock('INBOX');
  const message = await client.fetchOne('1', { source: true, envelope: true });
  process.stdout.write(message.source);
  lock.release();
  await client.logout();
})().catch((error) => { console.error(error); process.exitCode = 1; });
"""


@pytest.fixture(scope="module")
def imapflow() -> Path:
    """The directory of the module and of what it needs."""
    npm = require("npm", "npm")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gatepost-interop"
    there = cache / f"imapflow-{_IMAPFLOW}"
    if not there.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as directory:
            done = run(
                [npm, "install", "--prefix", directory, "--ignore-scripts", "--no-audit", "--no-fund",
                 "--no-package-lock", f"imapflow@{_IMAPFLOW}"],
                seconds=110, cwd=Path(directory),
            )  # fmt: skip
            if done.code != 0:
                missing(f"imapflow cannot be fetched: {done.said[-500:]}")
            shutil.move(directory, there)
            Path(directory).mkdir()
    return there / "node_modules" / "imapflow"


def test_imapflow_stores_and_fetches(imapflow: Path, gates: Gates, some_road: Road, tmp_path: Path) -> None:
    """A client of Node.js, which uses every extension that is listed."""
    given = {
        "module": str(imapflow), "port": some_road.port(gates), "secure": some_road.implicit, "user": somebody(),
        "password": PASSWORD, "ca": str(gates.ca_file), "file": str(write(tmp_path, _MAIL.crlf)),
    }  # fmt: skip
    done = run([require("node", "nodejs"), "-e", _FLOW], given=json.dumps(given).encode())
    assert done.code == 0, done.said
    assert done.out == _MAIL.crlf
