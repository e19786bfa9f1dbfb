"""Which mechanisms there are, in the order in which we prefer them, for either half."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from gatepost.errors import LocalProtocolError, RemoteProtocolError
from gatepost.wire.sasl.login import ClientLogin, ServerLogin
from gatepost.wire.sasl.outcome import ClientMechanism, Credentials, ServerMechanism
from gatepost.wire.sasl.plain import ClientPlain, ServerPlain
from gatepost.wire.sasl.scram import preferred_binding
from gatepost.wire.sasl.scram_client import ClientScram
from gatepost.wire.sasl.scram_server import ServerScram

PREFERENCE: Final = ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN")


class NoMechanism(RemoteProtocolError):
    """The server lists no mechanism that we take."""


def choose(
    offered: Collection[str], credentials: Credentials, bindings: Mapping[str, bytes], *, nonce: str
) -> ClientMechanism:
    """The best mechanism that a server lists: SCRAM-PLUS, then SCRAM, then PLAIN, then LOGIN.

    :param offered: what the server listed *inside TLS*; any case.
    :param bindings: from ``bindings_of``; without one PLUS is not used.
    :param nonce: the client's SCRAM nonce: 18 or more octets of randomness, printable, without commas.
    :raises NoMechanism: when nothing fits.
    :raises PreparationError: when the user name or password cannot be prepared.
    """
    listed = {name.upper() for name in offered}
    if "SCRAM-SHA-256-PLUS" in listed and preferred_binding(bindings):
        return ClientScram(credentials, nonce, bindings, plus=True)
    if "SCRAM-SHA-256" in listed:
        # With PLUS listed but nothing to bind to, the flag is "n": bindings are then empty (RFC 5802 §6).
        return ClientScram(credentials, nonce, bindings, plus=False)
    if "PLAIN" in listed:
        return ClientPlain(credentials)
    if "LOGIN" in listed:
        return ClientLogin(credentials)
    raise NoMechanism(
        "the server lists no authentication mechanism that we take",
        hint=f"it would have to list one of {', '.join(PREFERENCE)}",
    )


def offer(mechanisms: Collection[str], bindings: Mapping[str, bytes]) -> tuple[str, ...]:
    """What a server lists: the configured mechanisms, PLUS only where a binding can be made (RFC 9266 §3)."""
    wanted = {name.upper() for name in mechanisms}
    return tuple(
        name
        for name in PREFERENCE
        if name in wanted and (name != "SCRAM-SHA-256-PLUS" or preferred_binding(bindings) is not None)
    )


def serve(name: str, offered: Collection[str], bindings: Mapping[str, bytes], *, nonce: str) -> ServerMechanism | None:
    """The server's half of the mechanism that a client chose, or None when it was not listed (504, RFC 4954 §4).

    :param offered: what was listed to this client, from ``offer``.
    :param nonce: the server's SCRAM nonce; see ``choose``.
    """
    name = name.upper()
    if name not in offered:
        return None
    match name:
        case "PLAIN":
            return ServerPlain()
        case "LOGIN":
            return ServerLogin()
        case "SCRAM-SHA-256" | "SCRAM-SHA-256-PLUS":
            plus_offered = "SCRAM-SHA-256-PLUS" in offered
            return ServerScram(nonce, bindings, plus=name.endswith("-PLUS"), plus_offered=plus_offered)
    raise LocalProtocolError(f"{name} is listed but not built in")
