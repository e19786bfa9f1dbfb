"""The server's half of SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, 7677, 9266)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final, NamedTuple, final

from gatepost.errors import LocalProtocolError
from gatepost.wire.sasl.outcome import (
    Challenge,
    Failure,
    FailureKind,
    NeedScram,
    ScramVerifier,
    ServerStep,
    Success,
)
from gatepost.wire.sasl.scram import (
    BINDING_NAMES,
    MESSAGE_LIMIT,
    NONCE,
    ScramSyntaxError,
    attribute,
    base64,
    decode_name,
    exclusive_or,
    sign,
    unbase64,
)


class _First(NamedTuple):
    """What client-first said."""

    header: bytes
    binding: str  # the name of the binding, or empty
    bare: bytes
    user: str
    nonce: bytes


@final
class ServerScram:
    """One exchange.

    :param nonce: the server's part of the nonce: at least 18 octets of randomness, as printable text without commas.
    :param bindings: the channel bindings that the handshake proved, by name; see ``bindings_of``.
    :param plus: whether the client chose the ``-PLUS`` mechanism.
    :param plus_offered: whether the server listed it; then a client that could have used it is refused (RFC 5802 §6).
    :raises LocalProtocolError: for an unusable nonce, or ``plus`` without any binding.
    """

    __slots__ = ("_bindings", "_first", "_message", "_nonce", "_plus", "_plus_offered", "_state", "_verifier", "name")

    def __init__(
        self, nonce: str, bindings: Mapping[str, bytes], *, plus: bool, plus_offered: bool | None = None
    ) -> None:
        self._nonce: Final = nonce.encode()
        if len(self._nonce) < 18 or not NONCE.fullmatch(self._nonce):
            raise LocalProtocolError("a SCRAM nonce is 18 or more printable octets without commas")
        if plus and not bindings:
            raise LocalProtocolError("SCRAM-SHA-256-PLUS without a channel binding")
        self._bindings: Final = {name: data for name, data in bindings.items() if name in BINDING_NAMES}
        self._plus: Final = plus
        self._plus_offered: Final = bool(self._bindings) if plus_offered is None else plus_offered
        self.name: str = "SCRAM-SHA-256-PLUS" if plus else "SCRAM-SHA-256"
        self._state = "start"
        self._first: _First | None = None
        self._message = b""  # server-first
        self._verifier: ScramVerifier | None = None

    def step(self, data: bytes | None) -> ServerStep:
        """Take the client's next message."""
        state, self._state = self._state, "over"
        if data is None:
            if state != "start":
                raise LocalProtocolError("this exchange is over, or waits for an answer")
            self._state = "client-first"
            return Challenge(b"")
        if len(data) > MESSAGE_LIMIT:
            return self._failure(FailureKind.MALFORMED, "the message is too long")
        try:
            if state in ("start", "client-first"):
                return self._take_first(data)
            if state == "client-final":
                return self._take_final(data)
        except ScramSyntaxError as error:
            return self._failure(FailureKind.MALFORMED, str(error))
        if state == "acknowledgement":
            return self._take_acknowledgement(data)
        raise LocalProtocolError("this exchange is over, or waits for an answer")

    def supply(self, verifier: ScramVerifier) -> ServerStep:
        """Answer ``NeedScram``: the server-first message goes out."""
        if self._state != "verifier" or self._first is None:
            raise LocalProtocolError("no verifier was asked for")
        self._verifier, self._state = verifier, "client-final"
        self._message = b"r=%b%b,s=%b,i=%d" % (
            self._first.nonce,
            self._nonce,
            base64(verifier.salt),
            verifier.iterations,
        )
        return Challenge(self._message)

    def verified(self, ok: bool) -> ServerStep:
        """Never asked for."""
        raise LocalProtocolError("SCRAM asks for a verifier, not for a password check")

    def _failure(self, kind: FailureKind, reason: str) -> Failure:
        self._verifier = None
        return Failure(kind, reason, self._first.user if self._first else "")

    def _take_first(self, data: bytes) -> ServerStep:
        parts = data.split(b",")
        if len(parts) < 4:
            raise ScramSyntaxError("client-first lacks attributes")
        flag, authzid = parts[0], parts[1]
        header = b"%b,%b," % (flag, authzid)
        if parts[2].startswith(b"m="):
            raise ScramSyntaxError("a mandatory extension is asked for")  # RFC 5802 §5.1: unknown, so it fails
        user = decode_name(attribute(parts[2], b"n"))
        nonce = attribute(parts[3], b"r")
        if not NONCE.fullmatch(nonce):
            raise ScramSyntaxError("bad client nonce")
        binding = flag[2:].decode("ascii", "replace") if flag.startswith(b"p=") else ""
        self._first = _First(header, binding, data[len(header) :], user, nonce)
        if refusal := self._judge_flag(flag, binding):
            return self._failure(FailureKind.REFUSED, refusal)
        if authzid and decode_name(attribute(authzid, b"a")) != user:
            return self._failure(FailureKind.REFUSED, "an authorization identity of somebody else")
        self._state = "verifier"
        return NeedScram(user)

    def _judge_flag(self, flag: bytes, binding: str) -> str:
        """RFC 5802 §6: why the client's channel-binding flag is refused; empty when it is not."""
        if flag == b"n":
            return "the -PLUS mechanism without a channel binding" if self._plus else ""
        if flag == b"y":
            if self._plus:
                return "the -PLUS mechanism without a channel binding"
            return "the client did not see the -PLUS that was offered: a downgrade" if self._plus_offered else ""
        if not flag.startswith(b"p="):
            raise ScramSyntaxError("bad channel-binding flag")
        if not self._plus:
            return "a channel binding without the -PLUS mechanism"
        return "" if binding in self._bindings else "a channel binding that does not exist here"

    def _take_final(self, data: bytes) -> ServerStep:
        first, verifier = self._first, self._verifier
        assert first is not None and verifier is not None
        without_proof, separator, last = data.rpartition(b",")
        parts = without_proof.split(b",")
        if not separator or len(parts) < 2:
            raise ScramSyntaxError("client-final lacks attributes")
        proof = unbase64(attribute(last, b"p"))
        expected = first.header + (self._bindings[first.binding] if first.binding else b"")
        if not hmac.compare_digest(unbase64(attribute(parts[0], b"c")), expected):
            return self._failure(FailureKind.REFUSED, "the channel binding differs: somebody may stand between")
        if not hmac.compare_digest(attribute(parts[1], b"r"), first.nonce + self._nonce):
            return self._failure(FailureKind.REFUSED, "the nonce differs")
        signed = b"%b,%b,%b" % (first.bare, self._message, without_proof)
        signature = sign(verifier.stored_key, signed)
        if len(proof) != len(signature):
            raise ScramSyntaxError("the proof has the wrong length")
        client_key = exclusive_or(proof, signature)
        if not hmac.compare_digest(hashlib.sha256(client_key).digest(), verifier.stored_key):
            return self._failure(FailureKind.REFUSED, "wrong user or password")
        # SMTP, POP3 and IMAP carry no data beside success, so the server's signature is a challenge (RFC 4954 §4).
        self._state = "acknowledgement"
        return Challenge(b"v=" + base64(sign(verifier.server_key, signed)))

    def _take_acknowledgement(self, data: bytes) -> ServerStep:
        assert self._first is not None
        if data:
            return self._failure(FailureKind.MALFORMED, "the answer to the server's signature is not empty")
        self._verifier = None
        return Success(self._first.user)
