"""A client that is not private has no way to log in."""

from gatepost.wire.smtp.client import PlainClient, SecureClient
from gatepost.wire.upgrade import Origin


def login(plain: PlainClient, mechanism: object) -> None:
    plain.authenticate(mechanism)  # rejected: attr-defined


def start_tls_in_tls(secure: SecureClient) -> None:
    secure.start_tls()  # rejected: attr-defined


def private_without_evidence(origin: Origin) -> SecureClient:
    return SecureClient(origin, hostname="client.example")  # rejected: call-arg
