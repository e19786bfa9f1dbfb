"""The token of the upgrade cannot be made up, and it has no field for bytes."""

from gatepost.wire.upgrade import Origin, Role, UpgradeReady

origin = Origin(("192.0.2.1", 40000), ("192.0.2.25", 25), "mx", 0.0, "1")
UpgradeReady(origin, Role.SERVER)  # rejected: call-arg
UpgradeReady(origin, Role.SERVER, _mint=None)  # rejected: arg-type


def smuggle(ready: UpgradeReady) -> None:
    ready.residue = b"RSET\r\n"  # rejected: attr-defined
    ready.role = Role.CLIENT  # rejected: misc
