"""Attacks on greylisting: filling its memory, growing what it keeps, getting around it, turning it against others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.attacks.raw import Raw

from gatepost.store.sqlite.greylist import FILE_NAME, SQLiteGreylist
from gatepost.testing.dns import FakeDNS
from gatepost.testing.server import MailServer

SIZE = 1000


@pytest.fixture(scope="module")
def dns() -> Iterator[FakeDNS]:
    """The name server that an attacker's zone is at."""
    with FakeDNS() as server:
        server.add("2.0.0.127.in-addr.arpa", "PTR", "out1.big.example.")
        server.add("out1.big.example", "A", "192.0.2.1")
        yield server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, dns: FakeDNS) -> Iterator[MailServer]:
    """A server that puts strangers off, and spares a big sender by name."""
    with MailServer(
        tmp_path_factory.mktemp("data"),
        greylist={"enabled": True, "delay": "1h", "size": SIZE, "network_ipv4": 32},
        greylist_rule=[{"client_names": [".big.example"], "action": "skip"}],
        delivery={"resolver": dns.nameserver, "hold": True},
        limits={"message_rate_per_address": 100000},
    ) as running:
        yield running


def _rcpt(client: Raw, sender: bytes) -> bytes:
    assert client.say(b"MAIL FROM:<" + sender + b">").startswith(b"250")
    said = client.say(b"RCPT TO:<alice@example.test>")
    assert client.say(b"RSET").startswith(b"250")
    return said


def _kept(server: MailServer) -> int:
    store = SQLiteGreylist(server.data / FILE_NAME, busy_seconds=30.0)
    try:
        totals = store.totals()
        return totals.waiting + totals.passed + totals.networks
    finally:
        store.close()


def test_forged_hello_and_reverse_name_open_no_door(server: MailServer) -> None:
    """The attacker calls himself the big sender, and has his reverse zone say so: both are claims."""
    with Raw(server.port("mx"), source="127.0.0.2") as client:
        client.say(b"EHLO out1.big.example")
        assert _rcpt(client, b"a@big.example").startswith(b"451")


def test_hammering_does_not_shorten_the_wait(server: MailServer) -> None:
    """However often he comes, the time that is left only runs down; in the file nothing grows."""
    with Raw(server.port("mx"), source="127.0.0.3") as client:
        client.say(b"EHLO x")
        _rcpt(client, b"again@far.example")
        before = _kept(server)
        assert all(_rcpt(client, b"again@far.example").startswith(b"451") for _ in range(50))
    assert _kept(server) == before


def test_odd_spellings_of_one_sender_are_one_sender(server: MailServer) -> None:
    """Case, quotes and source routes make no new triplets."""
    with Raw(server.port("mx"), source="127.0.0.4") as client:
        client.say(b"EHLO x")
        _rcpt(client, b"one@far.example")
        before = _kept(server)
        for spelling in (
            b"ONE@FAR.example",
            b'"one"@far.example',
            b'"o\\ne"@far.example',
            b"@hop.example:one@far.example",
        ):
            assert _rcpt(client, spelling).startswith(b"451")
    assert _kept(server) == before


def test_longest_addresses_leave_rows_of_one_size(server: MailServer) -> None:
    """What is kept for people is cut; the answer does not repeat it."""
    with Raw(server.port("mx"), source="127.0.0.5") as client:
        client.say(b"EHLO x")
        said = _rcpt(client, b"x" * 250 + b"@" + b".".join([b"d" * 60] * 4))
    assert said.startswith(b"451")
    assert b"xxxx" not in said
    store = SQLiteGreylist(server.data / FILE_NAME, busy_seconds=30.0)
    assert max(len(each.triplet.sender) for each in store.triplets(limit=2 * SIZE)) == 128
    store.close()


def test_answer_cannot_be_made_of_what_a_sender_wrote(server: MailServer) -> None:
    """Neither the reply nor a line of the log can be forged through an address."""
    with Raw(server.port("mx"), source="127.0.0.6") as client:
        client.say(b"EHLO x")
        assert _rcpt(client, b'"a\\ 250 Ok"@far.example') == (
            b"451 4.7.1 Greylisted: we do not know you yet, try again in 1h"
        )


