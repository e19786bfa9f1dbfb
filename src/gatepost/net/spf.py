"""SPF (RFC 7208) of strangers' mail: evaluated in threads of its own, with DNS answers of the resolver on the loop.

``pyspf`` waits for each answer. So it runs in a thread, and what it asks goes to the task that waits for its result:
the task asks the resolver and hands the answer back. The task may be cancelled at any time; its thread ends then.

SECURITY: a stranger decides which record is evaluated, and its domain's servers what it says and when. An evaluation is
bounded in time and look-ups, in how many there are at once, and in what a record may weigh (``spf_record``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Final, Protocol, final

from gatepost.net.asking import Allowance, Asking
from gatepost.net.resolve import RecordsAnswer
from gatepost.net.spf_record import Identity, Kind, Vouched, check

SECONDS: Final = 20.0  # RFC 7208 §4.6.4: for one evaluation, at least so long
AT_ONCE: Final = 16  # evaluations, each with a thread
WAITING: Final = 128
KEPT: Final = 4096
KEPT_SECONDS: Final = 300.0


class Asked(Protocol):
    """What is asked of DNS (``net.resolve.DNSResolver``)."""

    async def records(self, name: str, kind: Kind) -> RecordsAnswer: ...


@final
class SPF:
    """Evaluates records, a bounded number at a time, and remembers results for a while.

    :param resolver: asks DNS.
    :param now: seconds, on a clock that does not jump.
    :param seconds: how long one evaluation may take.
    """

    __slots__ = ("_asking", "_resolver", "_threads")

    def __init__(self, resolver: Asked, now: Callable[[], float], *, seconds: float = SECONDS) -> None:
        self._resolver: Final = resolver
        allowance = Allowance(seconds, AT_ONCE, WAITING, KEPT, KEPT_SECONDS)
        self._asking: Final = Asking[Identity, Vouched](now, allowance)
        self._threads: Final = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="spf")

    def known(self, identity: Identity) -> Vouched | None:
        """The result, where it was found lately; None when DNS has to be asked."""
        return self._asking.known(_general(identity)) or self._asking.known(identity)

    async def find(self, identity: Identity) -> Vouched:
        """What the domain says of the address; ``temperror`` when it does not say so in time."""
        if (known := self.known(identity)) is not None:
            return known
        found = await self._asking.find(lambda: self._evaluate(identity))
        if found is None:
            return Vouched("temperror", "no answer in time")
        if found.result != "temperror":  # the next mail may have more luck
            self._asking.keep(_general(identity) if found.general else identity, found)
        return found

    def close(self) -> None:
        """End the threads. Nobody waits for a result any more."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def _evaluate(self, identity: Identity) -> Vouched:
        evaluation = _Evaluation(identity, asyncio.get_running_loop())
        self._threads.submit(evaluation.run)
        try:
            while not isinstance(said := await evaluation.said.get(), Vouched):
                evaluation.answers.put(await self._resolver.records(*said))
            return said
        finally:
            evaluation.answers.put(None)


class _GivenUp(Exception):
    """Nobody waits for the result any more."""


@final
class _Evaluation:
    """What a thread and its task say to each other: a question, its answer, and so on until there is a result."""

    __slots__ = ("_identity", "_loop", "answers", "said")

    def __init__(self, identity: Identity, loop: asyncio.AbstractEventLoop) -> None:
        self._identity: Final = identity
        self._loop: Final = loop
        self.said: Final[asyncio.Queue[tuple[str, Kind] | Vouched]] = asyncio.Queue()
        self.answers: Final[SimpleQueue[RecordsAnswer | None]] = SimpleQueue()

    def run(self) -> None:
        """In the thread: evaluate. It ends when it has an answer to its last question, or is given up."""
        try:
            found = check(self._identity, self._ask)
        except _GivenUp:
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, a stranger wrote it, and somebody waits for the result
            found = Vouched("permerror", f"it cannot be evaluated: {type(error).__name__}")
        self._say(found)

    def _ask(self, name: str, kind: Kind) -> RecordsAnswer:
        self._say((name, kind))
        answer = self.answers.get()
        if answer is None:
            raise _GivenUp
        return answer

    def _say(self, what: tuple[str, Kind] | Vouched) -> None:
        try:
            self._loop.call_soon_threadsafe(self.said.put_nowait, what)
        except RuntimeError:  # the loop is closed
            raise _GivenUp from None


def _general(identity: Identity) -> Identity:
    """The part of an identity that most records go by: address and domain."""
    return Identity(identity.address, "", identity.domain.lower())
