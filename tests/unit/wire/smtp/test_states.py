"""The tables, and that the engines do what they say: every state, every command."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from tests.unit.wire.smtp.serving import Talk, accept, codes, plain, secure

from gatepost.wire.smtp import reply
from gatepost.wire.smtp.dialects import LMTP, SMTP
from gatepost.wire.smtp.events import ContentEnds, Event, StartTLSRequested
from gatepost.wire.smtp.reply import Reply
from gatepost.wire.smtp.states import (
    PLAIN,
    PLAIN_DENIED,
    PLAIN_REQUIRED,
    SECURE,
    UNPROTECTED,
    VERBS,
    Rulebook,
    State,
    Trigger,
    plain_rules,
    secure_rules,
)

TABLES = {"plain": PLAIN, "denied": PLAIN_DENIED, "required": PLAIN_REQUIRED, "secure": SECURE}
# How each verb is said, and what a positive answer to it is.
LINES = {
    Trigger.HELO: (b"HELO a", 250),
    Trigger.EHLO: (b"EHLO a", 250),
    Trigger.STARTTLS: (b"STARTTLS", 220),
    Trigger.AUTH: (b"AUTH PLAIN", 334),
    Trigger.MAIL: (b"MAIL FROM:<a@b>", 250),
    Trigger.RCPT: (b"RCPT TO:<a@b>", 250),
    Trigger.DATA: (b"DATA", 354),
    Trigger.BDAT: (b"BDAT 0", 250),
    Trigger.RSET: (b"RSET", 250),
    Trigger.NOOP: (b"NOOP", 250),
    Trigger.VRFY: (b"VRFY a", 252),
    Trigger.EXPN: (b"EXPN a", 502),
    Trigger.HELP: (b"HELP", 214),
    Trigger.QUIT: (b"QUIT", 221),
}
# How to come to each state in which commands are read.
WAYS = {
    State.START: b"",
    State.READY: b"EHLO a\r\n",
    State.SENDER: b"EHLO a\r\nMAIL FROM:<a@b>\r\n",
    State.RECIPIENTS: b"EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\n",
    State.CHUNKS: b"EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\nBDAT 0\r\n",
}
ENGINES: dict[str, tuple[Callable[[], Talk], Rulebook]] = {
    "plain": (lambda: plain(), plain_rules(starttls=True, require_tls=False, require_auth=False)),
    "login": (lambda: plain(require_auth=True), plain_rules(starttls=True, require_tls=False, require_auth=True)),
    "denied": (lambda: plain(starttls=False), plain_rules(starttls=False, require_tls=False, require_auth=False)),
    "required": (lambda: plain(require_tls=True), plain_rules(starttls=True, require_tls=True, require_auth=False)),
    "secure": (lambda: secure(auth_mechanisms=("PLAIN",)), secure_rules()),
}


def grant(talk: Talk, event: Event) -> None:
    """Say yes to what the usual answers leave open."""
    if isinstance(event, StartTLSRequested):
        talk.engine.grant_upgrade()  # type: ignore[union-attr]
    elif talk.engine.waiting:
        talk.engine.challenge(b"")  # type: ignore[union-attr]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("state", WAYS)
@pytest.mark.parametrize("name", ENGINES)
def test_every_command_in_every_state_does_what_the_table_says(name: str, state: State, verb: Trigger) -> None:
    """Code and next state are the table's: an edge leads on, no edge is the stated refusal, and nothing moves."""
    make, rules = ENGINES[name]
    talk = make()
    talk.say(WAYS[state])
    if name == "required" and state not in (State.START, State.READY):
        assert talk.engine.state is State.READY  # the way there does not exist
        return
    if name == "login" and state not in (State.START, State.READY):
        assert talk.engine.state is State.READY  # MAIL needs a login
        return
    assert talk.engine.state is state
    line, positive = LINES[verb]
    said = talk.say(line + b"\r\n")
    if talk.engine.waiting:
        grant(talk, talk.last())
        said = talk.run()
    target = rules.table.next(state, verb)
    if verb is Trigger.MAIL and name == "login" and target is not None:
        assert (codes(said), talk.engine.state) == ([530], state)
    elif target is not None:
        assert (codes(said), talk.engine.state) == ([positive], target)
    else:
        assert (said, talk.engine.state) == (rules.refusal(state, verb).octets, state)


