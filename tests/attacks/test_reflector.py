"""The reflector turned against others: to flood somebody who never wrote, to make two of them talk for ever."""

from __future__ import annotations

import time
from collections.abc import Iterable

from gatepost.accounts.resolution import NOT_OURS
from gatepost.delivery.reflector import Reflector
from gatepost.delivery.reflector_limits import WINDOW, Allowance
from gatepost.queue.item import LOCAL, BodyRef, InlineBody, Lease, NewMessage, QueuedMessage


class _Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def _reflector(address: str, clock: _Clock, *, per_sender: int = 6, total: int = 60) -> Reflector:
    def unread(body: BodyRef) -> Iterable[bytes]:
        raise AssertionError("every content here is in its row")

    return Reflector(
        address, address.partition("@")[2], Allowance(per_sender, total), find=lambda local, domain: NOT_OURS,
        open_body=unread, keep=lambda name, content: InlineBody(content), clock=clock,
    )  # fmt: skip


def _arrives(reflector: Reflector, sender: str, content: bytes) -> NewMessage | None:
    message = QueuedMessage(
        1, "m1", time.time(), sender, InlineBody(content), len(content), "{}", False, "7BIT", None, None
    )
    lease = Lease(message, 0, reflector.address, LOCAL, "local", None, None, None, 1, False, "me", time.time() + 60)
    return reflector.answer(lease, time.time())[1]


def test_two_reflectors_cannot_be_made_to_talk_to_each_other() -> None:
    """The attacker forges the one's address and writes to the other: one answer, and it is the last message."""
    clock = _Clock()
    one, other = _reflector("ping@one.example", clock), _reflector("echo@other.example", clock)
    answer = _arrives(other, one.address, b"From: <ping@one.example>\r\n\r\n")
    assert answer is not None and isinstance(answer.body, InlineBody)
    assert _arrives(one, answer.sender, answer.body.octets) is None
    # Even where somebody on the way puts the sender back into the envelope.
    assert _arrives(one, other.address, answer.body.octets) is None


def test_forged_sender_is_not_flooded() -> None:
    """A thousand messages in the victim's name, in whatever spelling, are six answers within any hour."""
    clock = _Clock()
    reflector = _reflector("ping@one.example", clock)
    times: list[float] = []
    for number in range(1000):
        clock.now = number * 11.0
        sender = "victim@far.example" if number % 2 else "Victim@FAR.example"
        if _arrives(reflector, sender, b"From: x\r\n\r\n") is not None:
            times.append(clock.now)
    assert all(sum(start <= each < start + WINDOW for each in times) <= 6 for start in times) and len(times) > 6


def test_many_forged_senders_cost_no_more_than_the_total() -> None:
    """One message each in the name of ten thousand victims: sixty answers, and sixty names remembered."""
    reflector = _reflector("ping@one.example", _Clock())
    answers = [_arrives(reflector, f"victim{number}@far.example", b"From: x\r\n\r\n") for number in range(10000)]
    assert sum(answer is not None for answer in answers) == 60


def test_answer_does_not_carry_the_attackers_text() -> None:
    """What he wants a victim to read stands in no part of the answer: not the subject, not the body."""
    reflector = _reflector("ping@one.example", _Clock())
    content = b"Subject: BUY THIS\r\nX-Any: BUY THIS\r\nMessage-ID: <BUY THIS>\r\n\r\nBUY THIS\r\n"
    answer = _arrives(reflector, "victim@far.example", content)
    assert answer is not None and isinstance(answer.body, InlineBody) and b"BUY THIS" not in answer.body.octets
