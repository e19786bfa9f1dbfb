"""Protocols that a gate does not read: the way into TLS is the recipe's, and then octets go both ways."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.service.gate.far_server import FarServer

from gatepost import blocking
from gatepost.testing.gate import HOSTNAME, RunningGates
from gatepost.wire.recipes.postgres import SSL_REQUEST

SECONDS = 30.0
EVERY_OCTET = bytes(range(256)) * 1500


@contextlib.contextmanager
def gates(tmp_path: Path, far: FarServer, protocol: str, backend: Any = None, **gate: Any) -> Iterator[RunningGates]:
    """One gate, called front, before a server."""
    backends = [{"name": "far", "servers": far.name, **(backend or {})}]
    with RunningGates(
        tmp_path, [{"name": "front", "protocol": protocol, "backend": "far", **gate}], backends, workers=1
    ) as running:
        yield running


def private(running: RunningGates, protocol: str = "") -> blocking.SecureConnection:
    """A client inside TLS, by STARTTLS of a protocol or at once."""
    settings: dict[str, Any] = {"ca_file": running.ca_file, "server_name": HOSTNAME, "timeout": SECONDS}
    host, port = "127.0.0.1", running.port("front")
    if not protocol:
        secure: blocking.SecureConnection = blocking.connect(host, port, implicit=True, **settings)
        return secure
    plain: blocking.PlainConnection = blocking.connect(host, port, **settings)
    return plain.upgrade(protocol)


def behind(far: FarServer, tmp_path: Path, tls: str) -> dict[str, str]:
    """The keys of a backend whose server speaks TLS."""
    ca = tmp_path / "far.pem"
    ca.write_bytes(far.authority.pem)
    return {"tls": tls, "ca": str(ca)}


def exchanged(client: blocking.SecureConnection, words: bytes) -> bytes:
    """What comes back for some words."""
    client.send(words, timeout=SECONDS)
    return client.read_exactly(len(words))


@pytest.mark.parametrize("protocol", ["ldap", "postgres", "irc", "xmpp", "ftp", "nntp"])
def test_octets_go_through_behind_the_upgrade(tmp_path: Path, protocol: str) -> None:
    """Every octet value, both ways, in pieces and in bulk; a greeting that the client has heard is not said again."""
    greetings = {"ftp": b"220-Welcome\r\n220 far ready\r\n", "nntp": b"200 far ready\r\n"}
    with FarServer(greetings.get(protocol, b"")) as far, gates(tmp_path, far, protocol) as running:
        with private(running, protocol) as client:
            assert exchanged(client, b"hello") == b"hello"
            assert exchanged(client, EVERY_OCTET) == EVERY_OCTET
        assert far.heard == b"hello" + EVERY_OCTET


def test_server_that_speaks_first_inside_tls_is_heard_there(tmp_path: Path) -> None:
    """ManageSieve lists its capabilities again inside TLS (RFC 5804 §2.2): what the server greets with is just that."""
    says = b'"IMPLEMENTATION" "far"\r\nOK "ready"\r\n'
    with FarServer(says) as far, gates(tmp_path, far, "sieve") as running, private(running, "sieve") as client:
        assert client.read_exactly(len(says)) == says
        assert exchanged(client, b"LOGOUT\r\n") == b"LOGOUT\r\n"


@pytest.mark.parametrize("protocol", ["ldap", "postgres", "ftp", "nntp", "sieve", "irc", "xmpp"])
def test_server_behind_is_upgraded_by_the_recipes_client_half(tmp_path: Path, protocol: str) -> None:
    """With ``tls = "starttls"`` the gate asks the server for TLS, verifies it, and only then passes anything on."""
    with (
        FarServer(protocol=protocol) as far,
        gates(tmp_path, far, protocol, behind(far, tmp_path, "starttls")) as running,
        private(running, protocol) as client,
    ):
        first = b"CAP END\r\n" if protocol == "irc" else b""  # ends what CAP LS began in the clear
        assert not first or client.read_exactly(len(first)) == first
        assert exchanged(client, EVERY_OCTET) == EVERY_OCTET
        assert far.heard == first + EVERY_OCTET


@pytest.mark.parametrize(("protocol", "says"), [("ftp", b"220 "), ("nntp", b"200 "), ("ldap", b"")])
def test_client_that_begins_with_tls_gets_the_greeting_that_the_server_spent_on_its_upgrade(
    tmp_path: Path, protocol: str, says: bytes
) -> None:
    """Behind an implicit gate the server's only greeting was said before its STARTTLS; the gate greets in its place."""
    with (
        FarServer(protocol=protocol) as far,
        gates(tmp_path, far, protocol, behind(far, tmp_path, "starttls"), tls="implicit") as running,
        private(running) as client,
    ):
        if says:
            assert client.readline().startswith(says + HOSTNAME.encode())
        assert exchanged(client, b"words\r\n") == b"words\r\n"


