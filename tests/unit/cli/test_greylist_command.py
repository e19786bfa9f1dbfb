"""``gatepost greylist``: what is remembered, who is no stranger, and what would be said."""

from __future__ import annotations

import time
from pathlib import Path

from tests.countrydb import write_countries
from tests.unit.cli.conftest import Gatepost

from gatepost.greylist.memory import Timing
from gatepost.greylist.triplet import Triplet
from gatepost.store.greylist import Bounds
from gatepost.store.sqlite.greylist import SQLiteGreylist
from gatepost.testing.dns import FakeDNS

ANN = ("192.0.2.7", "ann@example.com", "bob@x.test")


def _remember(data: Path, *triplets: Triplet, passed: bool = False, auto_allow: int = 0) -> None:
    data.mkdir(exist_ok=True)
    now = time.time() - 400
    store = SQLiteGreylist(data / "greylist.db", clock=lambda: now)
    for triplet in triplets:
        store.decide(triplet, Timing(), Bounds(auto_allow))
    now += 301
    for triplet in triplets if passed else ():
        store.decide(triplet, Timing(), Bounds(auto_allow))
    store.close()


ONE = Triplet("192.0.2.0/24", "ann@example.com", "bob@x.test")
TWO = Triplet("2001:db8::/64", "", "eve@x.test")


def test_list_shows_who_came(gatepost: Gatepost, data: Path) -> None:
    """As a table, and as JSON; filtered by state and address."""
    _remember(data, ONE, passed=True, auto_allow=1)
    _remember(data, TWO)
    table = gatepost("greylist", "list").out
    assert "192.0.2.0/24" in table
    assert "<ann@example.com>" in table
    assert "waiting" in table
    found = gatepost("greylist", "list", "--json", "--passed").json
    assert [(each["network"], each["state"], each["key"]) for each in found] == [
        ("192.0.2.0/24", "passed", ONE.key.hex())
    ]
    assert [each["sender"] for each in gatepost("greylist", "list", "--json", "--network", "2001:db8::9").json] == [""]
    (network,) = gatepost("greylist", "list", "--networks", "--json").json
    assert (network["network"], network["passes"], network["allowed"]) == ("192.0.2.0/24", 1, False)


def test_list_of_nothing_says_so(gatepost: Gatepost, data: Path) -> None:
    """On standard error, for people."""
    data.mkdir()
    result = gatepost("greylist", "list")
    assert (result.code, result.out, result.err) == (0, "", "nothing is remembered\n")


def test_what_peers_wrote_cannot_move_the_cursor(gatepost: Gatepost, data: Path) -> None:
    """An address may hold anything that UTF-8 can."""
    _remember(data, ONE._replace(sender="\x1b[2j\u202e@example.com"))
    out = gatepost("greylist", "list").out
    assert "\x1b" not in out
    assert "\\x1b[2j\\u202e@example.com" in out


def test_show_tells_what_is_remembered_of_one_mail(gatepost: Gatepost, data: Path) -> None:
    """Whichever neighbour of the address it comes from; 69 when there is nothing."""
    _remember(data, ONE)
    shown = gatepost("greylist", "show", "192.0.2.200", *ANN[1:])
    assert (shown.code, "not yet" in shown.out) == (0, True)
    assert gatepost("greylist", "show", "--json", *ANN).json["remembered"]["passed_at"] is None
    nothing = gatepost("greylist", "show", "192.0.3.1", *ANN[1:])
    assert (nothing.code, nothing.complaints) == (69, ["gatepost: nothing is remembered of it"])


def test_allowed_client_is_no_stranger_until_forgotten(gatepost: Gatepost, data: Path) -> None:
    """An address stands for its network."""
    assert gatepost("greylist", "allow", "192.0.2.7", "2001:db8::/64").out == (
        "192.0.2.0/24, 2001:db8::/64: no stranger any more\n"
    )
    assert "by the operator" in gatepost("greylist", "list", "--networks").out
    assert "192.0.2.0/24 is no stranger" in gatepost("greylist", "explain", "192.0.2.9").out
    assert gatepost("greylist", "forget", "--network", "192.0.2.1", "--json").json == {"forgotten": 1}
    assert gatepost("greylist", "stats", "--json").json["allowed"] == 1


