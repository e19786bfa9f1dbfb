"""Where a command connects to, and how TLS begins there."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from gatepost.cli.target import find_target, starttls_option


@pytest.mark.parametrize(
    ("server", "starttls", "implicit", "expected"),
    [
        ("mx.test", "smtp", False, ("mx.test", 25, False, "smtp")),
        ("mx.test:2525", "smtp", False, ("mx.test", 2525, False, "smtp")),
        ("mx.test", "imap", False, ("mx.test", 143, False, "imap")),
        ("mx.test:587", None, False, ("mx.test", 587, False, "submission")),
        ("mx.test:993", None, False, ("mx.test", 993, True, "imap")),
        ("mx.test", None, True, ("mx.test", 465, True, "smtp")),
        ("mx.test:8443", None, True, ("mx.test", 8443, True, "raw")),
        ("[::1]:443", None, False, ("::1", 443, True, "raw")),
        ("mx.test:465", "smtp", False, ("mx.test", 465, False, "smtp")),
    ],
)
def test_options_come_before_the_port(
    server: str, starttls: str | None, expected: tuple[str, int, bool, str], *, implicit: bool
) -> None:
    """What is said counts; what is not, the protocol's port tells, or the port its protocol."""
    found = find_target(server, starttls, implicit=implicit)
    assert (found.host, found.port, found.implicit, found.recipe.name) == expected


def test_default_is_for_ports_that_tell_nothing() -> None:
    """``cert show`` takes SMTP for them; ``--plain-first`` asks no port at all."""
    assert find_target("mx.test", None, implicit=False, default="smtp").port == 25
    assert find_target("mx.test:2525", None, implicit=False, default="smtp").recipe.name == "smtp"
    assert find_target("mx.test:110", None, implicit=False, default="smtp").recipe.name == "pop3"
    plain = find_target("mx.test:465", None, implicit=False, default="raw")
    assert (plain.implicit, plain.recipe.name) == (False, "raw")


@pytest.mark.parametrize("server", ["mx.test", "mx.test:2525", "bad host:25", "mx.test:x"])
def test_what_is_not_enough_is_a_usage_error(server: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(click.UsageError):
        find_target(server, None, implicit=False)


def test_protocol_may_be_an_alias_in_any_case() -> None:
    """The recipe's own name is what the command gets."""

    @click.command()
    @starttls_option
    def command(starttls: str) -> None:
        click.echo(starttls)

    assert CliRunner().invoke(command, ["--starttls", "ManageSieve"]).output == "sieve\n"
    (parameter,) = command.params
    offered = [each.value for each in parameter.shell_complete(click.Context(command), "my")]
    assert offered == ["mysql"]
