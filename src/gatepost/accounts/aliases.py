"""Aliases in the store, beside those of the configuration: made, listed and deleted while the server runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from gatepost.accounts.directory import alias_rules
from gatepost.accounts.errors import AccountError
from gatepost.accounts.expansion import TARGET_LIMIT
from gatepost.accounts.names import OurDomains
from gatepost.accounts.users import printable_reason
from gatepost.config.names import check_address, check_domain, check_local_part
from gatepost.store.accounts import AccountStore


class AliasBook:
    """The aliases of a store.

    :param store: where they are.
    :param domains: our domains; a name without a domain is one of the first.
    :param aliases: the configuration's aliases, which go first.
    :raises ConfigError: when those run in a loop.
    """

    __slots__ = ("_domains", "_rules", "_store")

    def __init__(self, store: AccountStore, domains: Sequence[str], aliases: Mapping[str, Sequence[str]]) -> None:
        self._store: Final = store
        self._domains: Final = OurDomains(domains)
        self._rules: Final = alias_rules(self._domains, aliases)

    def set(self, name: str, targets: Sequence[str]) -> None:
        """Make an alias, or replace it.

        :param name: ``name@domain``, a bare name in the first domain, or ``@domain`` for the rest of a domain.
        :param targets: addresses anywhere, or bare names in the first domain.
        :raises AccountError: when a name is wrong, the configuration defines the alias, or it would make a loop.
        :raises StoreError: when the store fails.
        """
        key = self._checked_name(name)
        if not 0 < len(targets) <= TARGET_LIMIT:
            raise AccountError(f"an alias has 1 to {TARGET_LIMIT} targets", reason="alias")
        cleaned = tuple(dict.fromkeys(self._checked_target(target) for target in targets))
        problems = self._rules.problems({**self._store.aliases(), key: cleaned})
        if problems:
            raise AccountError(
                problems[0], reason="alias", hint="let every chain of aliases end at a user, or elsewhere"
            )
        self._store.set_alias(key, cleaned)

    def delete(self, name: str) -> None:
        """Delete an alias.

        :raises AccountError: when the store has none of that name.
        """
        key = self._checked_name(name)
        if not self._store.delete_alias(key):
            raise AccountError(
                f"there is no alias {key}", reason="missing", hint="those of the configuration are in its file"
            )

    def list(self) -> Mapping[str, tuple[str, ...]]:
        """Every alias of the store, ordered by name."""
        return self._store.aliases()

    def _checked_name(self, name: str) -> str:
        local, domain = self._domains.split(name)
        try:
            if local or not name.startswith("@"):
                check_local_part(local)
            check_domain(domain)
        except ValueError as error:
            raise AccountError(printable_reason(error), reason="address", hint="write name@domain or @domain") from None
        if domain not in self._domains:
            raise AccountError(
                f"{domain} is not a domain of this server", reason="domain", hint="an alias is an address of ours"
            )
        key = f"{local}@{domain}"
        if self._rules.defines(key) or self._rules.defines(local):
            raise AccountError(
                f"the configuration defines the alias {key}", reason="exists", hint="change it in [aliases]"
            )
        return key

    def _checked_target(self, target: str) -> str:
        try:
            return check_address(target if "@" in target else f"{target}@{self._domains.first}")
        except ValueError as error:
            raise AccountError(printable_reason(error), reason="address", hint="write name@domain") from None
