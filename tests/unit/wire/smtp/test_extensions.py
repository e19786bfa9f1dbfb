"""What extensions add to an engine: keywords, verbs, parameters; and a hello that waits for its answer."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.wire.smtp.serving import ORIGIN, Talk, accept, evidence, profile

from gatepost.errors import LocalProtocolError
from gatepost.wire.smtp.events import ContentAborted, Event, Extension, Hello, Mail, Recipient
from gatepost.wire.smtp.extensions import NO_EXTENSIONS, Extensions
from gatepost.wire.smtp.reply import OK, Reply
from gatepost.wire.smtp.server import PlainServer, SecureServer
from gatepost.wire.smtp.states import State

ADDED = Extensions(("XQUOTA 5",), frozenset({"XQUOTA"}), frozenset({"XPRIO"}), frozenset({"XFOLDER"}))
NO = Reply(550, "5.7.1", "No")


def answer(event: Event) -> Reply | None:
    return OK if isinstance(event, Extension) else accept(event)


def test_keywords_are_listed_on_their_side_only() -> None:
    """At the end of the list, behind the engine's own."""
    settings = profile(plain_extensions=Extensions(("XPLAIN",)), secure_extensions=Extensions(("XSECURE 1 2",)))
    plain, secure = Talk(PlainServer(ORIGIN, settings)), Talk(SecureServer(ORIGIN, evidence(), settings))
    plain.engine.greet()
    assert plain.say(b"EHLO a\r\n").endswith(b"\r\n250 XPLAIN\r\n")
    assert secure.say(b"EHLO a\r\n").endswith(b"\r\n250 XSECURE 1 2\r\n")


def test_a_verb_is_an_event_that_waits_for_its_answer() -> None:
    """In every state in which VRFY is legal; nothing behind it is read before."""
    talk = Talk(SecureServer(ORIGIN, evidence(), profile(secure_extensions=ADDED)))
    assert talk.say(b"xQuota  of  me \r\nNOOP\r\n") == b""
    assert talk.events == [Extension("XQUOTA", "of  me")]
    assert talk.engine.waiting
    talk.engine.answer(NO)
    assert talk.run() == NO.octets + OK.octets
    for line, state in (
        (b"EHLO a\r\n", State.READY),
        (b"MAIL FROM:<a@b.example>\r\n", State.SENDER),
        (b"RCPT TO:<c@d.example>\r\n", State.RECIPIENTS),
    ):
        talk.decide = answer
        talk.say(line)
        assert talk.say(b"XQUOTA\r\n") == OK.octets
        assert talk.engine.state is state


def test_a_positive_answer_to_a_verb_is_2xx() -> None:
    """3xx would promise an exchange that does not exist."""
    talk = Talk(SecureServer(ORIGIN, evidence(), profile(secure_extensions=ADDED)))
    talk.say(b"XQUOTA\r\n")
    with pytest.raises(LocalProtocolError):
        talk.engine.answer(Reply(354, "", "Go on"))
    talk.engine.answer(Reply(421, "4.3.2", "Enough"))
    assert talk.run() == b"421 4.3.2 Enough\r\n"
    assert talk.engine.state is State.ENDED


def test_a_verb_of_the_private_side_is_unknown_before() -> None:
    """And one that waits for STARTTLS is told so."""
    plain = Talk(PlainServer(ORIGIN, profile(secure_extensions=ADDED)))
    plain.engine.greet()
    plain.run()
    assert plain.say(b"XQUOTA\r\n").startswith(b"500 5.5.1")
    locked = Talk(PlainServer(ORIGIN, profile(plain_extensions=ADDED, require_tls=True)))
    locked.engine.greet()
    locked.run()
    assert locked.say(b"EHLO a\r\nXQUOTA\r\n").endswith(b"530 5.7.0 Must issue a STARTTLS command first\r\n")
    refused = Talk(PlainServer(ORIGIN, profile(plain_extensions=ADDED)))
    refused.engine.refuse(Reply(554, "5.7.1", "No"))
    refused.run()
    assert refused.say(b"XQUOTA\r\n").startswith(b"503")


