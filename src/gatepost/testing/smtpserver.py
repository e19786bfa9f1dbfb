"""An SMTP server for test suites: real sockets, real TLS with a throw-away authority, messages in a list.

It runs in a thread with a loop of its own, so that it serves tests of any kind: blocking clients, asyncio, another
process. It needs nothing beyond what gatepost itself needs.

    with SMTPServer() as server:
        send_the_newsletter(server.host, server.port, server.ca_file)
    assert server.messages[0].message["Subject"] == "News"

``gatepost.testing.fixtures`` makes a pytest fixture of it.
"""

from __future__ import annotations

import asyncio
import fnmatch
import functools
import tempfile
import threading
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Final, final

from gatepost.smtp.handler import Handler, UpgradeFailure
from gatepost.smtp.incoming import IncomingMessage, parse
from gatepost.smtp.logins import Auth
from gatepost.smtp.server import Server
from gatepost.smtp.serverlimits import ServerLimits
from gatepost.smtp.session import SecureSession, Session
from gatepost.testing.ca import TestAuthority
from gatepost.tls.contexts import ServerContexts, server_contexts
from gatepost.wire.smtp.address import Mailbox
from gatepost.wire.smtp.events import MailParameters, RcptParameters
from gatepost.wire.smtp.reply import TLS_FIRST, Reply
from gatepost.wire.upgrade import TLSEvidence

HOST: Final = "localhost"
_SECONDS: Final = 10.0
_LIMITS: Final = ServerLimits(connections_per_address=0, login_delay=0.0, logins=10)
REFUSED: Final = Reply(550, "5.1.1", "No such user here")
DEFERRED: Final = Reply(451, "4.3.0", "Try again later")


@final
@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """A message that was taken.

    :param sender: the envelope's sender; empty for the null path.
    :param recipients: those that were accepted.
    :param content: as it was sent, lines ended by CRLF, dots unstuffed.
    :param evidence: what the handshake proved; None when it came in the clear.
    :param user: who was logged in, or None.
    :param hello: what the client called itself.
    :param mail: the parameters of MAIL.
    :param rcpt: the parameters of each RCPT.
    """

    sender: str
    recipients: tuple[str, ...]
    content: bytes = field(repr=False)
    evidence: TLSEvidence | None
    user: str | None
    hello: str
    mail: MailParameters
    rcpt: tuple[RcptParameters, ...]

    @property
    def secure(self) -> bool:
        """Whether it came inside TLS."""
        return self.evidence is not None

    @property
    def message(self) -> EmailMessage:
        """The content, parsed anew each time."""
        return parse(self.content)


@functools.cache
def authority() -> TestAuthority:
    """The throw-away authority of this process."""
    return TestAuthority("gatepost testing")


@functools.cache
def _contexts() -> ServerContexts:
    return server_contexts([authority().issue(HOST, "127.0.0.1", "*.example.test").credential])


