"""The commands of an operator, against a server that runs."""

from __future__ import annotations

import json
import shutil
import smtplib
from contextlib import closing
from pathlib import Path

import pytest
from tests.interop.conftest import ALICE, BOB, FRIEND, PASSWORD, Road, StartGatepost
from tests.interop.letters import MEGABYTE, Letter, find, letter
from tests.interop.patience import PATIENCE, until
from tests.interop.programs import run
from tests.interop.running import GATEPOST, Gatepost

from gatepost.testing.ca import TestAuthority
from gatepost.testing.dns import FakeDNS

pytestmark = pytest.mark.interop
DAVE = "dave@next.test"


def _to_mx(server: Gatepost, sent: Letter) -> None:
    with smtplib.SMTP("localhost", server.ports["mx"], timeout=PATIENCE) as client:
        client.starttls()
        client.sendmail(sent.sender, [sent.recipient], sent.crlf)


# -- send


def _send(
    server: Gatepost, road: Road, sent: Letter, directory: Path, *extra: str, name: str = "localhost"
) -> list[str]:
    secret = directory / "password"
    secret.write_text(PASSWORD + "\n")
    command = [*GATEPOST, "send", "--server", f"127.0.0.1:{road.port(server)}", "--server-name", name]
    command += ["--from", sent.sender, "--to", sent.recipient, *(["--implicit"] if road.implicit else [])]
    command += ["--user", ALICE, "--password-file", str(secret)] if road.login else []
    return [*command, *extra]


@pytest.mark.parametrize("attachment", [0, 20 * MEGABYTE], ids=["small", "20MB"])
def test_send_delivers_over_verified_tls(
    gatepost_server: Gatepost, road: Road, tmp_path: Path, attachment: int
) -> None:
    """From a file and from standard input, with its own header: octet for octet."""
    sent = road.letter(attachment=attachment)
    file = sent.write(tmp_path)
    command = _send(gatepost_server, road, sent, tmp_path, "--ca-file", str(gatepost_server.ca_file))
    done = run([*command, file]) if attachment else run(command, given_file=file)
    assert done.code == 0, done.said
    road.check(sent, gatepost_server.arrived(sent.recipient, sent.token))


def test_send_refuses_what_it_cannot_verify(
    gatepost_server: Gatepost, road: Road, tmp_path: Path, wrong_ca: Path
) -> None:
    """Another authority, another name: 69, one line that says so, and nothing sent."""
    sent = road.letter()
    for command in (
        _send(gatepost_server, road, sent, tmp_path, "--ca-file", str(wrong_ca)),
        _send(gatepost_server, road, sent, tmp_path, "--ca-file", str(gatepost_server.ca_file), name="other.test"),
    ):
        done = run(command, given=sent.lf)
        assert done.code == 69 and len(done.err.splitlines()) == 1, done.said


# -- queue


@pytest.fixture
def blocked(start_gatepost: StartGatepost, name_server: FakeDNS) -> Gatepost:
    """A server whose mail for next.test cannot go on yet: its name server does not answer for it."""
    name_server.fail("next.test")
    delivery = {"resolver": [name_server.nameserver], "port": 1, "tls_level": "verify"}
    return start_gatepost(users={ALICE: PASSWORD}, tables={"delivery": delivery})


def _submit(server: Gatepost, sent: Letter) -> None:
    with smtplib.SMTP("localhost", server.ports["submission"], timeout=PATIENCE) as client:
        client.starttls()
        client.login(ALICE, PASSWORD)
        client.sendmail(sent.sender, [sent.recipient], sent.crlf)


def test_queue_shows_what_waits_and_why(blocked: Gatepost) -> None:
    """list and show, for people and for programs, and the message itself."""
    sent = letter(ALICE, DAVE)
    _submit(blocked, sent)
    waiting = blocked.waits("deferred")
    listed = blocked.cli("queue", "list")
    assert waiting["id"] in listed.said and DAVE in listed.said and "deferred" in listed.said
    shown = blocked.ask("queue", "show", waiting["id"])
    assert shown["sender"] == ALICE
    assert [each["address"] for each in shown["recipients"]] == [DAVE]
    assert shown["recipients"][0]["reply"].startswith("4") or "look-up" in shown["recipients"][0]["reply"]
    assert sent.token in blocked.cli("queue", "show", waiting["id"], "--header").said
    assert blocked.cli("queue", "show", waiting["id"], "--content").out.endswith(sent.lf)
    assert blocked.cli("queue", "drop", waiting["id"]).code == 0


def test_queue_retries_when_told_to(blocked: Gatepost, name_server: FakeDNS, start_gatepost: StartGatepost) -> None:
    """The server looks at once, not at the next time; the way is free now, and the message goes."""
    next_server = start_gatepost(hostname="mx.next.test", domains=("next.test",), users={DAVE: PASSWORD})
    sent = letter(ALICE, DAVE)
    _submit(blocked, sent)
    waiting = blocked.waits("deferred")
    name_server.remove("next.test")
    name_server.add("next.test", "MX", "10 mx.next.test.")
    name_server.add("mx.next.test", "A", "127.0.0.1")
    delivery = {"resolver": [name_server.nameserver], "port": next_server.ports["mx"], "tls_level": "verify"}
    blocked.configure({"delivery": {**delivery, "ca_file": str(next_server.ca_file)}})
    assert blocked.cli("reload").code == 0
    assert blocked.ask("queue", "retry", waiting["id"]) == {"count": 1, "missing": []}
    assert next_server.arrived(DAVE, sent.token).original == sent.lf
    blocked.empties()


