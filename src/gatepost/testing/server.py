"""A whole mail server of one process, on loopback, in a thread: for tests that talk to it with sockets.

It is the real thing: real sockets, real TLS with a throw-away certificate, the embedded store on disk. What it accepts
stays in its queue, where ``messages`` finds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from gatepost.accounts.passwords import Strength
from gatepost.accounts.users import Users
from gatepost.config.endpoints import parse_bind
from gatepost.config.schema import Config
from gatepost.net.listen import bind, bind_local
from gatepost.net.loop import new_loop
from gatepost.observe.shared import BoundListener, Shared
from gatepost.queue.item import QueuedMessage
from gatepost.queue.status import Selection
from gatepost.service import worker
from gatepost.service.limits import Limits, region
from gatepost.service.smtp.port import local_listener
from gatepost.store.sqlite.accounts import FILE_NAME, SQLiteAccountStore
from gatepost.store.sqlite.queue import SQLiteQueue
from gatepost.testing.reading import MailReading
from gatepost.testing.running import Running
from gatepost.wire.sasl.secret import Secret

HOSTNAME: Final = "mx.example.test"
QUICK: Final = Strength(memory=8, passes=1, lanes=1, iterations=4096)
LISTENERS: Final = (
    {"name": "mx", "protocol": "smtp", "bind": "127.0.0.1:0"},
    {"name": "submission", "protocol": "submission", "bind": "127.0.0.1:0"},
    {"name": "submissions", "protocol": "submission", "bind": "127.0.0.1:0", "tls": "implicit"},
    {"name": "pop3", "protocol": "pop3", "bind": "127.0.0.1:0"},
    {"name": "pop3s", "protocol": "pop3", "bind": "127.0.0.1:0", "tls": "implicit"},
)


class MailServer(Running):
    """A running server; use it as a context manager.

    :param data: an empty directory.
    :param users: address to password.
    :param settings: keys of the configuration, over those of a server for ``example.test``.
    """

    def __init__(self, data: Path, users: Mapping[str, str] | None = None, **settings: Any) -> None:
        self.data: Final = data
        self.users: Final = dict({"alice@example.test": "wonderland"} if users is None else users)
        given = {"hostname": HOSTNAME, "domains": ["example.test"], "data": data, "listener": LISTENERS, **settings}
        self._reading: MailReading | None = None
        super().__init__(data, Config.model_validate(given), "mail server")

    @property
    def sendmail_socket(self) -> Path:
        """The local socket that takes messages from programs of this machine."""
        return self.data / "sendmail.sock"

    def drain(self) -> None:
        """What SIGTERM does."""
        super().drain()
        if self._reading is not None:
            self._reading.drain()

    def messages(self) -> list[tuple[QueuedMessage, bytes, list[str]]]:
        """What was accepted: each message with its content and its recipients; takes them from the queue."""
        store = SQLiteQueue(self.data)
        try:
            found: dict[str, tuple[QueuedMessage, bytes, list[str]]] = {}
            leases = store.lease("test", 1000, 60)
            for lease in leases:
                if lease.message.id not in found:
                    body = b"".join(store.open_body(lease.message.body))
                    found[lease.message.id] = (lease.message, body, [])
                found[lease.message.id][2].append(lease.address)
            if found:
                store.give_back(leases)
                store.drop(Selection(tuple(found)))
            return list(found.values())
        finally:
            store.close()

    @property
    def limits(self) -> Limits:
        """A view of what addresses have used."""
        return Limits(self.config.limits, region(self.shared), 2)

    def _share(self) -> Shared:
        shared = self._shared(tuple(listener.name for listener in self.config.listener))
        worker.prepare(shared)
        return shared.for_worker("mx", 0, 1)

    def _run(self) -> None:
        try:
            self.ca_file.write_bytes(self.authority.pem)
            accounts = SQLiteAccountStore(self.data / FILE_NAME)
            users = Users(accounts, self.config.domains, strength=QUICK)
            for address, password in self.users.items():
                users.add(address, Secret(password.encode()))
            accounts.close()
            loop = self._loop = new_loop()
            bound = [
                BoundListener(each.name, each, tuple(bind(parse_bind(text)) for text in each.bind))
                for each in self.config.listener
            ]
            for listener in bound:
                self.ports[listener.name] = listener.sockets[0].getsockname()[1]
            bound.append(BoundListener("local", local_listener(), (bind_local(self.sendmail_socket),)))
            taking = [listener for listener in bound if listener.settings.protocol != "pop3"]
            server = self._server = worker.Server(loop, taking, self.config, self.shared)
            if reading := [listener for listener in bound if listener not in taking]:
                self._reading = MailReading(reading, self.config, self.shared)
        except BaseException as error:  # noqa: BLE001 - raised again where the test waits
            self._failure = error
            self._ready.set()
            return
        self._ready.set()
        try:
            loop.run_forever()
        finally:
            server.close()
            loop.close()
            if self._reading is not None:
                self._reading.join()
            for listener in bound:
                for sock in listener.sockets:
                    sock.close()
