"""``[[route]]`` from a file to the sockets: where mail goes, with what TLS, and what is noticed on the way."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.delivery.scripted import Behaviour, ScriptedServer
from tests.unit.delivery.test_levels import AUTHORITY
from tests.unit.delivery.test_worker import House, Names, house

from gatepost.config.load import load
from gatepost.config.schema import Config
from gatepost.delivery.route import Hop, NoRoute, Route, looping, no_address, to_host
from gatepost.net.resolve import AddressAnswer, Exchanger, Lookup, MXAnswer
from gatepost.queue.outcome import Result

__all__ = ["house"]  # the fixture

HEAD = 'hostname = "us.example.org"\nrelay_domains = ["backed.test"]\n'
TAIL = '[[listener]]\nname = "mx"\nprotocol = "smtp"\nbind = "127.0.0.9:25"\n'


def configuration(house: House, text: str, **delivery: Any) -> Config:
    """A configuration from a file, as an operator writes it."""
    (house.data / "ca.pem").write_bytes(AUTHORITY.pem)
    keys = "".join(f"{key} = {value!r}\n" for key, value in {"resolver": ["127.0.0.1:9"], **delivery}.items())
    file = house.data / "gatepost.toml"
    file.write_text(f'{HEAD}data = "{house.data}"\n[delivery]\n{keys}{TAIL}{text}')
    return load(file)


def exchangers(domain: str, *hosts: tuple[int, str], addresses: dict[str, str]) -> Names:
    """A DNS that knows one domain."""
    return Names({domain: MXAnswer(Lookup.FOUND, tuple(Exchanger(*host) for host in hosts))}, addresses)


def test_route_takes_the_mail_of_its_domains_without_asking_for_mx(house: House) -> None:
    """Two domains and one below, one connection; what no route has goes by MX."""
    house.put("b@one.test", "c@two.test", "d@x.two.test", "e@free.test")
    with ScriptedServer(Behaviour()) as gate, ScriptedServer(Behaviour(), address="127.0.0.2") as free:
        text = f'[[route]]\nto = ["one.test", "two.test", ".two.test"]\nvia = "gate.test:{gate.port}"\n'
        names = exchangers(
            "free.test", (10, "mx.free.test"), addresses={"gate.test": "127.0.0.1", "mx.free.test": "127.0.0.2"}
        )
        outcomes = house.settle_all(configuration(house, text, port=free.port), names, 4)
    assert gate.connections == 1
    assert sorted(one for m in gate.messages for one in m.recipients) == ["b@one.test", "c@two.test", "d@x.two.test"]
    assert [m.recipients for m in free.messages] == [["e@free.test"]]
    assert outcomes["b@one.test"].remote == f"gate.test[127.0.0.1]:{gate.port}"


def test_exception_from_a_wide_route_goes_by_mx(house: House) -> None:
    """``via = "mx"`` before ``*``."""
    house.put("b@direct.test", "c@other.test")
    with ScriptedServer(Behaviour()) as rest, ScriptedServer(Behaviour(), address="127.0.0.2") as direct:
        text = f'[[route]]\nto = "direct.test"\nvia = "mx"\n[[route]]\nto = "*"\nvia = "127.0.0.1:{rest.port}"\n'
        names = exchangers("direct.test", (10, "mx.direct.test"), addresses={"mx.direct.test": "127.0.0.2"})
        house.settle_all(configuration(house, text, port=direct.port), names, 2)
    assert [m.recipients for m in rest.messages] == [["c@other.test"]]
    assert [m.recipients for m in direct.messages] == [["b@direct.test"]]


def test_login_of_the_smarthost_is_shown_to_no_other_host(house: House) -> None:
    """A routed server that offers AUTH hears no password, and gets its mail; nor does one by MX."""
    (house.data / "word").write_text("sesame\n")
    house.put("b@one.test", "c@direct.test")
    greedy = Behaviour(starttls="offer", keywords=("AUTH PLAIN LOGIN",))
    issued = AUTHORITY.issue("gate.test")
    with (
        ScriptedServer(greedy, issued=issued, folder=house.data) as gate,
        ScriptedServer(greedy, issued=issued, folder=house.data, address="127.0.0.2") as direct,
    ):
        text = f'[[route]]\nto = "one.test"\nvia = "127.0.0.1:{gate.port}"\n[[route]]\nto = "direct.test"\nvia = "mx"\n'
        names = exchangers("direct.test", (10, "mx.direct.test"), addresses={"mx.direct.test": "127.0.0.2"})
        config = configuration(
            house, text, port=direct.port, smarthost="smart.test:465", smarthost_tls="implicit", smarthost_user="us",
            smarthost_password_file=str(house.data / "word"),
        )  # fmt: skip
        outcomes = house.settle_all(config, names, 2)
    assert {outcome.result for outcome in outcomes.values()} == {Result.DELIVERED}
    for server in (gate, direct):
        assert len(server.messages) == 1 and not any("AUTH" in command for command in server.commands)


@pytest.mark.parametrize(("name", "sent"), [("gate.test", True), ("mx.one.test", False), ("one.test", False)])
def test_verify_is_about_the_host_of_the_route(house: House, name: str, sent: bool) -> None:
    """Not about an MX, nor about the domain."""
    house.put("b@one.test")
    issued = AUTHORITY.issue(name)
    with ScriptedServer(Behaviour(starttls="offer"), issued=issued, folder=house.data) as gate:
        text = (
            f'[[route]]\nto = "one.test"\nvia = "gate.test:{gate.port}"\n'
            '[[outbound]]\nto = "gate.test"\nlevel = "verify"\nca = "ca.pem"\n'
        )
        outcome = house.settle_all(configuration(house, text), Names({}, {"gate.test": "127.0.0.1"}), 1)["b@one.test"]
    assert (outcome.result is Result.DELIVERED) == sent
    assert len(gate.messages) == sent
    assert sent or outcome.enhanced == "4.7.5"


def test_route_to_ourselves_waits(house: House) -> None:
    """Our own address, or a server with our own name: noticed, and the operator's to mend."""
    house.put("b@one.test", "c@two.test")
    with ScriptedServer(Behaviour(ehlo=b"250 us.example.org\r\n")) as mirror:
        text = (
            '[[route]]\nto = "one.test"\nvia = "127.0.0.9:25"\n'
            f'[[route]]\nto = "two.test"\nvia = "127.0.0.1:{mirror.port}"\n'
        )
        outcomes = house.settle_all(configuration(house, text), Names({}, {}), 2)
    assert not mirror.messages
    for outcome in outcomes.values():
        assert (outcome.result, outcome.enhanced) == (Result.DEFERRED, "4.4.6"), outcome
        assert "loops back" in outcome.reply


