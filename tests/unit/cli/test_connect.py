"""``gatepost connect``: through a pipe and a terminal, to a whole server and to peers that misbehave."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.unit.cli.conftest import Gatepost

from gatepost.testing.ca import TestAuthority
from gatepost.testing.server import MailServer
from gatepost.tls.contexts import server_contexts
from gatepost.tls.engine import ServerHandshake
from gatepost.wire.upgrade import Origin

ORIGIN = Origin(("192.0.2.1", 1), ("192.0.2.2", 2), "test", 0.0, "test")
LISTENERS = [
    {"name": "mx", "protocol": "smtp", "bind": "127.0.0.1:0"},
    {"name": "submissions", "protocol": "submission", "bind": "127.0.0.1:0", "tls": "implicit"},
]
SECONDS = 60.0


@pytest.fixture
def server(tmp_path: Path, server_log: Path) -> Iterator[MailServer]:
    directory = tmp_path / "server"
    directory.mkdir()
    with MailServer(directory, listener=LISTENERS) as running:
        yield running


def at(server: MailServer, listener: str = "mx", *more: str) -> list[str]:
    how = ["--starttls", "smtp"] if listener == "mx" else ["--implicit"]
    where = f"localhost:{server.port(listener)}"
    return ["connect", where, *how, "--timeout", str(SECONDS), "--wait", str(SECONDS), *more]


def trusting(server: MailServer, listener: str = "mx", *more: str) -> list[str]:
    return at(server, listener, "--ca-file", str(server.ca_file), *more)


@pytest.mark.parametrize("listener", ["mx", "submissions"])
def test_script_talks_in_private_and_exits_verified(gatepost: Gatepost, server: MailServer, listener: str) -> None:
    """The server's words on standard output, the evidence on standard error, 0 for verified."""
    done = gatepost(*trusting(server, listener), stdin=b"EHLO me\nNOOP\nQUIT\n")
    assert done.code == 0, done.err
    assert "250-mx.example.test\r\n" in done.out and done.out.endswith("221 2.0.0 Bye\r\n")
    assert "STARTTLS" not in done.out  # not offered inside TLS
    for fact in ("TLSv1.3", "certificate 0:", "key SHA-256:", "issuer:", "days left", "verified:"):
        assert fact in done.err


def test_script_is_paced_by_the_answers(gatepost: Gatepost, server: MailServer) -> None:
    """A whole message: commands one by one, its text at once behind the silence; it is accepted."""
    text = b"".join(b"line %d\n" % number for number in range(200))
    script = b"EHLO me\nMAIL FROM:<a@b.test>\nRCPT TO:<alice@example.test>\nDATA\nSubject: x\n\n" + text + b".\nQUIT\n"
    done = gatepost(*trusting(server), stdin=script)
    assert done.code == 0, done.err
    ((_, content, _),) = server.messages()
    assert content.count(b"\r\nline ") == 200


def test_unverified_server_hears_nothing(gatepost: Gatepost, server: MailServer) -> None:
    """By default: the summary with what failed and what to do, 69, and not one word of the input."""
    done = gatepost(*at(server), stdin=b"EHLO me\n")
    assert done.code == 69 and done.out == ""
    assert "NOT VERIFIED:" in done.err and "--ca-file" in done.err and "key SHA-256:" in done.err
    assert len(done.complaints) == 1 and "--insecure-no-verify" in done.complaints[0]


@pytest.mark.parametrize("leave", [["--insecure-no-verify"], ["--level", "encrypt"], ["--level", "may"]])
def test_leave_to_go_on_is_a_code_of_its_own(gatepost: Gatepost, server: MailServer, leave: list[str]) -> None:
    """Who asked for it may go on; the exit code still says that nothing was verified."""
    done = gatepost(*at(server, "mx", *leave), stdin=b"QUIT\n")
    assert done.code == 1 and done.out.startswith("221 ")
    assert "NOT VERIFIED:" in done.err


