"""Masking: what is said is shown, what is secret never is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.net.redaction import HELD_LIMIT, Redactor

C, S = True, False
Talk = list[tuple[bool, bytes]]


def shown(talk: Talk, *, piece: int | None = None) -> list[bytes]:
    """What a trace shows of a talk: True is the client."""
    redactor = Redactor()
    found = []
    for client, octets in talk:
        size = piece or len(octets) or 1
        for at in range(0, len(octets), size):
            part = octets[at : at + size]
            found += redactor.to_server(part) if client else redactor.from_server(part)
    return [each.data for each in (*found, *redactor.flush())]


EXCHANGES: dict[str, tuple[Talk, list[bytes]]] = {
    "SMTP AUTH PLAIN with its response": (
        [(C, b"AUTH PLAIN AGFsSECRET\r\n"), (S, b"235 2.7.0 ok\r\n"), (C, b"NOOP\r\n")],
        [b"AUTH PLAIN ***\r\n", b"235 2.7.0 ok\r\n", b"NOOP\r\n"],
    ),
    "SMTP AUTH LOGIN": (
        [(C, b"auth login\r\n"), (S, b"334 VXNl\r\n"), (C, b"SECRET\r\n"), (S, b"334 UGFz\r\n"), (C, b"SECRET=\r\n"),
         (S, b"535 5.7.8 no\r\n"), (C, b"QUIT\r\n")],
        [b"auth login\r\n", b"334 ***\r\n", b"***\r\n", b"334 ***\r\n", b"***\r\n", b"535 5.7.8 no\r\n", b"QUIT\r\n"],
    ),
    "SMTP AUTH with an eager response": (
        [(C, b"AUTH PLAIN\r\nSECRET\r\n"), (S, b"334 \r\n235 ok\r\n"), (C, b"NOOP\r\n")],
        [b"AUTH PLAIN\r\n", b"***\r\n", b"334 \r\n", b"235 ok\r\n", b"NOOP\r\n"],
    ),
    "SMTP AUTH with a word that is no mechanism": (
        [(C, b"AUTH SECRET SECRET\r\n"), (S, b"504 no\r\n")], [b"AUTH ***\r\n", b"504 no\r\n"],
    ),
    "POP3 PASS and APOP": (
        [(C, b"USER me\r\nPASS a SECRET\r\n"), (S, b"+OK\r\n-ERR\r\n"), (C, b"APOP me SECRET\r\n")],
        [b"USER me\r\n", b"PASS ***\r\n", b"+OK\r\n", b"-ERR\r\n", b"APOP ***\r\n"],
    ),
    "POP3 AUTH": (
        [(C, b"AUTH SCRAM-SHA-256\r\n"), (S, b"+ \r\n"), (C, b"SECRET\r\n"), (S, b"+ SECRET\r\n"), (C, b"SECRET\r\n"),
         (S, b"+OK in\r\n"), (C, b"STAT\r\n")],
        [b"AUTH SCRAM-SHA-256\r\n", b"+ \r\n", b"***\r\n", b"+ ***\r\n", b"***\r\n", b"+OK in\r\n", b"STAT\r\n"],
    ),
    "IMAP LOGIN, with words and with literals": (
        [(C, b"a1 LOGIN me SECRET\r\n"), (S, b"a1 NO no\r\n"), (C, b"a2 LOGIN {2}\r\n"), (S, b"+ go\r\n"),
         (C, b"me {6}\r\n"), (S, b"* BYE-BYE\r\n+ go\r\n"), (C, b"SECRET\r\n"), (S, b"a2 OK in\r\n"),
         (C, b"a3 NOOP\r\n")],
        [b"a1 LOGIN ***\r\n", b"a1 NO no\r\n", b"a2 LOGIN ***\r\n", b"+ ***\r\n", b"***\r\n", b"* BYE-BYE\r\n",
         b"+ ***\r\n", b"***\r\n", b"a2 OK in\r\n", b"a3 NOOP\r\n"],
    ),
    "ManageSieve AUTHENTICATE, with the proof in the last reply": (
        [(C, b'AUTHENTICATE "SCRAM-SHA-256" "SECRET"\r\n'), (S, b'"SECRET"\r\n'), (C, b'"SECRET"\r\n'),
         (S, b'OK (SASL "SECRET")\r\n')],
        [b'AUTHENTICATE "SCRAM-SHA-256" ***\r\n', b"***\r\n", b"***\r\n", b"OK (SASL ***)\r\n"],
    ),
    "NNTP AUTHINFO": (
        [(C, b"AUTHINFO USER me\r\n"), (S, b"381 more\r\n"), (C, b"AUTHINFO PASS SECRET\r\n"), (S, b"281 in\r\n")],
        [b"AUTHINFO USER ***\r\n", b"381 more\r\n", b"AUTHINFO PASS ***\r\n", b"281 in\r\n"],
    ),
    "SMTP AUTH where the server asks and gives its verdict in one breath": (
        [(C, b"AUTH PLAIN\r\n"), (S, b"334 \r\n250 ok\r\n"), (C, b"SECRET\r\n"), (S, b"500 what\r\n"),
         (C, b"NOOP\r\n")],
        [b"AUTH PLAIN\r\n", b"334 \r\n", b"250 ok\r\n", b"***\r\n", b"500 what\r\n", b"NOOP\r\n"],
    ),
    "SMTP AUTH in other letters, behind spaces": (
        [(C, b"  aUtH plain SECRET\r\n"), (S, b"235 ok\r\n")],
        [b"  aUtH plain ***\r\n", b"235 ok\r\n"],
    ),
    "SMTP AUTH behind the end of a message": (
        [(C, b"DATA\r\n"), (S, b"354 go\r\n"), (C, b"text\r\n.\r\nAUTH PLAIN SECRET\r\n"),
         (S, b"250 ok\r\n235 ok\r\n")],
        [b"DATA\r\n", b"354 go\r\n", b"text\r\n", b".\r\n", b"AUTH PLAIN ***\r\n", b"250 ok\r\n", b"235 ok\r\n"],
    ),
    "AUTH behind a CR that ends no line": (
        [(C, b"NOOP\rAUTH PLAIN SECRET\r\n"), (S, b"500 no\r\n")],
        [b"NOOP ***\r\n", b"500 no\r\n"],
    ),
    "a password in place of a command": (
        [(C, b"PASS wrong\r\n"), (S, b"-ERR no\r\n"), (C, b"SECRET\r\n"), (S, b"-ERR what\r\n"), (C, b"NOOP\r\n")],
        [b"PASS ***\r\n", b"-ERR no\r\n", b"***\r\n", b"-ERR what\r\n", b"NOOP\r\n"],
    ),
    "XMPP, where the server speaks in the middle": (
        [(C, b"<auth mechanism='PLAIN'>SEC"), (S, b"<r/>"), (C, b"RET</auth>")],
        [b"***", b"<r/>", b"***"],
    ),
    "XMPP": (
        [(C, b"<auth mechanism='PLAIN' xmlns='x'>SECRET</auth>"), (S, b"<success xmlns='x'>SECRET</success>")],
        [b"<auth mechanism='PLAIN' xmlns='x'>***</auth>", b"<success xmlns='x'>***</success>"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EXCHANGES)
def test_login_is_shown_without_its_secrets(name: str) -> None:
    """Commands, mechanisms and verdicts stay; what proves something goes."""
    talk, expected = EXCHANGES[name]
    assert shown(talk) == expected


@pytest.mark.parametrize("name", EXCHANGES)
@pytest.mark.parametrize("piece", [1, 2, 3, 5, 8])
def test_no_cut_uncovers_a_secret(name: str, piece: int) -> None:
    """However the octets are cut on their way."""
    found = b"".join(shown(EXCHANGES[name][0], piece=piece))
    assert not any(part in found for part in (b"SEC", b"CRE", b"RET"))


def test_flagged_octets_are_masked_whatever_they_look_like() -> None:
    """Who made them knows: a whole line, half a line and its rest, a command but for its name."""
    redactor = Redactor()
    said = [
        *redactor.to_server(b"SECRET word\r\n", secret=True),
        *redactor.to_server(b"AUTH PLAIN SECRET\r\n", secret=True),
        *redactor.to_server(b"half a SECRET", secret=True),
        *redactor.to_server(b" and its SECRET end\r\nNOOP\r\n"),
    ]
    assert [each.data for each in said[:3]] == [b"***\r\n", b"AUTH PLAIN ***\r\n", b"***"]
    assert b"SECRET" not in b"".join(each.data for each in said)
    assert all(each.masked for each in said)


def test_content_of_a_message_is_not_taken_for_commands() -> None:
    """Behind 354 a line that begins with PASS is text; behind the reply it is a command again."""
    talk = [
        (C, b"DATA\r\n"),
        (S, b"354 go\r\n"),
        (C, b"pass by\r\nlogin\r\n.\r\n"),
        (S, b"250 ok\r\n"),
        (C, b"PASS x\r\n"),
    ]
    assert shown(talk)[2:5] == [b"pass by\r\n", b"login\r\n", b".\r\n"]
    assert shown(talk)[-1] == b"PASS ***\r\n"


def test_what_is_no_text_does_not_wait() -> None:
    """A binary protocol's octets are shown as they come, and a line that is begun waits for its end."""
    redactor = Redactor()
    assert [each.data for each in redactor.to_server(b"\x00\x00\x00\x08\x04\xd2\x16\x2f")] == [
        b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
    ]
    assert redactor.from_server(b"S") == []
    assert [each.data for each in redactor.flush()] == [b"S"]


