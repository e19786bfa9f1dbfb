"""``gatepost record``, on records of a whole server and on such as an enemy would like them."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.cli.conftest import Gatepost
from tests.unit.record.conversation import Conversation, blind_session, hostile_session, starttls_session

from gatepost.cli import exits
from gatepost.record.events import to_line
from gatepost.record.reading import Session
from gatepost.record.script import script
from gatepost.testing.server import MailServer

CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]")


def write(path: Path, *sessions: Session) -> Path:
    path.write_bytes(b"".join(to_line(event) for session in sessions for event in session.events))
    return path


@pytest.fixture
def records(data: Path) -> Path:
    """Two sessions where a server of this configuration would have written them."""
    directory = data / "records"
    directory.mkdir(parents=True)
    write(directory / "1.jsonl", starttls_session(), blind_session())
    return directory


def test_list_has_one_line_a_session(gatepost: Gatepost, records: Path) -> None:
    """Time, id, listener, client, TLS, outcome, messages, octets, what was dropped."""
    done = gatepost("record", "list")
    head, first, second = done.out.splitlines()
    assert done.code == 0 and head.split()[:2] == ["began", "id"]
    assert first.split()[2:] == ["7c38a1f0-2", "mx", "192.0.2.7", "4711", "TLSv1.3", "quit", "1", "20,480", "2"]
    assert "b-1" in second and "blind" in second


def test_list_is_filtered(gatepost: Gatepost, records: Path) -> None:
    """By listener, client, time and failure; for programs as JSON."""
    assert gatepost("record", "list", "--json").json["count"] == 2
    for options, count in (
        (["--client", "192.0.2.0/24"], 2),
        (["--client", "10.0.0.0/8"], 0),
        (["--listener", "mx"], 2),
        (["--listener", "pop3"], 0),
        (["--failed"], 1),
        (["--since", "2100-01-01"], 0),
        (["--until", "2100-01-01T00:00"], 2),
    ):
        assert gatepost("record", "list", "--json", *options).json["count"] == count, options
    assert len(gatepost("record", "list", "--json", "--limit", "1").json["sessions"]) == 1


@pytest.mark.parametrize("option", [["--since", "yesterday"], ["--client", "300.1.1.1"], ["--limit", "-1"]])
def test_filter_that_cannot_be_read_is_wrong_usage(gatepost: Gatepost, records: Path, option: list[str]) -> None:
    """It is never taken for nothing or for everything."""
    assert gatepost("record", "list", *option).code == exits.USAGE


def test_nothing_recorded_says_how_to_record(gatepost: Gatepost) -> None:
    """A new user learns which table of the configuration is missing."""
    done = gatepost("record", "list")
    assert done.code == exits.UNAVAILABLE and "[[record_rule]]" in done.complaints[0]


def test_show_takes_the_beginning_of_an_id_or_a_file(gatepost: Gatepost, records: Path, tmp_path: Path) -> None:
    """As much of the ID as is enough; all sessions of a file."""
    one = gatepost("record", "show", "7c")
    assert one.code == 0 and "==== private from here: TLSv1.3" in one.out and "\x1b" not in one.out
    both = gatepost("record", "show", str(records / "1.jsonl"))
    assert both.out.count("session:") == 2
    assert [each["id"] for each in gatepost("record", "show", "7c", "b", "--json").json] == ["7c38a1f0-2", "b-1"]


def test_show_of_nothing_or_of_several_says_so(gatepost: Gatepost, records: Path) -> None:
    """An ID that is not there, and one that fits more than one session."""
    write(records / "2.jsonl", Conversation("7c99").close())
    unknown = gatepost("record", "show", "zz")
    assert unknown.code == exits.DATA and "record list" in unknown.complaints[0]
    several = gatepost("record", "show", "7c")
    assert several.code == exits.USAGE and "7c38a1f0-2, 7c99" in several.complaints[0]
    assert gatepost("record", "show", "7c38a1f0-2").code == 0


def test_colour_is_asked_for_or_left(gatepost: Gatepost, records: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never into a pipe by itself; always with --color always. Its sequences are the only ones."""
    coloured = gatepost("record", "show", "7c", "--color", "always").out
    plain = gatepost("record", "show", "7c").out
    assert "\x1b[" in coloured
    assert re.sub("\x1b\\[[0-9;]*m", "", coloured) == plain


