"""Attacks on a gate that lets the client's TLS through: both its sides are upgraded, and nothing crosses."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from tests.attacks.raw import Raw
from tests.interop.patience import until

from gatepost.testing.ca import TestAuthority
from gatepost.testing.gate import RunningGates

EVERY: Final = bytes(range(256))
_SECONDS: Final = 30.0


class Speech(NamedTuple):
    """What a protocol says around its upgrade.

    :param before: what a client says first, in the clear, with what begins the answer to it.
    :param request: the client's request.
    :param go_ahead: how the answer begins that grants it.
    :param denied: how the gate refuses what stood behind the request.
    :param lost: how it tells a client that its server is of no use.
    :param again: a command for after a refusal, and how its answer begins.
    """

    before: tuple[bytes, bytes]
    request: bytes
    go_ahead: bytes
    denied: bytes
    lost: bytes
    again: tuple[bytes, bytes]


SPEECH: Final = {
    "smtp": Speech(
        (b"EHLO client.example", b"250"), b"STARTTLS", b"220", b"554 5.5.0", b"421", (b"NOOP", b"250")
    ),
    "pop3": Speech((b"USER x", b"-ERR"), b"STLS", b"+OK", b"-ERR", b"-ERR [SYS/TEMP]", (b"USER x", b"-ERR")),
}  # fmt: skip
HELLO: Final = b"\x16\x03\x01\x00\xf8\x01" + bytes(0xF7)


class Server:
    """A server behind, by socket: it serves lines in the clear up to its upgrade, and a test has what comes after.

    :param protocol: ``smtp`` or ``pop3``.
    :param go_ahead: the answer to the request.
    """

    def __init__(self, protocol: str, go_ahead: bytes) -> None:
        self._protocol = protocol
        self._go_ahead = go_ahead
        self._sock = socket.create_server(("127.0.0.1", 0))
        self.port: Final[int] = self._sock.getsockname()[1]
        self.lines: list[bytes] = []
        self.upgraded: list[tuple[socket.socket, bytes]] = []
        """Connections that were given the go-ahead, each with what had come behind the request."""
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Server:
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()
        self._thread.join()
        for sock in self._open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for sock in self._open:
            sock.close()

    def far(self) -> tuple[socket.socket, bytes]:
        """The connection whose upgrade was granted."""
        until(lambda: bool(self.upgraded), what="the server grants the upgrade")
        return self.upgraded[0]

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._sock.accept()
            except OSError:
                return
            sock.settimeout(_SECONDS)
            self._open.append(sock)
            thread = threading.Thread(target=self._serve, args=(sock,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            self._converse(sock)

    def _converse(self, sock: socket.socket) -> None:
        smtp = self._protocol == "smtp"
        sock.sendall(b"220 far ESMTP\r\n" if smtp else b"+OK ready\r\n")
        buffer = b""
        while True:
            while b"\r\n" not in buffer:
                data = sock.recv(65536)
                if not data:
                    return
                buffer += data
            line, buffer = buffer.split(b"\r\n", 1)
            self.lines.append(line)
            verb = line.partition(b" ")[0].upper()
            if verb in (b"STARTTLS", b"STLS"):
                sock.sendall(self._go_ahead)
                if self._go_ahead.startswith((b"220", b"+OK")):
                    self.upgraded.append((sock, buffer))
                    return
            elif smtp:
                sock.sendall(b"250-far\r\n250 STARTTLS\r\n" if verb == b"EHLO" else b"250 fine\r\n")
            else:
                sock.sendall(b"+OK\r\nSTLS\r\n.\r\n" if verb == b"CAPA" else b"+OK\r\n")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture(params=sorted(SPEECH))
def protocol(request: pytest.FixtureRequest) -> str:
    """The protocols whose session lives in the clear first."""
    return str(request.param)


def gate(folder: Path, protocol: str, port: int) -> RunningGates:
    table = {"name": "front", "protocol": protocol, "backend": "mail", "mode": "pass"}
    backends: list[dict[str, Any]] = [{"name": "mail", "servers": [f"127.0.0.1:{port}"], "health_every": "1h"}]
    return RunningGates(folder, [table], backends)


class Meeting(NamedTuple):
    """A client that has just heard the go-ahead, and the server that gave it."""

    front: RunningGates
    client: Raw
    far: socket.socket


def meet(stack: ExitStack, folder: Path, protocol: str) -> Meeting:
    speech = SPEECH[protocol]
    server = stack.enter_context(Server(protocol, speech.go_ahead + b" begin\r\n"))
    front = stack.enter_context(gate(folder, protocol, server.port))
    client = stack.enter_context(Raw(front.port("front")))
    assert client.say(speech.before[0]).startswith(speech.before[1])
    assert client.say(speech.request).startswith(speech.go_ahead)
    far, behind = server.far()
    assert behind == b""
    return Meeting(front, client, far)


def exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        assert more, data
        data += more
    return data


def remaining(sock: socket.socket) -> bytes:
    """Everything up to the end, or up to a reset."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while more := sock.recv(65536):
            data += more
    return data


