"""The certificate that a rule says to show, shown to a gatepost that asks for one."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from cryptography import x509

from gatepost.accounts.resolution import NOT_OURS
from gatepost.config.schema import Config
from gatepost.delivery.ownership import Ownership
from gatepost.delivery.worker import Worker
from gatepost.observe.shared import new_shared
from gatepost.queue.item import InlineBody, NewMessage, NewRecipient
from gatepost.store.sqlite.queue import SQLiteQueue
from gatepost.testing.ca import TestAuthority
from gatepost.testing.dns import FakeDNS
from gatepost.testing.server import HOSTNAME, MailServer

CONTENT = b"From: <us@sender.test>\r\nSubject: hello\r\nDate: Sat, 21 Nov 2026 00:00:00 +0000\r\n\r\nhello\r\n"
CLIENTS = TestAuthority("an authority for clients")
SECONDS = 60.0


def _deliver(here: Path, config: Config) -> None:
    """Deliver what is queued, to the end."""
    queue = SQLiteQueue(here)
    recipient = NewRecipient("x@elsewhere.test", "elsewhere.test", "remote")
    queue.enqueue([NewMessage("m1", time.time(), "us@sender.test", InlineBody(CONTENT), len(CONTENT), (recipient,))])

    async def go() -> None:
        ownership = Ownership(here / "queue")
        worker = Worker(config, new_shared(), queue, lambda local, domain: NOT_OURS, ownership)
        running = asyncio.get_running_loop().create_task(worker.run())
        async with asyncio.timeout(SECONDS):
            while queue.counts().queued or queue.counts().leased:
                await asyncio.sleep(0.01)
            worker.drain()
            await running
        ownership.close()

    asyncio.run(go())
    queue.close()


@pytest.mark.parametrize("shows", [True, False])
def test_gatepost_relays_through_a_gatepost_by_its_certificate(tmp_path: Path, shows: bool) -> None:
    """With ``client_certificate`` in a rule for that server the mail is relayed, without it is not."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    (tmp_path / "clients.pem").write_bytes(CLIENTS.pem)
    CLIENTS.issue(x509.RFC822Name("us@sender.test")).write(tmp_path / "us.pem")
    relay = [{"certificate_email": ["us@sender.test"]}]
    with (
        MailServer(there, tls={"client_ca": tmp_path / "clients.pem"}, relay=relay) as server,
        FakeDNS() as dns,
    ):
        dns.add("elsewhere.test", "MX", f"10 {HOSTNAME}.")
        dns.add(HOSTNAME, "A", "127.0.0.1")
        rule = {"mx": HOSTNAME, "level": "verify"} | ({"client_certificate": tmp_path / "us.pem"} if shows else {})
        config = Config.model_validate(
            {
                "hostname": "out.sender.test",
                "data": here,
                "outbound": [rule],
                "delivery": {"port": server.ports["mx"], "ca_file": server.ca_file, "resolver": [dns.nameserver]},
            }
        )
        _deliver(here, config)
        found = server.messages()
    assert [recipients for _, _, recipients in found] == ([["x@elsewhere.test"]] if shows else [])
    if shows:
        trace = " ".join(found[0][1].decode().split("\r\n\t"))
        assert "(trusted client certificate us@sender.test)" in trace
