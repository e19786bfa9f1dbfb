"""The server's side of a gate: what a client said goes out, and the answer comes back as it is."""

from __future__ import annotations

import pytest

from gatepost.errors import LocalProtocolError
from gatepost.testing.memory import CLOSE, ORIGIN, Chunking, MemoryDriver, ScriptedPeer
from gatepost.testing.tls import evidence
from gatepost.wire.pop3.client import PlainClient, SecureClient
from gatepost.wire.pop3.refusals import ConnectionLost, MalformedReply, UnexpectedReply
from gatepost.wire.pop3.relaying import Relaying
from gatepost.wire.pop3.reply import Reply
from gatepost.wire.sasl.secret import Secret

GREETING = (b"", b"+OK ready\r\n")


def relay(*script: tuple[bytes, bytes], chunks: Chunking = None) -> tuple[Relaying, MemoryDriver]:
    client = PlainClient(ORIGIN)
    driver = MemoryDriver(ScriptedPeer(GREETING, *script), chunks=chunks)
    driver.run(client.greeting())
    return client.relaying(), driver


def read(relaying: Relaying, driver: MemoryDriver) -> bytes:
    data = b""
    while piece := driver.run(relaying.piece()):
        data += piece
    return data


def test_engine_is_spent_by_it() -> None:
    """In the clear and inside TLS: nothing can be begun with the engine any more."""
    plain, secure = PlainClient(ORIGIN), SecureClient(ORIGIN, evidence())
    with pytest.raises(LocalProtocolError):
        plain.relaying()  # nobody has greeted
    for client in (plain, secure):
        MemoryDriver(ScriptedPeer(GREETING)).run(client.greeting())
        client.relaying()
        assert not client.usable
        with pytest.raises(LocalProtocolError):
            client.relaying()


@pytest.mark.parametrize("chunks", [None, 1])
@pytest.mark.parametrize(
    ("line", "reply"),
    [
        (b"+OK", Reply(True)),
        (b"+OK 2 320", Reply(True, "2 320")),
        (b"-ERR [IN-USE] busy", Reply(False, "busy", "IN-USE")),
        (b"-ERR [sys/temp]later", Reply(False, "later", "SYS/TEMP")),
        (b"-ERR no [such] thing", Reply(False, "no [such] thing")),
    ],
)
def test_answers_of_one_line_come_back(line: bytes, reply: Reply, chunks: int | None) -> None:
    """Sign, response code and text."""
    relaying, driver = relay((b"STAT\r\n", line + b"\r\n"), chunks=chunks)
    assert driver.run(relaying.ask("STAT")) == reply


def test_login_passes_and_its_password_is_secret() -> None:
    """Blanks at the end of a password are part of it."""
    relaying, driver = relay((b"USER ann\r\n", b"+OK\r\n"), (b"PASS a b  \r\n", b"-ERR [AUTH] no\r\n"))
    assert driver.run(relaying.user("ann")).positive
    assert driver.run(relaying.password(Secret("a b  "))).code == "AUTH"


def test_quit_brings_the_servers_goodbye() -> None:
    """As with every command: what the server says of its update is the client's to hear."""
    relaying, driver = relay((b"QUIT\r\n", b"-ERR [SYS/TEMP] not updated\r\n"))
    assert driver.run(relaying.quit()) == Reply(False, "not updated", "SYS/TEMP")


def test_exchange_passes_step_by_step() -> None:
    """Challenges decoded, responses encoded, an empty one too; and it can be given up."""
    relaying, driver = relay(
        (b"AUTH X =\r\n", b"+ AAE=\r\n"),
        (b"/w==\r\n", b"+\r\n"),
        (b"\r\n", b"+OK in\r\n"),
        (b"AUTH Y\r\n", b"+ \r\n"),
        (b"*\r\n", b"-ERR given up\r\n"),
    )
    assert driver.run(relaying.authenticate("X", b"")) == b"\0\1"
    assert driver.run(relaying.respond(b"\xff")) == b""
    assert driver.run(relaying.respond(b"")) == Reply(True, "in")
    assert driver.run(relaying.authenticate("Y", None)) == b""
    assert not driver.run(relaying.cancel()).positive