def test_every_octet_passes_both_ways(tmp_path: Path, stack: ExitStack, protocol: str) -> None:
    """After the client's hello, any octet goes either way, in any order, and each end's end is told to the other."""
    _, client, far = meet(stack, tmp_path, protocol)
    client.send(HELLO + EVERY)
    assert exactly(far, len(HELLO) + 256) == HELLO + EVERY
    big = EVERY * 8192
    sender = threading.Thread(target=far.sendall, args=(big,))
    sender.start()
    assert client.buffer == b""
    assert exactly(client.sock, len(big)) == big
    sender.join()
    client.sock.shutdown(socket.SHUT_WR)
    assert far.recv(1) == b""
    far.sendall(EVERY)
    far.shutdown(socket.SHUT_WR)
    assert remaining(client.sock) == EVERY


def test_eager_hello_goes_on_to_the_server(tmp_path: Path, stack: ExitStack, protocol: str) -> None:
    """Behind the request, in its segment: the server hears it from its first octet, after its own go-ahead."""
    speech = SPEECH[protocol]
    server = stack.enter_context(Server(protocol, speech.go_ahead + b" begin\r\n"))
    front = stack.enter_context(gate(tmp_path, protocol, server.port))
    with Raw(front.port("front")) as client:
        client.say(speech.before[0])
        client.send(speech.request + b"\r\n" + HELLO)
        assert client.reply().startswith(speech.go_ahead)
        far, behind = server.far()
        assert behind == b""
        assert exactly(far, len(HELLO)) == HELLO


@pytest.mark.parametrize("residue", [b"NOOP\r\n", b"X", b"\0", b"\r\n", b"\x16\x03\x09", b"\x15\x03\x01\x00\x02"])
def test_plaintext_behind_the_request_reaches_no_server(
    tmp_path: Path, stack: ExitStack, protocol: str, residue: bytes
) -> None:
    """It is refused in place of the go-ahead, though the server has given its own."""
    speech = SPEECH[protocol]
    server = stack.enter_context(Server(protocol, speech.go_ahead + b" begin\r\n"))
    front = stack.enter_context(gate(tmp_path, protocol, server.port))
    with Raw(front.port("front")) as client:
        client.say(speech.before[0])
        client.send(speech.request + b"\r\n" + residue)
        got = client.rest()
        assert got.startswith(speech.denied)
        assert got.count(b"\r\n") == 1
    far, behind = server.far()
    assert behind + remaining(far) == b""
    assert front.total("plaintext_after_upgrade_total", side="server") == 1


@pytest.mark.parametrize(
    "residue", [b"NOOP\r\n", b"\0", b"GET / HTTP/1.1\r\n\r\n", b"\x17\x03\x03\x00\x10" + bytes(16)]
)
def test_plaintext_in_place_of_a_hello_reaches_no_server(
    tmp_path: Path, stack: ExitStack, protocol: str, residue: bytes
) -> None:
    """In a later segment too: what is no hello is not passed on, and both connections are over."""
    front, client, far = meet(stack, tmp_path, protocol)
    client.send(residue)
    assert remaining(client.sock) == b""
    assert remaining(far) == b""
    until(lambda: front.total("plaintext_after_upgrade_total", side="server") == 1, what="it is counted")


