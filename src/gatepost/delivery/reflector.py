"""The reflector: an address that answers each message with how it arrived.

It answers whoever wrote, through the queue, in the transaction that removes the message: so once, and with every
promise of the queue. A message that is not answered is removed, and the log says why. Nothing goes into a mailbox.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias, final

from gatepost.delivery.reflector_limits import Allowance
from gatepost.delivery.reflector_report import silence, write
from gatepost.delivery.report import Find, way_back
from gatepost.errors import GatepostError
from gatepost.observe.logs import event
from gatepost.queue.item import BodyRef, InlineBody, Lease, NewMessage, QueuedMessage
from gatepost.queue.outcome import Outcome, deferred, delivered
from gatepost.wire.smtp.address import AddressSyntaxError

_HEADER_LIMIT: Final = 65536  # octets; a longer header section is not answered
_SUFFIX: Final = "-r"
REMOTE: Final = "reflector"  # what stands in the outcome where a server's name would

OpenBody: TypeAlias = Callable[[BodyRef], Iterable[bytes]]


@final
class Reflector:
    """The reflector of a server.

    :param address: its canonical address: leases for it are its own.
    :param hostname: our name.
    :param allowance: how often it answers.
    :param find: where an address of ours leads (``Directory.find``).
    :param open_body: how the content of a message is read.
    :param keep: puts a finished content into the queue's store.
    :param clock: a clock that never goes back, in seconds.
    """

    __slots__ = ("_allowance", "_clock", "_find", "_hostname", "_keep", "_open_body", "address")

    def __init__(
        self,
        address: str,
        hostname: str,
        allowance: Allowance,
        *,
        find: Find,
        open_body: OpenBody,
        keep: Callable[[str, bytes], BodyRef],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.address: Final = address
        self._hostname = hostname
        self._allowance = allowance
        self._find = find
        self._open_body = open_body
        self._keep = keep
        self._clock = clock

    def answer(self, lease: Lease, now: float) -> tuple[Outcome, NewMessage | None]:
        """What becomes of a message for this address, and the answer, to be queued in the same transaction.

        Never raises for a message's fault: what cannot be read or kept now is tried again.

        :param now: the time, in seconds since the Unix epoch.
        """
        message = lease.message
        try:
            header = self._header(message)
            reason = silence(message.sender, header, self.address) if header else "its header is too long"
            reason = reason or self._allowance.take(message.sender, self._clock())
            made = None if reason else self._written(message, header, now)
        except (AddressSyntaxError, ValueError) as error:
            reason, made = f"no way back: {error}", None
        except (GatepostError, OSError) as error:
            return deferred(f"the reflector cannot answer: {error}", enhanced="4.3.0", remote=REMOTE), None
        if made is None:
            event("reflector.silent", "notice", queue_id=message.id, sender=f"<{message.sender}>", reason=reason)
            return delivered(code=0, text=f"not answered: {reason}", remote=REMOTE), None
        event("reflector.answered", queue_id=made.id, about=message.id, to=f"<{message.sender}>")
        return delivered(code=0, text="answered", remote=REMOTE), made

    def _written(self, message: QueuedMessage, header: bytes, now: float) -> NewMessage:
        recipients = way_back(self._find, message.sender)
        # The name follows from the message: queued twice, it is there once.
        name = message.id[: 64 - len(_SUFFIX)] + _SUFFIX
        made = write(
            message.sender, header, message.origin,
            own=self.address, hostname=self._hostname, answer_id=name, about=message.id, now=now,
        )  # fmt: skip
        return NewMessage(
            name, now, "", self._keep(name, made.content), len(made.content), recipients, '{"protocol":"reflector"}',
            made.smtputf8, "8BITMIME" if made.eightbit else "7BIT",
        )  # fmt: skip

    def _header(self, message: QueuedMessage) -> bytes:
        """The header section with the empty line behind it; empty when it is too long."""
        content = b""
        body = message.body
        for chunk in (body.octets,) if isinstance(body, InlineBody) else self._open_body(body):
            content += chunk
            end = content.find(b"\r\n\r\n")
            if 0 <= end <= _HEADER_LIMIT:
                return content[: end + 4]
            if len(content) > _HEADER_LIMIT:
                return b""
        return content
