"""What is made of a password: an argon2id hash for PLAIN and LOGIN, a verifier for SCRAM. Neither leads back to it.

The strength and its reasons
----------------------------
* argon2id with 64 MiB, 3 passes and 4 lanes: the second recommended choice of RFC 9106 §4, which is also argon2-cffi's
  own. One check holds 64 MiB and costs 0.15 to 0.3 s of CPU; whoever runs checks bounds how many run at once.
* SCRAM-SHA-256 with 10,000 iterations: RFC 7677 §4 asks for at least 4,096. The work is the client's, at every login:
  10,000 cost a client written in C some 5 ms and one in Perl or JavaScript a few tenths of a second, and ten times as
  many would make the latter time out. The server pays only when a password is set. Against somebody who has stolen the
  store this is the weaker of the two verifiers, so passwords should be long.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from dataclasses import dataclass
from typing import Final, final

import argon2
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from gatepost.accounts.errors import AccountError
from gatepost.errors import StoreError
from gatepost.store.accounts import PasswordRecord
from gatepost.wire.sasl.prep import PreparationError, saslprep
from gatepost.wire.sasl.scram import Verifier, derive_verifier
from gatepost.wire.sasl.secret import Secret

SALT_OCTETS: Final = 16
_HASH_OCTETS: Final = 32


@final
@dataclass(frozen=True, slots=True)
class Strength:
    """How much work a password's verifiers cost.

    :param memory: of argon2id, in KiB.
    :param passes: of argon2id.
    :param lanes: of argon2id.
    :param iterations: of SCRAM's PBKDF2; at least 4096 (RFC 7677 §4).
    """

    memory: int = 65_536
    passes: int = 3
    lanes: int = 4
    iterations: int = 10_000


STRENGTH: Final = Strength()


class Passwords:
    """Makes and checks verifiers. It has no store and no state: any thread may use it.

    :param strength: of what is made; what is checked says its own.
    """

    __slots__ = ("_hasher", "strength")

    def __init__(self, strength: Strength = STRENGTH) -> None:
        self.strength: Final = strength
        self._hasher: Final = argon2.PasswordHasher(
            time_cost=strength.passes,
            memory_cost=strength.memory,
            parallelism=strength.lanes,
            hash_len=_HASH_OCTETS,
            salt_len=SALT_OCTETS,
            type=argon2.Type.ID,
        )

    def record(self, password: Secret) -> PasswordRecord:
        """Make every verifier of a password, each with a salt of its own.

        :param password: as it was typed, in UTF-8.
        :raises AccountError: when it is empty, or SASLprep prohibits it (RFC 4013); never quotes it.
        """
        prepared = prepare(password)
        verifier = derive_verifier(prepared, salt=secrets.token_bytes(SALT_OCTETS), iterations=self.strength.iterations)
        return PasswordRecord(self._hasher.hash(prepared), verifier)

    def matches(self, encoded: str, password: Secret) -> bool:
        """Whether an argon2id hash was made of this password. Takes the hash's full time, whatever is wrong.

        :param password: prepared or not.
        :raises StoreError: when the stored hash cannot be read.
        """
        try:
            candidate = saslprep(password.reveal().decode())
        except (PreparationError, UnicodeDecodeError):
            candidate = ""  # nobody's password
        try:
            return self._hasher.verify(encoded, candidate) and bool(candidate)
        except VerifyMismatchError:
            return False
        except (InvalidHashError, VerificationError) as error:
            raise StoreError(
                f"a stored password hash cannot be checked: {error}",
                hint="set it again with `gatepost user passwd`; if memory ran out, allow fewer logins at once",
            ) from error

    def outdated(self, record: PasswordRecord) -> bool:
        """Whether a record was made with another strength than ours."""
        return self._hasher.check_needs_rehash(record.argon2id) or record.scram.iterations != self.strength.iterations

    def decoy_hash(self, secret: bytes) -> str:
        """An argon2id hash that costs as much to check as a real one and that no password matches.

        :param secret: the store's secret.
        """
        salt = _b64(_keyed(secret, "argon2id salt", "")[:SALT_OCTETS])
        digest = _b64(_keyed(secret, "argon2id hash", ""))
        strength = self.strength
        return f"$argon2id$v=19$m={strength.memory},t={strength.passes},p={strength.lanes}${salt}${digest}"

    def decoy_verifier(self, secret: bytes, address: str) -> Verifier:
        """A SCRAM verifier for an address that nobody has: shaped like a real one, always the same for one address, and
        matched by no password.

        :param secret: the store's secret.
        """
        return Verifier(
            _keyed(secret, "scram salt", address)[:SALT_OCTETS],
            self.strength.iterations,
            _keyed(secret, "scram stored key", address),
            _keyed(secret, "scram server key", address),
        )


def prepare(password: Secret) -> str:
    """A password as it is stored and compared (RFC 4013).

    :raises AccountError: when it is empty or cannot be prepared; never quotes it.
    """
    try:
        prepared = saslprep(password.reveal().decode(), stored=True)
    except UnicodeDecodeError:
        raise AccountError("the password is not UTF-8", reason="password") from None
    except PreparationError as error:
        raise AccountError(
            f"the password cannot be used: {error}", reason="password", hint="choose one of printable characters"
        ) from None
    if not prepared:
        raise AccountError("the password is empty", reason="password", hint="choose a password")
    return prepared


def _keyed(secret: bytes, purpose: str, name: str) -> bytes:
    return hmac.digest(secret, f"{purpose}\0{name}".encode("utf-8", "surrogatepass"), "sha256")


def _b64(octets: bytes) -> str:
    return base64.b64encode(octets).decode().rstrip("=")
