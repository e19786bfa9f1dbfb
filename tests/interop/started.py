"""The servers that a module's tests share: each is started when it is first asked for, and ended with the module."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack

from tests.interop.daemons import DAEMONS, HOST
from tests.interop.postfix import HOSTNAME, Postfix

from gatepost.testing.ca import TestAuthority


class Running:
    """Servers of the distribution.

    :param authority: issues their certificates.
    :param postfix: starts Postfix, or finds the one that runs.
    """

    def __init__(self, authority: TestAuthority, postfix: Callable[[], Postfix]) -> None:
        self._authority = authority
        self._postfix = postfix
        self._stack = ExitStack()
        self._started: dict[str, Mapping[str, int]] = {}

    def port(self, server: str, recipe: str) -> tuple[str, int]:
        """The name in a server's certificate, and its port for a recipe."""
        if server == "postfix":
            return HOSTNAME, self._postfix().port
        if server not in self._started:
            daemon, self._started[server] = DAEMONS[server](self._authority)
            self._stack.callback(daemon.close)
        return HOST, self._started[server][recipe]

    def close(self) -> None:
        """End them all."""
        self._stack.close()
