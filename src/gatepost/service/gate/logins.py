"""Logins through a gate: the exchange is between the client and the server, and passes opaque.

Nothing of it is kept but the name, for the log, where it can be read. The gate does one thing of its own: who fails
often from one address waits longer for each answer, as at a listener of ours.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, final

from gatepost.observe import logs
from gatepost.service.login import FAILURES_A_SESSION

if TYPE_CHECKING:
    from gatepost.service.gate.connection import GateConnection

_NAME_LIMIT: Final = 255
_UNNAMED: Final = "unknown"


@final
class Logins:
    """Those of one session.

    :param connection: the client's.
    """

    __slots__ = ("_connection", "_failures", "_mechanism", "_named")

    def __init__(self, connection: GateConnection) -> None:
        self._connection: Final = connection
        self._mechanism = ""
        self._named: str | None = None  # by the first response; what follows it may be a password
        self._failures = 0

    def begin(self, mechanism: str, initial: bytes | None = None, *, user: str | None = None) -> None:
        """A login begins.

        :param mechanism: in upper case.
        :param initial: its first response, where that is there already.
        :param user: the name, where it is told without an exchange.
        """
        self._mechanism, self._named = mechanism, user
        if initial is not None:
            self.respond(initial)

    def respond(self, response: bytes) -> None:
        """The client's next response."""
        if self._named is None:
            self._named = name_in(self._mechanism, response)

    async def accepted(self, address: str) -> str:
        """The server took the login: returns whose it is, when the client may hear so.

        :param address: of the client.
        """
        connection = self._connection
        user = connection.record.user = self._named or _UNNAMED
        logs.event(
            "auth.succeeded", connection=connection.origin.connection, rip=address, user=user,
            mechanism=self._mechanism,
        )  # fmt: skip
        await _wait(connection.port.limits.login_delay(address))
        connection.last_call = float("inf")
        return user

    async def refused(self, address: str, answer: object, *, temporary: bool) -> bool:
        """The server refused the login; whether that was one too many, when the client may hear so.

        :param address: of the client.
        :param answer: the server's.
        :param temporary: a mailbox in use, or a server in trouble, is nobody's guess (RFC 2449 §8.1, RFC 3206 §4).
        """
        connection = self._connection
        connection.record.refused += 1
        delay = 0.0 if temporary else connection.port.limits.login_failed(address)
        logs.event(
            "auth.failed", severity="notice", connection=connection.origin.connection, rip=address,
            listener=connection.port.name, user=self._named or _UNNAMED, mechanism=self._mechanism,
            reason=f"the server refused: {answer}", delay=delay,
        )  # fmt: skip
        await _wait(delay)
        self._failures += not temporary
        if self._failures < FAILURES_A_SESSION:
            return False
        connection.outcome = connection.outcome or "too many failed logins"
        return True


async def _wait(seconds: float) -> None:
    if seconds:
        await asyncio.sleep(seconds)


def name_in(mechanism: str, response: bytes) -> str:
    """The user name in a client's response, for the log; empty where it cannot be read.

    :param mechanism: in upper case.
    """
    parts = response.split(b"\0")
    if mechanism == "PLAIN":  # RFC 4616 §2: [authzid] NUL authcid NUL passwd
        name = parts[1] if len(parts) == 3 else b""
    elif mechanism == "LOGIN":  # its first response is the name
        name = response
    elif mechanism.startswith("SCRAM-"):  # RFC 5802 §7: gs2-header, then n=name
        name = next((part[2:] for part in response.split(b",")[2:] if part.startswith(b"n=")), b"")
    elif mechanism in ("XOAUTH2", "OAUTHBEARER"):  # user=name, or RFC 7628 §3.1: a=name in the gs2-header
        fields = response.replace(b"\x01", b",").split(b",")
        named = (field for field in fields if field.startswith((b"user=", b"a=")))
        name = next(named, b"").partition(b"=")[2]
    else:
        name = b""
    text = name.decode("utf-8", "replace")
    return text if text.isprintable() and len(text) <= _NAME_LIMIT else ""