def test_client_and_server_that_begin_with_tls_see_each_other_as_they_are(tmp_path: Path) -> None:
    """TLS from the first octet on both sides: the server's own greeting goes through."""
    with (
        FarServer(b"220 far\r\n", "ftp", "implicit") as far,
        gates(tmp_path, far, "ftp", behind(far, tmp_path, "implicit"), tls="implicit") as running,
        private(running) as client,
    ):
        assert client.readline() == b"220 far\r\n"
        assert exchanged(client, b"QUIT\r\n") == b"QUIT\r\n"


def test_nothing_that_was_said_in_the_clear_reaches_the_server(tmp_path: Path) -> None:
    """What stands behind the request for TLS is refused, in the protocol's words; the server never hears of it."""
    with FarServer() as far, gates(tmp_path, far, "postgres") as running:
        with socket.create_connection(("127.0.0.1", running.port("front")), SECONDS) as client:
            client.sendall(SSL_REQUEST + b"DROP TABLE students")
            answer = b"".join(iter(lambda: client.recv(4096), b""))
        assert answer.startswith(b"E") and b"unencrypted data" in answer
        assert far.heard == b"" and running.total("gate_backend_connections_total", backend="far") == 0
        assert running.total("plaintext_after_upgrade_total", side="server") == 1


def test_client_that_does_not_ask_for_tls_is_refused_and_the_server_not_bothered(tmp_path: Path) -> None:
    """A startup message in the clear: psql is told that TLS comes first."""
    with FarServer() as far, gates(tmp_path, far, "postgres") as running:
        with socket.create_connection(("127.0.0.1", running.port("front")), SECONDS) as client:
            client.sendall(b"\0\0\0\x10\0\3\0\0user\0x\0\0")
            answer = b"".join(iter(lambda: client.recv(4096), b""))
        assert b"TLS first" in answer
        assert far.heard == b""


def test_pass_hands_everything_through_from_the_first_octet(tmp_path: Path) -> None:
    """The client's own upgrade, with the server's certificate: the gate reads nothing."""
    with FarServer(protocol="postgres") as far, gates(tmp_path, far, "postgres", mode="pass") as running:
        ca = tmp_path / "far.pem"
        ca.write_bytes(far.authority.pem)
        plain = blocking.connect("127.0.0.1", running.port("front"), ca_file=ca, server_name="localhost")
        with plain.upgrade("postgres") as client:
            assert exchanged(client, EVERY_OCTET) == EVERY_OCTET


def test_half_close_goes_through(tmp_path: Path) -> None:
    """A client that has said everything still hears the rest: its end of the stream is passed on by itself."""
    with FarServer() as far, gates(tmp_path, far, "mysql", mode="pass") as running:
        with socket.create_connection(("127.0.0.1", running.port("front")), SECONDS) as client:
            client.sendall(EVERY_OCTET)
            client.shutdown(socket.SHUT_WR)
            assert b"".join(iter(lambda: client.recv(65536), b"")) == EVERY_OCTET


