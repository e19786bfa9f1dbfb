"""``sendmail``: its options, the header, the message, and handing it over."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.sendmail import headers, options
from gatepost.sendmail.exits import SendmailError
from gatepost.sendmail.message import Lines, Message

# Options ----------------------------------------------------------------------------------------------------------


def test_options_of_cron_php_git_and_mailx_are_understood() -> None:
    """The command lines that these programs are known to use."""
    cron = options.parse("sendmail", ["-i", "-FCronDaemon", "-B8BITMIME", "-oem", "root"])
    assert (cron.full_name, cron.dot_ends, cron.body, cron.recipients) == ("CronDaemon", False, "8BITMIME", ["root"])
    php = options.parse("sendmail", ["-t", "-i"])
    assert php.from_headers and not php.dot_ends
    git = options.parse("sendmail", ["-f", "me@example.org", "-i", "you@example.net"])
    assert (git.sender, git.recipients) == ("me@example.org", ["you@example.net"])
    mailx = options.parse("sendmail", ["-i", "-r", "me", "--", "-odd@example.net"])
    assert (mailx.sender, mailx.recipients) == ("me", ["-odd@example.net"])
    assert not [*cron.warnings, *php.warnings, *git.warnings, *mailx.warnings]


@pytest.mark.parametrize(
    ("arguments", "mode"),
    [
        ([], "m"),
        (["-bm"], "m"),
        (["-bs"], "s"),
        (["-bp"], "p"),
        (["-bv"], "v"),
        (["-bi"], "i"),
        (["-q"], "q"),
        (["-q30m"], "q"),
    ],
)
def test_modes_are_chosen_by_option(arguments: list[str], mode: str) -> None:
    """-b and -q choose what is done."""
    assert options.parse("sendmail", arguments).mode == mode


def test_modes_are_chosen_by_name() -> None:
    """mailq and newaliases need no option."""
    assert options.parse("mailq", []).mode == "p"
    assert options.parse("newaliases", []).mode == "i"


def test_joined_letters_and_attached_values_are_read() -> None:
    """-tif is three options, the last with the next word as its value."""
    read = options.parse("sendmail", ["-tif", "a@b", "-Nsuccess,failure", "-R", "hdrs", "-Vid", "-oi", "-v"])
    assert read.from_headers and not read.dot_ends and read.verbose
    assert (read.sender, read.notify, read.ret, read.envid) == ("a@b", frozenset({"SUCCESS", "FAILURE"}), "HDRS", "id")


def test_unknown_options_are_ignored_with_a_warning() -> None:
    """A program that passes what we do not know still gets its mail sent."""
    read = options.parse("sendmail", ["-Z", "-C", "/etc/x.cf", "--whatever", "-Am", "-d0.1", "a@b"])
    assert read.recipients == ["a@b"]
    assert len(read.warnings) == 5


@pytest.mark.parametrize(
    "arguments",
    [["-f"], ["-bd"], ["-bt"], ["-N", "sometimes"], ["-N", "never,success"], ["-R", "some"], ["-B", "9BIT"]],
)
def test_refuses_a_usage_that_cannot_be_meant(arguments: list[str]) -> None:
    """Missing values, daemon modes and wrong words are errors of usage (64)."""
    with pytest.raises(SendmailError) as caught:
        options.parse("sendmail", arguments)
    assert caught.value.exit_code == 64


# The header -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a@b.example", ["a@b.example"]),
        ("root", ["root"]),
        ("Jo Doe <jo@b.example>, (a comment, with \\) that) x@y", ["jo@b.example", "x@y"]),
        ('"Doe, Jo" <jo@b.example>', ["jo@b.example"]),
        ('"a, b"@c.example', ['"a, b"@c.example']),
        ("Friends: a@b, Jo <c@d>; e@f", ["a@b", "c@d", "e@f"]),
        ("undisclosed-recipients:;", []),
        ("<@relay.example,@other:jo@b.example>", ["jo@b.example"]),
        ("jo @ b . example", ["jo@b.example"]),
        ("=?utf-8?q?J=C3=B6?= <jo@b.example>", ["jo@b.example"]),
        ("<>, , ,", []),
        ("jo@[192.0.2.1]", ["jo@[192.0.2.1]"]),
        ("jo@b.example (Jo (nested) Doe)", ["jo@b.example"]),
    ],
)
def test_addresses_are_found_in_lists(text: str, found: list[str]) -> None:
    """Display names, comments, groups, routes and quoted parts (RFC 5322 §3.4)."""
    assert headers.addresses(text) == found


@given(st.text(max_size=80))
def test_address_reader_ends_whatever_it_reads(text: str) -> None:
    """No text keeps it busy or makes it fail."""
    assert all(headers.addresses(text))


def test_recipients_come_from_to_cc_and_bcc_and_bcc_is_taken_out() -> None:
    """-t sends to all three, once each, and the secret ones stay secret."""
    fields = headers.split([b"To: a@x\n", b"Cc: b@x,\n", b" a@x\n", b"BCC: c@x\n", b"Subject: d@x\n"])
    assert headers.recipients(fields) == ["a@x", "b@x", "c@x"]
    assert b"c@x" not in b"".join(field.octets for field in headers.without_bcc(fields))
    assert len(headers.without_bcc(fields)) == 3


def test_resent_fields_take_the_place_of_the_others() -> None:
    """A message that is sent on goes to whom it is sent on to (RFC 5322 §3.6.6)."""
    fields = headers.split([b"Resent-To: new@x\n", b"To: old@x\n", b"Resent-Bcc: secret@x\n"])
    assert headers.recipients(fields) == ["new@x", "secret@x"]


@pytest.mark.parametrize(
    ("name", "field"),
    [
        (None, b"From: jo@x\n"),
        ("Jo Doe", b"From: Jo Doe <jo@x>\n"),
        ('J. "Jo" Doe', b'From: "J. \\"Jo\\" Doe" <jo@x>\n'),
        ("J\u00f6", b"From: =?utf-8?b?SsO2?= <jo@x>\n"),
        ("Jo\r\nBcc: eve@x", b'From: "Jo Bcc: eve@x" <jo@x>\n'),
    ],
)
def test_from_field_carries_the_name_and_nothing_else(name: str | None, field: bytes) -> None:
    """Quoted where it must be, encoded where it must be, and never a second line."""
    assert headers.from_field("jo@x", name) == field


# The message ------------------------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from([b"\r", b"\n", b"a", b"\r\n", b".", b"bc"]), max_size=30), st.data())
def test_line_ends_become_crlf_whatever_the_pieces(tokens: list[bytes], data: st.DataObject) -> None:
    """Cutting the input elsewhere changes nothing, and no CR or LF is left alone."""
    text = b"".join(tokens)
    whole = Lines()
    expected = whole.feed(text) + whole.finish()
    cut = data.draw(st.integers(0, len(text)))
    split = Lines()
    assert split.feed(text[:cut]) + split.feed(text[cut:]) + split.finish() == expected
    assert b"\r" not in expected.replace(b"\r\n", b"") and b"\n" not in expected.replace(b"\r\n", b"")
    assert not text or expected.endswith(b"\r\n")


def _read(text: bytes, *, dot_ends: bool = True) -> bytes:
    return b"".join(Message(io.BytesIO(text), dot_ends=dot_ends).pieces())


def test_single_dot_ends_the_message_unless_told_otherwise() -> None:
    """The rule of old, and -i against it."""
    text = b"Subject: x\n\none\n.\ntwo\n"
    assert _read(text) == b"Subject: x\r\n\r\none\r\n"
    assert _read(text, dot_ends=False) == b"Subject: x\r\n\r\none\r\n.\r\ntwo\r\n"
    assert _read(b"Subject: x\n.\nmore") == b"Subject: x\r\n\r\n"


def test_message_without_a_header_gets_an_empty_one() -> None:
    """What does not look like a field is the text already."""
    assert _read(b"hello\nSubject: no\n") == b"\r\nhello\r\nSubject: no\r\n"
    assert _read(b"A: b\nhello\n") == b"A: b\r\n\r\nhello\r\n"
    assert _read(b"From jo Mon Jan\nA: b\n\nhello") == b"A: b\r\n\r\nhello\r\n"
    assert _read(b"") == b"\r\n"


def test_header_larger_than_the_limit_is_refused() -> None:
    """A header is kept in memory, so it has an end."""
    with pytest.raises(SendmailError, match="header is larger"):
        Message(io.BytesIO(b"A: b\n" * 300000), dot_ends=False)


def test_long_body_streams_in_pieces() -> None:
    """No piece is as large as the message."""
    text = b"A: b\n\n" + b"0123456789\n" * 100000
    for dot_ends in (True, False):
        pieces = list(Message(io.BytesIO(text), dot_ends=dot_ends).pieces())
        assert b"".join(pieces) == text.replace(b"\n", b"\r\n")
        assert max(map(len, pieces)) < 200000


# Handing it over --------------------------------------------------------------------------------------------------


class Listening:
    """A local socket where a thread answers like a small SMTP server."""

    def __init__(self, path: Path, replies: dict[str, str] | None = None) -> None:
        self.commands: list[str] = []
        self.content = b""
        self._replies = replies or {}
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listening.bind(str(path))
        self._listening.listen(1)
        self._listening.settimeout(20)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        sock, _ = self._listening.accept()
        with sock, sock.makefile("rb") as stream:
            sock.sendall(b"220 mx.example.org ESMTP\r\n")
            while line := stream.readline():
                command = line.decode().rstrip("\r\n")
                self.commands.append(command)
                self._answer(sock, stream, command)

    def _answer(self, sock: socket.socket, stream: io.BufferedReader, command: str) -> None:
        verb = command.split(" ")[0].split(":")[0].upper()
        special = next((reply for start, reply in self._replies.items() if command.startswith(start)), None)
        if special is not None:
            sock.sendall(special.encode() + b"\r\n")
        elif verb == "EHLO":
            sock.sendall(b"250-mx.example.org\r\n250-8BITMIME\r\n250-DSN\r\n250-SMTPUTF8\r\n250 SIZE 1000000\r\n")
        elif verb == "DATA":
            sock.sendall(b"354 go on\r\n")
            lines = []
            while (line := stream.readline()) != b".\r\n":
                lines.append(line.removeprefix(b"."))
            self.content = b"".join(lines)
            sock.sendall(self._replies.get("content", "250 2.0.0 queued").encode() + b"\r\n")
        else:
            sock.sendall(b"221 bye\r\n" if verb == "QUIT" else b"250 2.1.0 ok\r\n")

    def close(self) -> None:
        self._thread.join(20)
        self._listening.close()


Run = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def socket_path(tmp_path: Path) -> Path:
    return tmp_path / "sendmail.sock"


@pytest.fixture
def serve(socket_path: Path) -> Iterator[Callable[..., Listening]]:
    made: list[Listening] = []

    def start(**replies: str) -> Listening:
        made.append(Listening(socket_path, replies))
        return made[-1]

    yield start
    for server in made:
        server.close()


@pytest.fixture
def run(socket_path: Path) -> Run:
    def call(*arguments: str, text: bytes = b"", name: str = "sendmail") -> subprocess.CompletedProcess[bytes]:
        environment = {**os.environ, "GATEPOST_SENDMAIL_SOCKET": str(socket_path)}
        code = f"from gatepost.sendmail import main; main([{name!r}, *{list(arguments)!r}])"
        return subprocess.run(
            [sys.executable, "-c", code], input=text, capture_output=True, env=environment, timeout=60
        )

    return call


def test_message_is_handed_over_with_envelope_and_content(serve: Callable[..., Listening], run: Run) -> None:
    """-t: recipients out of the header, Bcc gone, a From added, bare names completed, dots kept."""
    server = serve()
    done = run(
        "-t",
        "-i",
        "-f",
        "root",
        "-F",
        "Cron",
        text=b"To: a@x.example, b\nBcc: c@x.example\nSubject: s\n\n.hello\n.\nend\n",
    )
    server.close()
    assert (done.returncode, done.stderr) == (0, b"")
    assert server.commands[1].startswith("MAIL FROM:<root@mx.example.org> SIZE=")
    assert server.commands[2:5] == ["RCPT TO:<a@x.example>", "RCPT TO:<b@mx.example.org>", "RCPT TO:<c@x.example>"]
    assert server.content == (
        b"From: Cron <root@mx.example.org>\r\nTo: a@x.example, b\r\nSubject: s\r\n\r\n.hello\r\n.\r\nend\r\n"
    )


def test_null_sender_and_delivery_reports_are_passed_on(serve: Callable[..., Listening], run: Run) -> None:
    """-f <> is the null reverse path; -N, -R and -V become DSN parameters."""
    server = serve()
    done = run("-f", "<>", "-N", "never", "-R", "hdrs", "-V", "id1", "a@x.example", text=b"From: me\n\nx\n")
    server.close()
    assert done.returncode == 0, done.stderr
    assert server.commands[1].startswith("MAIL FROM:<>") and "RET=HDRS" in server.commands[1]
    assert "ENVID=id1" in server.commands[1]
    assert server.commands[2] == "RCPT TO:<a@x.example> NOTIFY=NEVER"


@pytest.mark.parametrize(
    ("replies", "code"),
    [
        ({"RCPT": "550 5.1.1 no such user"}, 67),
        ({"RCPT": "451 4.3.0 later"}, 75),
        ({"RCPT": "553 5.7.1 not yours"}, 77),
        ({"MAIL": "553 5.7.1 not yours"}, 77),
        ({"content": "554 5.6.0 refused"}, 65),
        ({"content": "452 4.3.1 disk full"}, 75),
        ({"EHLO": "421 4.3.2 stopping"}, 75),
    ],
)
def test_refusals_become_exit_codes(
    serve: Callable[..., Listening], run: Run, replies: dict[str, str], code: int
) -> None:
    """Callers learn from the exit code whether to try again, and people from one line what was said."""
    serve(**replies)
    done = run("a@x.example", text=b"From: me\n\nx\n")
    assert done.returncode == code
    assert len(done.stderr.splitlines()) == 1
    assert next(iter(replies.values())).split(" ", 2)[2].encode() in done.stderr


def test_part_of_the_recipients_refused_is_an_error_that_names_them(serve: Callable[..., Listening], run: Run) -> None:
    """The message went to the others, and the caller is told to whom it did not."""
    server = serve(**{"RCPT TO:<bad": "550 5.1.1 no such user"})
    done = run("good@x.example", "bad@x.example", text=b"From: me\n\nx\n")
    server.close()
    assert done.returncode == 67
    assert b"sent to 1 of 2" in done.stderr and b"bad@x.example" in done.stderr
    assert server.content


def test_nobody_listening_is_try_again_and_nothing_is_spooled(run: Run, tmp_path: Path) -> None:
    """75, one line, and no file left behind."""
    done = run("a@x.example", text=b"hello\n")
    assert done.returncode == 75
    assert b"not running" in done.stderr and len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "text", "code"),
    [((), b"x\n", 64), (("-t",), b"Subject: s\n\nx\n", 64), (("a b@@c",), b"x\n", 65), (("-bv",), b"", 64)],
)
def test_wrong_use_is_refused(
    serve: Callable[..., Listening], run: Run, arguments: tuple[str, ...], text: bytes, code: int
) -> None:
    """No recipients, none in the header, or an address that is none."""
    if code == 65:
        serve()
    assert run(*arguments, text=text).returncode == code


def test_bs_relays_both_ways(serve: Callable[..., Listening], run: Run) -> None:
    """SMTP on standard input and output reaches the server as it is."""
    server = serve()
    done = run("-bs", text=b"EHLO me\r\nQUIT\r\n")
    server.close()
    assert done.returncode == 0
    assert done.stdout.startswith(b"220 mx.example.org") and done.stdout.endswith(b"221 bye\r\n")
    assert server.commands == ["EHLO me", "QUIT"]


def test_bv_asks_the_server_about_each_address(serve: Callable[..., Listening], run: Run) -> None:
    """One line an address, and 67 when one of them is undeliverable."""
    serve(**{"RCPT TO:<bad": "550 5.1.1 no such user"})
    done = run("-bv", "good@x.example", "bad@x.example")
    assert done.returncode == 67
    good, bad = done.stdout.decode().splitlines()
    assert good.startswith("good@x.example: deliverable") and bad.startswith("bad@x.example: undeliverable")


def test_mailq_prints_the_queue_and_escapes_what_is_in_it(tmp_path: Path, run: Run) -> None:
    """What peers chose (addresses, replies) cannot move the cursor of the terminal it is shown on."""
    answer = {
        "ok": True,
        "messages": [
            {
                "id": "q1",
                "size": 812,
                "received_at": 0,
                "sender": "",
                "recipients": [{"address": "a\x1b[2J@x", "reply": "450 later\r\n"}],
            }
        ],
    }
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(tmp_path / "control.sock"))
        listening.listen(1)
        asked: list[bytes] = []

        def reply() -> None:
            sock, _ = listening.accept()
            with sock:
                asked.append(sock.recv(1000))
                sock.sendall(json.dumps(answer).encode() + b"\n")

        thread = threading.Thread(target=reply, daemon=True)
        thread.start()
        done = run(name="mailq")
        thread.join(20)
    assert json.loads(asked[0]) == {"command": "queue-list"}
    assert done.returncode == 0, done.stderr
    assert b"MAILER-DAEMON" in done.stdout and b"(450 later" in done.stdout
    assert b"\x1b" not in done.stdout and b"\r" not in done.stdout


def test_newaliases_has_nothing_to_do(run: Run) -> None:
    """Package scripts call it; it must succeed."""
    assert run(name="newaliases").returncode == 0


def test_starts_without_anything_heavy() -> None:
    """cron calls it often: neither click, pydantic, OpenSSL nor asyncio may be imported on the way."""
    code = (
        "import sys; import gatepost.sendmail.modes, gatepost.sendmail.submission, gatepost.wire.smtp.client\n"
        "heavy = {'click', 'pydantic', 'OpenSSL', 'cryptography', 'asyncio', 'email', 'rich', 'dns', 'sqlite3'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


# With the whole server ------------------------------------------------------------------------------------------------


def test_real_server_queues_what_sendmail_hands_over(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message from cron ends up in the queue, completed with what cron leaves out."""
    from gatepost.testing.server import MailServer

    with MailServer(tmp_path) as server:
        done = run(
            "-i", "-FCronDaemon", "-B8BITMIME", "-oem", "bob@elsewhere.test", text=b"Subject: cron\n\nwork\rdone\n"
        )
        assert (done.returncode, done.stderr) == (0, b"")
        ((message, content, recipients),) = server.messages()
        verified = run("-bv", "alice@example.test", "no-such-person@example.test")
        assert verified.returncode == 67
    assert recipients == ["bob@elsewhere.test"]
    assert message.sender.endswith("@example.test")
    assert content.endswith(b"\r\n\r\nwork\r\ndone\r\n")
    header = content.partition(b"\r\n\r\n")[0]
    assert b"From: CronDaemon <" in header and b"\r\nDate: " in header and b"\r\nMessage-ID: " in header


def test_help_is_printed_and_a_missing_server_names_what_was_tried(run: Run, socket_path: Path) -> None:
    """Somebody at a shell learns the options, and where nobody listened."""
    helped = run("--help", text=b"")
    assert helped.returncode == 0 and helped.stdout.startswith(b"usage: ")
    done = run("a@x.example", text=b"hello\n")
    assert str(socket_path).encode() in done.stderr and b"GATEPOST_SENDMAIL_SOCKET" in done.stderr