def test_queue_holds_releases_and_drops(blocked: Gatepost) -> None:
    """What is held is not tried; what is released is; what is dropped is gone without a bounce."""
    _submit(blocked, letter(ALICE, DAVE))
    waiting = blocked.waits("deferred")
    attempts = waiting["recipients"][0]["attempts"]
    assert blocked.cli("queue", "hold", waiting["id"]).code == 0
    assert blocked.ask("queue", "show", waiting["id"])["hold"] is True
    assert blocked.cli("queue", "retry", "--all").code == 0
    assert blocked.cli("queue", "release", waiting["id"]).code == 0

    def tried_again() -> bool:
        (message,) = blocked.queue()
        return not message["hold"] and message["recipients"][0]["attempts"] > attempts

    until(tried_again, what="the released message is tried", log=blocked.log)
    assert blocked.cli("queue", "drop", "--all").code == 64  # a yes is missing
    assert blocked.cli("queue", "drop", "--all", "--yes").code == 0
    assert blocked.queue() == []
    assert not list(blocked.mailbox(ALICE).glob("new/*"))


# -- status and reload


def test_status_describes_the_running_server(start_gatepost: StartGatepost) -> None:
    """Listeners, processes, queue, counters, certificate."""
    server = start_gatepost(users={BOB: PASSWORD})
    sent = letter(FRIEND, BOB)
    _to_mx(server, sent)
    server.arrived(BOB, sent.token)
    server.empties()
    status = server.ask("status")
    assert status["state"] == "running" and status["hostname"] == server.hostname
    addresses = {each["name"]: each["addresses"] for each in status["listeners"]}
    local = {"local": [str(server.data / "sendmail.sock")]}
    assert addresses == {name: [f"127.0.0.1:{port}"] for name, port in server.ports.items()} | local
    roles = {each["role"] for each in status["processes"]}
    assert {"mx", "submission", "delivery"} <= roles
    assert all(each["state"] == "running" and each["restarts"] == 0 for each in status["processes"])
    assert status["queue"]["messages"] == 0
    assert sum(count for name, count in status["counters"].items() if name.startswith("messages_accepted_total")) == 1
    assert "running" in server.cli("status", "-v").said


def test_reload_puts_a_new_certificate_in_force(start_gatepost: StartGatepost, tmp_path: Path) -> None:
    """New connections get it, a message that is under way arrives, and a bad configuration changes nothing."""
    server = start_gatepost(users={BOB: PASSWORD})
    renewed = TestAuthority("the authority of the renewal")
    sent = [letter(FRIEND, BOB) for _ in range(2)]
    client = smtplib.SMTP("localhost", server.ports["mx"], timeout=PATIENCE)
    with closing(client):
        client.starttls()
        client.ehlo()
        assert client.mail(FRIEND)[0] == 250 and client.rcpt(BOB)[0] == 250
        renewed.issue(server.hostname, "localhost").write(server.directory / "server.pem")
        assert server.cli("reload").code == 0
        assert client.data(sent[0].crlf)[0] == 250
        assert client.docmd("NOOP")[0] == 250  # the session goes on in the old process
    server.ca_file.write_bytes(renewed.pem)
    road = Road("mx", implicit=False, login=False)
    command = _send(server, road, sent[1], tmp_path, "--ca-file", str(server.ca_file))
    assert run(command, given=sent[1].lf).code == 0
    for each in sent:
        assert server.arrived(BOB, each.token).original == each.lf
    (server.directory / "server.pem").write_text("not a certificate\n")
    refused = server.cli("reload")
    assert refused.code == 78 and "server.pem" in refused.said, refused.said
    third = letter(FRIEND, BOB)
    assert run(_send(server, road, third, tmp_path, "--ca-file", str(server.ca_file)), given=third.lf).code == 0


# -- backup


def test_backup_of_a_running_server_can_be_restored_by_hand(
    blocked: Gatepost, start_gatepost: StartGatepost, tmp_path: Path
) -> None:
    """What docs/backup.md says: queue, users and mail are in the copy, and a server runs on it."""
    assert blocked.cli("user", "add", BOB, "--password-stdin", given=PASSWORD.encode()).code == 0  # in effect at once
    kept, queued, large = letter(FRIEND, BOB), letter(ALICE, DAVE), letter(ALICE, DAVE, attachment=MEGABYTE)
    _to_mx(blocked, kept)
    blocked.arrived(BOB, kept.token)
    _submit(blocked, queued)
    _submit(blocked, large)
    until(lambda: len(blocked.queue()) == 2, what="two messages wait", log=blocked.log)
    copy = tmp_path / "copy"
    facts = blocked.ask("backup", str(copy))
    assert (facts["queued_messages"], facts["users"], facts["mail_files"]) == (2, 2, 1), facts
    assert json.loads((copy / "backup.json").read_text())["queued_messages"] == 2
    later = letter(FRIEND, BOB)
    _to_mx(blocked, later)  # the server goes on
    blocked.arrived(BOB, later.token)

    blocked.stop()
    blocked.data.rename(tmp_path / "before")
    shutil.copytree(copy, blocked.data)
    blocked.start()
    found = find(blocked.mailbox(BOB), kept.token)
    assert found is not None and found.original == kept.lf
    assert find(blocked.mailbox(BOB), later.token) is None
    contents = {blocked.cli("queue", "show", each["id"], "--content").out for each in blocked.queue()}
    assert len(contents) == 2 and all(any(c.endswith(each.lf) for c in contents) for each in (queued, large))
    again = letter(ALICE, BOB)
    _submit(blocked, again)  # the login is in the copy
    blocked.arrived(BOB, again.token)
    assert blocked.cli("queue", "drop", "--all", "--yes").code == 0