def test_line_without_an_end_is_shown_in_pieces() -> None:
    """Nobody makes the redactor hold more than its limit; the rest of a masked line stays masked."""
    redactor = Redactor()
    long = b"x" * (HELD_LIMIT + 1)
    assert [each.data for each in redactor.to_server(long)] == [long]
    assert [each.data for each in redactor.to_server(b"yy")] == [b"yy"]
    redactor = Redactor()
    assert [each.data for each in redactor.to_server(b"PASS " + long)] == [b"PASS ***"]
    assert [each.data for each in redactor.to_server(b"SECRET\r\nNOOP\r\n")] == [b"***\r\n", b"NOOP\r\n"]


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=40)), max_size=12))
def test_what_holds_no_credentials_is_shown_as_it_is(talk: Talk) -> None:
    """Unless something is masked, every octet is shown, in order, in its direction."""
    redactor = Redactor()
    found = []
    for client, octets in talk:
        found += redactor.to_server(octets) if client else redactor.from_server(octets)
    found += redactor.flush()
    if any(each.masked for each in found):
        return
    for side in (C, S):
        assert b"".join(each.data for each in found if each.to_server is side) == b"".join(
            octets for client, octets in talk if client is side
        )


@pytest.mark.parametrize("word", [b"1", b" ", b"<auth ", b"a1 ", b"(SASL "])
def test_long_lines_take_no_more_than_their_length(word: bytes) -> None:
    """What a peer can send at once is read in a moment, whatever it repeats: a quadratic rule would take hours here."""
    for begun in (b"", b"AUTH PLAIN\r\n"):
        redactor = Redactor()
        redactor.to_server(begun)
        for line in (word * 400_000, word * 400_000 + b"\r\n"):
            redactor.to_server(line)
            redactor.from_server(line)
        redactor.flush()
