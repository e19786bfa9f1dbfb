"""``gatepost.pop3.BlockingClient``: a mailbox that a server keeps, without a loop.

with gatepost.pop3.BlockingClient("mail.example.org", 110) as client:
    client.login("alice@example.org", password)
    for number in client.list():
        message = client.retrieve(number)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

from gatepost.net.calling import SECONDS, BlockingCaller, Call, StartTLS
from gatepost.pop3.talk import POP3Talk
from gatepost.tls.clientsettings import CertificateFiles, FilePath
from gatepost.tls.contexts import Level
from gatepost.tls.sessions import SessionCache
from gatepost.wire.pop3.capabilities import Capabilities
from gatepost.wire.pop3.client import SIZE_LIMIT, Maildrop
from gatepost.wire.pop3.exchange import Sink
from gatepost.wire.pop3.reply import Reply
from gatepost.wire.sasl.secret import Secret
from gatepost.wire.upgrade import Origin


@final
class BlockingClient(BlockingCaller[POP3Talk]):
    """A client for a POP3 server. ``with`` connects, and says QUIT at the end, which is what deletes.

    The parameters are those of ``gatepost.pop3.Client``. It is used by one thread at a time. Where ``with`` is left by
    an exception, no QUIT is said and nothing is deleted.

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
    ) -> None:
        super().__init__(
            Call(
                host, port, starttls=starttls, implicit=implicit, level=level, ca_file=ca_file, server_name=server_name,
                client_certificate=client_certificate, pins=pins, sessions=sessions, timeout=timeout,
            )
        )  # fmt: skip

    @property
    def capabilities(self) -> Capabilities:
        """What the server listed in its last answer to CAPA; inside TLS, only what it listed there."""
        return self._talk.capabilities

    def login(self, user: str, password: str | bytes | Secret) -> str:
        """Log in, with SCRAM-SHA-256-PLUS where the server lists it, then SCRAM-SHA-256, PLAIN, LOGIN, USER and PASS.

        :return: the mechanism that was used, or ``USER``.
        :raises LocalProtocolError: in the clear: no password is sent there.
        :raises AuthenticationRefused: when the server refuses; the connection is still good.
        :raises AuthenticationError: when it does not prove that it knows the password; the connection is closed.
        """
        return self._run(self._talk.login(user, password))

    def stat(self) -> Maildrop:
        """How many messages there are, and their octets: ``.messages``, ``.octets``.

        :raises Refused: when the server refuses.
        """
        return self._run(self._talk.stat())

    def list(self) -> dict[int, int]:
        """The octets of each message, by its number in this session."""
        return self._run(self._talk.list())

    def uidl(self) -> dict[int, str]:
        """The unique-id of each message, by its number: the same in every session (RFC 1939 §7)."""
        return self._run(self._talk.uidl())

    def retrieve(self, number: int, *, limit: int = SIZE_LIMIT) -> bytes:
        """One message, with CRLF line ends.

        :param limit: the longest message taken, in octets.
        :raises Refused: when the server refuses.
        :raises RemoteProtocolError: when it is longer, or the server closes before its end.
        """
        return self._run(self._talk.fetch(number, limit))

    def retrieve_into(self, number: int, sink: Sink, *, limit: int = SIZE_LIMIT) -> int:
        """One message, piece by piece as it comes; the octets it had. Raises what ``retrieve`` raises.

        :param sink: is called with each piece. What it was given is a message only once this returns.
        """
        return self._run(self._talk.retrieve(number, sink, limit))

    def top(self, number: int, lines: int = 0, *, limit: int = SIZE_LIMIT) -> bytes:
        """The header of a message, and the first lines of its body. Raises what ``retrieve`` raises."""
        return self._run(self._talk.top(number, lines, limit))

    def delete(self, number: int) -> Reply:
        """Mark a message: the QUIT at the end deletes it.

        :raises Refused: when the server refuses.
        """
        return self._run(self._talk.delete(number))

    def reset(self) -> Reply:
        """Take all marks off."""
        return self._run(self._talk.reset())

    def noop(self) -> Reply:
        """Ask whether the connection still lives."""
        return self._run(self._talk.noop())

    def _begin(self, origin: Origin) -> POP3Talk:
        return POP3Talk(origin, self._call)
