"""The keys of mail that passes through: ``[[route]]``, ``relay_domains`` and ``refused_senders``."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import BeforeValidator, Field

from gatepost.config.endpoints import address_of, format_endpoint, parse_endpoint
from gatepost.config.entries import check_name, check_sender
from gatepost.config.kinds import NameEntries, Table, entries_by
from gatepost.policy.routes import MX


def check_relayed(text: str) -> str:
    """Check a domain whose mail is taken from everybody.

    :raises ValueError: when it is none, or all of them.
    """
    if text == "*":
        raise ValueError('"*" would make an open relay; name the domains, or let clients relay with [[relay]]')
    return check_name(text)


def check_via(text: str) -> str:
    """Check ``mx``, ``host:port`` or ``[address]:port``, and write the host as DNS has it.

    :raises ValueError: saying what is wrong with it.
    """
    if text.lower() == MX:
        return MX
    try:
        host, port = parse_endpoint(text)
    except ValueError as error:
        raise ValueError(f'{error}; or "mx" for the domain\'s own mail exchangers') from error
    if port == 0:
        raise ValueError(f'"{text[:80]}": 0 is no port to connect to; mail servers listen on 25')
    return format_endpoint(host if address_of(host) is not None else check_name(host), port)


RelayDomains: TypeAlias = Annotated[tuple[str, ...], *entries_by(check_relayed)]
SenderEntries: TypeAlias = Annotated[tuple[str, ...], *entries_by(check_sender)]
Via: TypeAlias = Annotated[str, BeforeValidator(lambda value: check_via(value) if isinstance(value, str) else value)]


class Route(Table):
    """Where mail for some domains goes, in place of their mail exchangers or the smarthost. The first that matches
    counts."""

    to: NameEntries = Field(description="Domains of the mail, `.example.com` for those below one, `*` for all.")
    via: Via = Field(
        description='Server that takes it, `"host:port"` or `"[address]:port"`, whose MX is not asked; `"mx"`: the '
        "mail exchangers of the domain, as an exception from a later route or from the smarthost."
    )
