"""Greylisting where it is said: sessions of a real server, over sockets, in the clear and inside TLS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.attacks.raw import Raw

from gatepost.service.certified import fingerprints
from gatepost.store.sqlite.greylist import FILE_NAME, SQLiteGreylist
from gatepost.testing.ca import TestAuthority, self_signed
from gatepost.testing.dns import FakeDNS
from gatepost.testing.server import MailServer

ON: dict[str, Any] = {"enabled": True, "delay": "1h"}
CLIENTS = TestAuthority("an authority of partners")
PARTNER = CLIENTS.issue("mail.partner.example")
PINNED, FORGED = self_signed("pinned.example"), self_signed("mail.partner.example")
LETTER = b"Subject: hello\r\n\r\nhello\r\n."


def _server(
    folder: Path, *rules: dict[str, Any], greylist: dict[str, Any] | None = None, **settings: Any
) -> MailServer:
    return MailServer(folder, greylist=greylist or ON, greylist_rule=rules, **settings)


def _let_time_pass(server: MailServer) -> None:
    """An hour and more goes by for all that is remembered."""
    store = SQLiteGreylist(server.data / FILE_NAME, busy_seconds=30.0)
    with store._open().writing("test") as connection:
        connection.execute("UPDATE triplets SET first_seen = first_seen - 4000")
    store.close()


def _envelope(client: Raw, *recipients: bytes, sender: bytes = b"ann@far.example") -> list[bytes]:
    client.say(b"EHLO far.example")
    assert client.say(b"MAIL FROM:<" + sender + b">").startswith(b"250")
    return [client.say(b"RCPT TO:<" + each + b">") for each in recipients or (b"alice@example.test",)]


def test_stranger_is_put_off_and_let_in_when_it_comes_again(tmp_path: Path) -> None:
    """In the same session and in another one; then the message is taken."""
    with _server(tmp_path) as server:
        with Raw(server.port("mx")) as client:
            (said,) = _envelope(client)
            assert said.startswith(b"451 4.7.1 Greylisted: we do not know you yet, try again in 1h")
            assert client.say(b"DATA").startswith(b"503")
        _let_time_pass(server)
        with Raw(server.port("mx")) as client:
            assert _envelope(client)[0].startswith(b"250")
            assert client.say(b"DATA").startswith(b"354")
            assert client.say(LETTER).startswith(b"250")
        assert len(server.messages()) == 1
        assert server.total("greylist_decisions_total", result="deferred") == 1
        assert server.total("greylist_decisions_total", result="passed") == 1


def test_what_was_seen_in_the_clear_is_known_inside_tls(tmp_path: Path) -> None:
    """STARTTLS takes nothing away from it."""
    with _server(tmp_path) as server:
        with Raw(server.port("mx")) as client:
            assert _envelope(client)[0].startswith(b"451")
        _let_time_pass(server)
        with Raw(server.port("mx")) as client:
            client.upgrade(server.ca_file)
            assert _envelope(client)[0].startswith(b"250")


def test_recipient_that_does_not_exist_is_refused_and_not_remembered(tmp_path: Path) -> None:
    """At once and for good: making up recipients does not fill the memory."""
    with _server(tmp_path) as server:
        with Raw(server.port("mx")) as client:
            said = _envelope(client, b"nobody@example.test", b"x@elsewhere.example")
        assert [each[:3] for each in said] == [b"550", b"550"]
        store = SQLiteGreylist(tmp_path / FILE_NAME)
        assert store.totals().waiting == 0
        store.close()


def test_many_recipients_put_off_do_not_end_the_session(tmp_path: Path) -> None:
    """Who is put off has guessed nothing: each recipient of a long list has its own answer."""
    aliases = {f"list{number}": "alice" for number in range(30)}
    with _server(tmp_path, aliases=aliases) as server, Raw(server.port("mx")) as client:
        said = _envelope(client, *(f"list{number}@example.test".encode() for number in range(30)))
        assert {each[:3] for each in said} == {b"451"}
        assert client.say(b"QUIT").startswith(b"221")


def test_client_that_may_relay_is_no_stranger(tmp_path: Path) -> None:
    """Whoever its mail is for."""
    with _server(tmp_path, relay=[{"from": "127.0.0.1"}]) as server, Raw(server.port("mx")) as client:
        said = _envelope(client, b"alice@example.test", b"someone@elsewhere.example")
        assert [each[:3] for each in said] == [b"250", b"250"]
        assert server.total("greylist_decisions_total", result="deferred") == 0


def test_domain_that_is_passed_on_is_greylisted_too(tmp_path: Path) -> None:
    """A backup for another server must not be the way around."""
    with _server(tmp_path, relay_domains=["partner.example"]) as server, Raw(server.port("mx")) as client:
        assert _envelope(client, b"x@partner.example")[0].startswith(b"451")


def test_mail_without_a_sender_is_let_in_unless_a_rule_says_otherwise(tmp_path: Path) -> None:
    """Reports about mail of ours, and tests of our addresses."""
    with _server(tmp_path) as server, Raw(server.port("mx")) as client:
        assert _envelope(client, sender=b"")[0].startswith(b"250")
    (tmp_path / "other").mkdir()
    rule = {"senders": ["<>"], "action": "delay", "delay": "30m"}
    with _server(tmp_path / "other", rule) as server, Raw(server.port("mx")) as client:
        assert _envelope(client, sender=b"")[0].startswith(b"451")


def test_rule_that_refuses_says_its_own_text(tmp_path: Path) -> None:
    """550 5.7.1, and the recipient is not taken."""
    rule = {"senders": ["foe.example"], "action": "refuse", "text": "No mail from foes"}
    with _server(tmp_path, rule) as server, Raw(server.port("mx")) as client:
        assert _envelope(client, sender=b"x@foe.example")[0].startswith(b"550 5.7.1 No mail from foes")


def test_rule_by_tls_tells_the_clear_from_the_inside(tmp_path: Path) -> None:
    """Who speaks TLS may be trusted sooner."""
    with _server(tmp_path, {"tls": True, "action": "skip"}) as server:
        with Raw(server.port("mx")) as client:
            assert _envelope(client)[0].startswith(b"451")
        with Raw(server.port("mx")) as client:
            client.upgrade(server.ca_file)
            assert _envelope(client)[0].startswith(b"250")


def test_after_content_the_whole_message_is_put_off(tmp_path: Path) -> None:
    """For clients that break at RCPT: nothing is kept of it, and the session goes on."""
    with _server(tmp_path, greylist={**ON, "at": "data"}) as server:
        for expected in (b"451 4.7.1", b"250"):
            with Raw(server.port("mx")) as client:
                assert _envelope(client)[0].startswith(b"250")
                assert client.say(b"DATA").startswith(b"354")
                assert client.say(LETTER).startswith(expected)
                assert client.say(b"RSET").startswith(b"250")
            _let_time_pass(server)
        assert len(server.messages()) == 1


def test_answer_that_waits_for_dns_comes_in_its_order(tmp_path: Path) -> None:
    """Pipelined commands behind it wait, and each has its own answer."""
    with FakeDNS() as dns:
        dns.add("1.0.0.127.in-addr.arpa", "PTR", "out.big.example.")
        dns.add("out.big.example", "A", "127.0.0.1")
        rule = {"client_names": [".big.example"], "action": "skip"}
        delivery = {"resolver": dns.nameserver, "hold": True}
        with _server(tmp_path, rule, delivery=delivery) as server, Raw(server.port("mx")) as client:
            client.say(b"EHLO far.example")
            client.send(
                b"MAIL FROM:<ann@far.example>\r\nRCPT TO:<alice@example.test>\r\nRCPT TO:<nobody@example.test>\r\n"
                b"NOOP\r\n"
            )
            assert [client.reply()[:3] for _ in range(4)] == [b"250", b"250", b"550", b"250"]
            assert server.total("greylist_decisions_total", result="skipped") == 1


def test_client_that_leaves_while_dns_is_asked_harms_nobody(tmp_path: Path) -> None:
    """Its answer is dropped; others are served."""
    with FakeDNS() as dns:
        dns.silence("1.0.0.127.in-addr.arpa")
        rule = {"client_names": [".big.example"], "action": "skip"}
        with _server(tmp_path, rule, delivery={"resolver": dns.nameserver, "hold": True}) as server:
            client = Raw(server.port("mx"))
            client.say(b"EHLO far.example")
            client.send(b"MAIL FROM:<ann@far.example>\r\nRCPT TO:<alice@example.test>\r\n")
            assert client.reply().startswith(b"250")
            client.close()
            with Raw(server.port("mx")) as other:
                assert other.say(b"NOOP").startswith(b"250")


def test_certificate_of_a_client_decides(tmp_path: Path) -> None:
    """By a name where its authority is believed, by its SHA-256 whoever issued it; a name of his own proves nothing."""
    (tmp_path / "clients.pem").write_bytes(CLIENTS.pem)
    rules = (
        {"certificate_names": [".partner.example"], "action": "skip"},
        {"certificate_fingerprint": [fingerprints(PINNED.der[0])[0]], "action": "skip"},
    )
    tls = {"client_certificate": "ask", "client_ca": tmp_path / "clients.pem"}
    answers = {}
    with _server(tmp_path, *rules, tls=tls) as server:
        for name, shown in {"partner": PARTNER, "pinned": PINNED, "forged": FORGED, "none": None}.items():
            file = None if shown is None else shown.write(tmp_path / f"{name}.pem")
            with Raw(server.port("mx")) as client:
                client.upgrade(server.ca_file, file)
                answers[name] = _envelope(client)[0][:3]
    assert answers == {"partner": b"250", "pinned": b"250", "forged": b"451", "none": b"451"}


def test_client_that_may_relay_by_its_certificate_is_no_stranger(tmp_path: Path) -> None:
    """And one with another certificate is; asking whether it may is not counted as relaying."""
    (tmp_path / "clients.pem").write_bytes(CLIENTS.pem)
    relay = [{"certificate_fingerprint": [fingerprints(PINNED.der[0])[0]]}]
    with _server(tmp_path, relay=relay) as server:
        for shown, expected in ((PINNED, b"250"), (FORGED, b"451")):
            with Raw(server.port("mx")) as client:
                client.upgrade(server.ca_file, shown.write(tmp_path / "shown.pem"))
                assert _envelope(client)[0].startswith(expected)


def test_submission_and_the_local_socket_never_greylist(tmp_path: Path) -> None:
    """A login decides there."""
    with _server(tmp_path) as server, Raw(server.port("submission")) as client:
        client.upgrade(server.ca_file)
        client.say(b"EHLO me")
        assert client.say(b"AUTH PLAIN AGFsaWNlQGV4YW1wbGUudGVzdAB3b25kZXJsYW5k").startswith(b"235")
        assert client.say(b"MAIL FROM:<alice@example.test>").startswith(b"250")
        assert client.say(b"RCPT TO:<alice@example.test>").startswith(b"250")
        assert not server.total("greylist_decisions_total", result="deferred")


@pytest.mark.parametrize("settings", [{}, {"greylist": {"enabled": False}}])
def test_where_it_is_off_nothing_is_opened(tmp_path: Path, settings: dict[str, Any]) -> None:
    """No file, no answer but 250."""
    with MailServer(tmp_path, **settings) as server, Raw(server.port("mx")) as client:
        assert _envelope(client)[0].startswith(b"250")
    assert not (tmp_path / FILE_NAME).exists()


def test_damaged_memory_stops_no_mail(tmp_path: Path) -> None:
    """Mail is let through, and counted."""
    (tmp_path / FILE_NAME).write_bytes(b"no database" * 1000)
    with _server(tmp_path) as server, Raw(server.port("mx")) as client:
        assert _envelope(client)[0].startswith(b"250")
        assert server.total("greylist_decisions_total", result="unavailable") == 1


def test_domain_that_vouches_stands_for_its_clients(tmp_path: Path) -> None:
    """Asked in the middle of a session, in the clear and inside TLS; the next address of the domain gets in."""
    with FakeDNS() as dns:
        dns.add("big.example", "TXT", '"v=spf1 ip4:127.0.0.2 ip4:127.0.0.3 -all"')
        rule = {"spf": "pass", "action": "delay"}
        with _server(
            tmp_path, rule, greylist={**ON, "network_ipv4": 32}, delivery={"resolver": dns.nameserver, "hold": True}
        ) as server:
            with Raw(server.port("mx"), source="127.0.0.2", timeout=60.0) as client:
                assert _envelope(client, sender=b"news@big.example")[0].startswith(b"451")
            _let_time_pass(server)
            with Raw(server.port("mx"), source="127.0.0.4", timeout=60.0) as client:
                assert _envelope(client, sender=b"news@big.example")[0].startswith(b"451")
            with Raw(server.port("mx"), source="127.0.0.3", timeout=60.0) as client:
                client.upgrade(server.ca_file)
                assert _envelope(client, sender=b"news@big.example")[0].startswith(b"250")
                assert client.say(b"DATA").startswith(b"354")
                assert client.say(LETTER).startswith(b"250")


def test_hello_must_be_borne_out_before_it_spares_mail_without_a_sender(tmp_path: Path) -> None:
    """The name of the session that asks: what was said before TLS is not it."""
    with FakeDNS() as dns:
        dns.add("out.big.example", "TXT", '"v=spf1 ip4:127.0.0.1 -all"')
        rules: list[dict[str, Any]] = [{"senders": ["<>"], "spf": "pass", "action": "skip"}, {"action": "delay"}]
        with _server(tmp_path, *rules, delivery={"resolver": dns.nameserver, "hold": True}) as server:
            with Raw(server.port("mx"), timeout=60.0) as client:
                client.say(b"EHLO out.big.example")
                client.upgrade(server.ca_file)
                assert _envelope(client, sender=b"")[0].startswith(b"451")
                client.say(b"RSET")
                client.say(b"EHLO out.big.example")
                client.say(b"MAIL FROM:<>")
                assert client.say(b"RCPT TO:<alice@example.test>").startswith(b"250")
