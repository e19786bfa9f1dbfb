"""What became of a message, recipient by recipient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from gatepost.wire.smtp.envelope import Envelope, Submission
from gatepost.wire.smtp.refusals import Refused
from gatepost.wire.smtp.reply import Reply


class MessageRefused(Refused):
    """Not everybody got the message.

    :param outcome: who did, and who did not.
    """

    def __init__(self, outcome: Outcome) -> None:
        address, reply = next(iter(outcome.refused.items()))
        super().__init__(f"{len(outcome.refused)} of {outcome.total} recipients, {address!a} first", reply)
        self.temporary = all(each.temporary for each in outcome.refused.values())
        self.outcome = outcome


@final
@dataclass(frozen=True, slots=True)
class Outcome:
    """What the server took responsibility for, and what it did not.

    :param accepted: the recipients that it did for, in the order of the envelope.
    :param refused: the others, each with the reply that decided: 4xx may be tried again, 5xx may not.
    :param reply: the server's answer to the content, with its queue's name for the message; None when it was not sent.

    >>> from gatepost.smtp import Outcome, Reply
    >>> outcome = Outcome(("a@b.example",), {"c@d.example": Reply(550, "5.1.1", "Unknown")}, Reply(250, "", "Ok"))
    >>> outcome.total, str(outcome.refused["c@d.example"])
    (2, '550 5.1.1 Unknown')
    >>> outcome.require_all()
    Traceback (most recent call last):
    gatepost.smtp.outcome.MessageRefused: the server refused 1 of 2 recipients, 'c@d.example' first: 550 5.1.1 Unknown
    """

    accepted: tuple[str, ...]
    refused: Mapping[str, Reply]
    reply: Reply | None

    @property
    def total(self) -> int:
        """How many recipients the message had."""
        return len(self.accepted) + len(self.refused)

    def require_all(self) -> Outcome:
        """This outcome, when everybody was accepted.

        :raises MessageRefused: when somebody was not.
        """
        if self.refused:
            raise MessageRefused(self)
        return self


def outcome_of(envelope: Envelope, submission: Submission) -> Outcome:
    """Sort a submission's replies by what they mean."""
    answers = list(zip((each.address for each in envelope.recipients), submission.replies, strict=True))
    return Outcome(
        tuple(address for address, reply in answers if reply.positive),
        {address: reply for address, reply in answers if not reply.positive},
        submission.final,
    )
