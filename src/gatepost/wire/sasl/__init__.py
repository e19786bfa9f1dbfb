"""SASL (RFC 4422): PLAIN, LOGIN, SCRAM-SHA-256, SCRAM-SHA-256-PLUS and EXTERNAL, both halves, as sans-I/O machines."""

from __future__ import annotations

from gatepost.wire.sasl.external import ClientExternal, ServerExternal
from gatepost.wire.sasl.login import ClientLogin, ServerLogin
from gatepost.wire.sasl.mechanisms import PREFERENCE, NoMechanism, choose, offer, serve
from gatepost.wire.sasl.outcome import (
    AuthenticationError,
    Challenge,
    ClientMechanism,
    Credentials,
    Failure,
    FailureKind,
    NeedPassword,
    NeedScram,
    NeedVerifier,
    ScramVerifier,
    ServerMechanism,
    ServerStep,
    Success,
    bindings_of,
)
from gatepost.wire.sasl.plain import ClientPlain, ServerPlain
from gatepost.wire.sasl.prep import PreparationError, saslprep
from gatepost.wire.sasl.scram import MAXIMUM_ITERATIONS, MINIMUM_ITERATIONS, Verifier, derive_verifier
from gatepost.wire.sasl.scram_client import ClientScram
from gatepost.wire.sasl.scram_server import ServerScram
from gatepost.wire.sasl.secret import Secret

__all__ = [
    "MAXIMUM_ITERATIONS",
    "MINIMUM_ITERATIONS",
    "PREFERENCE",
    "AuthenticationError",
    "Challenge",
    "ClientExternal",
    "ClientLogin",
    "ClientMechanism",
    "ClientPlain",
    "ClientScram",
    "Credentials",
    "Failure",
    "FailureKind",
    "NeedPassword",
    "NeedScram",
    "NeedVerifier",
    "NoMechanism",
    "PreparationError",
    "ScramVerifier",
    "Secret",
    "ServerExternal",
    "ServerLogin",
    "ServerMechanism",
    "ServerPlain",
    "ServerScram",
    "ServerStep",
    "Success",
    "Verifier",
    "bindings_of",
    "choose",
    "derive_verifier",
    "offer",
    "saslprep",
    "serve",
]
