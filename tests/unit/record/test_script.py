"""The client's side of a session as steps."""

from __future__ import annotations

import pytest
from tests.unit.record.conversation import Conversation, blind_session, starttls_session

from gatepost.record.errors import RecordError
from gatepost.record.events import Upgraded
from gatepost.record.script import Script, adapted, script


def kinds(play: Script) -> list[str]:
    return [step.kind for step in play.steps]


def answers(play: Script) -> list[str | None]:
    return [step.answer.status if step.answer is not None else None for step in play.steps]


def test_starttls_session_becomes_steps_with_their_answers() -> None:
    """Greeting, commands, the upgrade, the login as one step, content; each with what the server said to it."""
    play = script(starttls_session())
    assert play.manner == "starttls" and play.changes
    assert kinds(play) == [
        "greeting", "line", "line", "upgrade", "line", "login", "line", "line", "line", "line", "content", "line",
    ]  # fmt: skip
    assert answers(play) == [
        "220", "250", "220", None, "250", "235", "250", "451", "250", "354", "250", "221",
    ]  # fmt: skip
    assert play.steps[10].octets == 20480 and play.steps[10].headers is not None


def test_pipelined_commands_get_their_own_answers() -> None:
    """Answers come in the order of the commands, however many were said before the first came."""
    talk = Conversation()
    talk.server(b"220 hi")
    for line in (b"MAIL FROM:<a@b.test>", b"RCPT TO:<c@d.test>", b"RCPT TO:<e@f.test>"):
        talk.client(line)
    talk.server(b"250 ok", b"550 no", b"450 later")
    assert answers(script(talk.close())) == ["220", "250", "550", "450"]


def test_login_of_several_lines_is_one_step() -> None:
    """AUTH LOGIN with its two answers; USER and PASS; AUTHENTICATE with its continuation."""
    talk = Conversation()
    talk.server(b"220 hi")
    talk.client(b"AUTH LOGIN")
    for _ in range(2):
        talk.server(b"334 ***")
        talk.client(b"***", masked=True)
    talk.server(b"535 no")
    talk.client(b"QUIT")
    talk.server(b"221 bye")
    play = script(talk.close())
    assert kinds(play) == ["greeting", "login", "line"] and answers(play) == ["220", "535", "221"]

    talk = Conversation(protocol="pop3")
    talk.server(b"+OK")
    talk.client(b"USER alice")
    talk.server(b"+OK")
    talk.client(b"PASS ***", masked=True)
    talk.server(b"+OK 2 messages")
    assert kinds(script(talk.close())) == ["greeting", "login"]

    talk = Conversation(protocol="imap")
    talk.server(b"* OK hi")
    talk.client(b"a1 AUTHENTICATE PLAIN")
    talk.server(b"+ ")
    talk.client(b"***", masked=True)
    talk.server(b"a1 OK in")
    talk.client(b"a2 LOGOUT")
    talk.server(b"* BYE", b"a2 OK bye")
    play = script(talk.close())
    assert kinds(play) == ["greeting", "login", "line"] and answers(play) == ["OK", "OK", "OK"]


def test_empty_listing_does_not_swallow_the_next_answer() -> None:
    """Of a listing without lines nothing is in the record but its +OK."""
    talk = Conversation(protocol="pop3")
    talk.server(b"+OK")
    talk.client(b"LIST")
    talk.server(b"+OK 0 messages")
    talk.client(b"QUIT")
    talk.server(b"+OK bye")
    assert answers(script(talk.close())) == ["+OK", "+OK", "+OK"]


def test_masked_and_cut_lines_cannot_be_said_again() -> None:
    """They are steps with a reason, so that whoever plays them says so."""
    talk = Conversation()
    talk.server(b"220 hi")
    talk.client(b"XYZ ***", masked=True)
    talk.server(b"500 what")
    talk.client(b"NOOP xxx", cut=10)
    talk.server(b"500 too long")
    play = script(talk.close())
    assert ["masked" in play.steps[1].reason, "too long" in play.steps[2].reason] == [True, True]


