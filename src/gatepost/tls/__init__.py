"""TLS as a bytes-in, bytes-out engine: contexts, handshakes, private streams, verdicts and evidence. No sockets.

The names are loaded when they are first used, so that ``gatepost.tls.openssl`` can be called before OpenSSL is there.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from gatepost.tls.clients import ClientTrust as ClientTrust
    from gatepost.tls.contexts import CIPHERS as CIPHERS
    from gatepost.tls.contexts import ClientContext as ClientContext
    from gatepost.tls.contexts import ClientTLS as ClientTLS
    from gatepost.tls.contexts import Level as Level
    from gatepost.tls.contexts import ServerContexts as ServerContexts
    from gatepost.tls.contexts import TLSProfile as TLSProfile
    from gatepost.tls.contexts import client_context as client_context
    from gatepost.tls.contexts import server_contexts as server_contexts
    from gatepost.tls.credential import Credential as Credential
    from gatepost.tls.credential import load_credential as load_credential
    from gatepost.tls.engine import ClientHandshake as ClientHandshake
    from gatepost.tls.engine import ServerHandshake as ServerHandshake
    from gatepost.tls.sessions import SessionCache as SessionCache
    from gatepost.tls.stream import TLSClosed as TLSClosed
    from gatepost.tls.stream import TLSStream as TLSStream
    from gatepost.tls.trust import TrustStore as TrustStore
    from gatepost.tls.trust import system_bundle as system_bundle
    from gatepost.tls.verify import verify_peer as verify_peer

_HOMES: Final = {
    "clients": ("ClientTrust",),
    "contexts": (
        "CIPHERS", "ClientContext", "ClientTLS", "Level", "ServerContexts", "TLSProfile", "client_context",
        "server_contexts",
    ),
    "credential": ("Credential", "load_credential"),
    "engine": ("ClientHandshake", "ServerHandshake"),
    "sessions": ("SessionCache",),
    "stream": ("TLSClosed", "TLSStream"),
    "trust": ("TrustStore", "system_bundle"),
    "verify": ("verify_peer",),
}  # fmt: skip
_HOME_OF: Final = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:  # PEP 562
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
