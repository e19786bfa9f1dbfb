"""A session on the local socket: a program of this machine hands over a message, as ``sendmail`` does.

SECURITY: who connects is told by the kernel (SO_PEERCRED), and stands in the trace and the log. Such a user may send to
anywhere; as whom is not checked, as with every ``sendmail``.

Programs of a machine write to its accounts, not to mailboxes: cron to ``root``, a package to ``www-data``. So here, and
only here,

- ``X@hostname`` and ``X@localhost`` mean ``X`` at the first of ``domains``, unless those are domains of ours themselves
  (``sendmail`` completes a bare ``X`` with the first domain too, since that is the name it is greeted with);
- a recipient who has neither mailbox nor alias, but is an account of the system, is the postmaster.
"""

from __future__ import annotations

import pwd
from typing import TYPE_CHECKING, Final

from gatepost.accounts.names import domain_key
from gatepost.net.channel import PlainChannel
from gatepost.queue.item import NewRecipient
from gatepost.service.smtp import refusals
from gatepost.service.smtp.plain import PlainSession
from gatepost.wire.smtp import events
from gatepost.wire.smtp.address import Mailbox
from gatepost.wire.smtp.reply import Reply
from gatepost.wire.smtp.server import PlainServer

if TYPE_CHECKING:
    from gatepost.service.smtp.connection import Connection

_LOCALHOST: Final = "localhost"
_POSTMASTER: Final = "postmaster"


class LocalSession(PlainSession):
    """A session of a user of this machine."""

    __slots__ = ("_uid",)

    def __init__(self, connection: Connection, channel: PlainChannel, engine: PlainServer) -> None:
        super().__init__(connection, channel, engine)
        self._uid = connection.origin.uid
        if self._uid is not None:
            self._user = connection.record.user = _login_name(self._uid)

    def _may_relay(self) -> bool:
        """A user of this machine may: the kernel says who it is."""
        return self._uid is not None

    def _on_mail(self, event: events.Mail) -> None:
        # A report about this message goes to its sender, which therefore has to be an address of ours.
        sender = None if event.sender is None else self._at_home(event.sender)
        super()._on_mail(event if sender is event.sender else events.Mail(sender, event.params))

    def _targets(self, event: events.Recipient) -> tuple[NewRecipient, ...] | Reply:
        mailbox = self._at_home(event.mailbox)
        found = super()._targets(event if mailbox is event.mailbox else events.Recipient(mailbox, event.params))
        if found is not refusals.NO_SUCH_USER or not self._is_account(mailbox):
            return found
        postmaster = Mailbox(_POSTMASTER, self._connection.port.services.directory.domains.first)
        return super()._targets(events.Recipient(postmaster, event.params))

    def _at_home(self, mailbox: Mailbox) -> Mailbox:
        """The address, with our first domain in place of a name of this machine that is no domain of ours."""
        services = self._connection.port.services
        ours, domain = services.directory.domains, mailbox.ascii_domain
        if domain in ours or domain not in (domain_key(services.config.hostname), _LOCALHOST):
            return mailbox
        return Mailbox(mailbox.local, ours.first)

    def _is_account(self, mailbox: Mailbox) -> bool:
        """Whether an address is that of an account of the system."""
        services = self._connection.port.services
        here = (services.directory.domains.first, domain_key(services.config.hostname), _LOCALHOST)
        if mailbox.ascii_domain not in here:
            return False
        try:
            pwd.getpwnam(mailbox.local)
        except (KeyError, ValueError):  # ValueError: a NUL, or characters that no account has
            return False
        return True


LocalSession._handlers = {**PlainSession._handlers, events.Mail: LocalSession._on_mail}


def _login_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
