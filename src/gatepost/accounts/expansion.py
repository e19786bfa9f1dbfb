"""From an address of ours to mailboxes and forwards: the rules, over any source of entries.

The first rule that fits decides:

1. an alias of that address: from the configuration (``name@domain`` before ``name``), then from the store;
2. a user of that address;
3. both again without the detail: ``user`` for ``user+detail``;
4. ``postmaster``, in any domain of ours or in none, is the user postmaster of the first domain (RFC 5321 §4.5.1), whose
   mailbox takes mail whether or not that user exists; ``abuse`` is postmaster (RFC 2142 §2);
5. an alias ``@domain`` for the rest of a domain.

``postmaster`` is always deliverable: should its aliases lead nowhere, its mail goes where rule 4 says.

Targets are expanded by the same rules. An alias that names itself means the user of that name, so that
``alice = ["alice", "alice@example.net"]`` keeps a copy. Any other way back to an alias on the way is a loop. Chains and
numbers of targets are bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from gatepost.accounts.names import SEPARATOR, OurDomains, base_local, domain_key, local_key
from gatepost.accounts.resolution import NOT_OURS, UNKNOWN, Broken, Found, Resolution
from gatepost.store.accounts import Entry

DEPTH_LIMIT: Final = 10  # aliases in a chain
TARGET_LIMIT: Final = 1000  # targets that one address may lead to, dead ends included

_POSTMASTER: Final = "postmaster"
_ROLES: Final = frozenset({_POSTMASTER, "abuse"})

Lookup: TypeAlias = Callable[[str], Entry]
Aliases: TypeAlias = Mapping[str, tuple[str, ...]]


class _AliasFault(Exception):
    """Aliases lead nowhere."""


class AliasRules:
    """The aliases of the configuration, and the rules above.

    :param domains: the domains that are ours.
    :param aliases: alias to targets: ``name`` (in every domain of ours), ``name@domain`` or ``@domain``; a target is an
        address anywhere, or a bare name in the first domain.
    """

    __slots__ = ("_aliases", "domains")

    def __init__(self, domains: OurDomains, aliases: Mapping[str, Sequence[str]]) -> None:
        self.domains: Final = domains
        self._aliases: Final[Aliases] = {alias_key(name): tuple(targets) for name, targets in aliases.items()}

    def defines(self, key: str) -> bool:
        """Whether the configuration has an alias of that canonical name."""
        return key in self._aliases

    def resolve(self, local: str, domain: str, lookup: Lookup) -> Resolution:
        """Where an address leads.

        :param lookup: the store's ``entry``.
        """
        name, home = local_key(local), domain_key(domain)
        if not home and base_local(name) == _POSTMASTER:  # RFC 5321 §4.1.1.3: <Postmaster> without a domain
            home = self.domains.first
        if home not in self.domains:
            return NOT_OURS
        expansion = _Expansion(self, lookup)
        try:
            expansion.expand(name, home, ())
            found = expansion.result()
        except _AliasFault as fault:
            found = Broken(str(fault))
        if base_local(name) == _POSTMASTER and not isinstance(found, Found):
            return Found((self.postmaster,))
        return found

    @property
    def postmaster(self) -> str:
        """The mailbox that always takes mail."""
        return f"{_POSTMASTER}@{self.domains.first}"

    def problems(self, stored: Aliases | None = None) -> list[str]:
        """What is wrong with the aliases whatever users there are: loops, and too many targets.

        :param stored: the aliases of the store, canonical.
        """
        entries = stored or {}

        def lookup(key: str) -> Entry:
            return Entry(True, entries.get(key, ()))  # every name is a user: only aliases can be at fault

        found: list[str] = []
        for key, targets in (*self._aliases.items(), *entries.items()):
            expansion = _Expansion(self, lookup)
            try:
                expansion.expand_targets(key, targets, ())
            except _AliasFault as fault:
                found.append(f"alias {key}: {fault}")
        return found

    def match(self, name: str, home: str, lookup: Lookup) -> tuple[str, tuple[str, ...]]:
        """The alias that decides about a canonical address, with its targets.

        :return: no targets when the name is that of a mailbox; an empty name when nothing fits.
        """
        candidates = (name, base_local(name)) if SEPARATOR in name else (name,)
        for candidate in candidates:
            address = f"{candidate}@{home}"
            for key in (address, candidate):
                if key in self._aliases:
                    return key, self._aliases[key]
            entry = lookup(address)
            if entry.targets or entry.user:
                return address, entry.targets
        base = candidates[-1]
        if base in _ROLES:
            address = f"{base}@{home}"
            return address, () if address == self.postmaster else (self.postmaster,)
        rest = f"@{home}"
        if targets := self._aliases.get(rest) or lookup(rest).targets:
            return rest, targets
        return "", ()

    def own_mailbox(self, name: str, home: str, lookup: Lookup) -> str:
        """The mailbox that an alias means when it names itself, or an empty string."""
        for candidate in dict.fromkeys((name, base_local(name))):
            address = f"{candidate}@{home}"
            if lookup(address).user or address == self.postmaster:
                return address
        return ""


class _Expansion:
    """One address being followed to all its ends."""

    __slots__ = ("_forwards", "_lookup", "_mailboxes", "_missing", "_rules", "_targets")

    def __init__(self, rules: AliasRules, lookup: Lookup) -> None:
        self._rules: Final = rules
        self._lookup: Final = lookup
        self._mailboxes: dict[str, None] = {}
        self._forwards: dict[str, None] = {}
        self._missing: dict[str, None] = {}
        self._targets = 0

    def result(self) -> Resolution:
        if self._mailboxes or self._forwards:
            return Found(tuple(self._mailboxes), tuple(self._forwards), tuple(self._missing))
        return UNKNOWN

    def expand(self, name: str, home: str, chain: tuple[str, ...]) -> None:
        key, targets = self._rules.match(name, home, self._lookup)
        if not key:
            self._missing[f"{name}@{home}"] = None
        elif not targets:
            self._mailboxes[key] = None
        elif key not in chain:
            self.expand_targets(key, targets, chain)
        elif key == chain[-1] and (mailbox := self._rules.own_mailbox(name, home, self._lookup)):
            self._mailboxes[mailbox] = None
        else:
            raise _AliasFault("a loop: " + " -> ".join((*chain[chain.index(key) :], key)))

    def expand_targets(self, key: str, targets: Sequence[str], chain: tuple[str, ...]) -> None:
        if len(chain) >= DEPTH_LIMIT:
            raise _AliasFault(f"more than {DEPTH_LIMIT} aliases in a chain: " + " -> ".join(chain))
        for target in targets:
            self._targets += 1
            if self._targets > TARGET_LIMIT:
                raise _AliasFault(f"it leads to more than {TARGET_LIMIT} targets")
            name, home = self._rules.domains.split(target)
            if home in self._rules.domains:
                self.expand(name, home, (*chain, key))
            else:
                self._forwards[target] = None


def alias_key(name: str) -> str:
    """The canonical form of an alias: ``name``, ``name@domain`` or ``@domain``."""
    local, at, domain = name.rpartition("@")
    return f"{local_key(local)}@{domain_key(domain)}" if at else local_key(domain)
