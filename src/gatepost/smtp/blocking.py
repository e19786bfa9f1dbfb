"""``gatepost.smtp.BlockingClient``: messages to a server, without a loop.

with gatepost.smtp.BlockingClient("mail.example.org", 587) as client:
    client.login("alice@example.org", password)
    outcome = client.send_message(message)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, final

from gatepost.net.calling import SECONDS, BlockingCaller, Call, StartTLS
from gatepost.smtp.letter import Letter
from gatepost.smtp.outcome import Outcome
from gatepost.smtp.talk import SMTPTalk
from gatepost.tls.clientsettings import CertificateFiles, FilePath
from gatepost.tls.contexts import Level
from gatepost.tls.sessions import SessionCache
from gatepost.wire.sasl.secret import Secret
from gatepost.wire.smtp.capabilities import Capabilities
from gatepost.wire.smtp.envelope import Envelope, Submission
from gatepost.wire.smtp.reply import Reply
from gatepost.wire.upgrade import Origin

if TYPE_CHECKING:
    from email.message import EmailMessage


@final
class BlockingClient(BlockingCaller[SMTPTalk]):
    """A client for an SMTP server. ``with`` connects, and says QUIT at the end.

    The parameters are those of ``gatepost.smtp.Client``. It is used by one thread at a time.

    :raises LocalProtocolError: for arguments that are wrong; ``CertificateError`` for files that are.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        starttls: StartTLS = "require",
        implicit: bool = False,
        ca_file: FilePath | None = None,
        server_name: str | None = None,
        client_certificate: CertificateFiles | None = None,
        pins: Iterable[str] = (),
        timeout: float = SECONDS,
        level: Level | None = None,
        sessions: SessionCache | None = None,
        hostname: str | None = None,
    ) -> None:
        super().__init__(
            Call(
                host, port, starttls=starttls, implicit=implicit, level=level, ca_file=ca_file, server_name=server_name,
                client_certificate=client_certificate, pins=pins, sessions=sessions, timeout=timeout, hostname=hostname,
            )
        )  # fmt: skip

    @property
    def capabilities(self) -> Capabilities:
        """What the server listed in its last EHLO; inside TLS, only what it listed there."""
        return self._talk.client.capabilities

    def login(self, user: str, password: str | bytes | Secret) -> str:
        """Log in, with SCRAM-SHA-256-PLUS where the server lists it, then SCRAM-SHA-256, PLAIN, LOGIN.

        :return: the mechanism that was used.
        :raises LocalProtocolError: in the clear: no password is sent there.
        :raises NoMechanism: when the server lists none of them.
        :raises AuthenticationRefused: when it refuses; the connection is still good.
        :raises AuthenticationError: when it does not prove that it knows the password; the connection is closed.
        """
        return self._run(self._talk.login(user, password))

    def send_message(
        self,
        message: EmailMessage | bytes,
        sender: str | None = None,
        recipients: Iterable[str] | str | None = None,
        *,
        ret: Literal["FULL", "HDRS"] | None = None,
        notify: Iterable[str] | str | None = None,
        envid: str | None = None,
    ) -> Outcome:
        """Send one message. SMTPUTF8, 8BITMIME, SIZE and PIPELINING are used where the server lists them.

        :param message: an ``EmailMessage``, or header and text as octets. ``Bcc`` is never sent.
        :param sender: the envelope's sender, empty for none; by default the header's.
        :param recipients: by default the header's.
        :param ret: what a report holds, ``FULL`` or ``HDRS`` (RFC 3461 §4.3).
        :param notify: ``SUCCESS``, ``FAILURE``, ``DELAY``, or ``NEVER`` (RFC 3461 §4.1). Where the server does not list
            DSN this is left out, as ``ret`` and ``envid`` are.
        :param envid: the envelope's name, for reports (RFC 3461 §4.4).
        :return: what became of it, recipient by recipient. A refusal is a value here: look, or ``require_all``.
        :raises LocalProtocolError: for a message that cannot be sent: no recipient, an address that is none.
        :raises RemoteProtocolError: when the server breaks the protocol or closes; the message's fate is unknown.
        """
        letter = Letter(message, sender, recipients, notify=notify, ret=ret, envid=envid)
        return self._run(self._talk.send(letter))

    def submit(self, envelope: Envelope, content: Iterable[bytes]) -> Submission:
        """Send a message that streams: its content in CRLF lines, cut anywhere, is read as it is sent.

        :return: the reply that decided, recipient by recipient.
        :raises LocalProtocolError: for a CR or LF that stands alone.
        :raises RemoteProtocolError: when the server breaks the protocol or closes.
        """
        return self._run(self._talk.submit(envelope, content))

    def noop(self) -> Reply:
        """Ask whether the connection still lives.

        :raises Refused: when the server does not like it.
        """
        return self._run(self._talk.noop())

    def reset(self) -> Reply:
        """RSET. ``send_message`` does it by itself where it is needed.

        :raises Refused: when the server does not.
        """
        return self._run(self._talk.reset())

    def _begin(self, origin: Origin) -> SMTPTalk:
        return SMTPTalk(origin, self._call)
