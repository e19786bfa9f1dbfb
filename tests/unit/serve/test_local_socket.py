"""The local socket: every program of the machine hands its mail over, and mail to the machine's names stays here."""

from __future__ import annotations

import stat
from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.serve.real_server import ME, Client

StartReal = Callable[..., Any]
POSTMASTER = "postmaster@example.test"


def _arrived(server: Any, address: str, token: str) -> str:
    found: str = server.until(lambda: next((text for text in server.mailbox(address) if token in text), None))
    return found


def test_local_socket_is_open_to_everybody_and_goes_at_the_end(start_real: StartReal) -> None:
    """Mode 0666 whatever the umask, beside a control socket that is private; after the end neither is there."""
    server = start_real(umask=0o077)
    sendmail, control = server.data / "sendmail.sock", server.data / "control.sock"
    assert stat.S_IMODE(sendmail.stat().st_mode) == 0o666
    assert stat.S_IMODE(control.stat().st_mode) == 0o600
    server.close()
    assert server.process.returncode == 0
    assert not sendmail.exists()
    assert not control.exists()


def test_run_directory_is_open_where_data_is_private(start_real: StartReal, tmp_path: Any) -> None:
    """Ordinary users reach the socket, and nothing of the data."""
    server = start_real(f'run_directory = "{tmp_path / "run"}"', umask=0o077)
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o755
    assert stat.S_IMODE(server.data.stat().st_mode) == 0o700
    assert (tmp_path / "run" / "sendmail.sock").is_socket()
    assert server.sendmail("-i", "postmaster", given=b"Subject: one\n\none\n").returncode == 0


@pytest.mark.parametrize("listener", ["mx", "submission"])
def test_local_socket_is_served_by_submission_whatever_listens(start_real: StartReal, listener: str) -> None:
    """The process that strangers talk to has no part in it; without a submission listener there is one all the same."""
    server = start_real(listener=listener)
    (address,) = [each["addresses"] for each in server.ask("status")["listeners"] if each["name"] == "local"]
    assert address == [str(server.data / "sendmail.sock")]
    assert server.sendmail("-i", "postmaster", given=b"Subject: one\n\none\n").returncode == 0
    (summary,) = server.until(lambda: [each for each in server.events("smtp.session") if each["listener"] == "local"])
    assert summary["process"] == "submission/0"
    assert summary["user"] == ME


def test_local_socket_stays_over_a_reload(start_real: StartReal) -> None:
    """The same file before and after, and it is served by the new process."""
    server = start_real()
    before = (server.data / "sendmail.sock").stat().st_ino
    assert server.ask("reload")["ok"]
    assert (server.data / "sendmail.sock").stat().st_ino == before
    assert server.sendmail("-i", "postmaster", given=b"Subject: two\n\ntwo\n").returncode == 0
    _arrived(server, POSTMASTER, "two")


def test_mail_to_accounts_of_the_machine_reaches_the_postmaster(start_real: StartReal) -> None:
    """As cron writes it: to ``root``, from ``root``; completed with a domain of ours, not with the host's name."""
    server = start_real()
    for number, address in enumerate(("root", "root@mx.host.test", "root@localhost", "daemon", "POSTMASTER")):
        text = f"From: root (Cron Daemon)\nTo: {address}\nSubject: n{number}\n\nhello\n"
        done = server.sendmail("-FCronDaemon", "-i", "-B8BITMIME", "-oem", address, given=text.encode())
        assert done.returncode == 0, done.stderr
        assert f"Return-Path: <{ME}@example.test>" in _arrived(server, POSTMASTER, f"Subject: n{number}\n")


def test_alias_and_mailbox_go_before_the_postmaster(start_real: StartReal) -> None:
    """Who wants root's mail elsewhere writes an alias; recipients may stand in the header."""
    server = start_real(tables='[aliases]\nroot = "admin"\n"@example.test" = "catch"\n')
    for name in ("admin", "catch"):
        assert server.cli("user", "add", name, "--generate").returncode == 0
    done = server.sendmail("-t", "-i", given=b"To: root\nSubject: one\n\nhello\n")
    assert done.returncode == 0, done.stderr
    _arrived(server, "admin@example.test", "Subject: one\n")
    assert server.sendmail("-i", "nobody.at.all@mx.host.test", given=b"Subject: two\n\nx\n").returncode == 0
    _arrived(server, "catch@example.test", "Subject: two\n")


def test_unknown_name_is_refused(start_real: StartReal) -> None:
    """Neither mailbox nor alias nor account: 67, so that the caller learns of it at once."""
    server = start_real()
    done = server.sendmail("-i", "no-such-account", given=b"Subject: x\n\nx\n")
    assert (done.returncode, "no-such-account" in done.stderr) == (67, True)


def test_account_of_the_machine_is_nobody_from_outside(start_real: StartReal) -> None:
    """What the local socket means by a name says nothing to strangers, who could ask which accounts there are."""
    server = start_real()
    client = Client.connect(server.port)
    assert client.send("x", to="daemon@example.test").startswith("550 5.1.1")
    assert client.say("RSET").startswith("250")
    assert client.send("x", to="daemon@mx.host.test").startswith("550 5.7.1")
    client.close()


def test_mailq_lists_what_waits(start_real: StartReal) -> None:
    """What is sent elsewhere waits, with who sent it."""
    server = start_real(tables="[delivery]\nhold = true\n")
    assert server.sendmail("-i", "them@else.test", given=b"Subject: x\n\nx\n").returncode == 0
    listed = server.sendmail(given=b"", program="mailq")
    assert listed.returncode == 0, listed.stderr
    assert "them@else.test" in listed.stdout
    assert f"{ME}@example.test" in listed.stdout
    assert "-- 1 message" in listed.stdout


def test_many_messages_of_one_minute_are_taken(start_real: StartReal) -> None:
    """Programs of this machine are free of the limits per address, as loopback is."""
    tables = "[limits]\nconnection_rate_per_address = 2\nmessage_rate_per_address = 2\nconnections_per_address = 1\n"
    server = start_real(tables=tables)
    for _ in range(4):
        assert server.sendmail("-i", "postmaster", given=b"Subject: x\n\nx\n").returncode == 0
