"""What a session tells greylisting of a recipient."""

from __future__ import annotations

from gatepost.greylist.facts import Facts
from gatepost.service.greylisting import certificate_of
from gatepost.service.smtp.transaction import Transaction
from gatepost.wire.smtp.address import Mailbox
from gatepost.wire.upgrade import Origin, TLSEvidence


def facts_of(
    origin: Origin, evidence: TLSEvidence | None, transaction: Transaction, recipient: Mailbox, hello: str
) -> Facts:
    """The facts about one recipient of a message from a stranger.

    :param evidence: what the handshake proved; None in the clear.
    :param hello: the EHLO name.
    """
    return Facts(
        origin.peer[0],
        origin.listener,
        transaction.reverse_path,
        str(recipient),
        tls=evidence is not None,
        certificate=certificate_of(evidence),
        hello=hello,
    )
