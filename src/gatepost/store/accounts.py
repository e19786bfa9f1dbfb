"""What a store of accounts holds, and what every backend of it must do.

Names in here are canonical: ``local@domain``, both in lower case, the domain as A-labels (``accounts.names`` makes
them). A store compares them octet by octet. It never holds a password, nor anything a password can be read from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, final

from gatepost.wire.sasl.scram import Verifier


@final
@dataclass(frozen=True, slots=True)
class Account:
    """A user.

    :param address: the canonical address, which is also the name of the mailbox and of the login.
    :param created_at: when, in seconds since the Unix epoch.
    :param password_set_at: when the password was last set.
    :param disabled: whether logins are refused; mail is still kept.
    :param last_login: when the user last logged in, exact to a minute, or None.
    """

    address: str
    created_at: float
    password_set_at: float
    disabled: bool = False
    last_login: float | None = None


@final
@dataclass(frozen=True, slots=True)
class PasswordRecord:
    """All that is stored of one password; written together or not at all.

    :param argon2id: the argon2id hash in its encoded form, parameters and salt included.
    :param scram: the verifier for SCRAM-SHA-256 (RFC 7677).
    """

    argon2id: str = field(repr=False)
    scram: Verifier


@final
@dataclass(frozen=True, slots=True)
class Entry:
    """What stands under one address.

    :param user: whether a user has it.
    :param targets: where an alias of that address leads; empty when there is none.
    """

    user: bool
    targets: tuple[str, ...] = ()


NO_ENTRY = Entry(False)


class AccountStore(Protocol):
    """The durable memory of users and aliases. Every method raises ``StoreError`` when the store fails."""

    def create(self, address: str, record: PasswordRecord) -> bool:
        """Add a user; False when the address is a user's already."""

    def account(self, address: str) -> Account | None:
        """The user with this address."""

    def accounts(self) -> list[Account]:
        """Every user, ordered by domain, then by local part."""

    def password_record(self, address: str) -> PasswordRecord | None:
        """What is stored of a user's password; None when there is no such user, or it is disabled."""

    def replace_password(
        self, address: str, record: PasswordRecord, *, replacing: PasswordRecord | None = None
    ) -> bool:
        """Write all verifiers of a user at once.

        :param replacing: write only while this is what is stored, so that a rehash never undoes a change of password.
        :return: False when there is no such user, or something else is stored by now.
        """

    def set_disabled(self, address: str, disabled: bool) -> bool:
        """Refuse or allow logins; False when there is no such user."""

    def record_login(self, address: str) -> None:
        """Remember that the user logged in just now. Written at most once a minute for each user."""

    def delete(self, address: str) -> bool:
        """Delete a user and what is stored of its password; False when there is none."""

    def entry(self, address: str) -> Entry:
        """What stands under one address, or under ``@domain`` for the rest of a domain."""

    def set_alias(self, address: str, targets: Sequence[str]) -> None:
        """Write an alias, replacing what stood under that address."""

    def delete_alias(self, address: str) -> bool:
        """Delete an alias; False when there is none."""

    def aliases(self) -> Mapping[str, tuple[str, ...]]:
        """Every alias, ordered by address."""

    def generation(self) -> int:
        """A number that changes whenever ``entry`` may answer differently, whichever process changed it. Cheap."""

    def secret(self) -> bytes:
        """32 random octets that were made with the store and never change."""

    def backup_to(self, target: Path) -> None:
        """Copy the store into a new file while it is in use."""

    def close(self) -> None:
        """Close it; it opens again when it is used again."""