def test_network_of_another_size_is_refused(gatepost: Gatepost, data: Path) -> None:
    """It would never be looked for; a rule can say it."""
    for text in ("10.0.0.0/8", "nobody", "10.0.0.1/24"):
        result = gatepost("greylist", "allow", text)
        assert result.code == 64
    assert "[[greylist_rule]]" in gatepost("greylist", "allow", "10.0.0.0/8").err


def test_forgetting_needs_to_be_told_what(gatepost: Gatepost, data: Path) -> None:
    """Nothing given is not everything."""
    _remember(data, ONE, TWO)
    assert gatepost("greylist", "forget").code == 64
    assert gatepost("greylist", "forget", "--all", "--sender", "a@b").code == 64
    assert gatepost("greylist", "forget", "--sender", "Ann@example.com").out == "1 forgotten\n"
    assert gatepost("greylist", "forget", "--all").out == "1 forgotten\n"


def test_stats_count_what_is_remembered(gatepost: Gatepost, data: Path) -> None:
    """And say whether it is on."""
    _remember(data, ONE, passed=True)
    found = gatepost("greylist", "stats", "--json").json
    assert (found["enabled"], found["waiting"], found["passed"]) == (False, 0, 1)
    assert "off (greylist.enabled)" in gatepost("greylist", "stats").out


def test_explain_names_the_rule(gatepost: Gatepost, data: Path, tmp_path: Path) -> None:
    """The same decision as the server's: rule, file and line, and why others do not match."""
    write_countries(tmp_path / "c.mmdb", {"192.0.2.0/24": "DE"})
    (tmp_path / "gatepost.toml").write_text(
        f'data = "{data}"\ndomains = ["x.test"]\n[greylist]\nenabled = true\ncountry_database = "c.mmdb"\n'
        '[[greylist_rule]]\nclient_names = [".big.example"]\naction = "skip"\n'
        '[[greylist_rule]]\ncountries = ["DE"]\naction = "refuse"\ntext = "No"\n'
    )
    said = gatepost("greylist", "explain", "192.0.2.7").out
    assert "is refused: 550 5.7.1 No" in said
    assert "by greylist_rule[1] (" in said
    assert "gatepost.toml:9)" in said
    assert "--name HOST says what it is" in said
    skipped = gatepost("greylist", "explain", "192.0.2.7", "--name", "out1.big.example", "--json").json
    assert (skipped["decision"], skipped["country"]) == ("is let in at once", "DE")
    foreign = gatepost("greylist", "explain", "192.0.2.7", "--country", "FR").out
    assert "is put off for 5m, unless it is known" in foreign
    assert "nothing is remembered yet" in foreign
    assert "is let in at once" in gatepost("greylist", "explain", "10.0.0.1", "--sender", "<>").out


def test_explain_says_what_is_remembered(gatepost: Gatepost, data: Path, tmp_path: Path) -> None:
    """What an attempt would be answered with now; asking changes nothing."""
    _remember(data, ONE)
    with (tmp_path / "gatepost.toml").open("a") as stream:
        stream.write('[greylist]\nenabled = true\ndelay = "1h"\n')
    command = ("greylist", "explain", ANN[0], "--sender", ANN[1], "--recipient", ANN[2])
    for _ in range(2):
        assert "451 4.7.1: it came before; in 53m" in gatepost(*command).out
    assert "greylisting is off" not in gatepost(*command).out


def test_explain_says_that_it_is_off(gatepost: Gatepost, data: Path) -> None:
    """A rule that nobody asks decides nothing."""
    assert "greylisting is off: greylist.enabled = true turns it on" in gatepost("greylist", "explain", "10.0.0.1").out
    assert gatepost("greylist", "explain", "nobody").code == 64


