"""Extensions: what they may be called, on which side they exist, and whose they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.attacks.raw import Raw
from tests.unit.smtp.publicserver import Box, Running, contexts, handler

from gatepost.errors import LocalProtocolError
from gatepost.smtp import Extension, PlainSession, Reply, Server
from gatepost.testing.handshakes import SERVER_ORIGIN

Serve = Callable[..., Running]


class Quota(Extension):
    """A verb that counts how often this object was asked."""

    keywords = ("XQUOTA 100",)
    verbs = ("XQUOTA",)
    mail_parameters = ("XPRIORITY",)
    rcpt_parameters = ("XFOLDER",)

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def on_verb(self, session: Any, verb: str, argument: str) -> Reply:
        self.asked.append(argument)
        return Reply(250, "2.0.0", f"{verb} {self.asked} {session.private}")

    async def on_parameter(self, session: Any, command: str, keyword: str, value: str) -> Reply | None:
        return Reply(550, "5.7.1", f"{command} {keyword} {value}") if value == "bad" else None


class PrivateQuota(Quota):
    only_in_private = True


def test_an_extension_of_both_sides_has_an_object_for_each(serve: Serve) -> None:
    """What it was told in the clear it does not know inside TLS."""
    running = serve(extensions=[Quota])
    with Raw(running.port) as client:
        assert b"XQUOTA 100" in client.say(b"EHLO client.example")
        assert client.say(b"XQUOTA evil") == b"250 2.0.0 XQUOTA ['evil'] False"
        client.say(b"STARTTLS")
        client.start_tls(running.ca_file)
        assert b"XQUOTA 100" in client.say(b"EHLO client.example")
        assert client.say(b"xquota  honest  ") == b"250 2.0.0 XQUOTA ['honest'] True"


def test_an_extension_of_the_private_side_is_unknown_in_the_clear(serve: Serve) -> None:
    """Neither its keyword, nor its verb, nor its parameters."""
    running = serve(extensions=[PrivateQuota])
    with Raw(running.port) as client:
        assert b"XQUOTA" not in client.say(b"EHLO client.example")
        assert client.say(b"XQUOTA").startswith(b"500 5.5.1")
        assert client.say(b"MAIL FROM:<a@b.example> XPRIORITY=1").startswith(b"555 5.5.4")
        client.say(b"STARTTLS")
        client.start_tls(running.ca_file)
        assert b"XQUOTA 100" in client.say(b"EHLO client.example")
        assert client.say(b"XQUOTA").startswith(b"250")
        assert client.say(b"MAIL FROM:<a@b.example> XPRIORITY=1").startswith(b"250")


def test_a_verb_waits_for_starttls_where_tls_is_required(serve: Serve) -> None:
    """RFC 3207 section 4: nothing but EHLO, NOOP, STARTTLS and QUIT."""
    with Raw(serve(extensions=[Quota], require_tls=True).port) as client:
        client.say(b"EHLO client.example")
        assert client.say(b"XQUOTA").startswith(b"530 5.7.0")


def test_parameters_reach_their_extension_and_the_hook(serve: Serve, box: Box) -> None:
    """The extension may refuse; the command's own hook sees what was sent."""

    async def on_mail(self: object, session: object, sender: object, parameters: Any) -> None:
        box.note(f"MAIL {parameters.extra} {parameters.size}")

    def on_rcpt(self: object, session: object, recipient: object, parameters: Any) -> None:
        box.note(f"RCPT {parameters.extra}")

    with Raw(serve(handler(on_mail=on_mail, on_rcpt=on_rcpt), extensions=[Quota]).port) as client:
        client.say(b"EHLO client.example")
        assert client.say(b"MAIL FROM:<a@b.example> xpriority=bad") == b"550 5.7.1 MAIL XPRIORITY bad"
        assert client.say(b"MAIL FROM:<a@b.example> SIZE=5 XPRIORITY=7").startswith(b"250")
        assert client.say(b"RCPT TO:<c@d.example> XFOLDER=bad") == b"550 5.7.1 RCPT XFOLDER bad"
        assert client.say(b"RCPT TO:<c@d.example> XFOLDER=in XFOLDER=out").startswith(b"501")
        assert client.say(b"RCPT TO:<c@d.example> XFOLDER=in").startswith(b"250")
        assert client.say(b"RCPT TO:<c@d.example> XPRIORITY=7").startswith(b"555")
    assert box.calls == ["MAIL (('XPRIORITY', '7'),) 5", "RCPT (('XFOLDER', 'in'),)"]


def test_hook_that_tls_is_up_may_register_more(serve: Serve) -> None:
    """For this session, before its capabilities are listed."""

    async def on_secure(self: object, session: Any, evidence: object) -> None:
        session.register(PrivateQuota())

    running = serve(handler(on_secure=on_secure))
    with Raw(running.port) as client:
        client.say(b"EHLO client.example")
        client.say(b"STARTTLS")
        client.start_tls(running.ca_file)
        assert b"XQUOTA 100" in client.say(b"EHLO client.example")


