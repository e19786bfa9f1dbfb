"""What both halves of SCRAM-SHA-256 share: keys, attributes, channel-binding flags (RFC 5802, 7677).

The exchange, with ``,`` as the separator::

    C  gs2-header [m=…,] n=user,r=client-nonce               client-first    gs2-header: n,, | y,, | p=binding,,
    S  r=client-nonce server-nonce,s=salt,i=iterations       server-first
    C  c=base64(gs2-header + binding data),r=…,p=proof       client-final
    S  v=server signature | e=error                          server-final

Downgrade protection: a client that could bind but saw no ``-PLUS`` says ``y``; a server that listed ``-PLUS`` refuses
it, because then somebody took the word out of the list (RFC 5802 §6).
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, final

from gatepost.errors import LocalProtocolError
from gatepost.wire.sasl.prep import PreparationError, saslprep
from gatepost.wire.sasl.secret import Secret

MESSAGE_LIMIT: Final = 8192  # octets of one SCRAM message
NONCE_LIMIT: Final = 512  # octets
SALT_LIMIT: Final = 1024  # octets
MINIMUM_ITERATIONS: Final = 4096  # RFC 7677 §4
# A server chooses how long its clients compute. 600,000 is what current advice asks of PBKDF2-SHA-256; at a million a
# core is busy for some tenths of a second, and more than that is taken for an attack.
MAXIMUM_ITERATIONS: Final = 1_000_000

# RFC 5802 §7: printable = %x21-2B / %x2D-7E
NONCE: Final = re.compile(rb"[\x21-\x2b\x2d-\x7e]{1,%d}" % NONCE_LIMIT)
# RFC 5802 §7: posit-number = %x31-39 *DIGIT
POSIT_NUMBER: Final = re.compile(rb"[1-9][0-9]{0,8}")
BINDING_NAMES: Final = ("tls-exporter", "tls-server-end-point")


class ScramSyntaxError(Exception):
    """A message does not follow RFC 5802 §7. Private to the package: each half turns it into its own outcome."""


@final
@dataclass(frozen=True, slots=True)
class Verifier:
    """What a server stores of a user: enough to check a proof, not enough to make one (RFC 5802 §3).

    :param salt: octets, made for this user alone.
    :param iterations: of PBKDF2.
    :param stored_key: H(ClientKey).
    :param server_key: the key of the server's own signature.
    """

    salt: bytes
    iterations: int
    stored_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)


def salted_password(password: Secret, salt: bytes, iterations: int) -> bytes:
    """Hi(password, salt, i). The password must have been prepared."""
    return hashlib.pbkdf2_hmac("sha256", password.reveal(), salt, iterations)


def sign(key: bytes, message: bytes) -> bytes:
    """HMAC-SHA-256."""
    return hmac.digest(key, message, "sha256")


def exclusive_or(left: bytes, right: bytes) -> bytes:
    """Octet by octet; both are digests of the same length."""
    return (int.from_bytes(left) ^ int.from_bytes(right)).to_bytes(len(left))


def derive_verifier(password: str, *, salt: bytes, iterations: int) -> Verifier:
    """Make what is stored of a user.

    :param password: as typed; it is prepared here (RFC 7677 §3 refers to SASLprep).
    :raises PreparationError: when it holds what may not be stored.
    :raises LocalProtocolError: when it is empty, or the salt or the iteration count are too small.
    """
    prepared = saslprep(password, stored=True)
    if not prepared or not salt or iterations < MINIMUM_ITERATIONS:
        raise LocalProtocolError("an empty password or salt, or fewer than 4096 iterations")
    salted = salted_password(Secret(prepared), salt, iterations)
    stored_key = hashlib.sha256(sign(salted, b"Client Key")).digest()
    return Verifier(salt, iterations, stored_key, sign(salted, b"Server Key"))


def attribute(part: bytes, letter: bytes) -> bytes:
    """The value of ``letter=value``."""
    if part[:2] != letter + b"=":
        raise ScramSyntaxError(f"attribute {letter.decode()} does not stand where it must")
    return part[2:]


def unbase64(value: bytes) -> bytes:
    """Strict base64."""
    try:
        return binascii.a2b_base64(value, strict_mode=True)
    except binascii.Error:
        raise ScramSyntaxError("bad base64") from None


def base64(value: bytes) -> bytes:
    """Base64 without line ends."""
    return binascii.b2a_base64(value, newline=False)


def encode_name(name: str) -> bytes:
    """RFC 5802 §5.1: ``,`` and ``=`` are written ``=2C`` and ``=3D``."""
    return name.replace("=", "=3D").replace(",", "=2C").encode()


def decode_name(value: bytes) -> str:
    """The reverse, prepared (RFC 4013).

    :raises ScramSyntaxError: for an ``=`` that is neither, bad UTF-8, prohibited characters or an empty name.
    """
    if re.search(rb"=(?!2C|3D)", value) or b"\0" in value:
        raise ScramSyntaxError("bad user name")
    try:
        name = saslprep(value.decode().replace("=2C", ",").replace("=3D", "="))
    except (UnicodeDecodeError, PreparationError):
        raise ScramSyntaxError("the user name cannot be prepared") from None
    if not name:
        raise ScramSyntaxError("the user name is empty")
    return name


def preferred_binding(bindings: Mapping[str, bytes]) -> str | None:
    """Which binding a client uses: ``tls-exporter`` before ``tls-server-end-point`` (RFC 9266 §3)."""
    return next((name for name in BINDING_NAMES if bindings.get(name)), None)