@pytest.mark.parametrize(
    "command", [["show", "evil"], ["export", "evil", "--text"], ["list"], ["follow", "--all", "--for", "0"]]
)
def test_what_peers_said_does_nothing_to_a_terminal(gatepost: Gatepost, records: Path, command: list[str]) -> None:
    """No escape sequence, no carriage return, no other direction, in no command; and no line is forged."""
    write(records / "3.jsonl", hostile_session())
    done = gatepost("record", *command)
    assert done.code == 0 and CONTROL.search(done.out) is None and CONTROL.search(done.err) is None


def test_columns_of_follow_are_harmless_too(gatepost: Gatepost, records: Path) -> None:
    """--columns and --json go other ways."""
    write(records / "3.jsonl", hostile_session())
    for option in ("--columns", "--json"):
        done = gatepost("record", "follow", "--all", "--for", "0", option)
        assert done.code == 0 and CONTROL.search(done.out) is None


def test_damaged_record_is_told_and_the_rest_is_read(gatepost: Gatepost, records: Path) -> None:
    """The place of the damage goes to standard error."""
    with (records / "1.jsonl").open("ab") as file:
        file.write(b"\x1b[31m{nonsense\n")
    done = gatepost("record", "list", "--json")
    assert done.json["count"] == 2
    assert len(done.complaints) == 1 and "1.jsonl:" in done.complaints[0] and "\x1b" not in done.err


def test_export_can_be_read_again(gatepost: Gatepost, records: Path, tmp_path: Path) -> None:
    """JSON lines are a record: show and list read them."""
    lines = gatepost("record", "export", "7c", "--json").out
    exported = tmp_path / "exported.jsonl"
    exported.write_text(lines)
    assert gatepost("record", "show", str(exported)).out == gatepost("record", "show", "7c").out
    assert gatepost("record", "list", "--records", str(exported), "--json").json["count"] == 1


def test_export_of_a_page_holds_the_chosen_sessions(gatepost: Gatepost, records: Path) -> None:
    """Those that are named, or all that the options ask for."""
    assert gatepost("record", "export", "--html").out.count("<section") == 2
    assert gatepost("record", "export", "--html", "--failed").out.count("<section") == 1
    assert gatepost("record", "export", "--html", "7c").out.startswith("<!DOCTYPE html>")
    assert gatepost("record", "export", "--listener", "pop3").code == exits.DATA


def test_export_never_writes_over_a_file(gatepost: Gatepost, records: Path, tmp_path: Path) -> None:
    """A file that is there stays as it is, a link is not followed, and what is made is for its owner alone."""
    made, link = tmp_path / "page.html", tmp_path / "link.html"
    assert gatepost("record", "export", "7c", "--html", "--output", str(made)).code == 0
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    before = made.read_bytes()
    link.symlink_to(tmp_path / "elsewhere")
    for output in (made, link):
        again = gatepost("record", "export", "b", "--html", "--output", str(output))
        assert again.code == exits.CANNOT_CREATE and "there already" in again.complaints[0]
    assert made.read_bytes() == before and not (tmp_path / "elsewhere").exists()


def test_failed_export_leaves_no_file(gatepost: Gatepost, records: Path, tmp_path: Path) -> None:
    """Half a page is not left lying about."""
    made = tmp_path / "page.html"
    assert gatepost("record", "export", "zz", "--html", "--output", str(made)).code == exits.DATA
    assert not made.exists()


def test_forms_of_export_exclude_each_other(gatepost: Gatepost, records: Path) -> None:
    """--json and --html together are a mistake."""
    assert gatepost("record", "export", "--json", "--html").code == exits.USAGE


@pytest.fixture
def server(tmp_path: Path, server_log: Path) -> Iterator[MailServer]:
    directory = tmp_path / "server"
    directory.mkdir()
    with MailServer(directory) as running:
        yield running


def talk(protocol: str = "smtp") -> Conversation:
    """What a client said to a server that is like ours, but for what it could do."""
    said = Conversation(protocol=protocol)
    said.server(b"220 mx ESMTP")
    said.client(b"EHLO me")
    said.server(b"250-mx", b"250 STARTTLS")
    said.client(b"STARTTLS")
    said.server(b"220 go ahead")
    said.upgrade()
    return said


def hello(said: Conversation) -> None:
    """A greeting whose answer has no capabilities that could differ."""
    said.client(b"HELO me")
    said.server(b"250 mx")


