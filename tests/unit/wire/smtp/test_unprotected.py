"""The engine of a gate that refuses TLS: logins in the clear, and no way into TLS."""

from __future__ import annotations

from tests.unit.wire.smtp.serving import ORIGIN, Talk, profile

from gatepost.wire.smtp.events import AuthRequested
from gatepost.wire.smtp.states import UNPROTECTED, State, Trigger
from gatepost.wire.smtp.unprotected import UnprotectedServer


def unprotected(**settings: object) -> Talk:
    talk = Talk(UnprotectedServer(ORIGIN, profile(starttls=False, **settings)))  # type: ignore[arg-type]
    talk.engine.greet()
    talk.engine.outgoing()
    return talk


def test_it_lists_and_hears_logins() -> None:
    """As they are, for somebody else to judge; bound ones are not listed."""
    talk = unprotected(auth_mechanisms=("PLAIN", "SCRAM-SHA-256-PLUS"))
    assert b"AUTH PLAIN\r\n" in talk.say(b"EHLO a\r\n")
    talk.say(b"AUTH PLAIN AGEAYg==\r\n")
    assert talk.last() == AuthRequested("PLAIN", b"\0a\0b")


def test_there_is_no_way_into_tls() -> None:
    """Not listed, refused, and in none of its states."""
    talk = unprotected()
    assert b"STARTTLS" not in talk.say(b"EHLO a\r\n")
    assert talk.say(b"STARTTLS\r\n").startswith(b"502")
    assert all(trigger is not Trigger.STARTTLS for _, trigger, _ in UNPROTECTED.transitions())
    assert State.UPGRADED not in {target for _, _, target in UNPROTECTED.transitions()}


def test_list_can_be_settled_at_hello() -> None:
    """What is known only then is offered from then on."""
    talk = unprotected(asks_hello=True)
    talk.say(b"EHLO a\r\n")
    talk.engine.accept_hello(profile(starttls=False, asks_hello=True, auth_mechanisms=("PLAIN",), max_size=9))
    said = talk.engine.outgoing()
    assert b"AUTH PLAIN\r\n" in said and b"SIZE 9\r\n" in said
    assert talk.say(b"MAIL FROM:<a@b> SIZE=10\r\n").startswith(b"552")
