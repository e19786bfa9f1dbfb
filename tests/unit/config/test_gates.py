"""Gates and backends: what they may say, and what else of the configuration knows them."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from gatepost.config.greylist_policy import greylisted
from gatepost.config.lists import ListFiles
from gatepost.config.load import build, load
from gatepost.config.policies import ground_of, inbound_policy
from gatepost.config.schema import Config, Gate
from gatepost.config.show import plain, toml
from gatepost.errors import ConfigError

PIN = "ab" * 32
BACKEND = '[[backend]]\nname = "far"\nservers = "127.0.0.1:10025"\n'
GATE = '[[gate]]\nname = "front"\nbackend = "far"\nbind = "127.0.0.1:2525"\n'
SMTP = GATE + 'protocol = "smtp"\n'
LDAP = GATE + 'protocol = "ldap"\n'


def _load(folder: Path, text: str) -> Config:
    (folder / "g.toml").write_text(text)
    return load(folder / "g.toml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (SMTP, 'g.toml:3: gate[0].backend: there is no backend "far"; write a [[backend]] with this name'),
        (BACKEND + SMTP.replace('"far"', '"fra"'), 'there is no backend "fra"; did you mean far?'),
        (BACKEND + BACKEND + SMTP, 'backend[1].name: a second backend with the name "far"'),
        (BACKEND + SMTP + SMTP.replace("2525", "2526"), 'gate[1].name: a second gate with the name "front"'),
        (BACKEND + SMTP.replace("front", "local"), '"local" is the name of the local socket'),
        (BACKEND + SMTP + SMTP.replace("front", "two"), '"127.0.0.1:2525" is bound twice: gate "front" has it already'),
        (
            BACKEND + SMTP + '[[listener]]\nname = "front"\nprotocol = "smtp"\nbind = "127.0.0.1:2526"\n',
            'gate[0].name: a second listener with the name "front"',
        ),
        (BACKEND + SMTP + 'mode = "pas"', "mode: must be one of 'terminate', 'pass' or 'refuse'; did you mean pass?"),
        (BACKEND + SMTP + 'mode = "refuse"\ntls = "implicit"', '"refuse" is about STARTTLS'),
        (BACKEND + SMTP + 'mode = "refuse"\nstarttls = "require"', "which refuses it"),
        (BACKEND + SMTP + 'mode = "pass"\nstarttls = "require"', "is up to the server behind"),
        (BACKEND + SMTP + 'tls = "implicit"\nstarttls = "deny"', "cannot deny TLS"),
        (BACKEND + LDAP + 'mode = "refuse"', "mode: of ldap the gate reads the way into TLS and nothing else"),
        (BACKEND + LDAP + 'starttls = "deny"', "starttls: of ldap the gate reads the way into TLS and nothing else"),
        (BACKEND + LDAP + 'xclient_from = "10.0.0.1"', "ldap has no XCLIENT; use proxy_from"),
        (BACKEND + SMTP + 'xclient_from = "10.0.0.1"\nmode = "pass"\ntls = "implicit"', "xclient_from: is never read"),
        (BACKEND + GATE + 'protocol = "raw"', '"raw" has no STARTTLS; set tls = "implicit"'),
        (BACKEND + GATE + 'protocol = "mysql"', "a login to MySQL answers the server's greeting"),
        (BACKEND + 'tls = "starttls"\n' + GATE + 'protocol = "mysql"\ntls = "implicit"', "mysql greets once"),
        (BACKEND + 'tls = "starttls"\n' + GATE + 'protocol = "raw"\ntls = "implicit"', "and backend \"far\" wants it"),
        (BACKEND + 'tls = "starttls"\n' + SMTP + 'mode = "pass"', 'so backend "far" must have tls = "none"'),
        (BACKEND + 'client = "xclient"\n' + LDAP, 'ldap has no XCLIENT, which backend "far" asks for'),
        (
            BACKEND + 'client = "xforward"\n' + SMTP + 'mode = "pass"\ntls = "implicit"',
            '"pass" of implicit TLS leaves no room for XFORWARD',
        ),
        (BACKEND + 'level = "verify"\n' + SMTP, 'backend[0].level: decides nothing with tls = "none"'),
        (BACKEND + f'fingerprints = "{PIN}"\n' + SMTP, 'fingerprints: decides nothing with tls = "none"'),
        (BACKEND + 'tls = "implicit"\nlevel = "fingerprint"\n' + SMTP, "level: needs fingerprints"),
        (BACKEND + 'tls = "implicit"\nlevel = "encrypt"\nca = "x.pem"\n' + SMTP, "use verify"),
        (BACKEND + f'tls = "implicit"\nfingerprints = "{PIN}"\n' + SMTP, "use fingerprint"),
        (BACKEND.replace(":10025", "") + SMTP, "has no port"),
        (BACKEND + SMTP + '[[relay]]\nfrom = "10.0.0.1"\nlisteners = "front"', '"front" is a gate: who may relay is'),
        (BACKEND + LDAP + '[greylist]\nlisteners = "front"', '"front" is not for mail that comes in'),
        (BACKEND + SMTP + '[[inbound]]\nstarttls = "deny"\nlisteners = "mx"', 'there is no listener "mx"'),
        ("listener = []", "must have at least 1 entry, where there is no gate either"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    """One problem, which says what to do."""
    with pytest.raises(ConfigError) as caught:
        _load(tmp_path, text)
    assert any(words in problem for problem in caught.value.problems), caught.value.problems


@pytest.mark.parametrize(
    "text",
    [
        SMTP + 'mode = "pass"\ntls = "implicit"',  # plain TCP, through and through
        LDAP + 'mode = "pass"',
        GATE + 'protocol = "mysql"\nmode = "pass"',
        GATE + 'protocol = "raw"\ntls = "implicit"',
        SMTP + 'mode = "refuse"\nstarttls = "deny"',  # the same thing twice
        SMTP + 'xclient_from = "10.0.0.1"\nproxy_from = ["10.0.0.0/24", "!10.0.0.1"]',
    ],
)
def test_what_can_be_is_taken(tmp_path: Path, text: str) -> None:
    """Combinations that look odd and work."""
    assert _load(tmp_path, BACKEND + text).gate[0].name == "front"


def test_gates_alone_bring_no_listeners(tmp_path: Path) -> None:
    """Without a [[listener]] the default ones stay away; with one, both are served."""
    only = _load(tmp_path, BACKEND + SMTP)
    assert (only.listener, [each.name for each in only.listeners], only.gates_only) == ((), ["front"], True)
    both = _load(tmp_path, BACKEND + SMTP + '[[listener]]\nname = "mx"\nprotocol = "smtp"\nbind = "127.0.0.1:25"\n')
    assert ([each.name for each in both.listeners], both.gates_only) == (["mx", "front"], False)
    assert not Config().gates_only


def test_each_listener_says_whose_trade_it_is(tmp_path: Path) -> None:
    """A gate is the gate's, whatever it speaks."""
    assert [each.trade for each in Config().listeners][:2] == ["smtp", "submission"]
    assert _load(tmp_path, BACKEND + SMTP).listeners[0].trade == "gate"


