"""The asyncio driver of client dialogues.

A ``Wire`` is a connection that we opened. It runs dialogues (``wire.dialogue``), one at a time, and performs their
effects: it writes, waits for octets until the deadline of the step, and upgrades. Octets that nobody asked for wait in
a bounded inbox; the inbox is what a plaintext engine's residue is judged from, so the upgrade refuses when it is not
empty: a server that speaks before its handshake is not believed.

A dialogue is driven by callbacks (``begin``): it goes on where the octets come in, without a task or a future for each
thing that it waits for. ``run`` is the same for who awaits its end. What is rare has a task: a handshake, and a peer
that reads slowly.
"""

from __future__ import annotations

import asyncio
import errno
import math
from collections.abc import Callable, Coroutine
from typing import Any, Final, NamedTuple, TypeVar

from gatepost.errors import DeadlineExceeded, GatepostError, LocalProtocolError, UpgradeError
from gatepost.net.channel import Handshake, PlainChannel, SecureChannel
from gatepost.net.transport import Receiver, Transport
from gatepost.tls.contexts import ClientTLS
from gatepost.tls.engine import ClientHandshake, ServerHandshake
from gatepost.tls.observer import HandshakeObserver
from gatepost.wire.dialogue import Dialogue, Receive, Result, Send, Upgrade
from gatepost.wire.upgrade import Origin, PlaintextAfterUpgrade, Role, TLSEvidence, UpgradeReady

T = TypeVar("T")

INBOX_LIMIT: Final = 1 << 18  # octets that a peer may send before anybody asks for them
HANDSHAKE_SECONDS: Final = 30.0
_PROBE_SECONDS: Final = 2.0


class Surrendered(NamedTuple):
    """A connection that its wire gave away.

    :param waiting: what was read and asked for by nobody.
    :param ended: whether the peer will send nothing more.
    """

    channel: PlainChannel | SecureChannel
    waiting: bytes
    ended: bool