def test_parameters_stand_on_their_events() -> None:
    """In upper case with their values; unknown ones and doubled ones are refused as ever."""
    talk = Talk(SecureServer(ORIGIN, evidence(), profile(secure_extensions=ADDED)))
    talk.say(b"EHLO a\r\n")
    assert talk.say(b"MAIL FROM:<a@b.example> xprio=7 SIZE=3\r\n").startswith(b"250")
    assert talk.say(b"RCPT TO:<c@d.example> XFOLDER\r\n").startswith(b"250")
    mail, recipient = (event for event in talk.events if isinstance(event, Mail | Recipient))
    assert isinstance(mail, Mail)
    assert (mail.params.extra, mail.params.size) == ((("XPRIO", "7"),), 3)
    assert recipient.params.extra == (("XFOLDER", ""),)
    assert talk.say(b"RCPT TO:<c@d.example> XPRIO=7\r\n").startswith(b"555")
    assert talk.say(b"RCPT TO:<c@d.example> XFOLDER=a XFOLDER=b\r\n").startswith(b"501")


def test_a_hello_that_is_refused_changes_nothing() -> None:
    """Neither the name, nor the state, nor the transaction."""
    talk = Talk(SecureServer(ORIGIN, evidence(), profile(asks_hello=True)))
    assert talk.say(b"EHLO a\r\n") == b""
    talk.engine.answer(NO)
    assert (talk.run(), talk.engine.hello_name, talk.engine.state) == (NO.octets, "", State.START)
    talk.say(b"HELO b\r\n")
    with pytest.raises(LocalProtocolError):
        talk.engine.answer(OK)
    talk.engine.accept_hello()
    assert (talk.run(), talk.engine.hello_name, talk.engine.extended) == (b"250 mx.example.org\r\n", "b", False)
    with pytest.raises(LocalProtocolError):
        talk.engine.accept_hello()
    talk.say(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nBDAT 1\r\nxEHLO c\r\n")
    talk.engine.answer(NO)
    assert talk.say(b"BDAT 0 LAST\r\n").endswith(b"250 2.0.0 Ok: queued as 1\r\n")


def test_a_hello_that_is_accepted_drops_the_transaction() -> None:
    """RFC 5321 section 4.1.4; the content that came so far is reported as dropped."""
    talk = Talk(SecureServer(ORIGIN, evidence(), profile(asks_hello=True)))
    talk.say(b"EHLO a\r\n")
    talk.engine.accept_hello()
    talk.say(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nBDAT 1\r\nxEHLO b\r\n")
    assert talk.last() == Hello("b", extended=True)
    talk.engine.accept_hello()
    talk.run()
    assert talk.last() == ContentAborted()
    assert (talk.engine.state, talk.engine.recipients) == (State.READY, 0)


@pytest.mark.parametrize(
    ("added", "complaint"),
    [
        ({"keywords": ("xlower",)}, "no EHLO keyword"),
        ({"keywords": ("X ",)}, "no EHLO keyword"),
        ({"keywords": ("X\r\n250 Y",)}, "no EHLO keyword"),
        ({"keywords": ("X " + "a" * 200,)}, "no EHLO keyword"),
        ({"keywords": ("STARTTLS",)}, "the server's own"),
        ({"keywords": ("SIZE 1",)}, "the server's own"),
        ({"keywords": ("X 1", "X 2")}, "twice"),
        ({"verbs": frozenset({"XY"})}, "no command word"),
        ({"verbs": frozenset({"X Y Z"})}, "no command word"),
        ({"verbs": frozenset({"STARTTLS"})}, "not an extension's to define"),
        ({"verbs": frozenset({"LHLO"})}, "not an extension's to define"),
        ({"verbs": frozenset({"POST"})}, "not an extension's to define"),
        ({"mail_parameters": frozenset({"X=1"})}, "no parameter's keyword"),
        ({"rcpt_parameters": frozenset({"-X"})}, "no parameter's keyword"),
        ({"mail_parameters": frozenset({"AUTH"})}, "not an extension's to define"),
        ({"rcpt_parameters": frozenset({"ORCPT"})}, "not an extension's to define"),
    ],
)
def test_what_the_grammar_forbids_and_what_is_the_engines_is_no_extension(added: Any, complaint: str) -> None:
    """An extension cannot break a reply, take a command over, or promise what the engine does not keep."""
    with pytest.raises(LocalProtocolError, match=complaint):
        Extensions(**added)


def test_sums_of_extensions_name_nothing_twice() -> None:
    """Whatever it is that both name."""
    assert ADDED + NO_EXTENSIONS == ADDED
    both = ADDED + Extensions(("XB",), frozenset({"XBB"}), frozenset({"XB"}), frozenset({"XB"}))
    assert both.keywords == ("XQUOTA 5", "XB")
    for again in (
        Extensions(("XQUOTA",)),
        Extensions(verbs=ADDED.verbs),
        Extensions(mail_parameters=ADDED.mail_parameters),
        Extensions(rcpt_parameters=ADDED.rcpt_parameters),
    ):
        with pytest.raises(LocalProtocolError):
            _ = ADDED + again