@pytest.mark.parametrize("name", TABLES)
def test_every_state_can_be_left_by_a_lost_connection(name: str) -> None:
    """No state holds a connection that is gone; only the ends have no way out."""
    table = TABLES[name]
    for state, row in table.edges.items():
        if table.terminal(state):
            assert state in (State.UPGRADED, State.ENDED)
        elif state is not State.REFUSED:
            assert row[Trigger.CLOSE] is State.ENDED


@pytest.mark.parametrize("name", TABLES)
def test_every_state_of_a_table_can_be_reached(name: str) -> None:
    """A row that nothing leads to would be a rule that nobody tests."""
    table = TABLES[name]
    reached = {table.initial}
    for _ in State:
        reached |= {target for source, _, target in table.transitions() if source in reached}
    unreachable = set(table.edges) - reached
    assert unreachable <= {State.UPGRADED}
    assert (State.UPGRADED in reached) == (name in ("plain", "required"))


def test_the_spent_engine_and_the_end_have_no_way_out() -> None:
    """The upgrade replaces the engine: nothing leads from the state in which it is spent."""
    for table in TABLES.values():
        assert not table.edges[State.UPGRADED]
        assert not table.edges[State.ENDED]


def test_no_table_before_tls_knows_auth_and_none_inside_it_knows_starttls() -> None:
    """By construction, not by a check. (One table has AUTH in the clear: it never leads to TLS.)"""
    for table in (PLAIN, PLAIN_DENIED, PLAIN_REQUIRED):
        assert all(trigger is not Trigger.AUTH for _, trigger, _ in table.transitions())
    for table in (PLAIN_DENIED, UNPROTECTED, SECURE):
        assert all(trigger is not Trigger.STARTTLS for _, trigger, _ in table.transitions())


def test_required_tls_leaves_four_commands() -> None:
    """RFC 3207 §4."""
    verbs = {trigger for _, trigger, _ in PLAIN_REQUIRED.transitions() if trigger in VERBS}
    assert verbs == {Trigger.EHLO, Trigger.NOOP, Trigger.STARTTLS, Trigger.QUIT}


def test_refusals_are_refusals() -> None:
    """No command that the table forbids is answered positively."""
    books = [
        plain_rules(starttls=offered, require_tls=offered and required, require_auth=login)
        for offered, required, login in itertools.product((False, True), repeat=3)
    ]
    for book in [*books, secure_rules()]:
        assert isinstance(book, Rulebook)
        for state in State:
            for verb in VERBS:
                assert book.refusal(state, verb).code in (500, 502, 503, 530)


def test_dialects_differ_in_their_hello_and_in_who_is_answered() -> None:
    """LMTP is a table, not a class."""
    assert set(SMTP.words) ^ set(LMTP.words) == {"HELO", "EHLO", "LHLO"}
    assert LMTP.words["LHLO"] is Trigger.EHLO
    assert LMTP.per_recipient
    assert not SMTP.per_recipient


@pytest.mark.parametrize("answer", [reply.OK, Reply(451, "4.3.0", "Later"), Reply(554, "5.7.1", "No")])
def test_message_leads_back_to_ready_however_it_is_answered(answer: Reply) -> None:
    """The transaction is over with its answer (RFC 5321 §4.1.1.4)."""
    talk = plain(lambda event: answer if isinstance(event, ContentEnds) else accept(event))
    talk.say(WAYS[State.RECIPIENTS] + b"DATA\r\nx\r\n.\r\n")
    assert talk.engine.state is State.READY
    assert talk.engine.recipients == 0