def mail(said: Conversation, sender: bytes = b"x@y.test", recipient: bytes = b"alice@example.test") -> Session:
    """A message to one recipient."""
    if said.session.opened is not None and said.session.opened.protocol == "smtp":
        hello(said)
    for line, reply in (
        (b"MAIL FROM:<%s>" % sender, b"250 ok"),
        (b"RCPT TO:<%s>" % recipient, b"250 ok"),
        (b"DATA", b"354 go"),
    ):
        said.client(line)
        said.server(reply)
    said.data("client", 5000, sha256="0" * 64)
    said.server(b"250 ok")
    said.client(b"QUIT")
    said.server(b"221 bye")
    return said.close()


def _replay(file: Path, server: MailServer, listener: str = "mx", *options: str) -> list[str]:
    target = f"localhost:{server.ports[listener]}"
    trust = [] if "--plain" in options else ["--ca", str(server.ca_file)]
    return ["record", "replay", str(file), "--to", target, *trust, *options]


def test_replay_through_starttls_says_the_same_and_sends_as_much(
    gatepost: Gatepost, server: MailServer, tmp_path: Path
) -> None:
    """Greeting, STARTTLS, TLS, a message of the recorded size; capabilities that were never asked for do not count."""
    file = write(tmp_path / "r.jsonl", mail(talk()))
    steps = gatepost(*_replay(file, server, "mx", "--json")).json["steps"]
    differing = [step["said"] for step in steps if step["differences"]]
    assert differing == ["EHLO me"], "what the server can do is compared as a set"
    codes = [step["now"]["status"] for step in steps if step["now"]]
    assert " ".join(codes) == "220 250 220 250 250 250 354 250 221"
    assert any("private: TLSv1.3" in step["note"] for step in steps)
    ((message, content, recipients),) = server.messages()
    assert recipients == ["alice@example.test"] and message.sender == "x@y.test"
    assert b"using TLSv1.3" in content and b"From: x@y.test\r\n" in content and b"not recorded" in content


def test_replay_exits_with_1_where_an_answer_differs(gatepost: Gatepost, server: MailServer, tmp_path: Path) -> None:
    """A recipient that is unknown here: both answers are shown, and the rest is played as far as it goes."""
    said = Conversation()
    said.server(b"220 mx ESMTP")
    said.client(b"NOOP")
    said.server(b"250 ok")
    file = write(tmp_path / "r.jsonl", mail(said, recipient=b"nobody@example.test"))
    done = gatepost(*_replay(file, server, "mx", "--plain"))
    assert done.code == 1
    assert "550 where it was 250" in done.out and "was  250 ok" in done.out
    assert "the server does not want it" in done.out
    assert server.messages() == []


def test_replay_of_the_same_is_0_and_exact_is_stricter(gatepost: Gatepost, server: MailServer, tmp_path: Path) -> None:
    """Texts are not counted, unless they are asked for."""
    said = Conversation()
    said.server(b"220 mx ESMTP")
    said.client(b"NOOP")
    said.server(b"250 another text")
    file = write(tmp_path / "r.jsonl", said.close())
    assert gatepost(*_replay(file, server, "mx", "--plain")).code == 0
    exact = gatepost(*_replay(file, server, "mx", "--plain", "--exact"))
    assert exact.code == 1 and "another text" in exact.out


def login_session() -> Session:
    """A login whose password is masked, inside TLS from the first octet."""
    said = Conversation(protocol="submission")
    said.upgrade()
    said.server(b"220 mx ESMTP")
    said.client(b"EHLO me")
    said.server(b"250-mx", b"250 AUTH LOGIN")
    said.client(b"AUTH LOGIN")
    said.server(b"334 ***")
    said.client(b"***", masked=True)
    said.server(b"334 ***")
    said.client(b"***", masked=True)
    said.server(b"235 in")
    return mail(said, sender=b"alice@example.test", recipient=b"bob@elsewhere.test")


def test_replay_logs_in_anew_or_not_at_all(gatepost: Gatepost, server: MailServer, tmp_path: Path) -> None:
    """The mask is never said; --user with a password on standard input takes its place."""
    file = write(tmp_path / "r.jsonl", login_session())
    without = gatepost(*_replay(file, server, "submissions"))
    assert without.code == 1 and "the login was left out" in without.out and "530 where it was 250" in without.out
    login = gatepost(
        *_replay(file, server, "submissions", "--user", "alice@example.test", "--password-stdin"), stdin=b"wonderland\n"
    )
    assert login.out.count("DIFFERS") == 1 and "DIFFERS   EHLO me" in login.out, login.out + login.err
    assert "wonderland" not in login.out + login.err
    ((message, _, _),) = server.messages()
    assert message.sender == "alice@example.test"


