"""The private side of a server is built from origin and evidence, and from nothing that was learned in the clear."""

from gatepost.tls.stream import TLSStream
from gatepost.wire.smtp.profile import ServerProfile
from gatepost.wire.smtp.server import PlainServer, SecureServer
from gatepost.wire.upgrade import Origin, TLSEvidence, UpgradeReady


def from_the_token(ready: UpgradeReady, evidence: TLSEvidence, profile: ServerProfile) -> SecureServer:
    return SecureServer(ready, evidence, profile)  # rejected: arg-type


def from_the_plain_engine(plain: PlainServer, evidence: TLSEvidence, profile: ServerProfile) -> SecureServer:
    return SecureServer(plain, evidence, profile)  # rejected: arg-type


def without_evidence(origin: Origin, profile: ServerProfile) -> SecureServer:
    return SecureServer(origin, None, profile)  # rejected: arg-type


def with_the_stream(origin: Origin, stream: TLSStream, profile: ServerProfile) -> SecureServer:
    return SecureServer(origin, stream, profile)  # rejected: arg-type


def with_a_greeting(origin: Origin, evidence: TLSEvidence, profile: ServerProfile) -> SecureServer:
    return SecureServer(origin, evidence, profile, b"EHLO early")  # rejected: call-arg


def upgrade_twice(secure: SecureServer) -> None:
    secure.grant_upgrade()  # rejected: attr-defined