def test_explain_asks_spf_when_it_is_told_to(gatepost: Gatepost, data: Path, tmp_path: Path) -> None:
    """Otherwise it says what a server would ask; the verdict is shown with the term that gave it."""
    with FakeDNS() as dns:
        dns.add("big.example", "TXT", '"v=spf1 ip4:192.0.2.0/24 -all"')
        with (tmp_path / "gatepost.toml").open("a") as stream:
            stream.write(f'[greylist]\nenabled = true\n[delivery]\nresolver = ["{dns.nameserver}"]\n')
            stream.write('[[greylist_rule]]\nspf = "pass"\naction = "delay"\ndelay = "1m"\n')
        command = ("greylist", "explain", "192.0.2.7", "--sender", "news@Big.example")
        assert "--spf RESULT says what comes of it; --dns asks" in gatepost(*command).out
        assert dns.questions == []
        assert "spf" not in gatepost(*command, "--json").json
        said = gatepost(*command, "--dns").out
        assert "is put off for 1m" in said
        assert "SPF of big.example: pass (ip4:192.0.2.0/24)" in said
        assert "client = any that big.example vouches for" in said
        given = gatepost(*command, "--spf", "pass", "--json").json
        assert (given["spf"], given["settings"]["client"]["value"]) == (
            "pass (big.example)", "any that big.example vouches for",
        )  # fmt: skip
        other = gatepost("explain", "greylist", "203.0.113.1", "--sender", "news@big.example", "--dns").out
        assert "SPF of big.example: fail (-all)" in other
        assert "is put off for 5m" in other


def test_explain_asks_for_the_name_when_it_is_told_to(gatepost: Gatepost, data: Path, tmp_path: Path) -> None:
    """And says what it found, or that there is none."""
    with FakeDNS() as dns:
        dns.add("7.2.0.192.in-addr.arpa", "PTR", "out1.big.example.")
        dns.add("out1.big.example", "A", "192.0.2.7")
        with (tmp_path / "gatepost.toml").open("a") as stream:
            stream.write(f'[greylist]\nenabled = true\n[delivery]\nresolver = ["{dns.nameserver}"]\n')
            stream.write('[[greylist_rule]]\nclient_names = ".big.example"\naction = "skip"\n')
        said = gatepost("greylist", "explain", "192.0.2.7", "--dns").out
        assert "is let in at once" in said
        assert "DNS calls 192.0.2.7 out1.big.example" in said
        assert "DNS has no confirmed name for it" in gatepost("greylist", "explain", "192.0.2.8", "--dns").out


def test_clients_that_a_domain_vouches_for_are_found_by_the_domain(gatepost: Gatepost, data: Path) -> None:
    """In every command that takes a network."""
    _remember(data, ONE._replace(network="spf:big.example"), TWO)
    (found,) = gatepost("greylist", "list", "--network", "spf:Big.example", "--json").json
    assert found["network"] == "spf:big.example"
    assert gatepost("greylist", "show", "spf:big.example", *ANN[1:]).code == 0
    assert gatepost("greylist", "allow", "spf:big.example").out == "spf:big.example: no stranger any more\n"
    assert gatepost("greylist", "forget", "--network", "spf:big.example").out == "2 forgotten\n"
    assert "nor spf:DOMAIN" in gatepost("greylist", "allow", "big.example").err


def test_explain_refuses_names_of_nothing(gatepost: Gatepost, data: Path) -> None:
    """A listener that is not there, and what is no country."""
    refused = gatepost("greylist", "explain", "192.0.2.7", "--listener", "mxx")
    assert (refused.code, 'There is no such listener as "mxx" here; there are: mx,' in refused.err) == (64, True)
    refused = gatepost("greylist", "explain", "192.0.2.7", "--country", "Germany")
    assert (refused.code, "is not a country" in refused.err) == (64, True)
    assert gatepost("greylist", "explain", "192.0.2.7", "--country", "Unknown", "--json").json["country"] == "unknown"


def test_list_says_when_there_may_be_more(gatepost: Gatepost, data: Path) -> None:
    """And networks are not selected by what mail is selected by."""
    _remember(data, ONE, TWO)
    assert gatepost("greylist", "list", "--limit", "1").err == "no more than 1 are shown: --limit says how many\n"
    assert gatepost("greylist", "list").err == ""
    assert gatepost("greylist", "list", "--networks", "--waiting").code == 64


def test_explain_takes_a_login_for_gates(gatepost: Gatepost, data: Path, tmp_path: Path) -> None:
    """A rule by login can be tried out."""
    with (tmp_path / "gatepost.toml").open("a") as stream:
        stream.write('[greylist]\nenabled = true\n[[greylist_rule]]\nauthenticated = true\naction = "skip"\n')
    assert "is let in at once" in gatepost("greylist", "explain", "192.0.2.7", "--authenticated").out
    assert "is put off" in gatepost("greylist", "explain", "192.0.2.7").out
