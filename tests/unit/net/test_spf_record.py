"""SPF records (RFC 7208): every result and mechanism, the limits, and what a hostile record may cost."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from gatepost.errors import ConfigError
from gatepost.net.resolve import Lookup, Record, RecordsAnswer
from gatepost.net.spf_record import RECORD_OCTETS, Identity, Kind, Vouched, check, check_installed

ADDRESS, SIX = "192.0.2.7", "2001:db8::7"
REVERSE = "7.2.0.192.in-addr.arpa"
Zone = Mapping[tuple[str, Kind], Sequence[Record] | None]


class Names:
    """Answers from a zone in memory; None stands for servers that fail. What it was asked is kept."""

    def __init__(self, zone: Zone) -> None:
        self._zone = zone
        self.asked: list[tuple[str, Kind]] = []

    def __call__(self, name: str, kind: Kind) -> RecordsAnswer:
        self.asked.append((name, kind))
        found = self._zone.get((name, kind), ())
        if found is None:
            return RecordsAnswer(Lookup.FAILED, (), f"look-up of {kind} of {name} timed out")
        return RecordsAnswer(Lookup.FOUND if found else Lookup.NO_NAME, tuple(found))


def _check(record: str, zone: Zone | None = None, address: str = ADDRESS, local: str = "ann") -> Vouched:
    return _ask(Names({("big.example", "TXT"): [b"other text", record.encode()], **(zone or {})}), address, local)


def _ask(names: Names, address: str = ADDRESS, local: str = "ann", domain: str = "big.example") -> Vouched:
    return check(Identity(address, local, domain, "out1.big.example"), names)


@pytest.mark.parametrize(
    ("record", "result", "reason"),
    [
        ("v=spf1 ip4:192.0.2.0/24 -all", "pass", "ip4:192.0.2.0/24"),
        ("v=spf1 ip4:198.51.100.1 -all", "fail", "-all"),
        ("v=spf1 ~all", "softfail", "~all"),
        ("v=spf1 ?all", "neutral", "?all"),
        ("v=spf1", "neutral", ""),
        ("v=spf2 +all", "none", ""),
        ("v=spf10 +all", "none", ""),
        ("v=spf1 moo -all", "permerror", "Permanent Error: Unknown mechanism found: moo"),
        ("v=spf1 ip4:192.0.2.300 +all", "permerror", "Permanent Error: Invalid IP4 address: ip4:192.0.2.300"),
        ("v=spf1 +all moo", "permerror", "Permanent Error: Unknown mechanism found: moo"),
        ("V=SPF1 +ALL", "pass", "+ALL"),
    ],
)
def test_record_gives_each_result(record: str, result: str, reason: str) -> None:
    """The results of RFC 7208 §2.6, and the term that decided."""
    found = _check(record)
    assert (found.result, found.reason) == (result, reason)


@pytest.mark.parametrize(
    ("record", "zone", "address"),
    [
        ("v=spf1 a -all", {("big.example", "A"): [ADDRESS]}, ADDRESS),
        ("v=spf1 a:m.big.example/24 -all", {("m.big.example", "A"): ["192.0.2.200"]}, ADDRESS),
        ("v=spf1 a -all", {("big.example", "AAAA"): [SIX]}, SIX),
        ("v=spf1 a//64 -all", {("big.example", "AAAA"): ["2001:db8::ffff"]}, SIX),
        ("v=spf1 mx -all", {("big.example", "MX"): [(9, "a.big.example"), (1, "b.big.example")],
                            ("a.big.example", "A"): ["10.0.0.1"], ("b.big.example", "A"): [ADDRESS]}, ADDRESS),
        ("v=spf1 ip6:2001:db8::/32 -all", {}, SIX),
        ("v=spf1 ip4:192.0.2.7 -all", {}, "::ffff:192.0.2.7"),
        ("v=spf1 include:_spf.big.example -all", {("_spf.big.example", "TXT"): [b"v=spf1 ip4:192.0.2.7"]}, ADDRESS),
        ("v=spf1 include:_spf.big.example +all", {("_spf.big.example", "TXT"): [b"v=spf1 -all"]}, ADDRESS),
        ("v=spf1 redirect=_spf.big.example", {("_spf.big.example", "TXT"): [b"v=spf1 ip4:192.0.2.7 -all"]}, ADDRESS),
        ("v=spf1 exists:%{ir}.%{v}.ok.%{d2} -all", {("7.2.0.192.in-addr.ok.big.example", "A"): ["127.0.0.2"]}, ADDRESS),
        ("v=spf1 exists:%{l}.of.%{o} -all", {("ann.of.big.example", "A"): ["127.0.0.2"]}, ADDRESS),
        ("v=spf1 exists:%{h} -all", {("out1.big.example", "A"): ["127.0.0.2"]}, ADDRESS),
        ("v=spf1 ptr -all", {(REVERSE, "PTR"): ["m.big.example"], ("m.big.example", "A"): [ADDRESS]}, ADDRESS),
        ("v=spf1 ip4:192.0.2.7 exp=why.big.example -all", {("why.big.example", "TXT"): None}, ADDRESS),
    ],
)  # fmt: skip
def test_mechanism_matches(record: str, zone: Zone, address: str) -> None:
    """Each of them, with prefixes, macros and both kinds of address; an explanation is not even asked for."""
    assert _check(record, zone, address).result == "pass"


@pytest.mark.parametrize(
    ("record", "zone"),
    [
        ("v=spf1 a -all", {("big.example", "A"): ["192.0.2.8"]}),
        ("v=spf1 ip6:2001:db8::/32 -all", {}),
        ("v=spf1 ptr -all", {(REVERSE, "PTR"): ["m.big.example"], ("m.big.example", "A"): ["10.0.0.1"]}),
        ("v=spf1 ptr -all", {(REVERSE, "PTR"): ["m.evil.example"], ("m.evil.example", "A"): [ADDRESS]}),
        ("v=spf1 exists:%{i}.no.big.example -all", {}),
    ],
)
def test_mechanism_that_does_not_match_leaves_it_to_the_rest(record: str, zone: Zone) -> None:
    """A reverse name counts only when it leads back, and only below the domain."""
    assert _check(record, zone).result == "fail"


@pytest.mark.parametrize(
    ("record", "zone"),
    [
        ("v=spf1 a +all", {("big.example", "A"): None}),
        ("v=spf1 mx +all", {("big.example", "MX"): [(1, "a.big.example")], ("a.big.example", "A"): None}),
        ("v=spf1 include:_spf.big.example +all", {("_spf.big.example", "TXT"): None}),
        ("v=spf1 redirect=_spf.big.example", {("_spf.big.example", "TXT"): None}),
    ],
)
def test_name_server_that_fails_vouches_for_nobody(record: str, zone: Zone) -> None:
    """A temporary error, whatever stands behind."""
    found = _check(record, zone)
    assert found.result == "temperror"
    assert "timed out" in found.reason


def test_domain_whose_servers_fail_vouches_for_nobody() -> None:
    """That is no lack of a record: there might be one."""
    assert _ask(Names({("big.example", "TXT"): None})).result == "temperror"
    assert _ask(Names({})).result == "none"


def test_two_records_are_an_error() -> None:
    """RFC 7208 §4.5: nobody knows which one is meant."""
    names = Names({("big.example", "TXT"): [b"v=spf1 +all", b"v=spf1 -all"]})
    assert _ask(names).result == "permerror"


def _chain(length: int) -> Names:
    zone: dict[tuple[str, Kind], list[Record]] = {
        (f"s{n}.example", "TXT"): [f"v=spf1 include:s{n + 1}.example -all".encode()] for n in range(length)
    }
    return Names({**zone, (f"s{length}.example", "TXT"): [b"v=spf1 +all"]})


def test_ten_look_ups_are_made_and_no_more() -> None:
    """RFC 7208 §4.6.4: the eleventh is an error, and is not asked."""
    assert _ask(_chain(10), domain="s0.example").result == "pass"
    names = _chain(11)
    found = _ask(names, domain="s0.example")
    assert (found.result, found.reason) == ("permerror", "Permanent Error: Too many DNS lookups")
    assert len(names.asked) == 11


@pytest.mark.parametrize(
    "term", ["include:big.example", "redirect=big.example", "include:o.example", "redirect=o.example"]
)
def test_record_that_leads_to_itself_ends(term: str) -> None:
    """At once or by way of another one."""
    found = _check(f"v=spf1 {term}", {("o.example", "TXT"): [b"v=spf1 include:big.example redirect=big.example"]})
    assert found.result == "permerror"


def test_two_look_ups_may_find_nothing() -> None:
    """RFC 7208 §4.6.4: a record that sends us to names which do not exist ends with the third."""
    assert _check("v=spf1 a:n1.example a:n2.example +all").result == "pass"
    names = Names({("big.example", "TXT"): [b"v=spf1 a:n1.example a:n2.example a:n3.example a:n4.example +all"]})
    found = _ask(names)
    assert (found.result, found.reason) == ("permerror", "Permanent Error: more than 2 look-ups found nothing")
    assert len(names.asked) == 4


def test_ten_exchangers_are_looked_up_and_no_more() -> None:
    """RFC 7208 §4.6.4: eleven are an error."""

    def zone(count: int) -> Zone:
        hosts = [f"m{n}.big.example" for n in range(count)]
        return {("big.example", "MX"): list(enumerate(hosts)), **{(host, "A"): ["10.0.0.1"] for host in hosts}}

    assert _check("v=spf1 mx +all", zone(10)).result == "pass"
    assert _check("v=spf1 mx +all", zone(11)).result == "permerror"


def test_ten_reverse_names_are_looked_up_and_no_more() -> None:
    """RFC 7208 §4.6.4: the rest is not looked at, and is no error."""
    hosts = [f"m{n}.big.example" for n in range(40)]
    names = Names(
        {
            ("big.example", "TXT"): [b"v=spf1 ptr ~all"], (REVERSE, "PTR"): hosts,
            **{(host, "A"): [ADDRESS if host == hosts[-1] else "10.0.0.1"] for host in hosts},
        }
    )  # fmt: skip
    assert _ask(names).result == "softfail"
    assert len(names.asked) == 12


def test_most_that_a_record_can_have_asked_is_bounded() -> None:
    """Ten MX mechanisms with ten hosts each: 1 + 10 + 100 questions, and the same one never twice."""
    terms = [f"mx:d{n}.example" for n in range(10)]
    zone: dict[tuple[str, Kind], list[Record]] = {("big.example", "TXT"): [f"v=spf1 {' '.join(terms)} -all".encode()]}
    for n in range(10):
        zone[f"d{n}.example", "MX"] = [(m, f"m{m}.d{n}.example") for m in range(10)]
        zone |= {(f"m{m}.d{n}.example", "A"): ["10.0.0.1"] for m in range(10)}
    names = Names(zone)
    assert _ask(names).result == "fail"
    assert len(names.asked) == len(set(names.asked)) == 111


@pytest.mark.parametrize(
    "record",
    [
        "v=spf1 " + "ip4:10.0.0.1 " * (RECORD_OCTETS // 13) + "+all",
        "v=spf1 a:x." + "a" * 600 + "! +all",
        "v=spf1 a:" + "%{d}" * 150 + " +all",
        "v=spf1 exp=" + "a" * 600 + " +all",
    ],
    ids=["long", "label", "macros", "modifier"],
)
def test_huge_record_is_an_error_before_it_costs_time(record: str) -> None:
    """Neither its length nor one of its terms may be what the parser takes long for."""
    found = _check(record)
    assert found.result == "permerror"
    assert "too large" in found.reason


def test_record_just_within_bounds_is_looked_at() -> None:
    """Real ones are far below."""
    terms = "ip4:10.0.0.1 " * ((RECORD_OCTETS - 20) // 13)
    assert _check(f"v=spf1 {terms}+all").result == "pass"


@pytest.mark.parametrize(
    "terms", ["exists:%{l}.%{d}", "a:" + "%{d}" * 6 + ".big.example", "exists:" + "%{s}." * 60 + "big.example"]
)
@pytest.mark.parametrize(
    "local", ["a" * 64, ".".join("a" * 32), "a..b", 'x" y\\.z', "\\256\\", "a b\tc", "%{i}%{l}", "*", "../../etc",
              "üñí", "\x00", "a@b"],
)  # fmt: skip
def test_hostile_expansion_asks_only_what_dns_can_be_asked(terms: str, local: str) -> None:
    """What a sender calls himself becomes part of a name: no error, no name that is too long, no second expansion."""
    names = Names({("big.example", "TXT"): [f"v=spf1 {terms} -all".encode()]})
    assert _ask(names, local=local).result in ("fail", "permerror")
    assert all(
        len(name) <= 253 and name.isascii() and "%{" not in name.replace("%{i}%{l}", "") for name, _ in names.asked
    )


@pytest.mark.parametrize("term", ["a:%", "a:%{", "a:%{x}", "a:%{d", "exists:%{i", "include:%{d0}", "a:%{c}.big.example",
                                  "a:%{d999999999999999999999999}.x", "include:", "redirect=", "a:..", "mx/33",
                                  "ip4:192.0.2.7/-1", "ip6:::1::", "a//129", "=", "a=b=c=%"])  # fmt: skip
def test_nonsense_is_an_error_and_nothing_worse(term: str) -> None:
    """Whatever stands in a record gives one of the results; an error never vouches."""
    assert _check(f"v=spf1 {term} -all").result in ("permerror", "fail", "neutral")


def test_octets_that_are_no_ascii_are_an_error() -> None:
    """RFC 7208 §4.5: a record is ASCII."""
    assert _check("v=spf1 +all ü").result == "permerror"


@pytest.mark.parametrize("domain", ["", "localhost", "[192.0.2.7]", "a..b", "x" * 64 + ".example", "ü.example", "a b.c",
                                    ".".join(["d" * 60] * 5), "-", "*.big.example"])  # fmt: skip
def test_name_that_is_no_domain_has_no_record(domain: str) -> None:
    """RFC 7208 §4.3: DNS is not asked; an EHLO name may be anything."""
    names = Names({})
    assert _ask(names, domain=domain).result == "none"
    assert names.asked == []


def test_result_that_goes_by_the_sender_holds_for_him_alone() -> None:
    """A record with the sender or the EHLO name in it may say something else of the next one."""
    assert _check("v=spf1 ip4:192.0.2.7 -all").general
    assert not _check("v=spf1 ip4:192.0.2.7 exists:%{L}.big.example -all").general
    assert not _check("v=spf1 exists:%{h} ip4:192.0.2.7 -all").general


def test_local_part_with_an_at_sign_does_not_choose_the_domain() -> None:
    """`"x@evil.example"@big.example` is mail of big.example."""
    names = Names({("evil.example", "TXT"): [b"v=spf1 +all"], ("big.example", "TXT"): [b"v=spf1 -all"]})
    assert _ask(names, local="x@evil.example").result == "fail"
    assert names.asked == [("big.example", "TXT")]


def test_resolver_of_the_library_is_never_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """All answers are ours, with our bounds."""
    check_installed()
    monkeypatch.setattr("spf.DNSLookup", None)
    assert _check("v=spf1 mx a ptr exists:x.example ~all", {("big.example", "MX"): [(1, "m.example")]}).result in (
        "softfail", "permerror",
    )  # fmt: skip


def test_library_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to install."""
    monkeypatch.setitem(sys.modules, "spf", None)
    with pytest.raises(ConfigError, match="pyspf is not installed"):
        check_installed()


def test_library_is_loaded_only_when_it_is_asked_for_and_without_a_warning(tmp_path: Path) -> None:
    """Also where nobody has compiled it yet, and warnings are errors."""
    code = (
        "import sys, warnings; import gatepost.service.greylisting as g; assert 'spf' not in sys.modules; "
        "warnings.simplefilter('error'); g.check_installed(); assert 'spf' in sys.modules"
    )
    command = [sys.executable, "-X", f"pycache_prefix={tmp_path}", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")
