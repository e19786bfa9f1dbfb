"""What a server engine does for who passes on what it hears: lists that come late, answers of others, NULs."""

from __future__ import annotations

import pytest
from tests.unit.wire.smtp.serving import codes, opened, plain, profile, secure

from gatepost.errors import LocalProtocolError
from gatepost.wire.smtp import reply
from gatepost.wire.smtp.content import ChunkReader, DotReader
from gatepost.wire.smtp.events import ContentEnds, Extension
from gatepost.wire.smtp.reply import Reply

LATER = Reply(451, "4.3.0", "Later")


def test_list_leaves_out_what_is_not_offered() -> None:
    """Each keyword by itself, and with it its parameters."""
    talk = plain(allow_8bitmime=False, allow_dsn=False, allow_chunking=False, enhanced=False, allow_smtputf8=False)
    said = talk.say(b"EHLO a\r\n")
    assert said.split(b"\r\n")[1:4] == [b"250-PIPELINING", b"250-SIZE 52428800", b"250-STARTTLS"]
    for word in (b"8BITMIME", b"DSN", b"CHUNKING", b"ENHANCEDSTATUSCODES", b"SMTPUTF8"):
        assert word not in said
    for line in (b"BODY=8BITMIME", b"RET=FULL", b"ENVID=a", b"SMTPUTF8"):
        assert codes(talk.say(b"MAIL FROM:<a@b> " + line + b"\r\n")) == [555]
    talk.say(b"MAIL FROM:<a@b> BODY=7BIT\r\n")
    for line in (b"NOTIFY=NEVER", b"ORCPT=rfc822;a@b"):
        assert codes(talk.say(b"RCPT TO:<a@b> " + line + b"\r\n")) == [555]


@pytest.mark.parametrize("make", [plain, secure])
def test_list_of_another_profile_is_taken_over_at_hello(make: object) -> None:
    """The states stay: what is not listed any more may still be asked for."""
    talk = (plain if make is plain else secure)(asks_hello=True)
    talk.say(b"EHLO a\r\n")
    talk.engine.accept_hello(profile(asks_hello=True, starttls=False, allow_dsn=False, auth_mechanisms=("PLAIN",)))
    said = talk.engine.outgoing()
    assert b"STARTTLS" not in said and b"DSN" not in said
    assert (b"AUTH PLAIN" in said) == (make is secure)


def test_late_list_makes_room_for_long_logins() -> None:
    """RFC 4954 §4: 12288 octets, also where AUTH was not offered at first."""
    talk = secure(asks_hello=True)
    talk.say(b"EHLO a\r\n")
    talk.engine.accept_hello(profile(asks_hello=True, auth_mechanisms=("PLAIN",)))
    talk.engine.outgoing()
    assert talk.say(b"AUTH PLAIN " + b"A" * 8000 + b"\r\n") == b""
    assert talk.engine.waiting


def test_noop_help_and_vrfy_are_reported_where_others_answer_them() -> None:
    """And wait for the answer."""
    talk = plain(relays=True)
    for line, verb, argument in ((b"NOOP x", "NOOP", "x"), (b"help", "HELP", ""), (b"VRFY a b", "VRFY", "a b")):
        assert talk.say(line + b"\r\n") == b""
        assert talk.last() == Extension(verb, argument)
        talk.engine.answer(Reply(252, "2.5.2", "Perhaps"))
        assert codes(talk.engine.outgoing()) == [252]


@pytest.mark.parametrize("chunks", [False, True])
def test_content_can_be_refused_while_it_comes(chunks: bool) -> None:
    """It is read to its end, dropped, and answered with the refusal."""
    talk = opened(plain())
    talk.say(b"BDAT 3\r\na\r\n" if chunks else b"DATA\r\na\r\n")
    before = talk.content
    talk.engine.refuse_content(LATER)
    said = talk.say(b"BDAT 3 LAST\r\nb\r\n" if chunks else b"b\r\n.\r\n")
    assert said == LATER.octets
    assert talk.last() == ContentEnds(LATER)
    assert talk.content == before
    assert codes(talk.say(b"MAIL FROM:<a@b>\r\n")) == [250]


def test_first_refusal_of_content_stays() -> None:
    """Whatever is found out later, the client hears what was wrong first."""
    talk = opened(plain())
    talk.say(b"DATA\r\na\r\n")
    talk.engine.refuse_content(LATER)
    talk.engine.refuse_content(Reply(554, "5.6.0", "Never"))
    assert talk.say(b".\r\n") == LATER.octets
    broken = opened(plain())
    assert broken.say(b"DATA\r\na\nb\r\n").startswith(b"354")
    broken.engine.refuse_content(LATER)
    assert broken.say(b".\r\n") == reply.BARE_CONTENT_END.octets
    assert broken.last() == ContentEnds(reply.BARE_CONTENT_END)


def test_content_is_refused_only_while_it_comes_and_with_a_refusal() -> None:
    """Not before, not with 250, not with 421, which ends the session."""
    talk = opened(plain())
    with pytest.raises(LocalProtocolError):
        talk.engine.refuse_content(LATER)
    talk.say(b"DATA\r\n")
    for answer in (reply.OK, reply.TOO_MANY_ERRORS):
        with pytest.raises(LocalProtocolError):
            talk.engine.refuse_content(answer)


@pytest.mark.parametrize("step", [1, 2, 1000])
@pytest.mark.parametrize(
    ("content", "passes"),
    [
        (b"a\0b\r\nc\0\r\n", True), (b"a\r\n.\0\r\n", True), (b"\0a\r\n", False), (b"a\r\n\0.\r\n", False),
        (b"a\r\n\0\r\n", False), (b"a\r\0\n", False), (b"a\0\n", False), (b"\0", False), (b"a\0\0.\r\n", True),
    ],
)  # fmt: skip
def test_nul_passes_where_it_cannot_hide_a_dot(content: bytes, passes: bool, step: int) -> None:
    """Not at the beginning of a line: a receiver that drops NULs would find another line there."""
    reader = DotReader(1000, normalise=False, nul=True)
    found, buffer = b"", b""
    wire = content.replace(b"\r\n.", b"\r\n..") + (b"" if content.endswith(b"\r\n") else b"\r\n") + b".\r\n"
    for start in range(0, len(wire), step):
        buffer += wire[start : start + step]
        position = 0
        while not reader.ended:
            piece, after = reader.read(buffer, position)
            found += piece
            if not piece and after == position:
                break
            position = after
        buffer = buffer[position:]
    assert reader.ended
    assert (reader.refusal is None) == passes
    assert not passes or found == content
    chunks = ChunkReader(1000, normalise=False, nul=True)
    taken = b"".join(chunks.read(content[at : at + step]) for at in range(0, len(content), step)) + chunks.finish()
    assert (chunks.refusal is None) == passes
    assert not passes or taken == content


def test_nul_is_refused_elsewhere() -> None:
    """Where mail is kept."""
    talk = opened(plain())
    assert codes(talk.say(b"DATA\r\na\0b\r\n.\r\n")) == [354, 550]