class Asked(Names):
    """Remembers whose address was asked for."""

    def __init__(self, mx: dict[str, MXAnswer], hosts: dict[str, str]) -> None:
        super().__init__(mx, hosts)
        self.asked: set[str] = set()

    async def addresses(self, host: str, *, local_names: bool = False) -> AddressAnswer:
        self.asked.add(host)
        return await super().addresses(host, local_names=local_names)


def test_backup_mx_passes_on_to_more_preferred_hosts_alone(house: House) -> None:
    """RFC 5321 §5.1: ourselves, and all at or behind us, are left out, also when those before us are down."""
    answer = MXAnswer(
        Lookup.FOUND,
        tuple(
            Exchanger(*one)
            for one in ((10, "first.test"), (20, "us.example.org"), (20, "beside.test"), (30, "last.test"))
        ),
    )
    names = Asked({"backed.test": answer}, dict.fromkeys(("first.test", "beside.test", "last.test"), "127.0.0.1"))
    house.put("b@backed.test")
    with ScriptedServer(Behaviour()) as first:
        house.settle_all(configuration(house, "", port=first.port), names, 1)
        assert [m.recipients for m in first.messages] == [["b@backed.test"]]
        first.behaviour.greeting = b"421 4.3.2 later\r\n"
        house.put("c@backed.test")
        outcome = house.settle_all(configuration(house, "", port=first.port), names, 2)["c@backed.test"]
    assert outcome.result is Result.DEFERRED
    assert names.asked == {"first.test"}


def test_backup_mx_with_nobody_before_it_is_a_loop(house: House) -> None:
    """The mistake shows at once, not after a hundred hops."""
    house.put("b@backed.test")
    names = exchangers("backed.test", (10, "us.example.org"), (20, "last.test"), addresses={"last.test": "127.0.0.2"})
    outcome = house.settle_all(configuration(house, ""), names, 1)["b@backed.test"]
    assert (outcome.result, outcome.enhanced) == (Result.FAILED, "5.4.6")


def test_host_of_a_route_is_waited_for() -> None:
    """A name that is not there, or that is ourselves, is a mistake of ours; of an MX it is theirs."""
    hop = Hop("gate.test", 25)
    assert to_host("gate.test", 25) == Route("route", (hop,))
    assert no_address(hop, "route", AddressAnswer(Lookup.NO_NAME)) == NoRoute(
        True, "4.4.4", "the route's host gate.test has no address"
    )
    assert looping(hop, "192.0.2.1", "route").enhanced == "4.4.6"
    assert looping(hop, "192.0.2.1", "mx").enhanced == "5.4.6"
