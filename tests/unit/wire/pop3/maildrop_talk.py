"""Half a conversation for the tests of the POP3 server engines: say bytes, get replies, keep the events."""

from __future__ import annotations

from typing import Any

from gatepost.wire.pop3 import reply
from gatepost.wire.pop3.events import (
    Delete,
    Event,
    ListAsked,
    LoginRequested,
    Quit,
    Retrieve,
    StatAsked,
    Top,
    UidlAsked,
    Undelete,
)
from gatepost.wire.pop3.profile import ServerProfile
from gatepost.wire.pop3.reply import Reply
from gatepost.wire.pop3.server import PlainServer, SecureServer
from gatepost.wire.pop3.unprotected import UnprotectedServer
from gatepost.wire.upgrade import Origin, TLSEvidence, Verification, _mint_evidence

ORIGIN = Origin(("192.0.2.1", 40000), ("192.0.2.2", 110), "pop3", 0.0, "c1")
MESSAGE = b"Subject: one\n\n.dot\nlast\n"


def evidence(*, binding: bool = True) -> TLSEvidence:
    """What a handshake proved, for a test."""
    return _mint_evidence(
        version="TLSv1.3", cipher="TLS_AES_256_GCM_SHA384", bits=256, group=None, server_name=None, alpn=None,
        peer_chain=(), verification=Verification("none"), resumed=False,
        tls_exporter=b"e" * 32 if binding else None, tls_server_end_point=None,
    )  # fmt: skip


def profile(**settings: Any) -> ServerProfile:
    """A profile with some settings changed."""
    return ServerProfile(**{"hostname": "mx.example.org", **settings})


class Talk:
    """One engine, its events so far, and a service that has one message and takes every login of ``alice``."""

    def __init__(self, engine: PlainServer | SecureServer | UnprotectedServer, *, silent: bool = False) -> None:
        self.engine = engine
        self.silent = silent
        self.events: list[Event] = []

    def say(self, data: bytes) -> bytes:
        """Send bytes and return the replies."""
        self.engine.receive(data)
        return self.run()

    def run(self) -> bytes:
        """Take what there is to take."""
        while (event := self.engine.next_event()) is not None:
            self.events.append(event)
            if not self.silent:
                self.answer(event)
        return self.engine.outgoing()

    def answer(self, event: Event) -> None:
        """Say what such a service says; logins by AUTH and STLS wait."""
        engine = self.engine
        match event:
            case LoginRequested(user, password):
                assert isinstance(engine, SecureServer | UnprotectedServer)
                if user == "alice" and password.reveal() == b"secret":
                    engine.authenticated(user)
                else:
                    engine.answer(reply.AUTH_FAILED)
            case StatAsked():
                engine.answer(Reply(True, "1 27"))
            case ListAsked(None) | UidlAsked(None):
                engine.begin_multiline()
                engine.multiline(b"1 27\n")
                engine.end_multiline()
            case Retrieve() | Top():
                engine.begin_multiline("27 octets")
                engine.multiline(MESSAGE)
                engine.end_multiline()
            case ListAsked() | UidlAsked():
                engine.answer(Reply(True, f"{event.number} 27"))
            case Delete() | Undelete():
                engine.answer(reply.OK)
            case Quit(True):
                engine.answer(reply.BYE)

    def hang_up(self) -> bytes:
        """End the client's side of the connection."""
        self.engine.receive_eof()
        return self.run()

    def of(self, kind: type[Event]) -> list[Event]:
        """The events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]


def plain(*, silent: bool = False, **settings: Any) -> Talk:
    """A greeted conversation in the clear."""
    talk = Talk(PlainServer(ORIGIN, profile(**settings)), silent=silent)
    talk.engine.greet()
    talk.engine.outgoing()
    return talk


def secure(*, silent: bool = False, binding: bool = True, **settings: Any) -> Talk:
    """A conversation inside TLS, after STLS."""
    return Talk(SecureServer(ORIGIN, evidence(binding=binding), profile(**settings)), silent=silent)


def unprotected(*, silent: bool = False, **settings: Any) -> Talk:
    """A greeted conversation in the clear that passes logins on."""
    talk = Talk(UnprotectedServer(ORIGIN, profile(**settings)), silent=silent)
    talk.engine.greet()
    talk.engine.outgoing()
    return talk


def logged_in(*, silent: bool = False, **settings: Any) -> Talk:
    """A conversation inside TLS in which alice has logged in."""
    talk = secure(**settings)
    assert talk.say(b"USER alice\r\nPASS secret\r\n").endswith(b"+OK Logged in\r\n")
    talk.events.clear()
    talk.silent = silent
    return talk


def signs(replies: bytes) -> str:
    """``+`` or ``-`` for each status line of answers of one line."""
    return "".join(chr(line[0]) for line in replies.split(b"\r\n") if line)
