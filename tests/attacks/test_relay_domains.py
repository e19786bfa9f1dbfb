"""The attacker finds a server that takes mail for some domains of others, and wants it to take mail for all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.attacks.conftest import deliver
from tests.attacks.raw import Raw

from gatepost.testing.server import MailServer

RELAYED = ["relayed.example", ".below.example", "b\u00fccher.example"]
STRANGERS = [
    b"<victim@elsewhere.example>", b"<victim@xrelayed.example>", b"<victim@x.relayed.example>",
    b"<victim@below.example>", b"<victim@xbelow.example>", b"<victim@relayed.example.elsewhere.example>",
    b"<victim@relayed>", b"<victim@example>", b"<victim@[192.0.2.1]>", b"<victim@[IPv6:2001:db8::1]>",
    b"<@relayed.example:victim@elsewhere.example>", b"<@x.below.example,@relayed.example:victim@elsewhere.example>",
    b"<relayed.example!victim@elsewhere.example>", b"<relayed.example>", b"<@relayed.example>",
    b'<"victim@relayed.example">', b"<victim@relayed.example@elsewhere.example>",
    b"<victim@elsewhere.example\x00@relayed.example>", b"<victim@xn--bcher-kva.example.elsewhere.example>",
    b"<victim@bucher.example>", b"<victim@relayed.example..>", b"<victim@.relayed.example>",
    b"<victim@relayed_example>", b"<victim@*>", b"<victim@.>", b"<victim@>",
]  # fmt: skip
HIDDEN = [
    b"<victim%elsewhere.example@relayed.example>", b"<elsewhere.example!victim@relayed.example>",
    b'<"victim@elsewhere.example"@relayed.example>', b'<"victim%elsewhere.example"@x.below.example>',
    b'<"elsewhere.example!victim"@relayed.example>', b'<"victim\\@elsewhere.example"@relayed.example>',
    b"<@relayed.example:victim%elsewhere.example@RELAYED.example.>", b"<%@relayed.example>",
]  # fmt: skip
TAKEN = [
    (b"<ann@relayed.example>", "ann@relayed.example"), (b"<Ann@RELAYED.Example>", "Ann@relayed.example"),
    (b"<ann@relayed.example.>", "ann@relayed.example"), (b"<ann@x.below.example>", "ann@x.below.example"),
    (b"<ann@xn--bcher-kva.example>", "ann@xn--bcher-kva.example"),
    (b"<ann@XN--BCHER-KVA.example.>", "ann@xn--bcher-kva.example"),
    (b"<@elsewhere.example:ann@relayed.example>", "ann@relayed.example"),
    (b'<"ann"@relayed.example>', "ann@relayed.example"), (b'<"a b"@relayed.example>', '"a b"@relayed.example'),
]  # fmt: skip


@pytest.fixture(scope="module")
def relaying(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    """A server that passes on mail for some domains. After all attacks it still serves."""
    with MailServer(tmp_path_factory.mktemp("data"), relay_domains=RELAYED) as server:
        yield server
        deliver(server)


@pytest.mark.parametrize("tls", [False, True], ids=["clear", "tls"])
@pytest.mark.parametrize("recipient", [*STRANGERS, *HIDDEN], ids=ascii)
def test_attacker_cannot_relay_through_relay_domains(relaying: MailServer, recipient: bytes, *, tls: bool) -> None:
    """Goal: an open relay. Only the final domain counts, whole; and no second address hides in front of it."""
    with Raw(relaying.ports["mx"]) as client:
        if tls:
            client.upgrade(relaying.ca_file)
        else:
            client.say(b"EHLO attacker.example")
        assert client.say(b"MAIL FROM:<ann@relayed.example>").startswith(b"250")
        assert client.say(b"RCPT TO:" + recipient)[:1] == b"5"
        assert client.say(b"DATA").startswith(b"503")


@pytest.mark.parametrize(("recipient", "queued"), TAKEN, ids=ascii)
def test_mail_for_relay_domains_is_taken_from_everybody(relaying: MailServer, recipient: bytes, queued: str) -> None:
    """In every spelling of the domain; what is queued is one spelling, without a route."""
    relaying.messages()
    with Raw(relaying.ports["mx"]) as client:
        client.say(b"EHLO friend.example")
        client.say(b"MAIL FROM:<bob@elsewhere.example>")
        assert client.say(b"RCPT TO:" + recipient).startswith(b"250")
        assert client.say(b"RCPT TO:<victim@elsewhere.example>").startswith(b"550 5.7.1")
        client.say(b"DATA")
        assert client.say(b"Subject: x\r\n\r\n.").startswith(b"250")
    ((_, _, recipients),) = relaying.messages()
    assert recipients == [queued]


def test_domain_in_unicode_is_the_same_domain(relaying: MailServer) -> None:
    """With SMTPUTF8; a name that only looks like it is another one."""
    with Raw(relaying.ports["mx"]) as client:
        client.say(b"EHLO friend.example")
        assert client.say(b"MAIL FROM:<bob@elsewhere.example> SMTPUTF8").startswith(b"250")
        assert client.say("RCPT TO:<ann@B\u00fcCHER.example>".encode()).startswith(b"250")
        assert client.say("RCPT TO:<ann@bu\u0308cher.example>".encode()).startswith(b"250")  # NFC is the same name
        assert client.say("RCPT TO:<ann@b\u0443cher.example>".encode()).startswith(b"550 5.7.1")
        assert client.say("RCPT TO:<ann@relayed\u3002example>".encode())[:1] == b"5"
        assert client.say("RCPT TO:<victim\uff20elsewhere@relayed.example>".encode()).startswith(b"250")  # no @ at all


def test_relay_domains_open_no_other_door(relaying: MailServer) -> None:
    """Goal: send through the port for users without a login."""
    with Raw(relaying.ports["submission"]) as client:
        client.upgrade(relaying.ca_file)
        assert client.say(b"MAIL FROM:<bob@elsewhere.example>").startswith(b"530")
        assert client.say(b"RCPT TO:<ann@relayed.example>").startswith(b"503")


def test_reports_for_relayed_mail_go_to_its_sender_as_he_asked(relaying: MailServer) -> None:
    """DSN parameters are kept as for other mail (RFC 3461)."""
    relaying.messages()
    with Raw(relaying.ports["mx"]) as client:
        client.say(b"EHLO friend.example")
        client.say(b"MAIL FROM:<bob@elsewhere.example> RET=HDRS ENVID=abc")
        assert client.say(b"RCPT TO:<ann@relayed.example> NOTIFY=DELAY,FAILURE").startswith(b"250")
        client.say(b"DATA")
        assert client.say(b"Subject: x\r\n\r\n.").startswith(b"250")
    ((message, _, _),) = relaying.messages()
    assert (message.sender, message.ret, message.envid) == ("bob@elsewhere.example", "HDRS", "abc")
