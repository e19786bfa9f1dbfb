"""A load generator for SMTP servers: many sessions at once, one thread, one report.

    python bench/load.py --port 2525 --sessions 2000 --concurrency 50 [--mode starttls|implicit|plain]
        [--messages 1] [--size 4096] [--resume] [--json]
    python bench/load.py --port 2525 --hold 1000      # holds STARTTLS connections until its input ends

A session greets, secures its connection as the mode says, sends its messages one command at a time, and quits. It is a
generator that yields what it waits for; the loop resumes it. Certificates are not verified: this is a tool for loopback
that must cost little beside the server. Python's own ``ssl`` does the TLS, so that nothing that is measured is
also what measures.
"""

from __future__ import annotations

import argparse
import json
import selectors
import socket
import ssl
import sys
import time
from collections.abc import Generator
from dataclasses import asdict, dataclass, field
from typing import Final

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
LINE: Final = b"x" * 70 + b"\r\n"
TIMEOUT: Final = 30.0
SESSIONS_KEPT: Final = 256

Steps = Generator[int, None, None]


class Failed(Exception):
    """The server did not say what it should have."""


@dataclass(slots=True)
class Tally:
    """What was seen."""

    sessions: int = 0
    messages: int = 0
    octets: int = 0
    handshakes: int = 0
    resumed: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Plan:
    """What each session does.

    :param messages: how many; none is greeting, TLS, QUIT.
    :param size: octets of a message.
    """

    host: str
    port: int
    mode: str
    messages: int
    size: int
    resume: bool
    sender: str = "load@client.test"
    recipient: str = "user0@mx.test"


