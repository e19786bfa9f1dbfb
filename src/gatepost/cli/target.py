"""Where a command connects to, and how TLS begins there: ``HOST[:PORT]``, ``--starttls``, ``--implicit``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from gatepost.wire.recipes.recipe import Recipe

F = TypeVar("F", bound=Callable[..., Any])

_HTTPS: Final = 443


class _RecipeChoice(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic only in newer versions
    """The name of a recipe; the table is imported only when one is named or completed."""

    name = "protocol"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from gatepost.errors import LocalProtocolError
        from gatepost.wire.recipes.table import recipe

        try:
            return recipe(str(value)).name
        except LocalProtocolError as error:
            self.fail(error.message, param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        from gatepost.wire.recipes.table import ALIASES, RECIPES

        return [CompletionItem(each) for each in (*RECIPES, *ALIASES) if each.startswith(incomplete.lower())]


def starttls_option(command: F) -> F:
    """``--starttls PROTOCOL``."""
    return click.option(
        "--starttls",
        type=_RecipeChoice(),
        metavar="PROTOCOL",
        help="Ask the server to upgrade, in this protocol: smtp, submission, lmtp, pop3, imap, sieve, nntp, ftp, irc, "
        "xmpp, xmpp-server, ldap, postgres, mysql; raw says nothing.",
    )(command)


@dataclass(frozen=True, slots=True)
class Target:
    """A server, and how TLS begins on it.

    :param recipe: the protocol; of an implicit port that belongs to none, ``raw``.
    """

    host: str
    port: int
    implicit: bool
    recipe: Recipe

    @property
    def text(self) -> str:
        """For people."""
        return f"{self.host} port {self.port}"


def find_target(server: str, starttls: str | None, *, implicit: bool, default: str | None = None) -> Target:
    """Understand what was given. What is missing the port tells, or the protocol, or ``default``.

    :param default: the protocol where neither an option nor the port tells it; ``raw`` where the port is not asked.
    :raises click.UsageError: when that is not enough, or no server.
    """
    from gatepost.config.endpoints import parse_endpoint
    from gatepost.wire.recipes.table import RECIPES, recipe

    if starttls and implicit:
        raise click.UsageError("--starttls and --implicit exclude each other.")
    named = recipe(starttls) if starttls else None
    fallback = named or (recipe(default) if default else None)
    usual = 465 if implicit else fallback.port if fallback is not None and fallback.port else None
    try:
        host, port = parse_endpoint(server, default_port=usual)
    except ValueError as error:
        raise click.UsageError(f"{server}: {error}") from None
    if named is not None:
        return Target(host, port, False, named)
    private = next((each for each in RECIPES.values() if each.implicit_port == port), None)
    if implicit or (default != "raw" and (private is not None or port == _HTTPS)):
        return Target(host, port, True, private or RECIPES["raw"])
    clear = next((each for each in RECIPES.values() if each.port == port), None) if default != "raw" else None
    found = clear or fallback
    if found is None:
        raise click.UsageError(f"How does TLS begin on port {port}? Say --starttls PROTOCOL, or --implicit.")
    return Target(host, port, False, found)
