"""Sessions made by hand, for the tests of what shows them."""

from __future__ import annotations

from typing import Any

from gatepost.record.events import Blind, Closed, Data, Decision, Line, Opened, RecordEvent, Speaker, Upgraded
from gatepost.record.reading import Session

BEGAN = 1_795_000_000.0
HOSTILE = (
    b"\x1b]0;owned\x07\x1b[31m", b"a\rb\nc\td\x00e", "\u202ereversed\u2066\u2069".encode(),
    "zero\u200bwidth\ufeff".encode(),
    b"\xff\xfe invalid", b"<script>alert(1)</script>", b"\"'><img src=x onerror=alert(1)>", b"=HYPERLINK(\"http://x\")",
    b"[20,480 octets, SHA-256 3f2a]", ("z" + "\u0300" * 40).encode(),
    "\u3164\u115f\ufe0f".encode(), b"\x9b31m \xc2\x9b31m", b"</table></body>", b"&lt;b&gt;",
)  # fmt: skip


class Conversation:
    """Puts events in their order; time passes as told."""

    def __init__(
        self, id_: str = "7c38a1f0-2", protocol: str = "smtp", side: Any = "server", *, begin: bool = True
    ) -> None:
        self.session = Session(id_)
        self._at = BEGAN
        self._serial = 0
        self.private = False
        if begin:
            self.add(
                Opened,
                0,
                listener="mx",
                protocol=protocol,
                client=("192.0.2.7", 4711),
                local=("192.0.2.25", 25),
                side=side,
            )

    def add(self, kind: type[RecordEvent], after: float = 0.001, **facts: Any) -> None:
        """One event, some seconds after the last one."""
        self._serial += 1
        self._at += after
        self.session.events.append(
            kind(session=self.session.id, serial=self._serial, at=round(self._at, 6), private=self.private, **facts)
        )

    def lose(self, count: int = 1) -> None:
        """Events that were dropped."""
        self._serial += count

    def client(self, line: bytes, after: float = 0.01, **facts: Any) -> None:
        """The client says a line."""
        self.add(Line, after, speaker="client", data=line, **facts)

    def server(self, *lines: bytes, **facts: Any) -> None:
        """The server says lines."""
        for line in lines:
            self.add(Line, speaker="server", data=line, **facts)

    def data(self, speaker: Speaker, octets: int, **facts: Any) -> None:
        """Content passes."""
        self.add(Data, 0.2, speaker=speaker, octets=octets, **facts)

    def upgrade(self, **facts: Any) -> None:
        """The client's way to us becomes private."""
        given = {"side": "client", "version": "TLSv1.3", "cipher": "TLS_AES_256_GCM_SHA384", "group": "X25519MLKEM768"}
        self.add(Upgraded, 0.031, **{**given, "verified": "none", **facts})
        self.private = True

    def close(self, outcome: str = "quit", dropped: int = 0) -> Session:
        """It ends."""
        self.add(Closed, outcome=outcome, seconds=round(self._at - BEGAN, 3), dropped=dropped)
        return self.session


def starttls_session() -> Session:
    """A message through a gate: STARTTLS, a login, a greylisted recipient, something dropped."""
    talk = Conversation(side="gate")
    talk.server(b"220 mx.example.org ESMTP")
    talk.client(b"EHLO client.example.net")
    talk.server(b"250-mx.example.org", b"250-SIZE 52428800", b"250 STARTTLS")
    talk.client(b"STARTTLS")
    talk.server(b"220 2.0.0 Ready to start TLS")
    talk.upgrade(server_name="mx.example.org")
    talk.client(b"EHLO client.example.net")
    talk.add(
        Upgraded, 0.004, side="backend", version="TLSv1.3", cipher="TLS_AES_256_GCM_SHA384", group="X25519",
        verified="verified", names=("mail.internal", "10.0.0.5"), server="mail.internal:25",
    )  # fmt: skip
    talk.server(b"250-mx.example.org", b"250-AUTH PLAIN LOGIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS", b"250 8BITMIME")
    talk.client(b"AUTH PLAIN ***", masked=True)
    talk.server(b"235 2.7.0 Authentication succeeded")
    talk.client(b"MAIL FROM:<alice@example.net> SIZE=20480 BODY=8BITMIME")
    talk.server(b"250 2.1.0 Ok")
    talk.client(b"RCPT TO:<somebody-with-a-rather-long-address@a-long-name.example.org>")
    talk.add(
        Decision, what="greylist", verdict="delay", subject="somebody@example.org", rule="greylist_rule[2]",
        reason="first seen, 300 s left",
    )  # fmt: skip
    talk.server(b"451 4.7.1 Greylisted, try again in 5 minutes")
    talk.client(b"RCPT TO:<bob@example.org>")
    talk.server(b"250 2.1.5 Ok")
    talk.client(b"DATA")
    talk.server(b"354 End data with <CR><LF>.<CR><LF>")
    talk.data("client", 20480, sha256="3f2a" * 16, headers=b"From: alice@example.net\r\nSubject: \x1b[31mhi\r\n")
    talk.lose(2)
    talk.server(b"250 2.0.0 Ok: queued as 4ABC")
    talk.client(b"QUIT")
    talk.server(b"221 2.0.0 Bye")
    return talk.close(dropped=2)


def blind_session() -> Session:
    """A client whose TLS goes past the gate."""
    talk = Conversation("b-1", side="gate")
    talk.server(b"220 mx.example.org ESMTP")
    talk.client(b"STARTTLS")
    talk.server(b"220 2.0.0 Go ahead")
    talk.add(Blind, server="10.0.0.5:25", reason="mode = pass")
    talk.data("client", 5012, what="octets")
    return talk.close()


def hostile_session() -> Session:
    """Everything that a peer can say, where it can say it."""
    talk = Conversation("evil")
    for each in HOSTILE:
        text = each.decode("utf-8", "surrogateescape").encode("utf-8", "replace").decode()
        talk.client(each)
        talk.server(each)
        talk.data("client", 12, headers=each, sha256="0" * 64)
        talk.add(Decision, what=text, verdict=text, rule=text, reason=text, subject=text)
        talk.add(
            Upgraded, side="backend", version=text, cipher=text, group=text, verified="untrusted", reason=text,
            names=(text,), server_name=text, alpn=text, server=text,
        )  # fmt: skip
        talk.add(Upgraded, side="client", reason=text)
        talk.add(Blind, reason=text, server=text)
    return talk.close("".join(each.decode("utf-8", "replace") for each in HOSTILE))
