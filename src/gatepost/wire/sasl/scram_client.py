"""The client's half of SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, 7677, 9266)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final, final

from gatepost.errors import LocalProtocolError
from gatepost.wire.sasl.outcome import AuthenticationError, Credentials
from gatepost.wire.sasl.plain import prepared_pair
from gatepost.wire.sasl.scram import (
    MAXIMUM_ITERATIONS,
    MESSAGE_LIMIT,
    MINIMUM_ITERATIONS,
    NONCE,
    POSIT_NUMBER,
    SALT_LIMIT,
    ScramSyntaxError,
    attribute,
    base64,
    encode_name,
    exclusive_or,
    preferred_binding,
    salted_password,
    sign,
    unbase64,
)
from gatepost.wire.sasl.secret import Secret


@final
class ClientScram:
    """One exchange.

    The iteration count must lie between ``MINIMUM_ITERATIONS`` and ``maximum_iterations``: a server, or who speaks for
    it, decides how long this client computes, so there is an end to it.

    :param nonce: at least 18 octets of randomness, as printable text without commas.
    :param bindings: the channel bindings that the handshake proved, by name; see ``bindings_of``.
    :param plus: whether to use the ``-PLUS`` mechanism. When the bindings are there and the server does not list it,
        the client says so (flag ``y``), and a server that did list it refuses.
    :raises LocalProtocolError: for an unusable nonce, empty credentials, or ``plus`` without a binding.
    :raises PreparationError: when the user name or password cannot be prepared (RFC 4013).
    """

    __slots__ = (
        "_bare", "_binding_input", "_header", "_maximum", "_nonce", "_password", "_server_signature", "_state", "name",
    )  # fmt: skip

    def __init__(
        self,
        credentials: Credentials,
        nonce: str,
        bindings: Mapping[str, bytes],
        *,
        plus: bool,
        maximum_iterations: int = MAXIMUM_ITERATIONS,
    ) -> None:
        user, password = prepared_pair(credentials)
        self._nonce: Final = nonce.encode()
        if len(self._nonce) < 18 or not NONCE.fullmatch(self._nonce):
            raise LocalProtocolError("a SCRAM nonce is 18 or more printable octets without commas")
        binding = preferred_binding(bindings)
        if plus and binding is None:
            raise LocalProtocolError("SCRAM-SHA-256-PLUS without a channel binding")
        flag = f"p={binding}" if plus else "y" if binding else "n"
        self._header: Final = f"{flag},,".encode()
        self._binding_input: Final = self._header + (bindings[binding] if plus and binding else b"")
        self._bare: Final = b"n=%b,r=%b" % (encode_name(user), self._nonce)
        self._password: Secret | None = Secret(password)
        self._maximum: Final = maximum_iterations
        self._server_signature = b""
        self._state = "start"
        self.name: str = "SCRAM-SHA-256-PLUS" if plus else "SCRAM-SHA-256"

    @property
    def complete(self) -> bool:
        """Whether the server has proved that it knows the user too."""
        return self._state == "complete"

    def initial(self) -> bytes | None:
        """The client-first message."""
        if self._state != "start":
            raise LocalProtocolError("this exchange has begun")
        self._state = "server-first"
        return self._header + self._bare

    def respond(self, challenge: bytes) -> bytes:
        """Answer server-first with the proof, and server-final with nothing once the signature is right."""
        state, self._state = self._state, "over"
        if len(challenge) > MESSAGE_LIMIT:
            raise AuthenticationError("the server's SCRAM message is too long")
        try:
            if state == "server-first":
                return self._prove(challenge)
            if state == "server-final":
                return self._check(challenge)
        except ScramSyntaxError as error:
            raise AuthenticationError(f"the server's SCRAM message cannot be read: {error}") from None
        raise AuthenticationError("the server puts a question that SCRAM does not have")

    def _prove(self, challenge: bytes) -> bytes:
        parts = challenge.split(b",")
        if parts[0].startswith(b"m="):
            raise ScramSyntaxError("a mandatory extension is asked for")
        if len(parts) < 3:
            raise ScramSyntaxError("server-first lacks attributes")
        nonce, salt, count = attribute(parts[0], b"r"), unbase64(attribute(parts[1], b"s")), attribute(parts[2], b"i")
        if not NONCE.fullmatch(nonce) or not nonce.startswith(self._nonce) or len(nonce) == len(self._nonce):
            raise ScramSyntaxError("the nonce is not ours with the server's behind it")
        if not salt or len(salt) > SALT_LIMIT:
            raise ScramSyntaxError("no salt, or too much")
        if not POSIT_NUMBER.fullmatch(count):
            raise ScramSyntaxError("the iteration count is not a number")
        iterations = int(count)
        if iterations < MINIMUM_ITERATIONS:
            raise AuthenticationError(f"{iterations} iterations are fewer than RFC 7677 asks for")
        if iterations > self._maximum:
            raise AuthenticationError(f"{iterations} iterations are more than the {self._maximum} we would compute")
        return self._proof(challenge, nonce, salt, iterations)

    def _proof(self, server_first: bytes, nonce: bytes, salt: bytes, iterations: int) -> bytes:
        password, self._password = self._password, None
        assert password is not None
        salted = salted_password(password, salt, iterations)
        client_key = sign(salted, b"Client Key")
        without_proof = b"c=%b,r=%b" % (base64(self._binding_input), nonce)
        signed = b"%b,%b,%b" % (self._bare, server_first, without_proof)
        signature = sign(hashlib.sha256(client_key).digest(), signed)
        self._server_signature = sign(sign(salted, b"Server Key"), signed)
        self._state = "server-final"
        return b"%b,p=%b" % (without_proof, base64(exclusive_or(client_key, signature)))

    def _check(self, challenge: bytes) -> bytes:
        first = challenge.split(b",", 1)[0]
        if first.startswith(b"e="):
            raise AuthenticationError("the server refuses the proof")
        if not hmac.compare_digest(unbase64(attribute(first, b"v")), self._server_signature):
            raise AuthenticationError(
                "the server's signature is wrong: it does not know this user",
                hint="the server may not be the one it claims to be; the password was not sent to it",
            )
        self._state = "complete"
        return b""
