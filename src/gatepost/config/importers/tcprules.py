"""tcpserver's rules, as ``tcprules`` reads them: variables for the server by the client's address.

The most specific rule alone counts, wherever it stands: its variables, and none of those of a shorter prefix. Our rules
are tried in their order and compose, so each is written with the more specific ones that do not set the same excluded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final, final

from gatepost.config.importers.document import Document, Sourced, listed
from gatepost.config.importers.texts import lines_of

_INSTRUCTION: Final = re.compile(r"^(.*?):(allow|deny)(?=,|$)")
_V4: Final = re.compile(r"\d{1,3}(?:-\d{1,3})?(?:\.\d{1,3}(?:-\d{1,3})?){0,3}\.?")


@final
@dataclass(frozen=True, slots=True)
class ClientRule:
    """One line.

    :param entry: whom it is for, as an entry of our lists.
    :param family: 4 or 6; 0 for everybody.
    :param first, last: its addresses as numbers.
    :param depth: how many leading bits are fixed: of two rules for one address the deeper one counts.
    :param allow: False for one that turns the client away.
    :param variables: that it sets.
    """

    entry: str
    family: int
    first: int
    last: int
    depth: int
    allow: bool
    variables: dict[str, str]
    place: str

    def overlaps(self, other: ClientRule) -> bool:
        """Whether some address is in both."""
        if 0 in (self.family, other.family):
            return True
        return self.family == other.family and self.first <= other.last and other.first <= self.last


@final
class ClientRules:
    """The rules of a file, the most specific ones first; of two alike the first one."""

    __slots__ = ("rules",)

    def __init__(self, rules: Iterator[ClientRule]) -> None:
        self.rules = sorted(rules, key=lambda rule: -rule.depth)

    def by(self, said: Callable[[ClientRule], str | None]) -> Iterator[tuple[ClientRule, str, Sourced]]:
        """For each rule that says something: what, and exactly whom it is for.

        :param said: what a rule says about a setting; None when it does not set it.
        """
        for index, rule in enumerate(self.rules):
            value = said(rule)
            if value is None:
                continue
            silent = [each for each in self.rules[:index] if said(each) is None and each.overlaps(rule)]
            entries = [Sourced(rule.entry, rule.place), *(Sourced(f"!{each.entry}", each.place) for each in silent)]
            yield rule, value, listed(entries)


def parse_tcprules(document: Document, text: str, name: str) -> ClientRules:
    """Read the source text of a rules file; what cannot be said here is named in the document."""
    return ClientRules(_rules(document, text, name))


def _rules(document: Document, text: str, name: str) -> Iterator[ClientRule]:
    for line in lines_of(text, name):
        found = _INSTRUCTION.match(line.text)
        if found is None:
            document.notice(line.place, "is no rule that this importer knows, and is not taken over")
            continue
        address, instruction = found[1], found[2]
        variables = dict(_variables(document, line.text[found.end() :], line.place))
        if "=" in address or "@" in address:
            kind = "a host name" if "=" in address else "a user at the client"
            document.notice(
                line.place,
                f"a rule for {kind} ({address}) is not supported, and is not taken over: rules here go by address",
            )
            continue
        try:
            entry, family, first, last, depth = _address(address)
        except ValueError:
            document.notice(line.place, f"{address} is no address or prefix, and the rule is not taken over")
            continue
        if instruction == "deny":
            document.notice(
                line.place,
                f"deny for {address or 'everybody'} is not taken over: no client is turned away by its address in this "
                "version; the firewall can",
            )
        yield ClientRule(entry, family, first, last, depth, instruction == "allow", variables, line.place)


def _variables(document: Document, text: str, place: str) -> Iterator[tuple[str, str]]:
    """``,NAME="value"`` again and again; whatever character follows ``=`` ends the value, too."""
    while text.startswith(","):
        name, equals, rest = text[1:].partition("=")
        value, end, text = rest[1:].partition(rest[:1]) if rest else ("", "", "")
        if not equals or not end or not name:
            document.notice(place, "the variables of this rule cannot be read to their end")
            return
        yield name, value
    if text.strip():
        document.notice(place, "the variables of this rule cannot be read to their end")


def _address(text: str) -> tuple[str, int, int, int, int]:
    """Entry, family, first, last and depth of an address, a prefix or a range.

    :raises ValueError: when it is none.
    """
    if not text:
        return "*", 0, 0, 0, 0
    if ":" in text or "/" in text:
        return _network(text)
    if not _V4.fullmatch(text):
        raise ValueError(text)
    octets = text.removesuffix(".").split(".")
    if len(octets) < 4 and not text.endswith("."):
        raise ValueError(text)
    low, high = [], []
    for at, octet in enumerate(octets):
        start, dash, end = octet.partition("-")
        if dash and at + 1 < len(octets):
            raise ValueError(text)  # a range in the middle is no range of addresses
        low.append(int(start))
        high.append(int(end or start))
    if max(low + high) > 255 or low > high:
        raise ValueError(text)
    rest = 4 - len(octets)
    first = int(ip_address(".".join(map(str, low + [0] * rest))))
    last = int(ip_address(".".join(map(str, high + [255] * rest))))
    if low == high:
        entry = ".".join([*map(str, low), *(["*"] if rest else [])])
    else:
        entry = f"{ip_address(first)}-{ip_address(last)}"
    return entry, 4, first, last, 8 * len(octets)


def _network(text: str) -> tuple[str, int, int, int, int]:
    if text.endswith(":") and not text.endswith("::"):  # a prefix of whole groups
        groups = text.removesuffix(":").split(":")
        text = f"{':'.join(groups)}::/{16 * len(groups)}"
    if "/" not in text:
        number = int(ip_address(text))
        return text, 6, number, number, 128
    if ":" not in text:
        network = IPv4Network(text)
        return text, 4, int(network[0]), int(network[-1]), network.prefixlen
    wide = IPv6Network(text)
    return text, 6, int(wide[0]), int(wide[-1]), wide.prefixlen