def test_json_prints_the_evidence_and_says_nothing(gatepost: Gatepost, server: MailServer) -> None:
    """For programs: the same facts, verified or not, and the code with them."""
    done = gatepost(*trusting(server, "mx", "--json"), stdin=b"EHLO me\n")
    assert done.code == 0 and done.json["verified"] is True
    assert done.json["tls"]["chain"][0]["names"] == ["mx.example.test", "localhost", "127.0.0.1"]
    other = gatepost(*at(server, "mx", "--json"))
    assert other.code == 69 and other.json["verified"] is False
    assert "issuer certificate" in other.json["verdict"]


def test_pin_takes_the_place_of_the_authorities(gatepost: Gatepost, server: MailServer) -> None:
    """What the summary prints can be pasted, of the certificate or of its key; another one is refused."""
    facts = gatepost(*at(server, "mx", "--json")).json["tls"]["chain"][0]
    for pin in (facts["sha256"], facts["public_key_sha256"].upper()):
        done = gatepost(*at(server, "mx", "--pin", pin), stdin=b"QUIT\n")
        assert done.code == 0 and "the certificate is a pinned one" in done.err
    other = gatepost(*trusting(server, "mx", "--pin", "0" * 64), stdin=b"QUIT\n")
    assert other.code == 69 and facts["sha256"] in other.err and other.out == ""


def test_plain_first_talks_until_the_line_starttls(gatepost: Gatepost, server: MailServer) -> None:
    """The user says what the protocol wants; ``.starttls`` upgrades; the same input goes on in private."""
    script = b"EHLO me\nSTARTTLS\n.starttls\nEHLO again\nQUIT\n"
    command = ["connect", f"localhost:{server.port('mx')}", "--plain-first", "--ca-file", str(server.ca_file)]
    command += ["--pace", str(SECONDS), "--timeout", str(SECONDS)]
    done = gatepost(*command, stdin=script)
    assert done.code == 0, done.err
    clear, private = done.out.split("Ready to start TLS\r\n")
    assert "STARTTLS" in clear and "250-mx.example.test" in private and "STARTTLS" not in private
    never = gatepost(*command, stdin=b"..starttls\nQUIT\n")
    assert never.code == 1 and "never private" in never.err and "500 " in never.out


