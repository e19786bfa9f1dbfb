"""The part of a test's mail server that users read their mail from: a POP3 server in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final

from gatepost.config.schema import Config
from gatepost.net.loop import new_loop
from gatepost.observe.shared import BoundListener, Shared
from gatepost.service.pop3 import worker

SLOT: Final = 3  # its row of the shared counters


class MailReading:
    """POP3 listeners that are served until ``stop``.

    :param shared: of the whole server.
    """

    def __init__(self, listeners: Sequence[BoundListener], config: Config, shared: Shared) -> None:
        self._loop = new_loop()
        self._server = worker.Server(self._loop, listeners, config, shared.for_worker("pop3", 0, SLOT))
        self._thread = threading.Thread(target=self._run, name="mail reading")
        self._thread.start()

    def drain(self) -> None:
        """What SIGTERM does."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._server.drain)

    def join(self) -> None:
        """Wait until it has drained."""
        self._thread.join()

    def _run(self) -> None:
        try:
            self._loop.run_forever()
        finally:
            self._server.close()
            self._loop.close()
