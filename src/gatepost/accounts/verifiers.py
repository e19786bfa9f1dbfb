"""Logins: is this the password, what is stored for SCRAM, and setting a password.

An unknown name, a disabled user and a wrong password look the same from outside. The password of an unknown name is
checked against a decoy hash of full cost; SCRAM gets a decoy verifier which, for one name, is the same every time.

Checking a password holds 64 MiB for some tenths of a second, so it belongs into a thread of a bounded pool, while the
store belongs to one thread. ``password_check`` therefore splits the work: it asks the store, ``PasswordCheck.run``
computes and touches nothing else, and ``accepted`` writes down what follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

from gatepost.accounts.errors import AccountError
from gatepost.accounts.names import OurDomains, storable
from gatepost.accounts.passwords import STRENGTH, Passwords, Strength
from gatepost.store.accounts import AccountStore, PasswordRecord
from gatepost.wire.sasl.scram import Verifier
from gatepost.wire.sasl.secret import Secret


@final
class PasswordCheck:
    """One password to be checked. ``run`` may be called in any thread, once."""

    __slots__ = ("_decoy", "_passwords", "_record", "address", "improved")

    def __init__(self, address: str, record: PasswordRecord | None, decoy: str, passwords: Passwords) -> None:
        self.address: Final = address
        self.improved: PasswordRecord | None = None  # verifiers of today's strength, when the stored ones are older
        self._record: Final = record
        self._decoy: Final = decoy
        self._passwords: Final = passwords

    @property
    def record(self) -> PasswordRecord | None:
        """What was stored when the check was made; None for an unknown or disabled user."""
        return self._record

    def run(self, password: Secret) -> bool:
        """Whether the password is right. Blocks for some tenths of a second.

        :raises StoreError: when the stored hash cannot be read, or memory ran out.
        """
        record = self._record
        if record is None:
            self._passwords.matches(self._decoy, password)
            return False
        if not self._passwords.matches(record.argon2id, password):
            return False
        if self._passwords.outdated(record):
            self.improved = self._remade(password)
        return True

    def _remade(self, password: Secret) -> PasswordRecord | None:
        try:
            return self._passwords.record(password)
        except AccountError:  # a query may hold code points that may not be stored (RFC 3454 §7): leave it as it is
            return None


class Verifiers:
    """The logins of a store. It belongs to the thread that owns the store.

    :param store: where the verifiers are.
    :param domains: our domains; a login name without a domain is one of the first.
    :param strength: of the verifiers that are made.
    """

    __slots__ = ("_decoy", "_passwords", "_secret", "_store", "domains")

    def __init__(self, store: AccountStore, domains: Sequence[str], *, strength: Strength = STRENGTH) -> None:
        self.domains: Final = OurDomains(domains)
        self._store: Final = store
        self._passwords: Final = Passwords(strength)
        self._secret = b""
        self._decoy = ""

    def identity(self, user: str) -> str:
        """The canonical address of the user that a login name means; says nothing about whether it exists."""
        return self.domains.canonical(user)

    def password_check(self, user: str) -> PasswordCheck:
        """Look up what is needed to check a user's password.

        :raises StoreError: when the store fails: answer 454 4.7.0.
        """
        address = self.identity(user)
        if not self._decoy:
            self._decoy = self._passwords.decoy_hash(self._store_secret())
        return PasswordCheck(address, self._record(address), self._decoy, self._passwords)

    def accepted(self, check: PasswordCheck) -> None:
        """Write down a right password: the login, and stronger verifiers when the check made some.

        :raises StoreError: when the store fails; the login is as good as before.
        """
        if check.improved is not None:
            self._store.replace_password(check.address, check.improved, replacing=check.record)
        self._store.record_login(check.address)

    def verify_password(self, user: str, password: Secret) -> bool:
        """All three steps at once, for callers without threads. Blocks for some tenths of a second.

        :raises StoreError: when the store fails.
        """
        check = self.password_check(user)
        if not check.run(password):
            return False
        self.accepted(check)
        return True

    def scram(self, user: str) -> Verifier:
        """What SCRAM needs (RFC 5802 §3); a decoy for an unknown or disabled user.

        :raises StoreError: when the store fails: answer 454 4.7.0.
        """
        address = self.identity(user)
        decoy = self._passwords.decoy_verifier(self._store_secret(), address)  # made for everybody: equal time
        record = self._record(address)
        return decoy if record is None else record.scram

    def active(self, user: str) -> bool:
        """Whether there is such a user and it may log in: for logins that need no password.

        :raises StoreError: when the store fails.
        """
        return self._record(self.identity(user)) is not None

    def record_login(self, user: str) -> None:
        """Write down a login that did not go through ``accepted``: one by SCRAM or EXTERNAL.

        :raises StoreError: when the store fails.
        """
        self._store.record_login(self.identity(user))

    def set_password(self, user: str, password: Secret) -> None:
        """Set a user's password: every verifier is replaced in one transaction.

        :raises AccountError: when there is no such user, or the password cannot be used.
        :raises StoreError: when the store fails.
        """
        address = self.identity(user)
        if not storable(address) or not self._store.replace_password(address, self.make_record(password)):
            raise AccountError(
                f"there is no user {printable(address)}", reason="missing", hint="see `gatepost user list`"
            )

    def make_record(self, password: Secret) -> PasswordRecord:
        """Make what is stored of a password.

        :raises AccountError: when it cannot be used.
        """
        return self._passwords.record(password)

    def _record(self, address: str) -> PasswordRecord | None:
        return self._store.password_record(address) if storable(address) else None

    def _store_secret(self) -> bytes:
        if not self._secret:
            self._secret = self._store.secret()
        return self._secret


def printable(name: str) -> str:
    """A name for a message: control characters and stray surrogates escaped, at most 80 characters."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name[:80])