def test_replay_begins_tls_as_it_is_told(gatepost: Gatepost, server: MailServer, tmp_path: Path) -> None:
    """The same session by STARTTLS, though it was recorded inside TLS from the first octet."""
    file = write(tmp_path / "r.jsonl", login_session())
    user = ["--user", "alice@example.test", "--password-stdin"]
    done = gatepost(*_replay(file, server, "submission", "--starttls", *user), stdin=b"wonderland\n")
    assert done.out.count("DIFFERS") == 1 and "DIFFERS   EHLO me" in done.out, done.out + done.err
    assert len(server.messages()) == 1


def test_replay_trusts_nobody_by_itself(gatepost: Gatepost, server: MailServer, tmp_path: Path) -> None:
    """A certificate that is not trusted ends it before anything was said in private; the hint names the option."""
    file = write(tmp_path / "r.jsonl", mail(talk()))
    done = gatepost("record", "replay", str(file), "--to", f"localhost:{server.ports['mx']}")
    assert done.code == exits.UNAVAILABLE and "--ca" in done.complaints[0]
    assert server.messages() == []


@pytest.mark.parametrize(
    ("address", "here"), [("127.0.0.1", True), ("::1", True), ("::ffff:127.0.0.1", True), ("192.0.2.1", False)]
)
def test_replay_knows_what_is_this_machine(address: str, here: bool) -> None:
    """Loopback is; a name is what it led to."""
    from gatepost.cli.record_replay import is_here

    assert is_here(address) is here


def test_replay_sends_no_mail_to_others_without_a_yes(
    gatepost: Gatepost, server: MailServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that is not this machine hears nothing before --yes."""
    monkeypatch.setattr("gatepost.cli.record_replay.is_here", lambda address: False)
    file = write(tmp_path / "r.jsonl", mail(talk()))
    done = gatepost(*_replay(file, server))
    assert done.code == exits.USAGE and "--yes" in done.complaints[0]
    assert server.messages() == []
    assert gatepost(*_replay(file, server, "mx", "--yes")).code == 1
    assert len(server.messages()) == 1


def test_replay_stops_where_the_record_is_blind(gatepost: Gatepost, server: MailServer, tmp_path: Path) -> None:
    """What client and server said past the gate nobody can say again."""
    file = write(tmp_path / "r.jsonl", blind_session())
    done = gatepost(*_replay(file, server, "mx", "--plain"))
    assert done.code == 1 and "blind" in done.out


def test_recorded_session_replays_against_its_own_server(gatepost: Gatepost, tmp_path: Path, server_log: Path) -> None:
    """What the recorder of a server wrote is listed, shown, and answered the same when it is said again."""
    import smtplib
    import ssl  # a client that is not ours

    directory = tmp_path / "server"
    directory.mkdir()
    with MailServer(directory, record_rule=({},)) as server:
        with smtplib.SMTP("localhost", server.ports["submission"], timeout=60) as client:
            client.starttls(context=ssl.create_default_context(cafile=server.ca_file))
            client.login("alice@example.test", "wonderland")
            client.sendmail("alice@example.test", ["bob@elsewhere.test"], b"From: alice@example.test\r\n\r\nhi\r\n")
    (summary,) = gatepost("record", "list", "--records", str(directory / "records"), "--json").json["sessions"]
    assert (summary["tls"], summary["outcome"], summary["messages"]) == ("TLSv1.3", "quit", 1)
    shown = gatepost("record", "show", summary["id"], "--records", str(directory / "records")).out
    assert "private from here: TLSv1.3" in shown and "wonderland" not in shown
    again = tmp_path / "again"
    again.mkdir()
    user = ["--user", "alice@example.test", "--password-stdin"]
    with MailServer(again) as server:
        options = ["--to", f"localhost:{server.ports['submission']}", "--ca", str(server.ca_file), *user]
        there = ["--records", str(directory / "records")]
        done = gatepost("record", "replay", summary["id"], *there, *options, stdin=b"wonderland\n")
        assert done.code == 0, done.out + done.err
        assert len(server.messages()) == 1


def test_every_session_here_can_become_a_script() -> None:
    """What the tests show, replay could play."""
    assert script(hostile_session()).steps and script(starttls_session()).steps