def test_nothing_is_registered_once_the_conversation_began(serve: Serve) -> None:
    """The capabilities were listed by then."""

    async def on_mail(self: object, session: Any, *arguments: object) -> None:
        session.register(Quota())

    with Raw(serve(handler(on_mail=on_mail)).port) as client:
        client.say(b"EHLO client.example")
        assert client.say(b"MAIL FROM:<a@b.example>").startswith(b"451")


def test_an_object_belongs_to_one_session_for_good() -> None:
    """One that was registered before the upgrade cannot be registered after it."""
    quota = Quota()
    PlainSession(SERVER_ORIGIN).register(quota)
    with pytest.raises(LocalProtocolError, match="belongs to another session"):
        PlainSession(SERVER_ORIGIN).register(quota)


def test_private_extensions_are_not_registered_in_the_clear() -> None:
    """The mistake is an exception, not a hole."""
    with pytest.raises(LocalProtocolError, match="inside TLS only"):
        PlainSession(SERVER_ORIGIN).register(PrivateQuota())


def test_an_object_in_place_of_its_class_is_refused() -> None:
    """It could belong to one session only; the words say what is wanted."""
    with pytest.raises(LocalProtocolError, match="extension's class"):
        Server(handler(), hostname="mx.example.test", contexts=contexts(), extensions=[Quota()])  # type: ignore[list-item]


def test_a_factory_that_returns_one_object_twice_is_found_out_at_once() -> None:
    """When the server is made, not when the first client upgrades."""
    quota = Quota()
    with pytest.raises(LocalProtocolError, match="belongs to another session"):
        Server(handler(), hostname="mx.example.test", contexts=contexts(), extensions=[lambda: quota])


@pytest.mark.parametrize(
    "names",
    [
        {"keywords": ["STARTTLS"]}, {"keywords": ["AUTH PLAIN"]}, {"keywords": ["SIZE 5"]}, {"keywords": ["X Y\r\nZ"]},
        {"keywords": ["-X"]}, {"keywords": [""]}, {"keywords": ["XA", "XA 1"]}, {"keywords": ["X" * 300]},
        {"keywords": "XQUOTA"}, {"keywords": ["XÄ"]}, {"verbs": ["STARTTLS"]}, {"verbs": ["EHLO"]}, {"verbs": ["DATA"]},
        {"verbs": ["quit"]}, {"verbs": ["LHLO"]}, {"verbs": ["AUTH"]}, {"verbs": ["GET"]}, {"verbs": ["X Y"]},
        {"verbs": ["XY"]}, {"verbs": ["1X3"]}, {"verbs": ["X\r\n"]}, {"verbs": "XQUOTA"}, {"mail_parameters": ["SIZE"]},
        {"mail_parameters": ["AUTH"]}, {"mail_parameters": ["X=Y"]}, {"mail_parameters": [""]},
        {"rcpt_parameters": ["NOTIFY"]}, {"rcpt_parameters": ["X Y"]},
    ],
    ids=str,
)  # fmt: skip
def test_a_name_that_cannot_be_is_refused_when_the_server_is_made(names: dict[str, Any]) -> None:
    """Grammar (RFC 5321 sections 4.1.1.1 and 4.1.2), and nothing that the server does itself."""
    kind = type("Bad", (Extension,), names)
    with pytest.raises(LocalProtocolError):
        Server(handler(), hostname="mx.example.test", contexts=contexts(), extensions=[kind])


@pytest.mark.parametrize("added", ["keywords", "verbs", "mail_parameters", "rcpt_parameters"])
def test_two_extensions_may_not_define_the_same(added: str) -> None:
    """Nobody could tell which is meant."""
    first, second = (type(name, (Extension,), {added: ("XSAME",)}) for name in ("First", "Second"))
    with pytest.raises(LocalProtocolError):
        Server(handler(), hostname="mx.example.test", contexts=contexts(), extensions=[first, second])


def test_a_verb_without_an_answer_is_refused(serve: Serve) -> None:
    """An extension that names a verb and forgets its method; one that returns nothing."""

    class Forgetful(Extension):
        verbs = ("XNOTHING", "XNONE")

        async def on_verb(self, session: Any, verb: str, argument: str) -> Reply:
            return await super().on_verb(session, verb, argument) if verb == "XNOTHING" else None  # type: ignore[return-value]

    with Raw(serve(extensions=[Forgetful]).port) as client:
        client.say(b"EHLO client.example")
        assert client.say(b"XNOTHING").startswith(b"502")
        assert client.say(b"XNONE").startswith(b"451")
        assert client.say(b"NOOP").startswith(b"250")