def test_rules_and_greylisting_know_gates_by_name(tmp_path: Path) -> None:
    """An [[inbound]] rule for a gate, greylisting at its SMTP, and where the defaults stand."""
    rules = '[[inbound]]\nfrom = "10.0.0.1"\nlisteners = "front"\nstarttls = "require"\n[greylist]\nenabled = true\n'
    other = LDAP.replace("front", "tree").replace("2525", "2389")
    config = _load(tmp_path, BACKEND + SMTP + other + rules)
    front = config.gate[0]
    policy = inbound_policy(config, ListFiles())
    assert policy.decide("10.0.0.1", ground_of(config, front)).wanted == "require"
    assert policy.decide("10.0.0.2", ground_of(config, front)).wanted == "offer"
    assert "gate[0]" in str(ground_of(config, front).source)
    assert greylisted(config) == {"front"}


def test_what_is_shown_can_be_read_again(tmp_path: Path) -> None:
    """``config show`` of gates alone, with what the backend leaves unsaid."""
    config = _load(tmp_path, BACKEND + SMTP)
    shown = toml(plain(config))
    assert tomllib.loads(shown)["listener"] == []
    (tmp_path / "again.toml").write_text(shown)
    assert plain(load(tmp_path / "again.toml")) == plain(config)


def test_tables_without_a_file_are_checked_as_well() -> None:
    """What options describe: the problems name what the user typed."""
    gate = {"name": "gate", "backend": "b", "bind": ["127.0.0.1:0"], "protocol": "smtp"}
    config = build({"gate": [gate], "backend": [{"name": "b", "servers": ["127.0.0.1:1"]}]})
    assert isinstance(config.gate[0], Gate)
    with pytest.raises(ConfigError, match="one problem: --mode/starttls") as caught:
        build(
            {"gate": [{**gate, "mode": "pass", "starttls": "require"}], "backend": [{"name": "b", "servers": "a:1"}]},
            lambda key: f"--mode/{key[-1]}",
        )
    assert len(caught.value.problems) == 1
