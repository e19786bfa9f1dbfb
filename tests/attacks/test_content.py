"""The attacker plays with chunks, sizes and ends of messages (RFC 3030, RFC 1870)."""

from __future__ import annotations

import ssl

import pytest
from tests.attacks.raw import Raw

from gatepost.testing.server import MailServer


def begin(client: Raw, *, tls: MailServer | None = None) -> None:
    if tls is not None:
        client.upgrade(tls.ca_file)
    for line in (b"EHLO attacker.example", b"MAIL FROM:<a@b.example>", b"RCPT TO:<alice@example.test>"):
        assert client.say(line).startswith(b"250")


def test_chunk_octets_are_never_commands(server: MailServer) -> None:
    """Goal: CRLF.CRLF and commands inside a counted chunk are read as lines."""
    server.messages()
    inside = b"Subject: x\r\n\r\n.\r\nQUIT\r\nRSET\r\n"
    with Raw(server.ports["mx"]) as client:
        begin(client)
        client.send(b"BDAT %d LAST\r\n" % len(inside) + inside)
        assert client.reply().startswith(b"250")
        assert client.say(b"NOOP").startswith(b"250")
    [(_, body, _)] = server.messages()
    assert body.endswith(inside)


def test_refused_chunk_is_still_consumed(server: MailServer) -> None:
    """Goal: octets of a chunk that was refused (no recipient yet) are run as commands."""
    with Raw(server.ports["mx"]) as client:
        client.say(b"EHLO attacker.example")
        client.send(b"BDAT 6 LAST\r\nQUIT\r\n")
        assert client.reply().startswith(b"503")
        assert client.say(b"NOOP").startswith(b"250")


@pytest.mark.parametrize("size", [b"-1", b"0x10", b"", b"99999999999999999999", b"1e3", b"+5", b"5 FIRST"], ids=ascii)
def test_odd_chunk_sizes_end_the_session(server: MailServer, size: bytes) -> None:
    """Goal: a size that parsers read differently. Nobody knows where such a chunk ends: the session does."""
    with Raw(server.ports["mx"]) as client:
        begin(client)
        client.send(b"BDAT " + size + b"\r\nQUIT\r\n")
        answer = client.rest()
        assert answer[:1] == b"5"
        assert b"221" not in answer


def test_data_after_a_chunk_is_refused(server: MailServer) -> None:
    """Goal: mix DATA and BDAT in one message, so that its end is in doubt."""
    with Raw(server.ports["mx"]) as client:
        begin(client)
        client.send(b"BDAT 4\r\nx: y")
        assert client.reply().startswith(b"250")
        assert client.say(b"DATA").startswith(b"503")


def test_message_beyond_the_limit_is_refused_and_never_stored(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Goal: fill the disk. The declared size is refused at MAIL, an undeclared one at its end."""
    with MailServer(tmp_path_factory.mktemp("small"), limits={"message_size": 100_000}) as server:
        with Raw(server.ports["mx"]) as client:
            client.say(b"EHLO attacker.example")
            assert client.say(b"MAIL FROM:<a@b.example> SIZE=100001").startswith(b"552")
            for command in (b"DATA", b"BDAT"):
                begin(client)
                content = b"Subject: x\r\n\r\n" + b"y" * 70 * 1000 + b"\r\n" + b"z" * 40_000 + b"\r\n"
                if command == b"DATA":
                    assert client.say(b"DATA").startswith(b"354")
                    client.send(content + b".\r\n")
                else:
                    client.send(b"BDAT %d LAST\r\n" % len(content) + content)
                assert client.reply().startswith(b"552")
        assert server.messages() == []
        assert list((server.data / "queue" / "bodies").iterdir()) == []


@pytest.mark.parametrize("tls", [False, True], ids=["in the clear", "inside TLS"])
@pytest.mark.parametrize("size", [100, 300_000], ids=["small", "large"])
def test_cut_message_is_never_stored(server: MailServer, tls: bool, size: int) -> None:
    """Goal: a message that was cut off in its middle is delivered as if it were whole (truncation)."""
    server.messages()
    for how in ("DATA", "BDAT"):
        with Raw(server.ports["mx"]) as client:
            begin(client, tls=server if tls else None)
            if how == "DATA":
                assert client.say(b"DATA").startswith(b"354")
            else:
                client.send(b"BDAT %d LAST\r\n" % (size * 2))
            client.send(b"Subject: cut\r\n\r\n" + b"x" * size + b"\r\n")
            if isinstance(client.sock, ssl.SSLSocket):
                client.plain = client.sock
            client.close()
    with Raw(server.ports["mx"]) as client:  # the cut ones were read before this one is answered
        begin(client)
        assert client.say(b"RSET").startswith(b"250")
    assert server.messages() == []


def test_message_that_goes_in_circles_is_refused(server: MailServer) -> None:
    """Goal: a loop that multiplies mail. A hundred Received fields are enough."""
    with Raw(server.ports["mx"]) as client:
        begin(client)
        assert client.say(b"DATA").startswith(b"354")
        client.send(b"Received: from a by b; x\r\n" * 101 + b"\r\n.\r\n")
        assert client.reply().startswith(b"554 5.4.6")
