"""Half a conversation for the tests of the server engines: say bytes, get replies, keep the events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gatepost.wire.smtp import reply
from gatepost.wire.smtp.events import (
    AuthRequested,
    AuthResponse,
    Content,
    ContentBegins,
    ContentEnds,
    Event,
    Mail,
    Recipient,
    StartTLSRequested,
)
from gatepost.wire.smtp.profile import ServerProfile
from gatepost.wire.smtp.reply import Reply
from gatepost.wire.smtp.server import PlainServer, SecureServer
from gatepost.wire.upgrade import Origin, TLSEvidence, Verification, _mint_evidence

ORIGIN = Origin(("192.0.2.1", 40000), ("192.0.2.2", 25), "mx", 0.0, "c1")
ACCEPTED = Reply(250, "2.0.0", "Ok: queued as 1")
Decide = Callable[[Event], Reply | None]


def evidence(*, binding: bool = True, status: str = "none", names: tuple[str, ...] = ()) -> TLSEvidence:
    """What a handshake proved, for a test."""
    return _mint_evidence(
        version="TLSv1.3",
        cipher="TLS_AES_256_GCM_SHA384",
        bits=256,
        group="X25519MLKEM768",
        server_name="mx.example.org",
        alpn=None,
        peer_chain=(),
        verification=Verification(status, names=names),
        resumed=False,
        tls_exporter=b"e" * 32 if binding else None,
        tls_server_end_point=None,
    )


def profile(**settings: Any) -> ServerProfile:
    """A profile with some settings changed."""
    return ServerProfile(**{"hostname": "mx.example.org", **settings})


def accept(event: Event) -> Reply | None:
    """Say yes to everything but STARTTLS and AUTH, which wait."""
    if isinstance(event, Mail):
        return reply.SENDER_OK
    if isinstance(event, Recipient):
        return reply.RECIPIENT_OK
    if isinstance(event, ContentBegins):
        return reply.DATA_GO_AHEAD
    return ACCEPTED if isinstance(event, ContentEnds) and event.refusal is None else None


class Talk:
    """One engine, its events so far, and who answers them."""

    def __init__(self, engine: PlainServer | SecureServer, decide: Decide = accept) -> None:
        self.engine = engine
        self.decide = decide
        self.events: list[Event] = []

    def say(self, data: bytes) -> bytes:
        """Send bytes and return the replies."""
        self.engine.receive(data)
        return self.run()

    def run(self) -> bytes:
        """Take what there is to take."""
        while (event := self.engine.next_event()) is not None:
            self.events.append(event)
            answer = self.decide(event)
            if answer is not None:
                self.engine.answer(answer)
        return self.engine.outgoing()

    def hang_up(self) -> bytes:
        """End the client's side of the connection."""
        self.engine.receive_eof()
        return self.run()

    @property
    def content(self) -> bytes:
        """All content so far."""
        return b"".join(event.data for event in self.events if isinstance(event, Content))

    def of(self, kind: type[Event]) -> list[Event]:
        """The events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def last(self) -> Event:
        """The last event."""
        return self.events[-1]


def plain(decide: Decide = accept, **settings: Any) -> Talk:
    """A greeted conversation in the clear."""
    talk = Talk(PlainServer(ORIGIN, profile(**settings)), decide)
    talk.engine.greet()
    talk.engine.outgoing()
    return talk


def secure(decide: Decide = accept, *, binding: bool = True, **settings: Any) -> Talk:
    """A conversation inside TLS, after STARTTLS."""
    return Talk(SecureServer(ORIGIN, evidence(binding=binding), profile(**settings)), decide)


def opened(talk: Talk, *, recipients: int = 1) -> Talk:
    """Say hello and open a transaction."""
    talk.say(b"LHLO c\r\n" if talk.engine.profile.dialect == "LMTP" else b"EHLO client.example\r\n")
    talk.say(b"MAIL FROM:<alice@example.org>\r\n")
    for number in range(recipients):
        talk.say(b"RCPT TO:<bob%d@example.net>\r\n" % number)
    return talk


def codes(replies: bytes) -> list[int]:
    """The code of each complete reply."""
    return [int(line[:3]) for line in replies.split(b"\r\n") if line and line[3:4] == b" "]


WAITING_EVENTS = (StartTLSRequested, AuthRequested, AuthResponse)