def test_flood_of_random_senders_fills_no_disk_and_stops_no_mail(server: MailServer) -> None:
    """More triplets than there is room for: the memory keeps its size, waits go on, further mail is let in."""
    with Raw(server.port("mx"), source="127.0.0.7") as client:
        client.say(b"EHLO x")
        assert _rcpt(client, b"honest@far.example").startswith(b"451")
        answers = {_rcpt(client, f"s{number}@flood.example".encode())[:3] for number in range(SIZE + 100)}
        assert answers == {b"451", b"250"}
        assert _rcpt(client, b"honest@far.example").startswith(b"451")
    assert _kept(server) <= SIZE
    assert server.total("greylist_decisions_total", result="full") >= 100
    with Raw(server.port("mx"), source="127.0.0.8") as client:
        client.say(b"EHLO x")
        assert _rcpt(client, b"late@far.example").startswith(b"250")


def test_name_server_that_never_answers_holds_up_its_own_client_only(tmp_path: Path) -> None:
    """The attacker's zone is silent: other clients are answered meanwhile, and he in the end."""
    with FakeDNS() as dns:
        dns.silence("9.0.0.127.in-addr.arpa")
        with MailServer(
            tmp_path,
            greylist={"enabled": True},
            greylist_rule=[{"client_names": [".big.example"], "action": "skip"}],
            delivery={"resolver": dns.nameserver, "hold": True},
        ) as server:
            with Raw(server.port("mx"), source="127.0.0.9", timeout=60.0) as slow:
                slow.say(b"EHLO x")
                slow.say(b"MAIL FROM:<a@far.example>")
                slow.send(b"RCPT TO:<alice@example.test>\r\n")
                with Raw(server.port("mx")) as other:
                    other.say(b"EHLO y")
                    assert _rcpt(other, b"b@far.example").startswith(b"451")
                assert slow.reply().startswith(b"451")


def test_record_that_vouches_for_everybody_opens_no_door_to_others(tmp_path: Path) -> None:
    """`+all` in the attacker's zone: he waits as anybody, and is not let in under a name that a rule spares."""
    with FakeDNS() as dns:
        dns.add("evil.example", "TXT", '"v=spf1 +all"')
        dns.add("big.example", "TXT", '"v=spf1 ip4:192.0.2.0/24 -all"')
        rules = [
            {"senders": ["big.example"], "spf": "pass", "action": "skip"},
            {"spf": "pass", "action": "delay"},
        ]
        with MailServer(
            tmp_path, greylist={"enabled": True}, greylist_rule=rules,
            delivery={"resolver": dns.nameserver, "hold": True},
        ) as server, Raw(server.port("mx"), timeout=60.0) as client:  # fmt: skip
            client.say(b"EHLO big.example")
            for sender in (
                b"a@evil.example",
                b"a@big.example",
                b'"a@big.example"@evil.example',
                b'"@big.example"@evil.example',
            ):
                assert _rcpt(client, sender).startswith(b"451")


def test_records_of_a_hostile_zone_hold_up_their_own_mail_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loops, silence, and a record of the largest size: other clients are answered meanwhile, and he in the end."""
    monkeypatch.setattr("gatepost.service.greylisting.SPF_SECONDS", 4.0)
    with FakeDNS() as dns:
        dns.add("loop.example", "TXT", '"v=spf1 include:loop2.example redirect=loop.example"')
        dns.add("loop2.example", "TXT", '"v=spf1 redirect=loop.example"')
        long = "v=spf1 " + "a " * 2000 + "+all"
        dns.add("long.example", "TXT", " ".join(f'"{long[at : at + 250]}"' for at in range(0, len(long), 250)))
        dns.add("huge.example", "TXT", " ".join(['"' + "v=spf1 ip4:127.0.0.1 ".ljust(250, "x") + '"'] * 100))
        dns.silence("silent.example")
        with MailServer(
            tmp_path, greylist={"enabled": True}, greylist_rule=[{"spf": "pass", "action": "refuse"}],
            delivery={"resolver": dns.nameserver, "hold": True},
        ) as server:  # fmt: skip
            with Raw(server.port("mx"), source="127.0.0.9", timeout=90.0) as slow:
                slow.say(b"EHLO x")
                slow.say(b"MAIL FROM:<a@silent.example>")
                slow.send(b"RCPT TO:<alice@example.test>\r\n")
                with Raw(server.port("mx"), timeout=60.0) as other:
                    other.say(b"EHLO y")
                    for domain in (b"loop.example", b"long.example", b"huge.example", b"none.example"):
                        assert _rcpt(other, b"a@" + domain).startswith(b"451")
                assert slow.reply().startswith(b"451")