class Wire:
    """A connection that we opened, and the driver of the dialogues on it.

    :param loop: the running loop.
    :param transport: the connected socket.
    :param origin: where the connection leads.
    :param tls: what an upgrade uses; without it an ``Upgrade`` effect is refused.
    :param handshake_seconds: the deadline of a handshake.
    """

    __slots__ = (
        "_channel",
        "_deadline",
        "_dialogue",
        "_done",
        "_due",
        "_ended",
        "_error",
        "_handshake_seconds",
        "_helper",
        "_inbox",
        "_listening",
        "_loop",
        "_step",
        "_switched",
        "_timer",
        "_tls",
        "_transport",
        "_until",
        "_waiter",
        "origin",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        transport: Transport,
        origin: Origin,
        *,
        tls: ClientTLS | None = None,
        handshake_seconds: float = HANDSHAKE_SECONDS,
    ) -> None:
        self._loop = loop
        self._transport = transport
        self._channel: PlainChannel | SecureChannel = PlainChannel(transport, origin)
        self._tls = tls
        self._handshake_seconds = handshake_seconds
        self._inbox = b""
        self._ended = False
        self._error: Exception | None = None
        self._dialogue: Dialogue[Any] | None = None  # that is being run
        self._done: Callable[[Any, Exception | None], None] | None = None  # told how it ended
        self._listening = False  # whether it waits for octets
        self._helper: asyncio.Task[Result] | None = None  # what it waits for, where that is something rare
        self._waiter: asyncio.Future[None] | None = None  # of ``ready``
        self._switched: asyncio.Future[TLSEvidence] | None = None
        self._timer: asyncio.TimerHandle | None = None  # that looks after the peer while something is waited for
        self._due = 0.0  # when it does
        self._step = ""
        self._deadline = 0.0
        self._until = math.inf  # when what is being run must be over, whatever its steps may take
        self.origin: Final = origin
        self._channel.start(self)

    @property
    def evidence(self) -> TLSEvidence | None:
        """What the handshake proved; None in the clear."""
        return self._channel.evidence if isinstance(self._channel, SecureChannel) else None

    @property
    def closed(self) -> bool:
        """Whether nothing can be said or heard any more."""
        return self._transport.closed or self._ended

    def close(self) -> None:
        """Close, with a close alert inside TLS."""
        self._channel.close()

    def abort(self) -> None:
        """Close now, whatever is unsent."""
        self._transport.abort()

    async def finish(self, seconds: float) -> None:
        """Close, and wait until everything was sent, or the peer did not take it in time."""
        self.close()
        try:
            async with asyncio.timeout(seconds):
                await self._transport.drain(0)
        except TimeoutError:
            pass
        finally:
            self.abort()

    def surrender(self) -> Surrendered:
        """Give the connection away, for ``net.splice``: nothing is run on it any more.

        :raises OSError: when it is lost; likewise ``UpgradeError`` when it was broken inside TLS.
        """
        self._transport.probe()  # what waits in the kernel was sent before this moment, too
        if self._error is not None:
            raise self._error
        waiting, self._inbox = self._inbox, b""
        ended, self._ended = self._ended, True
        self._transport.pause()
        return Surrendered(self._channel, waiting, ended)

    def poll(self) -> bool:
        """Whether a ``Receive`` would return at once: octets wait, inside TLS decrypted ones, or the stream ended."""
        if not self._inbox and not self._ended:
            self._transport.probe()
        return bool(self._inbox) or self._ended

    async def ready(self, seconds: float) -> bool:
        """Wait for octets, or the end of the stream, without taking anything; whether ``poll`` is true in time."""
        deadline = self._loop.time() + seconds
        while not self.poll():
            left = deadline - self._loop.time()
            if left <= 0:
                return False
            self._waiter = self._loop.create_future()
            timer = self._loop.call_later(min(left, _PROBE_SECONDS), self._wake)
            try:
                await self._waiter
            finally:
                timer.cancel()
                self._waiter = None
        return True

    async def send(self, data: bytes, seconds: float) -> None:
        """Send by itself, beside a dialogue that may be waiting. Returns when little of it is still unsent.

        :raises DeadlineExceeded: when the peer takes it too slowly; the connection is closed.
        :raises OSError: when the connection is lost; likewise ``UpgradeError`` when it was broken inside TLS.
        """
        for start in range(0, len(data), INBOX_LIMIT):
            if self._error is not None:
                raise self._error
            if self._transport.closed:
                raise BrokenPipeError(errno.EPIPE, "the connection is closed")
            self._channel.send(data[start : start + INBOX_LIMIT])
            if self._transport.unsent > INBOX_LIMIT:
                await self._drain(seconds)

    async def run(self, dialogue: Dialogue[T], *, seconds: float = math.inf) -> T:
        """Run a dialogue to its end and return its value.

        :param seconds: how long all of it may take.
        :raises DeadlineExceeded: when a step takes longer than it may.
        :raises HandshakeError: when the handshake of an upgrade fails; likewise ``VerificationError``.
        :raises OSError: when the connection is lost.
        """
        outcome: asyncio.Future[T] = self._loop.create_future()

        def done(value: T | None, error: Exception | None) -> None:
            if outcome.done():
                return
            if error is not None:
                outcome.set_exception(error)
            else:
                outcome.set_result(value)  # type: ignore[arg-type]  # without an error there is a value

        self.begin(dialogue, done, seconds=seconds)
        try:
            return await outcome
        finally:
            if self._dialogue is dialogue:  # the task that awaited its end was cancelled
                self._drop()
            elif outcome.done() and not outcome.cancelled():
                outcome.exception()  # it was cancelled when the end had come: that nobody hears of it is no mistake

    def begin(
        self,
        dialogue: Dialogue[T],
        done: Callable[[T | None, Exception | None], None],
        *,
        seconds: float = math.inf,
    ) -> None:
        """Run a dialogue, now as far as it goes, and on whenever something comes.

        :param done: told once how it ended, perhaps before this returns: its value, or what ``run`` would raise.
        :param seconds: how long all of it may take.
        """
        self._step = ""
        self._until = math.inf if seconds == math.inf else self._loop.time() + seconds
        self._dialogue, self._done = dialogue, done
        self._drive(None, None)

    def _drive(self, result: Result, error: Exception | None) -> None:
        """Go on with the dialogue until it waits, or is over."""
        dialogue = self._dialogue
        assert dialogue is not None
        try:
            while True:
                effect = dialogue.send(result) if error is None else dialogue.throw(error)
                error = None
                try:
                    kind = type(effect)  # compared by identity, which is fast and which mypy does not narrow by
                    if kind is Receive:
                        result = self._take(effect)  # type: ignore[arg-type]
                        if result is None:
                            return
                    elif kind is Send:
                        result = None
                        self._say(effect)  # type: ignore[arg-type]
                        if self._transport.unsent > INBOX_LIMIT:
                            self._help(self._drain(min(self._handshake_seconds * 10, self._until - self._loop.time())))
                            return
                    else:
                        self._help(self._upgrade(effect))  # type: ignore[arg-type]
                        return
                except (GatepostError, OSError) as failure:
                    error = failure
        except StopIteration as stop:
            self._finish(stop.value, None)
        except Exception as failure:  # noqa: BLE001 - whatever it is, who waits for the end is told
            self._finish(None, failure)

    def _finish(self, value: object, error: Exception | None) -> None:
        done, self._done, self._dialogue = self._done, None, None
        if done is not None:
            done(value, error)

    def _drop(self) -> None:
        """Leave the dialogue where it stands; nobody is told."""
        dialogue, self._dialogue, self._done, self._listening = self._dialogue, None, None, False
        if self._helper is not None:
            self._helper.cancel()
            self._helper = None
        if dialogue is not None:
            dialogue.close()  # now, not when it is collected

    def _help(self, work: Coroutine[Any, Any, Result]) -> None:
        """Have a task do what the dialogue waits for."""
        self._helper = self._loop.create_task(work)
        self._helper.add_done_callback(self._helped)

    def _helped(self, task: asyncio.Task[Result]) -> None:
        if task is not self._helper:  # the dialogue was left
            if not task.cancelled():
                task.exception()
            return
        self._helper = None
        error = ConnectionAbortedError("cancelled") if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, Exception):
            raise error
        self._drive(None if error is not None else task.result(), error)

    async def handshake(self) -> TLSEvidence:
        """Begin TLS at once, for protocols that are private from their first byte (RFC 8314 §3.3)."""
        if self._tls is None or not isinstance(self._channel, PlainChannel):
            raise LocalProtocolError("implicit TLS begins on a fresh connection that was given its TLS settings")
        self._refuse_residue()
        return await self._switch(ClientHandshake.implicit(self._tls, self.origin, observer=self._observer()))

    async def serve_handshake(self, handshake: ServerHandshake, go_ahead: bytes) -> TLSEvidence:
        """Say the go-ahead and begin TLS as its server. What came since the request is handshake, or nothing is.

        After a failure the transport is left to linger and close by itself, so that the alert arrives.
        """
        if self._inbox:
            handshake.receive(self._inbox)
            self._inbox = b""
        return await self._switch(handshake, go_ahead)

    def _say(self, effect: Send) -> None:
        if self._error is not None:
            raise self._error
        if effect.secret and self._transport.tap is not None:
            self._transport.tap.secret = True
        self._channel.send(effect.data)

    async def _drain(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._transport.drain()
        except TimeoutError:
            self.abort()
            raise DeadlineExceeded("the peer stopped reading") from None

    def _take(self, effect: Receive) -> bytes | None:
        """What has come; None while nothing has."""
        now = self._loop.time()
        if effect.step != self._step:
            self._step = effect.step
            self._deadline = min(now + effect.seconds, self._until)
        elif now >= self._deadline:
            self._expire()
        if self._inbox or self._ended:
            return self._taken()
        self._watch(now)
        return None

    def _taken(self) -> bytes | None:
        if isinstance(self._error, DeadlineExceeded):
            raise self._error
        if self._inbox:
            data, self._inbox = self._inbox, b""
            if len(data) > INBOX_LIMIT:
                self._transport.resume()
            return data
        if self._error is not None:
            raise self._error
        return b"" if self._ended else None

    def _watch(self, now: float) -> None:
        """Listen; wake when the deadline has passed, and look after the peer on the way there."""
        self._listening = True
        if now >= self._deadline:
            self._expire()
            return
        if self._timer is not None:
            if self._due <= self._deadline:
                return  # left by an answer that came in time: it serves this one too
            self._timer.cancel()
        self._due = min(self._deadline, now + _PROBE_SECONDS)
        self._timer = self._loop.call_at(self._due, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._listening:
            self._transport.probe()
        if self._listening:
            self._watch(self._loop.time())

    def _expire(self) -> None:
        self._error = DeadlineExceeded(f"no {self._step} in time")
        self._ended = True
        self._transport.abort()
        self._wake()

    async def _upgrade(self, effect: Upgrade) -> TLSEvidence:
        ready: UpgradeReady = effect.ready
        if self._tls is None:
            raise LocalProtocolError("an upgrade needs TLS settings")
        self._transport.probe()  # what waits in the kernel was sent before any handshake, too
        self._refuse_residue()
        return await self._switch(ClientHandshake(self._tls, ready, observer=self._observer()))

    def _refuse_residue(self) -> None:
        """What came before the handshake was said in the clear, and is never read as if it had come inside.

        :raises PlaintextAfterUpgrade: when something did.
        """
        if self._inbox:
            residue, self._inbox = self._inbox, b""
            self.abort()
            raise PlaintextAfterUpgrade(residue, Role.CLIENT)

    def _observer(self) -> HandshakeObserver | None:
        return None if self._transport.tap is None else self._transport.tap.upgrading()

    async def _switch(self, handshake: Handshake, go_ahead: bytes = b"") -> TLSEvidence:
        channel = self._channel
        if not isinstance(channel, PlainChannel):
            raise LocalProtocolError("TLS was started already (RFC 3207 §4.2)")
        if self._transport.closed:
            raise UpgradeError(f"the connection was lost before the handshake: {self._error or 'closed'}")
        self._switched = self._loop.create_future()
        seconds = min(self._handshake_seconds, max(self._until - self._loop.time(), 0.0))
        timer = self._loop.call_later(seconds, self._handshake_expired)
        try:
            channel.upgrade(handshake, self, go_ahead)
            if self._transport.closed and not self._switched.done():  # found when the go-ahead was written
                raise UpgradeError(f"the connection was lost before the handshake: {self._error or 'closed'}")
            return await self._switched
        except UpgradeError:
            if isinstance(handshake, ClientHandshake):
                self.abort()
            raise
        except BaseException:  # cancelled, too: there is no connection that is half of one kind and half of another
            self.abort()
            raise
        finally:
            timer.cancel()
            self._switched = None

    def _handshake_expired(self) -> None:
        if self._switched is not None and not self._switched.done():
            self._switched.set_exception(DeadlineExceeded("no handshake in time"))
            self._transport.abort()

    # net.channel.TLSListener

    def secured(self, channel: SecureChannel) -> Receiver:
        self._channel = channel
        if self._switched is not None and not self._switched.done():
            self._switched.set_result(channel.evidence)
        return self

    def upgrade_failed(self, error: Exception) -> None:
        self._ended = True
        self._error = error
        if self._switched is not None and not self._switched.done():
            self._switched.set_exception(error)

    # net.transport.Receiver

    def data_received(self, data: bytes) -> None:
        if self._listening and not self._inbox:
            self._listening = False
            self._drive(data, None)
            return
        self._inbox += data
        if len(self._inbox) > INBOX_LIMIT:
            self._transport.pause()
        self._wake()

    def eof_received(self) -> None:
        self._ended = True
        self._wake()

    def connection_lost(self, error: OSError | None) -> None:
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._error is None and error is not None:
            self._error = error if isinstance(error, OSError) else UpgradeError(str(error))
        self._wake()

    def _wake(self) -> None:
        """Something came, or nothing more does."""
        if self._listening:
            self._listening = False
            try:
                data = self._taken()
            except (GatepostError, OSError) as error:
                self._drive(None, error)
            else:
                self._drive(data, None)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