def test_trace_file_and_keys_are_private_files(gatepost: Gatepost, server: MailServer, tmp_path: Path) -> None:
    """JSON lines of the level asked for, the keys only because they were asked for, and nobody else may read either."""
    done = gatepost(
        *trusting(server, "mx", "--trace", "handshake", "--trace-file", "t.jsonl", "--keylog", "keys"), stdin=b"QUIT\n"
    )
    assert done.code == 0, done.err
    events = [json.loads(line)["event"] for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    assert {"opened", "said", "record", "state", "certificates", "upgraded", "ended"} <= set(events)
    assert "CLIENT_TRAFFIC_SECRET_0 " in (tmp_path / "keys").read_text()
    assert {(tmp_path / name).stat().st_mode & 0o777 for name in ("t.jsonl", "keys")} == {0o600}


def test_environment_alone_logs_no_keys(
    gatepost: Gatepost, server: MailServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SSLKEYLOGFILE in the environment is not an order."""
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    assert gatepost(*trusting(server), stdin=b"QUIT\n").code == 0
    assert not (tmp_path / "keys").exists()


def test_trace_is_shown_on_standard_error(gatepost: Gatepost, server: MailServer) -> None:
    """Beside the summary; what is typed as a login is masked in it."""
    done = gatepost(*trusting(server, "mx", "--trace", "session", "-q"), stdin=b"AUTH PLAIN c2VjcmV0\nQUIT\n")
    assert "=> AUTH PLAIN ***" in done.err and "c2VjcmV0" not in done.err
    assert "** TLS begins" in done.err


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["localhost:1", "--starttls", "smtp"], 69, "port 1"),
        (["nonexistent.invalid", "--starttls", "smtp"], 68, "nonexistent.invalid"),
        (["localhost:1", "--starttls", "smpt"], 64, "did you mean smtp"),
        (["localhost:1"], 64, "--starttls PROTOCOL"),
        (["localhost", "--starttls", "raw"], 64, "port"),
        (["localhost:25", "--starttls", "smtp", "--implicit"], 64, "exclude"),
        (["localhost:465", "--implicit", "--plain-first"], 64, "exclude"),
        (["localhost:25", "--pin", "abc"], 64, "64 hexadecimal"),
        (["localhost:25", "--ca-file", "missing.pem"], 65, "missing.pem"),
        (["localhost:25", "--client-key", "key.pem"], 64, "--client-certificate"),
    ],
)
def test_errors_have_their_codes(gatepost: Gatepost, arguments: list[str], code: int, says: str) -> None:
    """Nobody there, an unknown host, wrong usage, a file that is missing: one line each."""
    done = gatepost("connect", *arguments, "--timeout", "10")
    assert done.code == code, done.err
    assert len(done.complaints) == 1 and says in done.complaints[0]


@contextlib.contextmanager
def peer(script: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server of one connection, with a script."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            accepted, _ = listening.accept()
            with accepted, contextlib.suppress(OSError):
                accepted.settimeout(SECONDS)
                script(accepted)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        thread.join()


@pytest.mark.parametrize(
    ("go_ahead", "code", "says"),
    [
        (b"220 go\r\n250 injected\r\n", 76, "behind the go-ahead"),
        (b"454 not now\r\n", 76, "454 not now"),
        (b"220 go\r\nHTTP/1.1 400\r\n\r\n", 76, "behind"),
        (b"", 76, "closed"),
    ],
)
def test_server_that_injects_refuses_or_leaves_is_told(
    gatepost: Gatepost, go_ahead: bytes, code: int, says: str
) -> None:
    """The upgrade did not happen, nothing was sent, and one line says why."""

    def script(sock: socket.socket) -> None:
        sock.sendall(b"220 hi\r\n")
        sock.recv(100)
        sock.sendall(b"250-x\r\n250 STARTTLS\r\n")
        sock.recv(100)
        sock.sendall(go_ahead)
        if go_ahead:
            sock.recv(100)

    with peer(script) as port:
        done = gatepost("connect", f"127.0.0.1:{port}", "--starttls", "smtp", stdin=b"SECRET\n")
    assert done.code == code, done.err
    assert len(done.complaints) == 1 and says in done.complaints[0] and done.out == ""


def private_words(words: bytes, *, goodbye: bool) -> Callable[[socket.socket], None]:
    """A server that says its words inside TLS and goes, with a goodbye or without."""

    def script(sock: socket.socket) -> None:
        contexts = server_contexts([TestAuthority().issue("127.0.0.1").credential])
        handshake = ServerHandshake.implicit(contexts, ORIGIN)
        handshake.receive(sock.recv(65536))
        while (stream := handshake.advance()) is None:
            sock.sendall(handshake.outgoing())
            handshake.receive(sock.recv(65536))
        stream.send(words)
        if goodbye:
            stream.close()
        sock.sendall(stream.outgoing())
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(65536):
            pass

    return script


@pytest.mark.parametrize(("goodbye", "code"), [(True, 1), (False, 74)])
def test_end_that_is_cut_off_is_told_apart(gatepost: Gatepost, *, goodbye: bool, code: int) -> None:
    """What came is shown either way; without a close_notify it may not be all."""
    with peer(private_words(b"\x00binary\xff", goodbye=goodbye)) as port:
        target = ["connect", f"127.0.0.1:{port}", "--implicit", "--insecure-no-verify"]
        script = [sys.executable, "-m", "gatepost", *target]
        done = subprocess.run(script, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False)
    assert done.returncode == code, done.stderr
    assert done.stdout == b"\x00binary\xff"
    assert (b"may not be all" in done.stderr) is not goodbye


@pytest.mark.parametrize("how", ["lf", "asis"])
def test_line_ends_are_what_was_asked_for(gatepost: Gatepost, server: MailServer, how: str) -> None:
    """LF alone is no line end in SMTP, and the server says so; ``asis`` sends what there is."""
    given = b"NOOP\r\nQUIT\r\n" if how == "asis" else b"NOOP\nQUIT\n"
    done = gatepost(*trusting(server, "mx", "--line-end", how, "--wait", "1", "--pace", "0"), stdin=given)
    assert ("221 2.0.0 Bye" in done.out) is (how == "asis")


class Terminal:
    """A command on a pseudo-terminal, as a person sees it."""

    def __init__(self, *arguments: str) -> None:
        self._master, slave = pty.openpty()
        command = [sys.executable, "-m", "gatepost", *arguments]
        environment = {**os.environ, "NO_COLOR": "1"}
        # A shell that runs the tests in the background has them ignore SIGINT; at a terminal nobody does.
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=environment,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
        os.close(slave)
        self.text = ""

    def expect(self, pattern: str) -> None:
        """Wait until the pattern is on the screen behind what was expected before."""
        deadline = time.monotonic() + SECONDS
        while (found := re.search(pattern, self.text)) is None:
            assert time.monotonic() < deadline, self.text
            if select.select([self._master], [], [], 1.0)[0]:
                try:
                    data = os.read(self._master, 65536)
                except OSError:  # the other end is closed
                    data = b""
                assert data, self.text
                self.text += data.decode("utf-8", "replace")
        self.text = self.text[found.end() :]

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def end(self) -> int:
        return self.process.wait(SECONDS)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._master)


def test_person_talks_on_a_terminal(server: MailServer) -> None:
    """In the clear, the upgrade, in private, Ctrl-D: what is typed is sent as it is typed."""
    target = ["connect", f"localhost:{server.port('mx')}", "--plain-first", "--ca-file", str(server.ca_file)]
    with Terminal(*target, "--wait", "0.2") as terminal:
        terminal.expect("IN THE CLEAR")
        terminal.expect("220 mx")
        terminal.type("STARTTLS\n")
        terminal.expect("Ready to start TLS")
        terminal.type(".starttls\n")
        terminal.expect("version: +TLSv1.3")
        terminal.expect("verified: ")
        terminal.expect("in private; Ctrl-D")
        terminal.type("NOOP\n")
        terminal.expect("250 2.0.0 Ok")
        terminal.type("\x04")
        assert terminal.end() == 0


def test_interruption_ends_it_at_once(server: MailServer) -> None:
    """Ctrl-C while nobody says anything: 130, and nothing left behind."""
    with Terminal(*trusting(server, "submissions")) as terminal:
        terminal.expect("220 mx")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.end() == 130


def test_client_certificate_is_shown_to_a_server_that_asks(gatepost: Gatepost, tmp_path: Path) -> None:
    """The file has chain and key; the server reads the name in it."""
    authority = TestAuthority()
    authority.issue("localhost").write(tmp_path / "server.pem")
    authority.issue(common_name="me").write(tmp_path / "me.pem")
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    context.load_verify_locations(tmp_path / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED

    def script(sock: socket.socket) -> None:
        with context.wrap_socket(sock, server_side=True) as private:
            private.sendall(str(private.getpeercert()).encode())
            private.unwrap()

    with peer(script) as port:
        done = gatepost(
            "connect", f"localhost:{port}", "--implicit", "--ca-file", "ca.pem", "--client-certificate", "me.pem"
        )
    assert done.code == 0 and "'commonName', 'me'" in done.out, done.err


def test_peer_cannot_write_to_the_terminal_what_it_likes() -> None:
    """Escape sequences and controls are shown, not obeyed; lines stay lines."""
    with peer(private_words(b"one\r\n\x1b]0;title\x07\x9b2J\xc2\x9b\ttwo\n", goodbye=True)) as port:
        with Terminal("connect", f"127.0.0.1:{port}", "--implicit", "--insecure-no-verify") as terminal:
            terminal.expect(r"one\r\n\\x1b\]0;title\\x07\\x9b2J\\x9b[\t ]+two")
            assert terminal.end() == 1
