"""Who has an address: asked for every recipient, so answered from memory while nothing has changed.

The answers of the store are kept in a bounded least-recently-used cache. What makes it valid is the store's generation,
which any process's change of users or aliases moves on. Asking for it costs SQLite about 3 µs, more than the rest of an
answer, so it is asked at most every ``freshness`` seconds: a change is seen by every process within 20 ms.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from gatepost.accounts.expansion import AliasRules
from gatepost.accounts.names import LOCAL_LIMIT, OurDomains, base_local, domain_key, local_key, storable
from gatepost.accounts.resolution import NOT_OURS, UNKNOWN, Found, NotOurs, Resolution
from gatepost.errors import ConfigError
from gatepost.store.accounts import AccountStore, Entry

FRESHNESS: Final = 0.02  # seconds
CAPACITY: Final = 10_000  # addresses; a few MiB at the most
_REFLECTOR: Final = Entry(True, ())


class Directory:
    """The addresses of our domains. It belongs to one thread of one process; the store is opened by the first question.

    :param store: users and stored aliases.
    :param domains: our domains, at least one; the first completes bare names.
    :param aliases: the configuration's aliases: name to targets.
    :param reflector: an address that takes mail though no such user exists; empty for none.
    :param clock: a clock that never goes back, in seconds.
    :param freshness: how long a change of the store may go unnoticed, in seconds.
    :param capacity: how many answers are kept.
    :raises ConfigError: when the configuration's aliases run in a loop or to too many targets; lists each.
    """

    __slots__ = (
        "_ask_at", "_cache", "_capacity", "_clock", "_freshness", "_generation", "_rules", "_store", "domains",
        "reflector",
    )  # fmt: skip

    def __init__(
        self,
        store: AccountStore,
        domains: Sequence[str],
        aliases: Mapping[str, Sequence[str]],
        *,
        reflector: str = "",
        clock: Callable[[], float] = time.monotonic,
        freshness: float = FRESHNESS,
        capacity: int = CAPACITY,
    ) -> None:
        self.domains: Final = OurDomains(domains)
        self.reflector: Final = self.domains.canonical(reflector) if reflector else ""
        self._rules: Final = alias_rules(self.domains, aliases)
        self._store: Final = store
        self._clock: Final = clock
        self._freshness: Final = freshness
        self._capacity: Final = capacity
        self._cache: Final[OrderedDict[tuple[str, str], Resolution]] = OrderedDict()
        self._generation = -1
        self._ask_at = float("-inf")

    def find(self, local: str, domain: str) -> Resolution:
        """Where mail for an address goes.

        :param local: the local part, unquoted; case does not matter.
        :param domain: the domain; empty for a bare ``postmaster``.
        :raises StoreError: when the store fails: answer 451 4.3.0.
        """
        now = self._clock()
        if now >= self._ask_at:
            self._validate(now)
        key = (local, domain)
        cache = self._cache
        found = cache.get(key)
        if found is None:
            return self._resolve(key)
        cache.move_to_end(key)
        return found

    def may_send_as(self, user: str, local: str, domain: str) -> bool:
        """Whether a user who logged in may use an address as sender: its own, with or without detail, and every alias
        that leads to its mailbox. The null sender is not asked about here.

        :param user: the name of the login.
        :raises StoreError: when the store fails.
        """
        own = self.domains.canonical(user)
        name, home = local_key(local), domain_key(domain)
        if home not in self.domains:
            return False
        if own in (f"{name}@{home}", f"{base_local(name)}@{home}"):
            return True
        found = self.find(local, domain)
        return isinstance(found, Found) and own in found.mailboxes

    def _validate(self, now: float) -> None:
        generation = self._store.generation()
        if generation != self._generation:
            self._cache.clear()
            self._generation = generation
        self._ask_at = now + self._freshness

    def _resolve(self, key: tuple[str, str]) -> Resolution:
        local, domain = key
        if len(local) > LOCAL_LIMIT or len(domain) > LOCAL_LIMIT or not storable(local):
            return UNKNOWN if domain_key(domain) in self.domains else NOT_OURS
        found = self._rules.resolve(local, domain, self._entry)
        if not isinstance(found, NotOurs):  # strangers' domains would crowd out what is worth keeping
            if len(self._cache) >= self._capacity:
                self._cache.popitem(last=False)
            self._cache[key] = found
        return found

    def _entry(self, key: str) -> Entry:
        return _REFLECTOR if key == self.reflector else self._store.entry(key)


def alias_rules(domains: OurDomains, aliases: Mapping[str, Sequence[str]]) -> AliasRules:
    """The configuration's aliases, checked.

    :raises ConfigError: listing every alias that is in a loop, or leads to too many targets.
    """
    rules = AliasRules(domains, aliases)
    problems = tuple(rules.problems())
    if problems:
        raise ConfigError(
            f"[aliases]: {problems[0]}" + (f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""),
            problems=tuple(f"aliases: {problem}" for problem in problems),
            hint="let every chain of aliases end at a user, or at an address elsewhere",
        )
    return rules
