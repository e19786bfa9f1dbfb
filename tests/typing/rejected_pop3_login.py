"""A POP3 client that is not private has no way to log in, and its server none to let it in."""

from gatepost.wire.pop3.client import PlainClient, SecureClient
from gatepost.wire.pop3.profile import ServerProfile
from gatepost.wire.pop3.server import PlainServer, SecureServer
from gatepost.wire.upgrade import Origin, TLSEvidence, UpgradeReady


def login(plain: PlainClient, mechanism: object) -> None:
    plain.login("alice", "secret")  # rejected: attr-defined
    plain.authenticate(mechanism)  # rejected: attr-defined


def fetch(plain: PlainClient) -> None:
    plain.retrieve(1, print)  # rejected: attr-defined


def start_tls_in_tls(secure: SecureClient) -> None:
    secure.start_tls()  # rejected: attr-defined


def private_without_evidence(origin: Origin) -> SecureClient:
    return SecureClient(origin)  # rejected: call-arg


def let_in(plain: PlainServer) -> None:
    plain.authenticated("alice")  # rejected: attr-defined


def served_from_the_token(ready: UpgradeReady, evidence: TLSEvidence, profile: ServerProfile) -> SecureServer:
    return SecureServer(ready, evidence, profile)  # rejected: arg-type


def upgrade_twice(secure: SecureServer) -> None:
    secure.grant_upgrade()  # rejected: attr-defined