CONTENTS = [b"", b"a\r\n", b"..\r\n...\r\n", b"a\n.\nb\r.\r\r\n", bytes(range(256)).replace(b"\r", b"") + b"\r\n"]


@pytest.mark.parametrize("chunks", [None, 1, 3])
@pytest.mark.parametrize("wire", CONTENTS)
def test_content_comes_back_as_it_is_on_the_wire(wire: bytes, chunks: int | None) -> None:
    """Its dots stuffed, its end found where it is and nowhere else."""
    relaying, driver = relay(
        (b"RETR 1\r\n", b"+OK here\r\n" + wire + b".\r\n"), (b"NOOP\r\n", b"+OK\r\n"), chunks=chunks
    )
    assert driver.run(relaying.begin("RETR 1")) == Reply(True, "here")
    assert read(relaying, driver) == wire
    assert driver.run(relaying.ask("NOOP")).positive


def test_refused_content_has_none() -> None:
    """And the next command may be said."""
    relaying, driver = relay((b"RETR 1\r\n", b"-ERR no\r\n"), (b"NOOP\r\n", b"+OK\r\n"))
    assert not driver.run(relaying.begin("RETR 1")).positive
    with pytest.raises(LocalProtocolError):
        driver.run(relaying.piece())
    assert driver.run(relaying.ask("NOOP")).positive


def test_nothing_is_asked_inside_an_answer() -> None:
    """A command there would be answered by content."""
    relaying, driver = relay((b"RETR 1\r\n", b"+OK\r\nhalf\r\n"))
    driver.run(relaying.begin("RETR 1"))
    with pytest.raises(LocalProtocolError):
        driver.run(relaying.ask("NOOP"))


def test_content_that_is_cut_off_is_none() -> None:
    """The end of the stream is not the end of the answer."""
    relaying, driver = relay((b"RETR 1\r\n", b"+OK\r\nhalf\r\n"), (b"", CLOSE))
    driver.run(relaying.begin("RETR 1"))
    with pytest.raises(ConnectionLost):
        read(relaying, driver)


@pytest.mark.parametrize("wire", [b"+OK\r\na\r\n.\r\n+OK 7\r\n", b"+OK\r\n.\r\n.\r\n"])
def test_what_stands_behind_an_answer_is_refused(wire: bytes) -> None:
    """It is not taken for the answer to what comes next."""
    relaying, driver = relay((b"RETR 1\r\n", wire))
    driver.run(relaying.begin("RETR 1"))
    with pytest.raises(UnexpectedReply):
        read(relaying, driver)


def test_what_stands_behind_a_refusal_is_refused_too() -> None:
    """Lines behind -ERR are no content, and nobody's answer."""
    relaying, driver = relay((b"RETR 1\r\n", b"-ERR no\r\n+OK 7\r\n"))
    with pytest.raises(UnexpectedReply):
        driver.run(relaying.begin("RETR 1"))


@pytest.mark.parametrize("answer", [b"+OK 1\r\n+OK 2\r\n", b"-ERR\r\nx"])
def test_second_answer_is_refused(answer: bytes) -> None:
    """Before the next command is sent."""
    relaying, driver = relay((b"STAT\r\n", answer))
    with pytest.raises(UnexpectedReply):
        driver.run(relaying.ask("STAT"))


def test_answer_that_is_none_is_refused() -> None:
    """A challenge out of its place, for one."""
    relaying, driver = relay((b"STAT\r\n", b"+ \r\n"))
    with pytest.raises(MalformedReply):
        driver.run(relaying.ask("STAT"))


def test_no_line_end_goes_out_inside_a_command() -> None:
    """Whatever a client said."""
    relaying, driver = relay()
    with pytest.raises(LocalProtocolError):
        driver.run(relaying.ask("LIST 1\r\nDELE 1"))
    assert driver.sent == []
