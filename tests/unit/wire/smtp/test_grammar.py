"""The arguments of commands."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest

from gatepost.wire.smtp import grammar
from gatepost.wire.smtp.address import Mailbox
from gatepost.wire.smtp.events import Mail, MailParameters, RcptParameters, Recipient
from gatepost.wire.smtp.parameters import CommandSyntaxError


def mail(argument: str) -> Mail:
    return grammar.parse_mail(argument, smtputf8=True, auth=True)


def rcpt(argument: str) -> Recipient:
    return grammar.parse_rcpt(argument, utf8=False)


def test_mail_has_a_sender_and_parameters() -> None:
    """All parameters at once, in any case, decoded."""
    read = mail("from:<a@b> size=100 BODY=8bitmime RET=hdrs ENVID=QQ+2B1 AUTH=c+40d SMTPUTF8")
    assert read.sender == Mailbox("a", "b")
    assert read.params == MailParameters(100, "8BITMIME", True, "HDRS", "QQ+1", "c@d")


@pytest.mark.parametrize("argument", ["FROM:<>", "FROM: <>", "FROM:<> SIZE=1"])
def test_mail_takes_the_null_sender(argument: str) -> None:
    """A bounce has no sender; a blank behind the colon is common."""
    assert mail(argument).sender is None


@pytest.mark.parametrize(
    ("argument", "code", "enhanced"),
    [
        ("", 501, "5.1.7"),
        ("FROM:", 501, "5.1.7"),
        ("TO:<a@b>", 501, "5.1.7"),
        ("FROM:a@b", 501, "5.1.7"),
        ("FROM:<a@b", 501, "5.1.7"),
        ("FROM:<a@b>SIZE=1", 501, "5.1.7"),
        ("FROM:<a@b>c@d>", 501, "5.1.7"),
        ("FROM:<postmaster>", 501, "5.1.7"),
        ("FROM:<ü@b>", 550, "5.6.7"),
        ("FROM:<a@b> FOO=1", 555, "5.5.4"),
        ("FROM:<a@b> BODY=BINARYMIME", 501, "5.5.4"),
        ("FROM:<a@b> SIZE=", 501, "5.5.4"),
        ("FROM:<a@b> SIZE=-1", 501, "5.5.4"),
        ("FROM:<a@b> SIZE=1 SIZE=2", 501, "5.5.4"),
        ("FROM:<a@b> SIZE=" + "9" * 21, 501, "5.5.4"),
        ("FROM:<a@b> SIZE=\u0661", 501, "5.5.4"),
        ("FROM:<a@b> SMTPUTF8=1", 501, "5.5.4"),
        ("FROM:<a@b> RET=ALL", 501, "5.5.4"),
        ("FROM:<a@b> ENVID=a+0D+0Ab", 501, "5.5.4"),
        ("FROM:<a@b> ENVID=a+0", 501, "5.5.4"),
        ("FROM:<a@b> ENVID=" + "x" * 101, 501, "5.5.4"),
        ("FROM:<a@b> =", 501, "5.5.4"),
    ],
)
def test_mail_refuses_what_it_cannot_read(argument: str, code: int, enhanced: str) -> None:
    """The reply says whether the address or a parameter was at fault."""
    with pytest.raises(CommandSyntaxError) as caught:
        mail(argument)
    assert (caught.value.reply.code, caught.value.reply.enhanced) == (code, enhanced)


def test_mail_takes_the_body_that_every_message_has() -> None:
    """RFC 6152: 7BIT is a value too."""
    assert mail("FROM:<a@b> BODY=7bit").params.body == "7BIT"


def test_mail_refuses_parameters_of_extensions_that_are_not_offered() -> None:
    """SMTPUTF8 and AUTH are unknown where they were not listed."""
    for argument in ("FROM:<a@b> SMTPUTF8", "FROM:<a@b> AUTH=<>"):
        with pytest.raises(CommandSyntaxError) as caught:
            grammar.parse_mail(argument, smtputf8=False, auth=False)
        assert caught.value.reply.code == 555


def test_rcpt_has_a_mailbox_and_parameters() -> None:
    """RFC 3461: what to report, and to whom it was first addressed."""
    read = rcpt("TO:<a@b> NOTIFY=success,FAILURE ORCPT=rfc822;x+40y")
    assert read == Recipient(Mailbox("a", "b"), RcptParameters(frozenset({"SUCCESS", "FAILURE"}), "rfc822;x@y"))


def test_rcpt_keeps_an_internationalized_original_recipient_printable() -> None:
    """RFC 6533 §3: the unitext form becomes the xtext form."""
    read = grammar.parse_rcpt("TO:<a@b> ORCPT=utf-8;ü@y", utf8=True)
    assert read.params.orcpt == "utf-8;\\x{FC}@y"


@pytest.mark.parametrize(
    ("argument", "code"),
    [
        ("TO:<>", 501),
        ("TO:a@b", 501),
        ("TO:<ü@b>", 553),
        ("TO:<a@b> NOTIFY=", 501),
        ("TO:<a@b> NOTIFY=NEVER,SUCCESS", 501),
        ("TO:<a@b> NOTIFY=SUCCESS,SUCCESS", 501),
        ("TO:<a@b> NOTIFY=ALWAYS", 501),
        ("TO:<a@b> ORCPT=x", 501),
        ("TO:<a@b> ORCPT=rfc822;a+0Ab", 501),
        ("TO:<a@b> ORCPT=rfc822;" + "x" * 500, 501),
        ("TO:<a@b> SIZE=1", 555),
        ("TO:<a@b>x", 501),
    ],
)
def test_rcpt_refuses_what_it_cannot_read(argument: str, code: int) -> None:
    """Nobody is a recipient by accident."""
    with pytest.raises(CommandSyntaxError) as caught:
        rcpt(argument)
    assert caught.value.reply.code == code


def test_path_may_hold_a_quoted_bracket() -> None:
    """A ``>`` in a quoted local part does not end the path."""
    assert rcpt('TO:<"a>b c"@d> NOTIFY=NEVER').mailbox == Mailbox("a>b c", "d")


@pytest.mark.parametrize(("argument", "expected"), [("0", (0, False)), ("10 LAST", (10, True)), ("7  last", (7, True))])
def test_bdat_has_a_size_and_perhaps_an_end(argument: str, expected: tuple[int, bool]) -> None:
    """RFC 3030 §2."""
    assert grammar.parse_bdat(argument) == expected


@pytest.mark.parametrize(
    "argument", ["", "-1", "0x10", "1 FIRST", "1LAST", "9" * 13, "+1", "1 LAST x", "\u0661", "1_0"]
)
def test_bdat_refuses_absurd_sizes(argument: str) -> None:
    """Negative, hexadecimal, empty, huge: 501."""
    with pytest.raises(CommandSyntaxError):
        grammar.parse_bdat(argument)


@pytest.mark.parametrize("argument", ["", " ", "a b", "ü", "x" * 256])
def test_hello_is_one_word(argument: str) -> None:
    """No name, two names, one beyond ASCII, or one that is longer than a domain can be is a syntax error."""
    with pytest.raises(CommandSyntaxError):
        grammar.parse_hello(argument)
    for name in ("[IPv6:::1]", "x" * 255):
        assert grammar.parse_hello(name) == name


@pytest.mark.parametrize(
    ("argument", "expected"),
    [("plain", ("PLAIN", None)), ("PLAIN =", ("PLAIN", b"")), ("PLAIN AGEAYg==", ("PLAIN", b"\0a\0b"))],
)
def test_auth_has_a_mechanism_and_perhaps_a_response(argument: str, expected: tuple[str, bytes | None]) -> None:
    """RFC 4954 §4: ``=`` is an empty initial response."""
    assert grammar.parse_auth(argument) == expected


@pytest.mark.parametrize("argument", ["", "PLAIN a b", "PLAIN YQ", "PLAIN YQ=", "PLAIN Y===", "PLAIN !!!!", "x" * 21])
def test_auth_refuses_bad_base64_and_bad_names(argument: str) -> None:
    """Padding where it is due and nowhere else, nothing outside of the alphabet."""
    with pytest.raises(CommandSyntaxError) as caught:
        grammar.parse_auth(argument)
    assert caught.value.reply.code == 501


@pytest.mark.no_cover  # it measures time, and a tracer takes some
@pytest.mark.parametrize("piece", ["<", '"', '\\"', '"\\', " ", "=", "<a", " A=b", "a@", "+2"])
def test_grammar_is_linear_on_hostile_arguments(piece: str) -> None:
    """No expression backtracks through a long argument."""
    began = time.process_time()
    for argument in ("FROM:<" + piece * 20000, "FROM:<a@b> " + piece * 20000, "FROM:<a@b> ENVID=" + piece * 20000):
        with suppress(CommandSyntaxError):
            mail(argument)
        with suppress(CommandSyntaxError):
            rcpt("TO" + argument[4:].replace("ENVID", "ORCPT"))
    assert time.process_time() - began < 1
