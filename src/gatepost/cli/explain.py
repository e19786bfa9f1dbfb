"""``gatepost explain``: what the policy decides about a client or a server, by which rule, and what will happen.

Asks the same code that decides in a running server. Needs no certificates, ports, data directory or network.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gatepost.cli.greylist import explain as greylist_explain
from gatepost.cli.output import print_json, printable
from gatepost.cli.settings import Settings, common_options, pass_settings

if TYPE_CHECKING:
    from gatepost.config.schema import Config, Listener
    from gatepost.policy.explain import Explanation


@click.group("explain")
def command() -> None:
    """Say what the policy decides, and which rule decides it."""


@command.command("inbound")
@click.argument("address")
@click.option("--listener", metavar="NAME", help="Only for this listener; otherwise for each.")
@common_options
@pass_settings
def inbound(settings: Settings, address: str, listener: str | None) -> None:
    """Explain what a client at ADDRESS is offered.

    Prints the decision, the rules that made it with file and line, those that came close and why they did not match,
    and what happens at whatever the client does next. With -v the other rules too.
    """
    from gatepost.config.lists import ListFiles
    from gatepost.config.policies import ground_of, inbound_policy
    from gatepost.config.schema import Gate
    from gatepost.policy.explain import explain_inbound

    client, config = _address(address, "ADDRESS"), settings.config()
    policy = inbound_policy(config, ListFiles())
    _show(
        settings,
        [
            explain_inbound(
                policy.decide(client, ground_of(config, each)),
                protocol=each.protocol,
                gate=each.mode if isinstance(each, Gate) else "",
            )
            for each in _listeners(config.listeners, listener)
        ],
    )


@command.command("outbound")
@click.argument("destination", metavar="ADDRESS-OR-DOMAIN")
@click.option("--mx", metavar="HOST", default="", help="The name of the server, as MX records give it.")
@click.option("--ip", metavar="ADDRESS", default="", help="The address of the server.")
@common_options
@pass_settings
def outbound(settings: Settings, destination: str, mx: str, ip: str) -> None:
    """Explain how servers for ADDRESS-OR-DOMAIN are approached.

    No DNS is asked: rules by the server's name or address count when --mx and --ip say what they are.
    """
    from gatepost.config.lists import ListFiles
    from gatepost.config.policies import facts_of, outbound_policy
    from gatepost.policy.explain import explain_outbound

    domain = _domain(destination, "ADDRESS-OR-DOMAIN")
    host, address = _domain(mx, "--mx") if mx else "", _address(ip, "--ip") if ip else ""
    if domain.startswith("["):
        host = address = _address(domain[1:-1].removeprefix("IPv6:"), "ADDRESS-OR-DOMAIN")
    config = settings.config()
    policy = outbound_policy(config, ListFiles())
    explanation = explain_outbound(policy.decide(facts_of(config, domain, host, address)))
    _show(settings, [replace(explanation, notes=(*_on_the_way(config, domain), *explanation.notes))])


@command.command("relay")
@click.argument("address", required=False)
@click.option("--from", "source", metavar="ADDRESS", hidden=True, help="The address of the client.")
@click.option(
    "--certificate", type=click.Path(path_type=Path), metavar="FILE", help="PEM file with a client's certificate."
)
@click.option("--listener", metavar="NAME", help="Only for this listener; otherwise for each that takes mail.")
@common_options
@pass_settings
def relay(
    settings: Settings, address: str | None, source: str | None, certificate: Path | None, listener: str | None
) -> None:
    """Explain whether a client at ADDRESS may send to domains that are not ours, without a login.

    With --certificate also whether that certificate proves anything here, and why not: it is judged as one that a
    client shows in the handshake, with `tls.client_ca` and the revocation lists.
    """
    given = address or source
    if given is None and certificate is None:
        raise click.UsageError("Say whose mail it is: the ADDRESS of a client, --certificate FILE, or both.")
    from gatepost.cli.explain_relay import explanations

    client, config = "" if given is None else _address(given, "ADDRESS"), settings.config()
    from gatepost.config.policies import relaying

    _show(settings, explanations(config, client, certificate, _listeners(relaying(config), listener)))


command.add_command(greylist_explain, "greylist")


def _show(settings: Settings, explanations: list[Explanation]) -> None:
    if settings.json:
        print_json([explanation.plain() for explanation in explanations])
        return
    for number, explanation in enumerate(explanations):
        if number:
            click.echo()
        for line in explanation.lines(every_rule=settings.verbosity > 0):
            click.echo(printable(line))


def _listeners(listeners: Iterable[Listener], name: str | None) -> list[Listener]:
    """The listeners that were asked for.

    :raises click.UsageError: when there is none of that name.
    """
    known = list(listeners)
    if name is None:
        return known
    found = [listener for listener in known if listener.name == name]
    if not found:
        names = ", ".join(listener.name for listener in known) or "none"
        raise click.UsageError(f'There is no such listener as "{name}" here; there are: {names}.')
    return found


def _address(text: str, where: str) -> str:
    from gatepost.config.endpoints import address_of

    found = address_of(text)
    if found is None:
        raise click.BadParameter(f'"{text}" is not an IP address.', param_hint=where)
    return str(found)


def _domain(text: str, where: str) -> str:
    """The domain of an address, or the domain itself, as A-labels in lower case."""
    from gatepost.wire.smtp.address import AddressSyntaxError, parse_mailbox

    try:
        return parse_mailbox(text if "@" in text else f"postmaster@{text}").ascii_domain.lower()
    except AddressSyntaxError as error:
        raise click.BadParameter(f'"{text}" is neither an address nor a domain: {error}', param_hint=where) from error


def _on_the_way(config: Config, domain: str) -> Iterable[str]:
    """What else decides where this mail goes."""
    from gatepost.config.policies import relayed_domains, route_policy

    if domain in config.domains:
        yield f"{domain} is one of our domains: mail for its users stays here"
    if relayed_domains(config).matches(domain):
        yield f"{domain} is in relay_domains: its mail is taken from everybody and sent on"
    decided = route_policy(config).decide(domain)
    if decided.way.kind == "route":
        yield f"{decided.rule} sends it to {decided.way.endpoint}, so that is the destination of the rules"
    elif decided.way.kind == "smarthost" and not config.route:
        yield f"all mail goes to the smarthost {config.delivery.smarthost}, so that is the destination of the rules"
    elif decided.way.kind == "smarthost":
        yield f"no route: it goes to the smarthost {config.delivery.smarthost}, so that is the destination of the rules"
    elif decided.way.exempt:
        yield f"{decided.rule} sends it to the mail exchangers of {domain}"
