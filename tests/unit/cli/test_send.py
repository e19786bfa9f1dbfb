"""``gatepost send``, to a whole server: real sockets, real TLS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.cli.conftest import Gatepost

from gatepost.testing.server import MailServer

ME = "alice@example.test"
MESSAGE = (
    b"From: Alice <alice@example.test>\nTo: bob@elsewhere.test, carol@elsewhere.test\nBcc: dave@elsewhere.test\n\n.hi\n"
)


@pytest.fixture
def server(tmp_path: Path, server_log: Path) -> Iterator[MailServer]:
    directory = tmp_path / "server"
    directory.mkdir()
    with MailServer(directory) as running:
        yield running


@pytest.fixture(autouse=True)
def _password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEPOST_PASSWORD", "wonderland")


def _to(server: MailServer, listener: str = "submission", *more: str) -> list[str]:
    options = ["--server", f"localhost:{server.ports[listener]}", "--ca-file", str(server.ca_file), "--timeout", "20"]
    return ["send", *options, *(["--implicit"] if listener == "submissions" else []), *more]


@pytest.mark.parametrize("listener", ["submission", "submissions"])
def test_message_is_submitted_verified_and_logged_in(gatepost: Gatepost, server: MailServer, listener: str) -> None:
    """Over STARTTLS and over implicit TLS: the envelope from the header, without Bcc, the text as it was."""
    done = gatepost(*_to(server, listener, "--user", ME, "-v"), stdin=MESSAGE)
    assert done.code == 0, done.err
    assert "certificate verified" in done.err
    ((message, content, recipients),) = server.messages()
    assert message.sender == ME
    assert sorted(recipients) == ["bob@elsewhere.test", "carol@elsewhere.test", "dave@elsewhere.test"]
    assert content.endswith(b"\r\n\r\n.hi\r\n")
    assert b"dave" not in content and b"ESMTPSA" in content


def test_options_make_the_envelope_and_the_header(gatepost: Gatepost, server: MailServer, tmp_path: Path) -> None:
    """--from, --to and --subject for a plain text in a file."""
    (tmp_path / "text").write_text("\nhello\n")
    arguments = ["--user", ME, "--to", "bob@elsewhere.test", "--subject", "Grüße", "text", "--json"]
    done = gatepost(*_to(server, "submission", *arguments))
    assert done.code == 0, done.err
    assert done.json["delivered"] is True and done.json["tls"]["verification"] == "verified"
    ((_, content, recipients),) = server.messages()
    assert recipients == ["bob@elsewhere.test"]
    assert b"Subject: =?utf-8?b?" in content and b"From: alice@example.test" in content


def test_large_message_arrives_byte_for_byte(gatepost: Gatepost, server: MailServer, tmp_path: Path) -> None:
    """Three megabytes from a file."""
    text = b"Subject: large\n\n" + b"".join(b".line %d of a long message\n" % number for number in range(100000))
    (tmp_path / "large").write_bytes(text)
    assert gatepost(*_to(server, "submission", "--user", ME, "--to", "b@elsewhere.test", "large")).code == 0
    ((_, content, _),) = server.messages()
    assert content.endswith(text.partition(b"\n\n")[2].replace(b"\n", b"\r\n"))


def test_wrong_certificate_is_refused_before_anything_is_said(gatepost: Gatepost, server: MailServer) -> None:
    """Neither an unknown authority nor another name gets the password; the hint says what to name."""
    unknown = gatepost("send", "--server", f"localhost:{server.ports['submission']}", "--user", ME, stdin=MESSAGE)
    assert unknown.code == 69 and "--ca-file" in unknown.complaints[0]
    other = gatepost(*_to(server, "submission", "--user", ME, "--server-name", "other.test"), stdin=MESSAGE)
    assert other.code == 69 and "--server-name" in other.complaints[0]
    assert server.messages() == []


def test_insecure_is_named_so_and_does_not_verify(gatepost: Gatepost, server: MailServer) -> None:
    """Only the option with that name takes any certificate."""
    target = f"localhost:{server.ports['submission']}"
    done = gatepost("send", "--server", target, "--insecure-no-verify", "--user", ME, stdin=MESSAGE)
    assert done.code == 0, done.err


def test_wrong_password_is_77(gatepost: Gatepost, server: MailServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused, said in one line, and the password is not in it."""
    monkeypatch.setenv("GATEPOST_PASSWORD", "looking-glass")
    done = gatepost(*_to(server, "submission", "--user", ME), stdin=MESSAGE)
    assert done.code == 77
    assert len(done.complaints) == 1 and "looking-glass" not in done.err


