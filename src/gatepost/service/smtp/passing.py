"""What a listener for mail from servers takes from everybody to send it on, and from whom it takes nothing.

A domain of ``relay_domains`` is another server's, and that server may well trust us. So an address in which a second
one can hide (``victim%elsewhere@domain``, ``elsewhere!victim@domain``, ``"victim@elsewhere"@domain``) is not passed on
for strangers: what stands in front of the @ means nothing here, and may mean a way on there.
"""

from __future__ import annotations

from typing import Final

from gatepost.service.policies import Policies
from gatepost.wire.smtp.address import Mailbox

RELAY_DOMAINS: Final = "relay_domains"
"""What the log names as the rule."""

_ROUTING: Final = frozenset("@%!")


def passes_on(policies: Policies | None, protocol: str, mailbox: Mailbox) -> bool:
    """Whether mail for an address that is not ours is taken from anybody, to be sent on.

    :param protocol: the listener's.
    """
    if policies is None or protocol != "smtp" or not policies.relayed.matches(mailbox.ascii_domain):
        return False
    return _ROUTING.isdisjoint(mailbox.local)


def refused_sender(policies: Policies | None, protocol: str, sender: Mailbox | None) -> str:
    """The entry of ``refused_senders`` that has a sender; empty when none has. The null sender is in no list."""
    if policies is None or protocol != "smtp" or sender is None:
        return ""
    return policies.senders.match(sender.local, sender.ascii_domain)
