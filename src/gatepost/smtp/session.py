"""What a hook is told of its session: one object in the clear, and another, made anew, inside TLS.

``PlainSession`` and ``SecureSession`` share what every SMTP session has. The private one is constructed from ``Origin``
and ``TLSEvidence``: it has no parameter for anything else, so nothing that was said in the clear can be found on it.
Logins exist on the private one alone, for the type checker too.
"""

from __future__ import annotations

from typing import ClassVar, Final, Literal, final

from gatepost.errors import LocalProtocolError
from gatepost.smtp.extensions import Extension, ExtensionTable
from gatepost.smtp.logins import Auth
from gatepost.wire.smtp.address import Mailbox
from gatepost.wire.upgrade import Origin, TLSEvidence


class Session:
    """One side of one connection.

    Hooks read it. What a handler wants to remember it keeps on itself: a handler lives exactly as long as its session.

    :param origin: where the connection came from: facts of the kernel, no claims.
    """

    __slots__ = ("_open", "_table", "extended", "hello", "origin", "recipients", "sender")

    private: ClassVar[bool]
    """Whether it is inside TLS."""

    def __init__(self, origin: Origin) -> None:
        self.origin: Final = origin
        self.hello: str = ""
        """What the peer called itself in its last hello: a claim, empty before it did."""
        self.extended: bool = False
        """Whether it said EHLO."""
        self.sender: Mailbox | None = None
        """The sender of the open transaction; None for the null path, and when none is open."""
        self.recipients: tuple[Mailbox, ...] = ()
        """The recipients that were accepted in the open transaction."""
        self._table = ExtensionTable()
        self._open = True

    @property
    def id(self) -> str:
        """Our identifier of this connection: the same on both sides of the upgrade, for logs."""
        return self.origin.connection

    def register(self, extension: Extension) -> None:
        """Add an extension to this session: in ``on_connect`` or ``on_secure``, before the capabilities are listed.

        :raises LocalProtocolError: later than that; for names that cannot be; for an object that belongs to another
            session; for one that is ``only_in_private``, in the clear.
        """
        if not self._open:
            raise LocalProtocolError("extensions are registered in on_connect and on_secure, not later")
        self._table.register(extension, private=self.private)

    @property
    def extensions(self) -> ExtensionTable:
        """What was registered. The server reads it."""
        return self._table

    def begin(self) -> None:
        """The conversation begins: nothing more is registered. The server calls it."""
        self._open = False


@final
class PlainSession(Session):
    """A session in the clear. It has no evidence and no login, and it ends at the upgrade."""

    __slots__ = ()

    private: ClassVar[Literal[False]] = False


@final
class SecureSession(Session):
    """A session inside TLS.

    :param origin: where the connection came from.
    :param evidence: what the handshake proved.
    """

    __slots__ = ("_auth", "evidence", "user")

    private: ClassVar[Literal[True]] = True

    def __init__(self, origin: Origin, evidence: TLSEvidence) -> None:
        super().__init__(origin)
        if not isinstance(evidence, TLSEvidence):
            raise LocalProtocolError("a private session is made from the evidence of a handshake")
        self.evidence: Final = evidence
        self.user: str | None = None
        """Who logged in, or None."""
        self._auth: Auth | None = None

    def offer_login(self, auth: Auth) -> None:
        """Offer AUTH in this session, in place of what the server offers: in ``on_secure``.

        :raises LocalProtocolError: later than that.
        """
        if not self._open:
            raise LocalProtocolError("a login is offered in on_secure, not later")
        self._auth = auth

    @property
    def auth(self) -> Auth | None:
        """The login that is offered here."""
        return self._auth