def test_password_file_goes_before_the_environment(
    gatepost: Gatepost, server: MailServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--password-file names it; there is no option that takes it on the command line."""
    monkeypatch.setenv("GATEPOST_PASSWORD", "looking-glass")
    (tmp_path / "secret").write_text("wonderland\n")
    done = gatepost(*_to(server, "submission", "--user", ME, "--password-file", "secret"), stdin=MESSAGE)
    assert done.code == 0, done.err
    assert "--password " not in gatepost("send", "--help").out


def test_refused_recipients_are_named(gatepost: Gatepost, server: MailServer) -> None:
    """The mx takes no mail for others: the reply is printed for each recipient, and the code is a permanent one."""
    done = gatepost(*_to(server, "mx", "--from", "x@y.test", "--to", "alice@example.test"), stdin=b"\nhi\n")
    assert done.code == 0, done.err
    done = gatepost(*_to(server, "mx", "--from", "x@y.test", "--to", "bob@elsewhere.test"), stdin=b"\nhi\n")
    assert done.code in (67, 77)
    assert "bob@elsewhere.test: refused: 5" in done.err


@pytest.mark.parametrize(
    ("arguments", "stdin", "code"),
    [
        (["--server", "localhost:1"], MESSAGE, 69),
        (["--server", "nonexistent.invalid"], MESSAGE, 68),
        (["--server", "bad host"], MESSAGE, 64),
        (["--server", "localhost:1"], b"Subject: x\n\n", 64),
        (["--server", "localhost:1", "--to", "a@b.test"], b"\nx\n", 64),
        (["--server", "localhost:1", "--to", "a b", "--from", "c@d.test"], b"\nx\n", 65),
        (["--server", "localhost:1", "missing.eml"], b"", 74),
    ],
)
def test_errors_have_their_codes(gatepost: Gatepost, arguments: list[str], stdin: bytes, code: int) -> None:
    """Nobody there, an unknown host, wrong usage, a bad address, a missing file."""
    done = gatepost("send", *arguments, stdin=stdin)
    assert done.code == code, done.err
    assert len(done.err.splitlines()) == 1


def test_trace_shows_the_session_without_its_password(gatepost: Gatepost, server: MailServer, tmp_path: Path) -> None:
    """--trace on standard error, --trace-file as JSON lines; neither has the password in any form."""
    done = gatepost(*_to(server, "submission", "--user", ME, "--trace", "session"), stdin=MESSAGE)
    assert done.code == 0, done.err
    assert "** TLS begins" in done.err and "=> MAIL FROM:" in done.err and "=> AUTH SCRAM-SHA-256-PLUS ***" in done.err
    done = gatepost(*_to(server, "submission", "--user", ME, "--trace-file", "t.jsonl"), stdin=MESSAGE)
    assert done.code == 0, done.err
    assert "wonderland" not in (tmp_path / "t.jsonl").read_text() + done.err


def test_keyring_option_needs_a_user_and_excludes_the_file(gatepost: Gatepost, tmp_path: Path) -> None:
    """One source of the password, and whose it is."""
    (tmp_path / "secret").write_text("x\n")
    for more in ([], ["--user", ME, "--password-file", "secret"]):
        done = gatepost("send", "--server", "localhost:1", "--password-keyring", *more, stdin=MESSAGE)
        assert done.code == 64 and "--password-keyring" in done.complaints[0]