@pytest.mark.parametrize(
    "injected", [b"250-evil\r\n250 AUTH PLAIN\r\n", b"+OK\r\n", b"\0", b"\x16\x03\x03\x00\x7a\x02"]
)
def test_words_behind_the_servers_go_ahead_reach_no_client(
    tmp_path: Path, stack: ExitStack, protocol: str, injected: bytes
) -> None:
    """The client is told that there is no server, and gets no octet of them."""
    speech = SPEECH[protocol]
    server = stack.enter_context(Server(protocol, speech.go_ahead + b" begin\r\n" + injected))
    front = stack.enter_context(gate(tmp_path, protocol, server.port))
    with Raw(front.port("front")) as client:
        client.say(speech.before[0])
        client.send(speech.request + b"\r\n")
        got = client.rest()
        assert got.startswith(speech.lost)
        assert got.count(b"\r\n") == 1
    until(lambda: front.total("plaintext_after_upgrade_total", side="client") == 1, what="it is counted")


def test_words_of_the_server_before_the_clients_hello_reach_no_client(
    tmp_path: Path, stack: ExitStack, protocol: str
) -> None:
    """In a later segment too: a server speaks next when it has heard a hello."""
    front, client, far = meet(stack, tmp_path, protocol)
    far.sendall(b"250-evil\r\n")
    assert remaining(client.sock) == b""
    until(lambda: front.total("plaintext_after_upgrade_total", side="client") == 1, what="it is counted")


def test_gate_goes_on_reading_where_the_server_refuses(tmp_path: Path, stack: ExitStack, protocol: str) -> None:
    """The refusal is the server's, what follows is read, and the next request is asked again."""
    speech = SPEECH[protocol]
    refusal = b"454 4.7.0 not today" if protocol == "smtp" else b"-ERR [SYS/TEMP] not today"
    server = stack.enter_context(Server(protocol, refusal + b"\r\n"))
    front = stack.enter_context(gate(tmp_path, protocol, server.port))
    with Raw(front.port("front")) as client:
        client.say(speech.before[0])
        for _ in range(2):
            assert client.say(speech.request) == refusal
            assert client.say(speech.again[0]).startswith(speech.again[1])
    assert server.upgraded == []


@pytest.mark.parametrize("answer", [b"", b"x" * 1_000_000, b"maybe\r\n", b"354 go\r\n", b"+ \r\n"])
def test_answer_to_the_request_that_is_none_ends_the_session(
    tmp_path: Path, stack: ExitStack, protocol: str, answer: bytes
) -> None:
    """No go-ahead of the gate's own is given for it."""
    speech = SPEECH[protocol]
    server = stack.enter_context(Server(protocol, answer))
    table = {"name": "front", "protocol": protocol, "backend": "mail", "mode": "pass"}
    mail = {"name": "mail", "servers": [f"127.0.0.1:{server.port}"], "health_every": "1h", "reply_timeout": "1s"}
    front = stack.enter_context(RunningGates(tmp_path, [table], [mail]))
    with Raw(front.port("front")) as client:
        client.say(speech.before[0])
        client.send(speech.request + b"\r\n")
        got = client.rest()
        assert got == b"" or got.startswith(speech.lost), got
        assert not got.startswith(speech.go_ahead)


def test_certificate_is_the_servers_own(tmp_path: Path, stack: ExitStack, protocol: str) -> None:
    """A whole handshake goes through: the client checks the server's certificate, and the gate has no part in it."""
    authority = TestAuthority("far")
    authority.issue("far.test").write(tmp_path / "far.pem")
    (tmp_path / "far-ca.pem").write_bytes(authority.pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "far.pem")
    _, client, far = meet(stack, tmp_path, protocol)
    echo = threading.Thread(target=_echo, args=(context, far))
    echo.start()
    try:
        client.start_tls(tmp_path / "far-ca.pem", "far.test")
        client.send(EVERY)
        assert exactly(client.sock, 256) == EVERY
    finally:
        client.close()
        echo.join()


def _echo(context: ssl.SSLContext, sock: socket.socket) -> None:
    with contextlib.suppress(OSError), context.wrap_socket(sock.dup(), server_side=True) as secure:
        while data := secure.recv(65536):
            secure.sendall(data)
