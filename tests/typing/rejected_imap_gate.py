"""A gate that is not private has no server to pass anything to, and a private one comes of evidence."""

from gatepost.wire.imap.client import Opening
from gatepost.wire.imap.profile import Profile
from gatepost.wire.imap.relay import ClearServer, SecureServer
from gatepost.wire.imap.server import PlainServer
from gatepost.wire.upgrade import Origin, TLSEvidence, UpgradeReady


def reach_a_server(plain: PlainServer, opening: Opening) -> None:
    plain.opened(opening, greet=False)  # rejected: attr-defined


def pass_on(plain: PlainServer) -> None:
    plain.to_server()  # rejected: attr-defined


def private_without_evidence(origin: Origin, profile: Profile) -> SecureServer:
    return SecureServer(origin, profile=profile)  # rejected: call-arg


def served_from_the_token(ready: UpgradeReady, evidence: TLSEvidence, profile: Profile) -> SecureServer:
    return SecureServer(ready, evidence, profile)  # rejected: arg-type


def upgrade_twice(secure: SecureServer) -> None:
    secure.grant_upgrade()  # rejected: attr-defined


def upgrade_where_it_is_denied(clear: ClearServer) -> None:
    clear.hand_over(clear.origin)  # rejected: attr-defined
