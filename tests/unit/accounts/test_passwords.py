"""What is made of a password."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from gatepost.accounts.errors import AccountError
from gatepost.accounts.passwords import STRENGTH, Passwords, Strength, prepare
from gatepost.errors import StoreError
from gatepost.wire.sasl.secret import Secret


def test_strength_is_what_the_documents_say() -> None:
    """RFC 9106 §4's second choice; at least RFC 7677's 4096 iterations."""
    assert (STRENGTH.memory, STRENGTH.passes, STRENGTH.lanes) == (65536, 3, 4)
    assert STRENGTH.iterations == 10_000
    hashed = Passwords().record(Secret("correct horse"))
    assert hashed.argon2id.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert hashed.scram.iterations == 10_000


def test_password_matches_its_own_hash_only(weak: Strength) -> None:
    """The right password passes, any other does not."""
    passwords = Passwords(weak)
    encoded = passwords.record(Secret("correct horse")).argon2id
    assert passwords.matches(encoded, Secret("correct horse"))
    for wrong in ("", "correct hors", "Correct horse", "correct horse\0", "\x07"):
        assert not passwords.matches(encoded, Secret(wrong))
    assert not passwords.matches(encoded, Secret(b"\xff\xfe"))


def test_password_is_compared_as_saslprep_prepares_it(weak: Strength) -> None:
    """RFC 4013: a non-ASCII space is a space, a soft hyphen is nothing, and forms of a letter are one."""
    passwords = Passwords(weak)
    encoded = passwords.record(Secret("zo\u00eb\u00a0x")).argon2id
    assert passwords.matches(encoded, Secret("zoe\u0308 x"))
    assert passwords.matches(encoded, Secret("z\u00ado\u00eb x"))


def test_same_password_makes_different_verifiers(weak: Strength) -> None:
    """Every verifier has a salt of its own, so that equal passwords do not show."""
    one, other = (Passwords(weak).record(Secret("same")) for _ in range(2))
    assert one.argon2id != other.argon2id
    assert one.scram.salt != other.scram.salt
    assert one.scram.stored_key != other.scram.stored_key


def test_scram_verifier_is_that_of_the_standard(weak: Strength) -> None:
    """RFC 5802 §3: StoredKey := H(HMAC(SaltedPassword, "Client Key")), ServerKey := HMAC(…, "Server Key")."""
    scram = Passwords(weak).record(Secret("pencil")).scram
    salted = hashlib.pbkdf2_hmac("sha256", b"pencil", scram.salt, 4096)
    assert scram.stored_key == hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    assert scram.server_key == hmac.digest(salted, b"Server Key", "sha256")


def test_nothing_that_is_stored_shows_the_password(weak: Strength) -> None:
    """Neither the record nor its printed form holds the password or the verifiers."""
    record = Passwords(weak).record(Secret("correct horse"))
    stored = record.argon2id.encode() + record.scram.salt + record.scram.stored_key + record.scram.server_key
    assert b"correct horse" not in stored
    assert record.argon2id not in repr(record)
    assert repr(record.scram.stored_key) not in repr(record)


@pytest.mark.parametrize("bad", ["", "a\0b", "tab\t", "\u00ad", "\u0627a", "\ue000", "x" * 2000])
def test_password_that_cannot_be_used_is_refused_without_being_quoted(bad: str) -> None:
    """What SASLprep prohibits could never be typed in again; the refusal does not repeat it."""
    with pytest.raises(AccountError) as caught:
        prepare(Secret(bad))
    assert caught.value.reason == "password"
    assert not bad or bad not in str(caught.value)


def test_password_that_is_not_utf8_is_refused() -> None:
    """A password is text."""
    with pytest.raises(AccountError, match="UTF-8"):
        prepare(Secret(b"\xff"))


def test_decoy_hash_has_the_shape_and_cost_of_a_real_one(weak: Strength) -> None:
    """An unknown user's check computes as much as a known one's, and no password passes it."""
    passwords = Passwords(weak)
    decoy, real = passwords.decoy_hash(b"s" * 32), passwords.record(Secret("x")).argon2id
    assert decoy.rsplit("$", 2)[0] == real.rsplit("$", 2)[0]
    assert [len(part) for part in decoy.split("$")] == [len(part) for part in real.split("$")]
    assert not passwords.matches(decoy, Secret("x"))


def test_decoy_verifier_is_constant_for_a_name_and_differs_between_names_and_stores(weak: Strength) -> None:
    """Asking twice tells an attacker nothing: a real user's salt does not change either."""
    passwords = Passwords(weak)
    alice = passwords.decoy_verifier(b"s" * 32, "alice@example.org")
    assert alice == passwords.decoy_verifier(b"s" * 32, "alice@example.org")
    assert alice.salt != passwords.decoy_verifier(b"s" * 32, "bob@example.org").salt
    assert alice.salt != passwords.decoy_verifier(b"t" * 32, "alice@example.org").salt
    real = passwords.record(Secret("x")).scram
    assert [len(alice.salt), alice.iterations, len(alice.stored_key), len(alice.server_key)] == [
        len(real.salt), real.iterations, len(real.stored_key), len(real.server_key)
    ]  # fmt: skip


def test_damaged_hash_is_a_store_error(weak: Strength) -> None:
    """A row that cannot be read is the operator's problem, not a wrong password."""
    with pytest.raises(StoreError):
        Passwords(weak).matches("$argon2id$rubbish", Secret("x"))


def test_record_of_another_strength_is_outdated(weak: Strength) -> None:
    """Either verifier's cost decides."""
    record = Passwords(weak).record(Secret("x"))
    assert not Passwords(weak).outdated(record)
    assert Passwords(Strength(128, 1, 1, 4096)).outdated(record)
    assert Passwords(Strength(64, 1, 1, 5000)).outdated(record)
