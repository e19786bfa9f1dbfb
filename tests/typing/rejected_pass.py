"""Nothing goes through a gate unread but by the token that both spent engines leave."""

from gatepost.net.splice import pass_on
from gatepost.net.transport import Transport
from gatepost.wire.upgrade import Origin, PassReady, UpgradeReady, pass_upgrade

origin = Origin(("192.0.2.1", 40000), ("192.0.2.25", 25), "front", 0.0, "1")
PassReady(origin, origin, None)  # rejected: call-arg
PassReady(origin, origin, None, _mint=None)  # rejected: arg-type


async def skip(near: Transport, far: Transport, ready: UpgradeReady, token: PassReady) -> None:
    await pass_on(None, near, far, idle_seconds=1.0)  # rejected: arg-type
    await pass_on(ready, near, far, idle_seconds=1.0)  # rejected: arg-type
    pass_upgrade(ready, b"\x16\x03\x01", ready, b"")  # rejected: arg-type
    pass_upgrade(ready, None, ready)  # rejected: call-arg
    token.residue = b"RSET\r\n"  # rejected: attr-defined