@pytest.mark.parametrize(("protocol", "words"), [("ftp", b"421 "), ("nntp", b"400 "), ("sieve", b"BYE ")])
def test_client_is_told_when_no_server_is_there(tmp_path: Path, protocol: str, words: bytes) -> None:
    """The health check has found nobody: the client hears it in its protocol's words, before TLS."""
    tables = [{"name": "front", "protocol": protocol, "backend": "far"}]
    with socket.socket() as nobody:  # bound, so that nobody else gets the port, and not listening
        nobody.bind(("127.0.0.1", 0))
        backend = {"name": "far", "servers": f"127.0.0.1:{nobody.getsockname()[1]}"}
        with RunningGates(tmp_path, tables, [backend]) as running:
            with socket.create_connection(("127.0.0.1", running.port("front")), SECONDS) as client:
                assert b"".join(iter(lambda: client.recv(4096), b"")).startswith(words)


def test_server_with_a_wrong_certificate_gets_nothing(tmp_path: Path) -> None:
    """It is for another name: the session inside the client's TLS ends, and the server hears no word of it."""
    with (
        FarServer(protocol="ldap") as far,
        gates(tmp_path, far, "ldap", behind(far, tmp_path, "starttls") | {"names": "db.test"}) as running,
        private(running, "ldap") as client,
    ):
        client.send(b"bind as root")
        assert b"No server can be had" in client.read()
        assert far.heard == b""


def test_next_server_serves_when_the_first_is_not_what_it_should_be(tmp_path: Path) -> None:
    """Nothing of the client's had reached it: whichever is tried first, the client hears nothing of it."""
    with FarServer(answers=b"\x16\x03\x03") as wrong, FarServer(protocol="ldap") as right:
        backend = behind(right, tmp_path, "starttls") | {"servers": [wrong.name, right.name]}
        with gates(tmp_path, right, "ldap", backend) as running:
            for _ in range(2):
                with private(running, "ldap") as client:
                    assert exchanged(client, b"hello") == b"hello"
        assert b"hello" not in wrong.heard


def test_rule_that_denies_tls_closes_the_connection(tmp_path: Path) -> None:
    """There is nothing else that this gate could speak in the clear."""
    rule = {"from": ["127.0.0.1"], "starttls": "deny"}
    tables = [{"name": "front", "protocol": "ldap", "backend": "far"}]
    with (
        FarServer() as far,
        RunningGates(tmp_path, tables, [{"name": "far", "servers": far.name}], inbound=[rule]) as running,
    ):
        with socket.create_connection(("127.0.0.1", running.port("front")), SECONDS) as client:
            assert client.recv(64) == b""


def test_streams_that_stand_still_end_when_the_process_drains(tmp_path: Path) -> None:
    """A stop does not wait for a client that has nothing to say."""
    with FarServer() as far, gates(tmp_path, far, "ldap") as running, private(running, "ldap") as client:
        assert exchanged(client, b"hello") == b"hello"
        running.drain()
        with contextlib.suppress(OSError):
            assert client.read() == b""


def test_server_that_refuses_one_client_stays_in_use_for_the_others(tmp_path: Path) -> None:
    """It was told who the client is, and may have meant just that one: the client hears it, and nobody else."""
    with (
        FarServer(b"421 not you\r\n") as far,
        gates(tmp_path, far, "ftp", {"client": "proxy1"}) as running,
        private(running, "ftp") as client,
    ):
        assert client.readline().startswith(b"421 ")
        assert running.total("gate_backend_servers", backend="far", state="up") == 1


def test_plaintext_behind_the_servers_go_ahead_is_never_passed_on(tmp_path: Path) -> None:
    """CVE-2021-23222 at the gate's other face: no handshake is begun, and the client sees none of it."""
    with (
        FarServer(answers=b"S" + b"R\0\0\0\x08\0\0\0\0") as far,
        gates(tmp_path, far, "postgres", behind(far, tmp_path, "starttls")) as running,
        private(running, "postgres") as client,
    ):
        assert client.read() == b""
        assert running.total("plaintext_after_upgrade_total", side="client") == 1
        assert far.heard == SSL_REQUEST
