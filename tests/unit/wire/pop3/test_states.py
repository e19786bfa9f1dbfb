"""The tables, and that the engines do what they say: every state, every command."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.unit.wire.pop3.maildrop_talk import Talk, logged_in, plain, secure, unprotected

from gatepost.wire.pop3 import reply
from gatepost.wire.pop3.client_states import PLAIN_TABLE, SECURE_TABLE
from gatepost.wire.pop3.client_states import Trigger as Begun
from gatepost.wire.pop3.events import Fault
from gatepost.wire.pop3.states import (
    PLAIN,
    PLAIN_DENIED,
    SECURE,
    VERBS,
    Rulebook,
    State,
    Trigger,
    plain_rules,
    secure_rules,
    unprotected_rules,
)

# How each verb is said so that it has no other fault than its place.
LINES = {
    Trigger.USER: b"USER alice",
    Trigger.PASS: b"PASS secret",
    Trigger.AUTH: b"AUTH PLAIN",
    Trigger.APOP: b"APOP alice c4c9334bac560ecc979e58001b3e22fb",
    Trigger.RETR: b"RETR 1",
    Trigger.TOP: b"TOP 1 0",
    Trigger.DELE: b"DELE 1",
}
NAMED = b"USER alice\r\n"
ENGINES: dict[str, tuple[Callable[[], Talk], bytes, State, Rulebook]] = {
    "clear": (plain, b"", State.AUTHORIZATION, plain_rules(stls=True)),
    "denied": (lambda: plain(starttls=False), b"", State.AUTHORIZATION, plain_rules(stls=False)),
    "start": (lambda: secure(auth_mechanisms=("PLAIN",)), b"", State.START, secure_rules()),
    "inside": (lambda: secure(auth_mechanisms=("PLAIN",)), b"CAPA\r\n", State.AUTHORIZATION, secure_rules()),
    "named": (lambda: secure(auth_mechanisms=("PLAIN",)), NAMED, State.NAMED, secure_rules()),
    "logged in": (lambda: logged_in(auth_mechanisms=("PLAIN",)), b"", State.TRANSACTION, secure_rules()),
    "unprotected": (
        lambda: unprotected(auth_mechanisms=("PLAIN",)), b"", State.AUTHORIZATION, unprotected_rules()
    ),
}  # fmt: skip


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.value)
@pytest.mark.parametrize("where", ENGINES)
def test_every_command_in_every_state_does_what_the_table_says(where: str, verb: Trigger) -> None:
    """A command with an edge is taken, in any letter case; one without is refused as the rulebook says."""
    make, way, state, rules = ENGINES[where]
    talk = make()
    talk.say(way)
    assert talk.engine.state is state
    talk.events.clear()
    word, _, argument = LINES.get(verb, verb.value.encode()).partition(b" ")
    replies = talk.say(word.swapcase() + (b" " + argument if argument else b"") + b"\r\n")
    faults = talk.of(Fault)
    target = rules.table.next(state, verb)
    if target is None:
        assert replies == rules.refusal(state, verb).octets
        assert len(faults) == 1
        assert talk.engine.state is state
    else:
        assert faults == []
        if verb is Trigger.PASS:
            target = State.TRANSACTION
        elif verb is Trigger.QUIT:
            target = State.ENDED
        elif verb is Trigger.STLS:  # its edge is followed by grant_upgrade
            target = State.AUTHORIZATION
        assert talk.engine.state is target


def test_in_the_clear_nothing_leads_to_a_mailbox() -> None:
    """No table of the clear has an edge for a login, or to a state that has one."""
    for table in (PLAIN, PLAIN_DENIED):
        assert not {Trigger.USER, Trigger.PASS, Trigger.AUTH, Trigger.APOP, Trigger.LOGIN} & {
            trigger for _, trigger, _ in table.transitions()
        }
        assert State.TRANSACTION not in table.edges
    assert Begun.LOGIN not in {trigger for _, trigger, _ in PLAIN_TABLE.transitions()}
    assert Begun.AUTH not in {trigger for _, trigger, _ in PLAIN_TABLE.transitions()}


def test_inside_tls_there_is_no_upgrade() -> None:
    """Neither half has an edge for STLS in its private table."""
    assert Trigger.STLS not in {trigger for _, trigger, _ in SECURE.transitions()}
    assert Begun.STLS not in {trigger for _, trigger, _ in SECURE_TABLE.transitions()}


def test_update_is_reached_by_quit_alone() -> None:
    """Whatever else ends a conversation does not pass through the state in which messages are deleted."""
    assert {trigger for _, trigger, target in SECURE.transitions() if target is State.UPDATE} == {Trigger.QUIT}


def test_the_ends_are_ends() -> None:
    """From a spent engine, and from one that is over, nothing leads back."""
    assert PLAIN.terminal(State.UPGRADED)
    for table in (PLAIN, PLAIN_DENIED, SECURE):
        assert table.terminal(State.ENDED)


def test_a_refusal_with_a_code_is_about_a_login() -> None:
    """The engine takes a response code of a table's refusal for a login in the clear."""
    rulebooks = (plain_rules(stls=True), plain_rules(stls=False), secure_rules())
    for rules in rulebooks:
        for state in rules.table.edges:
            for verb in VERBS:
                refusal = rules.refusal(state, verb)
                login = refusal in (reply.LOGIN_NEEDS_TLS, reply.NO_LOGIN_HERE)
                assert bool(refusal.code) is login
                assert not login or verb in (Trigger.USER, Trigger.PASS, Trigger.AUTH, Trigger.APOP)