@pytest.mark.parametrize("line", [b"NOOP\r\nMAIL FROM:<x@y.test>", b"NOOP\nMAIL FROM:<x@y.test>", b"NOOP\r"])
def test_line_with_a_line_end_inside_is_not_said(line: bytes) -> None:
    """A record that somebody made by hand cannot hide a second command in a harmless one."""
    talk = Conversation()
    talk.client(line)
    assert "line end" in script(talk.session).steps[-1].reason


def test_chunk_belongs_to_its_command() -> None:
    """BDAT has no answer before its octets."""
    talk = Conversation()
    talk.server(b"220 hi")
    talk.client(b"BDAT 5 LAST")
    talk.data("client", 5, content=b"hello")
    talk.server(b"250 ok")
    play = script(talk.close())
    assert kinds(play) == ["greeting", "line"] and play.steps[1].content == b"hello" and play.changes


def test_manner_is_that_of_the_record() -> None:
    """Inside TLS from the first octet, the upgrade comes before the greeting."""
    talk = Conversation()
    talk.upgrade()
    talk.server(b"220 hi")
    talk.client(b"QUIT")
    talk.server(b"221 bye")
    play = script(talk.close())
    assert play.manner == "implicit" and kinds(play) == ["upgrade", "greeting", "line"]
    assert kinds(adapted(play, "plain")) == ["greeting", "line"]
    assert kinds(adapted(play, "starttls")) == ["line"]


def test_other_manner_leaves_out_what_led_to_the_upgrade() -> None:
    """In the clear all is said but STARTTLS; inside TLS only what was private, behind the greeting."""
    play = script(starttls_session())
    plain = adapted(play, "plain")
    assert "upgrade" not in kinds(plain) and b"STARTTLS" not in [step.data for step in plain.steps]
    assert [step.data for step in plain.steps].count(b"EHLO client.example.net") == 2
    implicit = adapted(play, "implicit")
    assert kinds(implicit)[0] == "greeting"
    assert [step.data for step in implicit.steps].count(b"EHLO client.example.net") == 1
    assert adapted(play, "starttls") is play


def test_failed_handshake_and_blind_record_stop() -> None:
    """What came behind them nobody knows."""
    talk = Conversation()
    talk.server(b"220 hi")
    talk.client(b"STARTTLS")
    talk.server(b"220 go")
    talk.add(Upgraded, side="client", reason="no")
    assert kinds(script(talk.close())) == ["greeting", "line", "stop"]
    assert kinds(script(blind_session()))[-1] == "stop"


def test_command_with_a_literal_that_was_not_kept_is_left_out() -> None:
    """All of it: the name of a mailbox cannot be replaced by something as long. A message can."""
    talk = Conversation(protocol="imap")
    talk.server(b"* OK hi")
    talk.client(b"a STATUS {5+}")
    talk.data("client", 5, what="listing")
    talk.client(b" (MESSAGES)")
    talk.server(b"a OK done")
    talk.client(b"b APPEND INBOX {9}")
    talk.server(b"+ ok")
    talk.data("client", 9, sha256="0" * 64)
    talk.client(b"")
    talk.server(b"b OK done")
    play = script(talk.close())
    assert [bool(step.reason) for step in play.steps] == [False, True, True, False, False, False]
    assert kinds(play) == ["greeting", "line", "line", "line", "content", "line"]
    assert answers(play) == ["OK", None, "OK", "+", None, "OK"]


@pytest.mark.parametrize(("protocol", "begin"), [("ldap", True), ("smtp", False)])
def test_what_cannot_be_replayed_is_refused(protocol: str, begin: bool) -> None:
    """A protocol that is not read, and a session without its beginning."""
    with pytest.raises(RecordError):
        script(Conversation(protocol=protocol, begin=begin).session)


@pytest.mark.parametrize(
    ("line", "changes"),
    [
        (b"a UID STORE 1 +FLAGS (\\Deleted)", True),
        (b"a XDESTROY everything", True),
        (b"a select INBOX", False),
        (b"a UID FETCH 1 BODY[]", False),
        (b"DONE", False),
        (b"", False),
    ],
)
def test_commands_that_may_change_something_are_told_from_others(line: bytes, changes: bool) -> None:
    """Reading may be replayed anywhere; whatever is not known to be that needs a yes."""
    talk = Conversation(protocol="imap")
    talk.client(line)
    assert script(talk.session).changes is changes
