"""``relay_domains`` and ``refused_senders`` at a listener: replies, counters, the log, and who is spared."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.attacks.raw import Raw
from tests.unit.service.smtp.test_client_certificate import Log, log

from gatepost.config.schema import Config
from gatepost.errors import ConfigError
from gatepost.service.policies import has_policies, policies_of, variants_of
from gatepost.service.smtp.passing import passes_on, refused_sender
from gatepost.testing.server import LISTENERS, MailServer
from gatepost.wire.smtp.address import Mailbox

__all__ = ["log"]  # the fixture

BAD = b"<Spammer@bad.example>"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    """A front server that refuses some senders."""
    settings: dict[str, Any] = {
        "relay_domains": ["relayed.example"], "relay": [{"from": ["127.0.0.7"]}],
        "refused_senders": ["spammer@bad.example", "@example.test", ".worst.example"],
    }  # fmt: skip
    with MailServer(tmp_path_factory.mktemp("data"), **settings) as running:
        yield running


def _mail(client: Raw, sender: bytes) -> bytes:
    client.say(b"EHLO client.example")
    return client.say(b"MAIL FROM:" + sender)


@pytest.mark.parametrize(
    ("sender", "refused"),
    [
        (BAD, True), (b"<x@example.test>", True), (b"<x@EXAMPLE.TEST.>", True), (b"<x@a.worst.example>", True),
        (b'<"spammer"@bad.example>', True), (b"<@good.example:spammer@bad.example>", True),
        (b"<>", False), (b"<other@bad.example>", False), (b"<x@worst.example>", False),
    ],
)  # fmt: skip
def test_listed_senders_are_refused_and_the_null_sender_never(
    server: MailServer, sender: bytes, *, refused: bool
) -> None:
    """At MAIL, with 550 5.7.1; the session goes on, and another sender is taken."""
    before = server.total("senders_refused_total", listener="mx")
    with Raw(server.ports["mx"]) as client:
        answer = _mail(client, sender)
        assert answer.startswith(b"550 5.7.1" if refused else b"250"), answer
        client.say(b"RSET")
        assert client.say(b"MAIL FROM:<friend@good.example>").startswith(b"250")
    assert server.total("senders_refused_total", listener="mx") == before + refused


def test_refusal_of_a_sender_is_logged(server: MailServer, log: Log) -> None:
    """With the sender and the entry."""
    with Raw(server.ports["mx"]) as client:
        _mail(client, BAD)
        line = log.until("smtp.sender-refused")
    assert (line["sender"], line["rule"]) == ("<Spammer@bad.example>", "refused_senders: spammer@bad.example")
    assert line["severity"] == "notice" and line["rip"] == "127.0.0.1"


def test_users_who_log_in_are_spared(server: MailServer) -> None:
    """Their own domain may be listed: nobody outside may use it, they may."""
    with Raw(server.ports["submission"]) as client:
        client.upgrade(server.ca_file)
        assert client.say(b"AUTH PLAIN AGFsaWNlQGV4YW1wbGUudGVzdAB3b25kZXJsYW5k").startswith(b"235")
        assert client.say(b"MAIL FROM:<alice@example.test>").startswith(b"250")
        assert client.say(b"RCPT TO:<bob@relayed.example>").startswith(b"250")


def test_relayed_mail_is_logged_with_its_rule(server: MailServer, log: Log) -> None:
    """``relay=relay_domains``, inside TLS too; a client that may relay anyhow is logged with its own rule."""
    for source, tls, rule in (("127.0.0.1", False, "relay_domains"), ("127.0.0.1", True, "relay_domains"),
                              ("127.0.0.7", False, "relay[0]")):  # fmt: skip
        with Raw(server.ports["mx"], source=source) as client:
            if tls:
                client.upgrade(server.ca_file)
            _mail(client, b"<friend@good.example>")
            assert client.say(b"RCPT TO:<bob@relayed.example>").startswith(b"250")
            assert log.session(client)["relay"] == rule


def test_limits_count_for_relayed_mail(tmp_path: Path) -> None:
    """Recipients of one message, as for all mail."""
    with (
        MailServer(tmp_path, relay_domains=["relayed.example"], limits={"recipients": 100}) as server,
        Raw(server.ports["mx"]) as client,
    ):
        _mail(client, b"<friend@good.example>")
        client.send(b"".join(b"RCPT TO:<user%d@relayed.example>\r\n" % number for number in range(101)))
        codes = [client.reply()[:3] for _ in range(101)]
    assert codes == [b"250"] * 100 + [b"452"]


@pytest.mark.parametrize("protocol", ["lmtp", "submission", "local"])
def test_other_listeners_know_neither(protocol: str) -> None:
    """What stands here is about mail from servers."""
    config = Config.model_validate({
        "hostname": "mx.example.test", "listener": LISTENERS, "relay_domains": ["relayed.example"],
        "refused_senders": ["@bad.example"],
    })  # fmt: skip
    policies = policies_of(config, {})
    assert policies is not None
    mailbox, sender = Mailbox("ann", "relayed.example"), Mailbox("x", "bad.example")
    assert passes_on(policies, "smtp", mailbox) and not passes_on(policies, protocol, mailbox)
    assert refused_sender(policies, "smtp", sender) and not refused_sender(policies, protocol, sender)
    assert not passes_on(None, "smtp", mailbox) and not refused_sender(None, "smtp", sender)


def test_list_of_senders_that_cannot_be_read_is_found_before_the_start(tmp_path: Path) -> None:
    """Not by workers that end one after the other."""
    config = Config.model_validate({"hostname": "mx.example.test", "refused_senders": [f"file:{tmp_path}/none"]})
    assert has_policies(config)
    with pytest.raises(ConfigError, match="cannot be read"):
        variants_of(config, [])


def test_changed_list_of_senders_is_taken_up(tmp_path: Path) -> None:
    """Without a reload."""
    file = tmp_path / "senders"
    file.write_text("@bad.example\n")
    config = Config.model_validate({"hostname": "mx.example.test", "refused_senders": [f"file:{file}"]})
    policies = policies_of(config, {})
    assert policies is not None
    sender = Mailbox("x", "worse.example")
    assert not refused_sender(policies, "smtp", sender)
    file.write_text("@bad.example\n@worse.example\n")
    policies.look()
    assert refused_sender(policies, "smtp", sender) == "@worse.example"
