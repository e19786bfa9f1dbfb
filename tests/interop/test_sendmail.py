"""The ``sendmail`` entry point, called the way programs call it: cron, PHP, git, ``mail`` and mutt."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.interop.conftest import ALICE, BOB
from tests.interop.letters import Arrived, Letter, letter
from tests.interop.programs import Done, require, run
from tests.interop.running import SENDMAIL, Gatepost

pytestmark = pytest.mark.interop


@pytest.fixture
def sendmail(tmp_path: Path) -> Path:
    """A program called ``sendmail``, as a package would install it."""
    program = tmp_path / "sendmail"
    program.write_text(f"#!{sys.executable}\nfrom gatepost.sendmail import main\nmain()\n")
    program.chmod(0o755)
    for name in ("mailq", "newaliases"):
        (tmp_path / name).symlink_to(program)
    return program


def _call(
    server: Gatepost, arguments: Sequence[str | Path], given: bytes, program: Sequence[str | Path] = SENDMAIL
) -> Done:
    return run([*program, *arguments], given=given, env=server.sendmail_environment)


def _taken(server: Gatepost, sent: Letter, done: Done) -> Arrived:
    assert done.code == 0, done.said
    arrived = server.arrived(sent.recipient, sent.token)
    assert arrived.field("delivered-to") == BOB
    return arrived


def test_sendmail_takes_a_message_as_git_hands_it_over(gatepost_server: Gatepost) -> None:
    """``sendmail -i RECIPIENT...``: octet for octet, also a line with a dot alone."""
    sent = letter(ALICE, BOB)
    arrived = _taken(gatepost_server, sent, _call(gatepost_server, ["-i", "-f", ALICE, BOB], sent.lf))
    assert arrived.original == sent.lf
    assert arrived.field("return-path") == f"<{ALICE}>"


def test_sendmail_takes_a_message_as_php_hands_it_over(gatepost_server: Gatepost) -> None:
    """``sendmail -t -i``: recipients from the header, the blind ones gone from it."""
    sent = letter(ALICE, BOB)
    text = sent.lf.replace(b"To: <bob@example.test>\n", b"Bcc: bob@example.test\n")
    assert text != sent.lf
    arrived = _taken(gatepost_server, sent, _call(gatepost_server, ["-t", "-i"], text))
    assert b"Bcc" not in arrived.content
    assert arrived.original == text.replace(b"Bcc: bob@example.test\n", b"")


def test_sendmail_takes_a_message_as_cron_hands_it_over(gatepost_server: Gatepost) -> None:
    """``sendmail -FCronDaemon -i -B8BITMIME -oem root``: Date, Message-ID and From are added where they are missing."""
    sent = letter(ALICE, BOB)
    text = f"From: root (Cron Daemon)\nTo: {BOB}\nSubject: {sent.token}\n\noutput \xe4\n".encode()
    arguments = ["-FCronDaemon", "-i", "-B8BITMIME", "-oem", BOB]
    arrived = _taken(gatepost_server, sent, _call(gatepost_server, arguments, text))
    assert arrived.field("date") and arrived.field("message-id")
    assert arrived.content.endswith("\n\noutput \xe4\n".encode())


def test_mail_of_cron_to_root_reaches_the_postmaster(gatepost_server: Gatepost) -> None:
    """Programs write to accounts of the machine, which have no mailbox here."""
    sent = letter(ALICE, "root")
    done = _call(gatepost_server, ["-FCronDaemon", "-i", "-B8BITMIME", "-oem", "root"], sent.lf)
    assert done.code == 0, done.said
    assert gatepost_server.arrived("postmaster@example.test", sent.token).original == sent.lf


def test_snail_delivers_through_sendmail(gatepost_server: Gatepost, sendmail: Path) -> None:
    """``mail -s SUBJECT RECIPIENT``."""
    sent = letter(ALICE, BOB)
    command = [require("s-nail", "s-nail"), "-:/", f"-Smta={sendmail}", "-Snosave", "-r", ALICE, "-s", sent.token, BOB]
    done = run(command, given=b"hello\n", env={**gatepost_server.sendmail_environment, "MAILRC": "/dev/null"})
    assert _taken(gatepost_server, sent, done).content.endswith(b"\n\nhello\n")


def test_mutt_delivers_through_sendmail(gatepost_server: Gatepost, sendmail: Path, tmp_path: Path) -> None:
    """mutt calls ``sendmail -oem -oi``."""
    sent = letter(ALICE, BOB)
    configuration = tmp_path / "muttrc"
    configuration.write_text(f'set sendmail="{sendmail} -oem -oi" from="{ALICE}" copy=no crypt_use_gpgme=no\n')
    command: list[str | Path] = [require("mutt", "mutt"), "-n", "-F", configuration, "-s", sent.token, "--", BOB]
    environment = {**gatepost_server.sendmail_environment, "HOME": str(tmp_path), "TERM": "dumb"}
    done = run(command, given=b"hello\n", env=environment)
    assert b"\n\nhello\n" in _taken(gatepost_server, sent, done).content


def test_sendmail_speaks_smtp_on_its_input(gatepost_server: Gatepost) -> None:
    """``sendmail -bs``."""
    sent = letter(ALICE, BOB)
    stuffed = sent.crlf.replace(b"\r\n.", b"\r\n..")
    dialogue = b"EHLO localhost\r\nMAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nDATA\r\n%s.\r\nQUIT\r\n"
    given = dialogue % (ALICE.encode(), BOB.encode(), stuffed)
    done = _call(gatepost_server, ["-bs"], given)
    arrived = _taken(gatepost_server, sent, done)
    assert arrived.original == sent.lf
    assert [line[:3] for line in done.out.splitlines() if line[3:4] == b" "][-2:] == [b"250", b"221"]


def test_sendmail_refuses_an_unknown_recipient(gatepost_server: Gatepost) -> None:
    """67 (no such user), in one line."""
    done = _call(gatepost_server, ["-i", "-f", ALICE, "no-such-person@example.test"], b"Subject: x\n\nx\n")
    assert done.code == 67 and len(done.err.splitlines()) == 1, done.said


def test_mailq_lists_the_queue(gatepost_server: Gatepost, sendmail: Path) -> None:
    """Root, or who runs the server, sees what waits."""
    done = _call(gatepost_server, [], b"", program=[sendmail.parent / "mailq"])
    assert done.code == 0 and "queue is empty" in done.said.lower(), done.said


def test_sendmail_without_a_server_says_try_again(tmp_path: Path) -> None:
    """75: nothing was sent, nothing was spooled."""
    nowhere = {"GATEPOST_SENDMAIL_SOCKET": str(tmp_path / "none.sock"), "PATH": os.environ["PATH"]}
    done = run([*SENDMAIL, "-i", BOB], given=b"Subject: x\n\nx\n", env=nowhere)
    assert done.code == 75 and "not running" in done.said, done.said
