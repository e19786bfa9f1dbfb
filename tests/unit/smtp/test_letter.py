"""Messages of programs, made ready: envelope, Bcc, encodings."""

from __future__ import annotations

from email.message import EmailMessage

import pytest

from gatepost.errors import LocalProtocolError
from gatepost.smtp.letter import Letter
from gatepost.wire.smtp.capabilities import Capabilities
from gatepost.wire.smtp.envelope import Envelope
from gatepost.wire.smtp.reply import Reply

ALL = Capabilities(Reply(250, "", ("hello", "8BITMIME", "SMTPUTF8", "SIZE", "DSN")))
NONE = Capabilities(Reply(250, "", ("hello",)))


def made(letter: Letter, listed: Capabilities = ALL) -> tuple[Envelope, bytes]:
    envelope, content = letter.ready(listed)
    return envelope, b"".join(content)


def message(text: str = "hello\n", **fields: str) -> EmailMessage:
    made = EmailMessage()
    for name, value in {"From": "a@b.example", "To": "c@d.example", **fields}.items():
        made[name.replace("_", "-")] = value
    made.set_content(text)
    return made


def test_envelope_is_that_of_the_header() -> None:
    """Sender before From; To, Cc and Bcc, each once, in their order."""
    fields = {"Sender": "s@b.example", "Cc": "E <e@d.example>, c@d.example", "Bcc": "f@d.example"}
    envelope, _ = made(Letter(message(**fields)))
    assert envelope.sender == "s@b.example"
    assert [each.address for each in envelope.recipients] == ["c@d.example", "e@d.example", "f@d.example"]


def test_resent_message_goes_to_whom_it_was_resent() -> None:
    """RFC 5322 §3.6.6; resent twice, nobody can tell which is meant."""
    resent = message(
        Resent_From="r@b.example", Resent_To="s@d.example", Resent_Bcc="t@d.example", Resent_Date="Mon, 1 Jan 2024 0:0"
    )
    envelope, content = made(Letter(resent))
    assert (envelope.sender, [each.address for each in envelope.recipients]) == (
        "r@b.example",
        ["s@d.example", "t@d.example"],
    )
    assert b"t@d.example" not in content
    resent["Resent-Date"] = "Tue, 2 Jan 2024 0:0"
    with pytest.raises(LocalProtocolError, match="more than once"):
        Letter(resent)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_octets_lose_bcc_and_nothing_else(end: bytes) -> None:
    """The field goes with its continuation lines; what looks like it in the text stays."""
    lines = [b"From: a@b.example", b"BCC: c@d.example,", b"\te@d.example", b"Subject: x", b"", b"Bcc: text", b".", b""]
    envelope, content = made(Letter(end.join(lines)))
    assert content == b"From: a@b.example\r\nSubject: x\r\n\r\nBcc: text\r\n.\r\n"
    assert [each.address for each in envelope.recipients] == ["c@d.example", "e@d.example"]
    assert (envelope.size, envelope.body, envelope.smtputf8) == (len(content), "7BIT", False)


def test_octets_without_a_text_are_a_header() -> None:
    """Bcc goes from a message that is all header, too."""
    assert made(Letter(b"From: a@b.example\nBcc: c@d.example\n"))[1] == b"From: a@b.example\r\n"
    assert made(Letter(b"From: a@b.example\nBcc: c@d.example"))[1] == b"From: a@b.example\r\n"


def test_addresses_beyond_ascii_ask_for_smtputf8() -> None:
    """In the header of a message, and raw in the header of octets."""
    envelope, content = made(Letter(message(To="jürgen@d.example")))
    assert envelope.smtputf8 and "To: jürgen@d.example\r\n".encode() in content
    envelope, _ = made(Letter("From: a@b.example\nTo: jürgen@d.example\n\nx".encode()))
    assert envelope.smtputf8 and envelope.recipients[0].address == "jürgen@d.example"
    assert not made(Letter(b"From: a@b.example\nTo: c@d.example\nSubject: \xe9\n\nx"))[0].smtputf8
    assert not made(Letter(message(Subject="Grüße", To="Jürgen <c@d.example>")))[0].smtputf8


def test_text_beyond_ascii_is_written_as_the_server_takes_it() -> None:
    """8BITMIME where that is listed, an encoding where it is not."""
    letter = Letter(message("Grüße\n"))
    assert made(letter)[0].body == "8BITMIME"
    envelope, content = made(letter, NONE)
    assert envelope.body == "7BIT" and content.isascii()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((b"To: c@d.example\n\nx",), "no sender"),
        ((b"From: a@b.example\n\nx",), "no recipients"),
        ((b"\nx", "a@b.example", ["c d"]), "not an address"),
        ((b"\nx", "a@b.example", ["c@d.example\r\nRCPT TO:<x@y.example>"]), "not an address"),
    ],
)
def test_what_cannot_be_sent_is_refused(given: tuple[bytes, str, list[str]], words: str) -> None:
    """Before anything is said."""
    with pytest.raises(LocalProtocolError, match=words):
        made(Letter(*given))


def test_null_sender_may_be_given() -> None:
    """As an empty text or as SMTP writes it."""
    for null in ("", "<>"):
        assert made(Letter(message(), null))[0].sender == ""
