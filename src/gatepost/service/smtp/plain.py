"""A session in the clear: its engine has no AUTH, and it ends at the upgrade."""

from __future__ import annotations

from gatepost.service.smtp.session import Session
from gatepost.smtp.conversation import PlainConversation


class PlainSession(Session, PlainConversation):
    """A session in the clear. It ends at the upgrade (``PlainConversation``)."""

    __slots__ = ()


PlainSession._handlers = {**PlainConversation._handlers, **Session._handlers}
