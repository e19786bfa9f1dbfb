"""What an SMTP gate lists: what both it and the server can do."""

from __future__ import annotations

from typing import Any

import pytest

from gatepost.service.gate.smtp_offer import NO_ABILITIES, Abilities, Side, abilities, offer
from gatepost.wire.smtp.capabilities import Capabilities
from gatepost.wire.smtp.reply import Reply

EVERYTHING = Abilities(True, 5000, True, True, True, True, True, 50, ("SCRAM-SHA-256", "PLAIN"))


def side(**changes: Any) -> Side:
    usual = Side(
        "gate.example", "SMTP", max_size=9000, max_recipients=100, max_errors=10, normalise=False, starttls=True,
        required=False, logins=False, proxy=False,
    )  # fmt: skip
    return usual._replace(**changes)


def listed(reply: Reply) -> tuple[str, ...]:
    return reply.lines[1:]


def test_everything_that_both_can_do_is_listed() -> None:
    """With the smaller of both limits; AUTH not in the clear."""
    profile = offer(side(), EVERYTHING)
    assert listed(profile.plain_capabilities) == (
        "PIPELINING", "SIZE 5000", "STARTTLS", "ENHANCEDSTATUSCODES", "8BITMIME", "SMTPUTF8", "DSN", "CHUNKING",
        "LIMITS RCPTMAX=50",
    )  # fmt: skip
    assert "STARTTLS" not in listed(profile.secure_capabilities)


def test_server_that_lists_nothing_leaves_what_is_the_gates_own() -> None:
    """PIPELINING and SIZE: it keeps those promises whatever the server does."""
    profile = offer(side(starttls=False), NO_ABILITIES)
    assert listed(profile.plain_capabilities) == ("PIPELINING", "SIZE 9000", "LIMITS RCPTMAX=100")


def test_logins_are_listed_where_they_may_be() -> None:
    """Inside TLS, and where the operator chose the clear."""
    profile = offer(side(logins=True), EVERYTHING)
    assert "AUTH SCRAM-SHA-256 PLAIN" in listed(profile.secure_capabilities)
    assert "AUTH SCRAM-SHA-256 PLAIN" in listed(profile.unprotected_capabilities)
    assert not any(line.startswith("AUTH") for line in listed(profile.plain_capabilities))


def test_proxies_alone_are_told_of_xclient() -> None:
    """Both commands are read from everybody, so that strangers get an answer of ours."""
    for proxy in (False, True):
        profile = offer(side(proxy=proxy), EVERYTHING)
        assert any(line.startswith("XCLIENT ") for line in listed(profile.secure_capabilities)) == proxy
        assert profile.plain_extensions.verbs == {"XCLIENT", "XFORWARD"}


@pytest.mark.parametrize(("starttls", "required", "due"), [(True, True, True), (False, True, False)])
def test_tls_is_required_only_where_there_is_any(starttls: bool, required: bool, due: bool) -> None:
    """A profile that requires what it does not offer cannot be."""
    assert offer(side(starttls=starttls, required=required), NO_ABILITIES).require_tls == due


def test_abilities_are_what_can_be_passed_on() -> None:
    """Nothing about another handshake, no unknown words, no SMTPUTF8 without 8BITMIME, no mechanism that is none."""
    lines = (
        "mx", "SIZE 0", "SMTPUTF8", "XUNKNOWN", "BINARYMIME", "REQUIRETLS",
        "AUTH PLAIN EXTERNAL SCRAM-SHA-256-PLUS plain X;Y " + "A" * 21, "LIMITS RCPTMAX=7",
    )  # fmt: skip
    assert abilities(Capabilities(Reply(250, "", lines))) == Abilities(auth=("PLAIN",), recipients=7)
    assert abilities(Capabilities(Reply(250, "", "mx"), extended=False)) == NO_ABILITIES
