"""From our queue over real DNS and a verified STARTTLS into a second gatepost's queue."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from gatepost.accounts.resolution import NOT_OURS
from gatepost.config.schema import Config
from gatepost.delivery.ownership import Ownership
from gatepost.delivery.worker import Worker
from gatepost.observe.shared import new_shared
from gatepost.queue.item import InlineBody, NewMessage, NewRecipient
from gatepost.store.sqlite.queue import SQLiteQueue
from gatepost.testing.dns import FakeDNS
from gatepost.testing.server import HOSTNAME, MailServer

CONTENT = b"From: <us@sender.test>\r\nSubject: hello\r\nDate: Sat, 21 Nov 2026 00:00:00 +0000\r\n\r\n.dot\r\nlast\r\n"


def test_message_reaches_a_second_gatepost_over_verified_starttls(tmp_path: Path) -> None:
    """MX and address from a name server, the certificate verified for the MX name, the content octet by octet."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    queue = SQLiteQueue(here)
    recipient = NewRecipient("alice@example.test", "example.test", "remote")
    queue.enqueue([NewMessage("m1", time.time(), "us@sender.test", InlineBody(CONTENT), len(CONTENT), (recipient,))])
    with MailServer(there) as server, FakeDNS() as dns:
        dns.add("example.test", "MX", f"10 {HOSTNAME}.")
        dns.add(HOSTNAME, "A", "127.0.0.1")
        delivery = {
            "port": server.ports["mx"], "tls_level": "verify", "ca_file": server.ca_file, "resolver": [dns.nameserver],
        }  # fmt: skip
        config = Config.model_validate({"hostname": "out.sender.test", "data": here, "delivery": delivery})

        async def go() -> None:
            ownership = Ownership(here / "queue")
            worker = Worker(config, new_shared(), queue, lambda local, domain: NOT_OURS, ownership)
            running = asyncio.get_running_loop().create_task(worker.run())
            async with asyncio.timeout(20):
                while queue.counts().queued or queue.counts().leased:
                    await asyncio.sleep(0.005)
                worker.drain()
                await running
            ownership.close()

        asyncio.run(go())
        assert queue.counts().messages == 0
        queue.close()
        ((message, content, recipients),) = server.messages()
    assert message.sender == "us@sender.test"
    assert recipients == ["alice@example.test"]
    assert content.endswith(b"\r\n" + CONTENT)
    trace = content.split(b"\r\nFrom:")[0]
    assert b"ESMTPS" in trace
    assert b"out.sender.test" in trace
