"""``gatepost greylist``: what greylisting remembers, who is no stranger, and what it would say."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from gatepost.cli import exits
from gatepost.cli.exits import CommandError
from gatepost.cli.output import amount, moment, print_fields, print_json, print_table, printable
from gatepost.cli.owner import as_owner
from gatepost.cli.settings import Settings, common_options, pass_settings

if TYPE_CHECKING:
    from gatepost.config.schema import Config
    from gatepost.greylist.memory import Memory
    from gatepost.greylist.triplet import Triplet
    from gatepost.store.greylist import Network, Remembered
    from gatepost.store.sqlite.greylist import SQLiteGreylist

SPF_RESULTS = ("pass", "fail", "softfail", "neutral", "none", "temperror", "permerror")  # RFC 7208 §2.6
_BUSY_SECONDS = 10.0  # a command has more time than a session


@click.group("greylist", short_help="See what greylisting remembers.")
def command() -> None:
    """See what greylisting remembers, say who is no stranger, and ask what it would do.

    A change is in effect at once; the server need not be reloaded.
    """


@contextmanager
def _memory(config: Config, *, create: bool = False) -> Iterator[SQLiteGreylist]:
    from gatepost.store.sqlite.greylist import FILE_NAME, SQLiteGreylist

    with as_owner(config, create=create):
        store = SQLiteGreylist(config.data / FILE_NAME, busy_seconds=_BUSY_SECONDS)
        try:
            yield store
        finally:
            store.close()


_NETWORK = click.option("--network", metavar="NETWORK", default="", help="Of this client network or address.")
_SENDER = click.option("--sender", metavar="ADDRESS", default="", help="From this sender.")
_RECIPIENT = click.option("--recipient", metavar="ADDRESS", default="", help="To this recipient.")


@command.command("list")
@_NETWORK
@_SENDER
@_RECIPIENT
@click.option("--waiting", "state", flag_value="waiting", help="Only what still has to come again.")
@click.option("--passed", "state", flag_value="passed", help="Only what came again.")
@click.option("--networks", "networks", is_flag=True, help="The client networks that came again, or that are allowed.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 1_000_000), help="How many at most.")
@common_options
@pass_settings
def list_(
    settings: Settings, network: str, sender: str, recipient: str, state: str | None, networks: bool, limit: int
) -> None:
    """List who came, the newest first."""
    if networks and (network or sender or recipient or state):
        raise click.UsageError("--networks lists client networks, not mail: nothing else selects among them.")
    config = settings.config()
    with _memory(config) as store:
        if networks:
            _show_networks(settings, store.networks(limit=limit), config, limit)
            return
        found = store.triplets(
            limit=limit, state=state or "", network=_network(config, network) if network else "",
            sender=sender.lower(), recipient=recipient.lower(),
        )  # fmt: skip
    if settings.json:
        print_json([_plain(each) for each in found])
        return
    columns = ("network", "sender", "recipient", "first seen", "passed", "last mail")
    rows = [
        (
            each.triplet.network,
            f"<{each.triplet.sender}>",
            f"<{each.triplet.recipient}>",
            moment(each.memory.first_seen),
            moment(each.memory.passed_at) or "waiting",
            moment(each.memory.seen_at),
        )
        for each in found
    ]
    print_table(columns, rows, empty="nothing is remembered")
    _say_cut(settings, len(rows), limit)


def _say_cut(settings: Settings, shown: int, limit: int) -> None:
    """Say that there may be more than is shown."""
    if shown >= limit and settings.verbosity >= 0:
        click.echo(f"no more than {limit} are shown: --limit says how many", err=True)


def _show_networks(settings: Settings, found: list[Network], config: Config, limit: int) -> None:
    if settings.json:
        print_json([_plain_network(each, config) for each in found])
        return
    rows = [
        (each.network, each.passes, "by the operator" if each.allowed else _trusted(each, config), moment(each.seen_at))
        for each in found
    ]
    print_table(("network", "passed", "allowed", "last seen"), rows, empty="no network is remembered")
    _say_cut(settings, len(rows), limit)


def _trusted(network: Network, config: Config) -> str:
    return "by its mail" if 0 < config.greylist.auto_allow <= network.passes else ""


@command.command("show", short_help="Show what is remembered of one mail.")
@click.argument("client", metavar="CLIENT")
@click.argument("sender")
@click.argument("recipient")
@common_options
@pass_settings
def show(settings: Settings, client: str, sender: str, recipient: str) -> None:
    """Show what is remembered of mail from a CLIENT's address, by SENDER (`<>` for none), to RECIPIENT.

    CLIENT may be spf:DOMAIN, where a rule by SPF has the domain stand for its clients.
    """
    config = settings.config()
    triplet = _triplet(config, client, sender, recipient)
    with _memory(config) as store:
        memory, network = store.look(triplet)
    if settings.json:
        print_json(
            {
                "network": triplet.network, "sender": triplet.sender, "recipient": triplet.recipient,
                "remembered": None if memory is None else memory._asdict(),
                "client": None if network is None else _plain_network(network, config),
            }
        )  # fmt: skip
    else:
        print_fields(_shown(config, triplet, memory, network))
    if memory is None and network is None:
        raise CommandError("nothing is remembered of it", exits.UNAVAILABLE)


def _shown(config: Config, triplet: Triplet, memory: Memory | None, network: Network | None) -> dict[str, object]:
    fields: dict[str, object] = {
        "network": triplet.network, "sender": f"<{triplet.sender}>", "recipient": f"<{triplet.recipient}>",
    }  # fmt: skip
    if memory is not None:
        fields["first seen"] = moment(memory.first_seen)
        fields["passed"] = moment(memory.passed_at) or "not yet"
        fields["last mail"] = moment(memory.seen_at)
    if network is not None:
        fields["passed of its network"] = network.passes
        fields["allowed"] = "by the operator" if network.allowed else _trusted(network, config) or "no"
    return fields


@command.command("allow")
@click.argument("networks", nargs=-1, required=True, metavar="ADDRESS-OR-NETWORK...")
@common_options
@pass_settings
def allow(settings: Settings, networks: tuple[str, ...]) -> None:
    """Say that clients are no strangers, until they are forgotten.

    An address stands for its network, as greylisting has it; spf:DOMAIN for the clients that a domain vouches for,
    where a rule by SPF asks it.
    """
    config = settings.config()
    wanted = list(dict.fromkeys(_network(config, text) for text in networks))
    with _memory(config, create=True) as store:
        store.allow(wanted)
    if settings.json:
        print_json({"allowed": wanted})
        return
    settings.say(f"{', '.join(wanted)}: no stranger any more")


@command.command("forget", short_help="Forget triplets, networks, or everything.")
@_NETWORK
@_SENDER
@_RECIPIENT
@click.option("--all", "everything", is_flag=True, help="Everything, allowed networks too.")
@common_options
@pass_settings
def forget(settings: Settings, network: str, sender: str, recipient: str, everything: bool) -> None:
    """Forget what matches all that is given; with --network alone also that the network is no stranger."""
    if everything == bool(network or sender or recipient):
        raise click.UsageError("Say what to forget: --network, --sender or --recipient; or --all, alone.")
    config = settings.config()
    with _memory(config) as store:
        count = store.forget(
            network=_network(config, network) if network else "",
            sender=sender.lower(), recipient=recipient.lower(), everything=everything,
        )  # fmt: skip
    if settings.json:
        print_json({"forgotten": count})
        return
    settings.say(f"{count} forgotten")


@command.command("stats")
@common_options
@pass_settings
def stats(settings: Settings) -> None:
    """Show how much is remembered. What was decided is counted in `gatepost status -v` and in the metrics."""
    config = settings.config()
    with _memory(config) as store:
        totals = store.totals()
        octets = store.path.stat().st_size
    if settings.json:
        print_json(
            {
                "enabled": config.greylist.enabled, "waiting": totals.waiting, "passed": totals.passed,
                "networks": totals.networks, "allowed": totals.allowed, "bytes": octets, "size": config.greylist.size,
            }
        )  # fmt: skip
        return
    print_fields(
        {
            "greylisting": "on" if config.greylist.enabled else "off (greylist.enabled)",
            "waiting": totals.waiting,
            "passed": totals.passed,
            "client networks": totals.networks,
            "allowed by the operator": totals.allowed,
            "room for": config.greylist.size,
            "on disk": amount(octets),
        }
    )


@command.command("explain", short_help="Explain what is done with mail from a client, and why.")
@click.argument("client", metavar="CLIENT")
@click.option("--sender", default="someone@example.com", show_default=True, help="The sender; `<>` for none.")
@click.option("--recipient", default="", help="The recipient; unset: the postmaster of our first domain.")
@click.option("--listener", default="", metavar="NAME", help="The listener; unset: the first that greylists.")
@click.option("--name", "names", multiple=True, metavar="HOST", help="What DNS calls the client, confirmed.")
@click.option("--hello", default="", metavar="HOST", help="The EHLO name, for SPF of mail without a sender.")
@click.option("--spf", type=click.Choice(SPF_RESULTS), help="What the sender's domain says of the client by SPF.")
@click.option("--dns", "asks", is_flag=True, help="Ask DNS for what is not given: the client's names, and SPF.")
@click.option("--country", default="", metavar="CODE", help="The client's country; unset: as the database says.")
@click.option("--tls/--no-tls", "tls", default=None, help="Whether the mail comes inside TLS.")
@click.option("--authenticated", is_flag=True, help="The client has logged in; of use for gates.")
@click.option("--certificate-name", "certificates", multiple=True, metavar="NAME", help="Of its verified certificate.")
@click.option("--fingerprint", "pins", multiple=True, metavar="SHA256", help="The SHA-256 of its certificate or key.")
@common_options
@pass_settings
def explain(
    settings: Settings, client: str, sender: str, recipient: str, listener: str, names: tuple[str, ...], hello: str,
    spf: str | None, asks: bool, country: str, tls: bool | None, authenticated: bool, certificates: tuple[str, ...],
    pins: tuple[str, ...],
) -> None:  # fmt: skip
    """Explain what is done with mail from CLIENT, and which rule decides; then what its memory says.

    DNS is asked with --dns only. Otherwise rules by the client's name and by SPF count when --name and --spf say what
    DNS would.
    """
    from gatepost.cli.explain_greylist import explanation
    from gatepost.greylist.facts import Certificate, Facts

    config = settings.config()
    _check_listener(config, listener)
    triplet = _triplet(config, client, sender, recipient or f"postmaster@{config.domains[0]}")  # tidies what was given
    shown = Certificate(tuple(certificates), tuple(each.lower().replace(":", "") for each in pins))
    facts = Facts(
        client, listener, triplet.sender, triplet.recipient,
        tls=True if shown != Certificate() else tls,
        certificate=shown if shown != Certificate() else None,
        authenticated=authenticated, country=_country(country), names=names or None, hello=hello, spf=spf,
    )  # fmt: skip
    found = explanation(config, facts, asks=asks)
    if settings.json:
        print_json(found.plain())
        return
    for line in found.lines(every_rule=settings.verbosity > 0):
        click.echo(printable(line))


def _check_listener(config: Config, listener: str) -> None:
    known = [each.name for each in config.listeners]
    if listener and listener not in known:
        raise click.UsageError(f'There is no such listener as "{listener}" here; there are: {", ".join(known)}.')


def _country(text: str) -> str | None:
    """A country as rules compare it; None where the database decides."""
    from gatepost.config.entries import check_country

    try:
        return check_country(text) if text else None
    except ValueError as error:
        raise click.UsageError(f"--country: {error}") from None


def _network(config: Config, text: str) -> str:
    """The client network that an address or a network is, as it is remembered."""
    from ipaddress import ip_network

    from gatepost.config.greylist_policy import prefixes_of
    from gatepost.greylist.triplet import VOUCHED, network_of

    if text.lower().startswith(VOUCHED) and len(text) > len(VOUCHED):
        return text.lower()
    try:
        if "/" not in text:
            return network_of(text, prefixes_of(config))
        network = ip_network(text)
    except ValueError:
        raise click.UsageError(
            f'"{text}" is neither an address nor a network, nor spf:DOMAIN for the clients that a domain vouches for.'
        ) from None
    prefixes = prefixes_of(config)
    length = prefixes.ipv4 if network.version == 4 else prefixes.ipv6
    if network.prefixlen != length:
        raise click.UsageError(
            f'"{text}": clients are remembered by networks of /{length}; name addresses, or write a [[greylist_rule]] '
            'with `from` and action = "skip".'
        )
    return str(network)


def _triplet(config: Config, client: str, sender: str, recipient: str) -> Triplet:
    from gatepost.config.greylist_policy import prefixes_of
    from gatepost.greylist.facts import NULL_PATH
    from gatepost.greylist.triplet import VOUCHED, Triplet, triplet_of

    path = "" if sender == NULL_PATH else sender.removeprefix("<").removesuffix(">")
    to = recipient.removeprefix("<").removesuffix(">")
    if client.lower().startswith(VOUCHED):
        return Triplet(_network(config, client), path.lower(), to.lower())
    try:
        return triplet_of(client, path, to, prefixes_of(config))
    except ValueError:
        raise click.UsageError(f'"{client}" is not an IP address.') from None


def _plain(each: Remembered) -> dict[str, object]:
    triplet, memory = each.triplet, each.memory
    return {
        "key": each.key, "network": triplet.network, "sender": triplet.sender, "recipient": triplet.recipient,
        **memory._asdict(), "state": "waiting" if memory.passed_at is None else "passed",
    }  # fmt: skip


def _plain_network(each: Network, config: Config) -> dict[str, object]:
    return {
        "network": each.network, "passes": each.passes, "allowed_by_operator": each.allowed,
        "allowed": each.allowed or bool(_trusted(each, config)), "seen_at": each.seen_at,
    }  # fmt: skip