@final
class SMTPServer:
    """A server in a thread; a context manager. It listens on 127.0.0.1, on free ports.

    Everything but the arguments can be changed while it runs: it holds for whoever connects, or is asked, from then on.

    :param users: names and passwords; AUTH is offered, inside TLS, as soon as there is one.
    :param require_login: refuse MAIL before a login.
    :param require_tls: refuse MAIL in the clear.
    :param starttls: False does not offer STARTTLS.
    :param dialect: ``SMTP`` or ``LMTP``.
    :param limits: see ``ServerLimits``.
    """

    __test__ = False  # pytest must not collect it

    def __init__(
        self,
        users: dict[str, str] | None = None,
        *,
        require_login: bool = False,
        require_tls: bool = False,
        starttls: bool = True,
        dialect: str = "SMTP",
        limits: ServerLimits = _LIMITS,
    ) -> None:
        self.host: Final = HOST
        self.users: Final[dict[str, str]] = dict(users or {})
        self.require_login = require_login
        self.require_tls = require_tls
        self.messages: Final[list[ReceivedMessage]] = []
        """What was taken, in the order in which it was."""
        self.failures: Final[list[UpgradeFailure]] = []
        """Upgrades that failed: handshakes, and plaintext behind STARTTLS."""
        self.delay = 0.0
        """Seconds before each message is answered."""
        self._rules: list[tuple[str, Reply]] = []
        self._message_replies: list[Reply] = []
        self._changed = threading.Condition()
        self._make = functools.partial(
            Server,
            lambda: _Catcher(self),
            hostname=HOST,
            dialect="LMTP" if dialect == "LMTP" else "SMTP",
            limits=limits,
        )
        self._starttls = starttls
        self._directory = tempfile.TemporaryDirectory(prefix="gatepost-")
        self.ca_file: Final = Path(self._directory.name) / "ca.pem"
        """The authority that clients must trust, PEM. It is there while the server runs."""
        self._ports: tuple[int, int] = (0, 0)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="smtp server", daemon=True)

    # Where it is

    @property
    def port(self) -> int:
        """The port that begins in the clear."""
        return self._ports[0]

    @property
    def tls_port(self) -> int:
        """The port that begins with TLS."""
        return self._ports[1]

    # What it does

    def refuse(self, recipient: str, reply: Reply = REFUSED) -> None:
        """Refuse a recipient, for good.

        :param recipient: an address, or a pattern: ``*@example.net``. The first rule that matches counts.
        :param reply: what is said.
        """
        self._rules.append((recipient, reply))

    def defer(self, recipient: str, reply: Reply = DEFERRED) -> None:
        """Refuse a recipient for now. See ``refuse``."""
        self._rules.append((recipient, reply))

    def accept_all(self) -> None:
        """Forget what ``refuse``, ``defer`` and ``answer_message`` said."""
        self._rules.clear()
        self._message_replies.clear()

    def answer_message(self, *replies: Reply) -> None:
        """Answer the next messages with these, one each; a message that is refused is not kept."""
        self._message_replies.extend(replies)

    def wait(self, count: int = 1, timeout: float = _SECONDS) -> list[ReceivedMessage]:
        """Wait until so many messages were taken, for a program that sends in the background.

        :raises TimeoutError: when there are fewer after ``timeout`` seconds.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.messages) >= count, timeout):
                raise TimeoutError(f"{len(self.messages)} of {count} messages after {timeout:g} seconds")
            return list(self.messages)

    def clear(self) -> None:
        """Forget what was taken."""
        with self._changed:
            self.messages.clear()
            self.failures.clear()

    # Called in the server's thread

    def reply_for(self, recipient: str) -> Reply | None:
        """The refusal of a recipient, or None."""
        for pattern, reply in self._rules:
            if fnmatch.fnmatch(recipient.lower(), pattern.lower()):
                return reply
        return None

    def reply_to_message(self) -> Reply | None:
        """The answer to the next message, or None."""
        return self._message_replies.pop(0) if self._message_replies else None

    def keep(self, message: ReceivedMessage) -> None:
        """Add a message."""
        with self._changed:
            self.messages.append(message)
            self._changed.notify_all()

    # Lifetime

    def __enter__(self) -> SMTPServer:
        self.ca_file.write_bytes(authority().pem)
        self._thread.start()
        if not self._ready.wait(60):
            raise TimeoutError("the server did not start")
        if self._failure is not None:
            self._thread.join()
            self._directory.cleanup()
            raise self._failure
        return self

    def __exit__(self, *_: object) -> None:
        loop, stop = self._loop, self._stop
        if loop is not None and stop is not None:
            loop.call_soon_threadsafe(stop.set)
        self._thread.join(60)
        self._directory.cleanup()

    def _run(self) -> None:
        try:
            with asyncio.Runner() as runner:
                runner.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - raised again where the test waits
            self._failure = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        plain = self._make(contexts=_contexts()) if self._starttls else self._make(starttls=False)
        implicit = self._make(contexts=_contexts(), implicit=True)
        async with plain.listen("127.0.0.1", 0), implicit.listen("127.0.0.1", 0):
            self._ports = (plain.port, implicit.port)
            self._ready.set()
            await self._stop.wait()
            await asyncio.gather(plain.drain(0.0), implicit.drain(0.0))  # the test is over: nobody is waited for


@final
class _Catcher(Handler):
    """Takes everything that the server's rules let through."""

    def __init__(self, server: SMTPServer) -> None:
        self._server = server

    async def on_secure(self, session: SecureSession, evidence: TLSEvidence) -> Reply | None:
        if self._server.users:
            session.offer_login(Auth.from_passwords(self._server.users, required=self._server.require_login))
        return None

    async def on_mail(self, session: Session, sender: Mailbox | None, parameters: MailParameters) -> Reply | None:
        if not session.private and (self._server.require_tls or self._server.require_login):
            return TLS_FIRST
        return None

    async def on_rcpt(self, session: Session, recipient: Mailbox, parameters: RcptParameters) -> Reply | None:
        return self._server.reply_for(str(recipient))

    async def on_message(self, session: Session, message: IncomingMessage) -> Reply | None:
        content = await message.read()
        if self._server.delay:
            await asyncio.sleep(self._server.delay)
        answer = self._server.reply_to_message()
        if answer is not None and not answer.positive:
            return answer
        secure = session if isinstance(session, SecureSession) else None
        self._server.keep(
            ReceivedMessage(
                "" if message.sender is None else str(message.sender),
                tuple(str(recipient) for recipient in message.recipients),
                content,
                secure.evidence if secure is not None else None,
                secure.user if secure is not None else None,
                session.hello,
                message.mail,
                message.rcpt,
            )
        )
        return answer

    async def on_failure(self, failure: UpgradeFailure) -> None:
        self._server.failures.append(failure)
