"""The way that is meant for TLS that goes through: two engines are spent, one token, one splice."""

from gatepost.net.splice import Counts, pass_on
from gatepost.net.transport import Transport
from gatepost.wire.smtp.server import PlainServer
from gatepost.wire.upgrade import UpgradeReady, pass_upgrade


async def go_through(server: PlainServer, client_side: UpgradeReady, near: Transport, far: Transport) -> Counts:
    ready, early = server.grant_upgrade()
    return await pass_on(pass_upgrade(ready, early, client_side, b""), near, far, idle_seconds=300.0)