def body_of(size: int) -> bytes:
    """A message of this size, with its final dot."""
    head = b"From: <load@client.test>\r\nTo: <user0@mx.test>\r\nSubject: load\r\n\r\n"
    room = max(size - len(head) - 2, 0)
    text = LINE * (room // len(LINE)) + b"y" * (room % len(LINE)) + b"\r\n"
    return head + text + b".\r\n"


class Session:
    """One connection."""

    def __init__(self, plan: Plan, load: Load) -> None:
        self.plan = plan
        self.load = load
        self.began = time.perf_counter()
        self.sock: socket.socket | ssl.SSLSocket = socket.socket(
            socket.AF_INET6 if ":" in plan.host else socket.AF_INET, socket.SOCK_STREAM
        )
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.number = self.sock.fileno()
        self.heard = b""
        self.steps = self.run()

    def run(self) -> Steps:
        """The whole session."""
        yield from self.open()
        plan, envelope = self.plan, (f"MAIL FROM:<{self.plan.sender}>", f"RCPT TO:<{self.plan.recipient}>")
        for _ in range(plan.messages):
            for command in envelope:
                yield from self.say(command.encode() + b"\r\n", b"2")
            yield from self.say(b"DATA\r\n", b"3")
            yield from self.say(self.load.body, b"2")
            self.load.tally.messages += 1
            self.load.tally.octets += plan.size
        yield from self.say(b"QUIT\r\n", b"2")

    def open(self) -> Steps:
        """Connect, and greet inside TLS."""
        if self.sock.connect_ex((self.plan.host, self.plan.port)) not in (0, 115):
            raise Failed("connect")
        yield WRITE
        if self.plan.mode == "implicit":
            yield from self.secure()
        yield from self.reply(b"2")
        yield from self.say(b"EHLO client.test\r\n", b"2")
        if self.plan.mode == "starttls":
            yield from self.say(b"STARTTLS\r\n", b"2")
            yield from self.secure()
            yield from self.say(b"EHLO client.test\r\n", b"2")

    def secure(self) -> Steps:
        """The handshake."""
        load = self.load
        ticket = load.tickets.pop() if self.plan.resume and load.tickets else None
        secured = load.context.wrap_socket(
            self.sock, server_hostname="mx.test", do_handshake_on_connect=False, session=ticket
        )
        self.sock = secured
        while True:
            try:
                secured.do_handshake()
                break
            except ssl.SSLWantReadError:
                yield READ
            except ssl.SSLWantWriteError:
                yield WRITE
        load.tally.handshakes += 1
        load.tally.resumed += bool(secured.session_reused)

    def say(self, octets: bytes, wanted: bytes) -> Steps:
        """Say something, and hear the answer."""
        view = memoryview(octets)
        while view:
            try:
                view = view[self.sock.send(view[:65536]) :]
            except (ssl.SSLWantWriteError, BlockingIOError):
                yield WRITE
            except ssl.SSLWantReadError:
                yield READ
        yield from self.reply(wanted)

    def reply(self, wanted: bytes) -> Steps:
        """A whole reply, however many lines it has."""
        while True:
            lines = self.heard.split(b"\r\n")
            if len(lines) > 1 and lines[-2][3:4] != b"-":
                break
            try:
                data = self.sock.recv(16384)
            except (ssl.SSLWantReadError, BlockingIOError):
                yield READ
                continue
            if not data:
                raise Failed("closed")
            self.heard += data
        said, self.heard = lines[-2], b""
        if not said.startswith(wanted):
            raise Failed(f"reply {said[:3].decode(errors='replace')}")

    def close(self) -> None:
        """Keep the ticket, and close."""
        if self.plan.resume and isinstance(self.sock, ssl.SSLSocket) and self.sock.session is not None:
            self.load.tickets = [*self.load.tickets[-SESSIONS_KEPT:], self.sock.session]
        self.sock.close()


class Held(Session):
    """A connection that is secured and then says nothing."""

    def run(self) -> Steps:
        yield from self.open()
        self.load.tally.sessions += 1
        while True:
            yield READ


class Load:
    """The loop."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.body = body_of(plan.size)
        self.tally = Tally()
        self.tickets: list[ssl.SSLSession] = []
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname = False
        self.context.verify_mode = ssl.CERT_NONE
        self._waiting = selectors.DefaultSelector()
        self._open: dict[int, Session] = {}

    def run(self, sessions: int, concurrency: int) -> None:
        """Run that many sessions, so many at a time."""
        left = sessions
        while left or self._open:
            while left and len(self._open) < concurrency:
                left -= 1
                self._start(Session(self.plan, self))
            self._turn()

    def hold(self, count: int, concurrency: int) -> list[Session]:
        """Secure that many connections, and keep them."""
        for began in range(count):
            self._start(Held(self.plan, self))
            while began + 1 - self.tally.sessions - sum(self.tally.failures.values()) >= concurrency:
                self._turn()
        while self.tally.sessions + sum(self.tally.failures.values()) < count:
            self._turn()
        return list(self._open.values())

    def _start(self, session: Session) -> None:
        self._open[session.number] = session
        self._waiting.register(session.number, READ, session)
        self._advance(session)

    def _turn(self) -> None:
        ready = self._waiting.select(1.0)
        for key, _ in ready:
            self._advance(key.data)
        if not ready:
            limit = time.perf_counter() - TIMEOUT
            for session in [each for each in self._open.values() if each.began < limit and type(each) is Session]:
                self._end(session, "timeout")

    def _advance(self, session: Session) -> None:
        try:
            wanted = next(session.steps)
        except StopIteration:
            self.tally.sessions += 1
            self.tally.seconds.append(time.perf_counter() - session.began)
            self._end(session)
        except (Failed, OSError) as error:
            self._end(session, str(error) if isinstance(error, Failed) else type(error).__name__)
        else:
            if self._waiting.get_key(session.number).events != wanted:
                self._waiting.modify(session.number, wanted, session)

    def _end(self, session: Session, failure: str = "") -> None:
        self._waiting.unregister(session.number)
        del self._open[session.number]
        session.close()
        if failure:
            self.tally.failures[failure] = self.tally.failures.get(failure, 0) + 1


def percentile(values: list[float], share: float) -> float:
    """The value below which that share lies."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)] if values else float("nan")


def report(tally: Tally, wall: float, cpu: float) -> dict[str, object]:
    """The figures of a run."""
    return {
        **{key: value for key, value in asdict(tally).items() if key != "seconds"},
        "failed": sum(tally.failures.values()),
        "wall_s": wall,
        "cpu_s": cpu,
        "sessions_per_s": tally.sessions / wall,
        "messages_per_s": tally.messages / wall,
        "mb_per_s": tally.octets / 1e6 / wall,
        "session_ms": {f"p{share}": 1000 * percentile(tally.seconds, share / 100) for share in (50, 95, 99)},
    }


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--concurrency", type=int, default=50)
    parser.add_argument("--mode", choices=("starttls", "implicit", "plain"), default="starttls")
    parser.add_argument("--messages", type=int, default=1, help="a session")
    parser.add_argument("--size", type=int, default=4096, help="octets of a message")
    parser.add_argument("--resume", action="store_true", help="resume TLS sessions")
    parser.add_argument("--hold", type=int, default=0, help="hold this many connections until the input ends")
    parser.add_argument("--to", default="user0@mx.test")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    load = Load(Plan(asked.host, asked.port, asked.mode, asked.messages, asked.size, asked.resume, recipient=asked.to))
    wall, cpu = time.perf_counter(), time.process_time()
    if asked.hold:
        held = load.hold(asked.hold, min(asked.concurrency, 50))
        print(json.dumps({"held": len(held), "failures": load.tally.failures}), flush=True)
        sys.stdin.read()
        return 0
    load.run(asked.sessions, asked.concurrency)
    figures = report(load.tally, time.perf_counter() - wall, time.process_time() - cpu)
    if asked.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:16} {value}")
    return 1 if figures["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
