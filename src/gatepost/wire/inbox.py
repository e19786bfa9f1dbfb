"""What was read from a connection and not yet asked for, and the ways to ask for it, as dialogues.

This is the reading of ``gatepost.connect`` and of its blocking twin, written once. Octets go from the driver into the
inbox and from there to the caller, and stand in one of the two at any time: a reader that is broken off in the middle
(a deadline, a cancelled task) has lost nothing, and whoever reads next finds everything.

The inbox is also what an upgrade is judged from: ``hand_over`` lets a recipe hear what was read ahead, as it came, and
what is left when the recipe is done is residue, which only ``wire.upgrade`` may look at.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, TypeVar, final

from gatepost.errors import DeadlineExceeded, LocalProtocolError, RemoteProtocolError, UpgradeError
from gatepost.wire.dialogue import Dialogue, Receive, Result, Upgrade, receive, upgrade
from gatepost.wire.upgrade import Origin, TLSEvidence, UpgradeReady, hand_over_client

T = TypeVar("T")

LINE_LIMIT: Final = 8192  # octets of a line, its end counted, unless the caller says otherwise
READ_LIMIT: Final = 65536  # octets that one read returns, unless the caller says otherwise
SECONDS_LIMIT: Final = 1_000_000  # of any timeout
EXACT_LIMIT: Final = 1 << 26  # octets that may be waited for at once


@final
class Inbox:
    """The octets that came and that nobody has taken yet."""

    __slots__ = ("_octets", "_scanned")

    def __init__(self) -> None:
        self._octets = bytearray()
        self._scanned = 0  # up to here there is no line feed

    def __len__(self) -> int:
        return len(self._octets)

    def read(self, limit: int, seconds: float) -> Dialogue[bytes]:
        """At least one octet and at most ``limit``; nothing at the end of the stream.

        :raises LocalProtocolError: for a limit below 1.
        """
        _at_least_one(limit)
        if not self._octets:
            yield from self._more(seconds, "octets")
        return self._take(min(limit, len(self._octets)))

    def read_exactly(self, count: int, seconds: float) -> Dialogue[bytes]:
        """Exactly ``count`` octets.

        :raises RemoteProtocolError: when the stream ends before them; those that came stay where they are.
        :raises LocalProtocolError: for a count below 1, or beyond what may be held.
        """
        _at_least_one(count)
        if count > EXACT_LIMIT:
            raise LocalProtocolError(f"{count} octets are more than may be waited for at once")
        while len(self._octets) < count:
            if not (yield from self._more(seconds, "octets")):
                raise _cut_off(f"{len(self._octets)} of {count} octets had come")
        return self._take(count)

    def readline(self, limit: int, seconds: float) -> Dialogue[bytes]:
        """One line with its end, LF or CRLF, as it came; nothing at the end of the stream.

        :raises RemoteProtocolError: when a line is longer than ``limit``, its end counted, or the stream ends inside
            one. The octets stay where they are.
        :raises LocalProtocolError: for a limit below 1.
        """
        _at_least_one(limit)
        while (end := self._octets.find(b"\n", self._scanned)) < 0:
            self._scanned = len(self._octets)
            if self._scanned >= limit:
                break
            if not (yield from self._more(seconds, "line")):
                if self._octets:
                    raise _cut_off(f"{len(self._octets)} octets of a line had come")
                return b""
        if not 0 <= end < limit:
            raise RemoteProtocolError(
                f"the peer sent a line of more than {limit} octets", hint="say limit= where longer ones are due"
            )
        return self._take(end + 1)

    def give_back(self, octets: bytes) -> None:
        """Put what a dialogue took in front again: whoever asked for it was broken off before he got it."""
        self._octets[:0] = octets
        self._scanned = 0

    def feed(self, dialogue: Dialogue[T]) -> Dialogue[T]:
        """Run a dialogue that hears first what was read ahead, then the network. It may not upgrade.

        :raises LocalProtocolError: when it tries to: ``upgrade`` is the only way to become private.
        """
        result: Result = None
        try:
            effect = next(dialogue)
            while True:
                try:
                    if isinstance(effect, Upgrade):
                        raise LocalProtocolError(
                            "a dialogue that is run cannot upgrade this connection", hint="call upgrade with a recipe"
                        )
                    if isinstance(effect, Receive) and self._octets:
                        result = self._take(len(self._octets))
                    else:
                        result = yield effect
                except Exception as error:  # noqa: BLE001  # whatever a driver throws belongs to the dialogue inside
                    effect = dialogue.throw(error)
                else:
                    effect = dialogue.send(result)
        except StopIteration as stop:
            value: T = stop.value
            return value
        finally:
            dialogue.close()

    def hand_over(self, origin: Origin, client_half: Dialogue[UpgradeReady]) -> Dialogue[UpgradeReady]:
        """Say what must be said in the clear, and leave with the token, if nothing at all is left unread.

        :param client_half: of a recipe.
        :raises PlaintextAfterUpgrade: when octets that came before the handshake were not asked for.
        """
        ready = yield from self.feed(client_half)
        if self._octets:
            hand_over_client(origin, self._take(len(self._octets)))  # always raises: there is residue
        return ready

    def _more(self, seconds: float, what: str) -> Dialogue[bool]:
        """Wait for octets; whether there were any."""
        data = yield from receive(seconds, what)
        self._octets += data
        return bool(data)

    def _take(self, count: int) -> bytes:
        taken = bytes(self._octets[:count])
        del self._octets[:count]
        self._scanned = 0
        return taken


def patience(given: float | None, usual: float) -> float:
    """The seconds that an operation may take: those that its caller gave, or the usual ones.

    :raises LocalProtocolError: when that is no number of seconds.
    """
    seconds = usual if given is None else given
    if not 0 <= seconds <= SECONDS_LIMIT:
        raise LocalProtocolError(f"{seconds} is no timeout: it is seconds, up to {SECONDS_LIMIT}")
    return seconds


def _at_least_one(count: int) -> None:
    if count < 1:
        raise LocalProtocolError(f"{count} octets cannot be read")


def _cut_off(what: str) -> RemoteProtocolError:
    return RemoteProtocolError(f"the peer closed the connection: {what}", temporary=True)


def upgrading(inbox: Inbox, origin: Origin, client_half: Dialogue[UpgradeReady]) -> Dialogue[TLSEvidence]:
    """All of an upgrade: the words in the clear, the judgement over what was left unread, the handshake.

    :raises PlaintextAfterUpgrade: see ``Inbox.hand_over``.
    """
    return (yield from upgrade((yield from inbox.hand_over(origin, client_half))))


@final
class Standing:
    """Whether a connection may still be used, and by whom: one reader at a time, and nobody after the upgrade."""

    __slots__ = ("_reading", "heir", "over")

    def __init__(self) -> None:
        self._reading = False
        self.heir: Standing | None = None  # the private connection's: it is over when this one is closed
        self.over = ""  # why nothing may be said or heard any more

    def check(self) -> None:
        """Whether anything may be said.

        :raises LocalProtocolError: when the connection was upgraded or closed.
        """
        if self.over:
            raise LocalProtocolError(self.over)

    def end(self, why: str) -> None:
        """From now on every use is a mistake, and of what this was upgraded to; the first reason stays."""
        self.over = self.over or why
        if self.heir is not None:
            self.heir.end(why)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """While somebody reads, nobody else does: a line would come apart.

        :raises LocalProtocolError: when somebody does, or nobody may.
        """
        self.check()
        if self._reading:
            raise LocalProtocolError("somebody reads from this connection already: one reader at a time")
        self._reading = True
        try:
            yield
        except (DeadlineExceeded, OSError, UpgradeError):
            self.end("this connection is closed: what was done last with it failed")
            raise
        finally:
            self._reading = False
