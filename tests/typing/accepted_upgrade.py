"""The way that is meant: plaintext engine, token, handshake, evidence, private engine."""

from gatepost.tls.contexts import ServerContexts
from gatepost.tls.engine import ServerHandshake
from gatepost.tls.stream import TLSStream
from gatepost.wire.smtp.profile import ServerProfile
from gatepost.wire.smtp.server import PlainServer, SecureServer


def begin(plain: PlainServer, contexts: ServerContexts) -> ServerHandshake:
    ready, early = plain.grant_upgrade()
    return ServerHandshake(contexts, ready, early=early, alpn=frozenset({"smtp"}))


def become_private(stream: TLSStream, profile: ServerProfile) -> SecureServer:
    return SecureServer(stream.origin, stream.evidence, profile)
