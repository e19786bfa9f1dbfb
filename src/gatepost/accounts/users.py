"""Making, listing, disabling and deleting users."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gatepost.accounts.errors import AccountError
from gatepost.accounts.names import SEPARATOR, OurDomains
from gatepost.accounts.passwords import STRENGTH, Strength
from gatepost.accounts.verifiers import Verifiers, printable
from gatepost.config.names import check_domain, check_local_part
from gatepost.store.accounts import Account, AccountStore
from gatepost.wire.sasl.secret import Secret


class Users:
    """The users of a store, as ``gatepost user`` manages them.

    :param store: where they are.
    :param domains: our domains; a name without a domain is one of the first.
    :param strength: of the verifiers that are made.
    """

    __slots__ = ("_domains", "_store", "_verifiers")

    def __init__(self, store: AccountStore, domains: Sequence[str], *, strength: Strength = STRENGTH) -> None:
        self._store: Final = store
        self._domains: Final = OurDomains(domains)
        self._verifiers: Final = Verifiers(store, domains, strength=strength)

    def add(self, address: str, password: Secret) -> Account:
        """Add a user, who can log in and gets mail at once.

        :raises AccountError: when the address is not one of ours or is taken, or the password cannot be used.
        :raises StoreError: when the store fails.
        """
        canonical = self._checked(address)
        if self._store.entry(canonical).targets:
            raise AccountError(
                f"{canonical} is an alias",
                reason="exists",
                hint="mail for it would never reach the user: delete the alias first",
            )
        if not self._store.create(canonical, self._verifiers.make_record(password)):
            raise AccountError(
                f"the user {canonical} exists", reason="exists", hint="`gatepost user passwd` sets its password"
            )
        return self._existing(canonical)

    def set_password(self, address: str, password: Secret) -> None:
        """Set a user's password; see ``Verifiers.set_password``."""
        self._verifiers.set_password(address, password)

    def set_disabled(self, address: str, disabled: bool) -> None:
        """Refuse or allow a user's logins. Its mail is kept either way.

        :raises AccountError: when there is no such user.
        """
        if not self._store.set_disabled(self._known(address), disabled):
            raise _missing(address)

    def delete(self, address: str) -> None:
        """Delete a user. The mailbox on disk stays, for the operator to keep or remove.

        :raises AccountError: when there is no such user.
        """
        if not self._store.delete(self._known(address)):
            raise _missing(address)

    def find(self, address: str) -> Account | None:
        """The user of an address, or None."""
        return self._store.account(self._known(address))

    def list(self) -> list[Account]:
        """Every user, ordered by domain, then by local part."""
        return self._store.accounts()

    def _existing(self, canonical: str) -> Account:
        account = self._store.account(canonical)
        if account is None:
            raise _missing(canonical)
        return account

    def _known(self, address: str) -> str:
        """The canonical form of what may be a user's address.

        :raises AccountError: when it cannot be one.
        """
        local, domain = self._domains.split(address)
        try:
            check_local_part(local)
            check_domain(domain)
        except ValueError as error:
            raise AccountError(printable_reason(error), reason="address", hint="write name@domain") from None
        return f"{local}@{domain}"

    def _checked(self, address: str) -> str:
        """The canonical form of an address that may become a user's."""
        canonical = self._known(address)
        local, _, domain = canonical.rpartition("@")
        if SEPARATOR in local:
            raise AccountError(
                f"{canonical} holds a {SEPARATOR}",
                reason="address",
                hint=f"leave out what begins there: mail for user{SEPARATOR}anything reaches the user anyway",
            )
        if domain not in self._domains:
            raise AccountError(
                f"{domain} is not a domain of this server",
                reason="domain",
                hint="add it to `domains` in the configuration first",
            )
        return canonical


def printable_reason(error: ValueError) -> str:
    """The text of a refusal of a name, safe to print."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(error)[:300])


def _missing(address: str) -> AccountError:
    return AccountError(f"there is no user {printable(address)}", reason="missing", hint="see `gatepost user list`")
