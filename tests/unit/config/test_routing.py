"""``[[route]]``, ``relay_domains`` and ``refused_senders``: what they may say, and what they become."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gatepost.config.lists import ListFiles
from gatepost.config.load import load
from gatepost.config.policies import facts_of, outbound_policy, refused_senders, relayed_domains, route_policy
from gatepost.config.schema import Config
from gatepost.errors import ConfigError
from gatepost.policy.outbound import Facts
from gatepost.policy.routes import Endpoint


def _load(folder: Path, text: str) -> Config:
    (folder / "g.toml").write_text(f'hostname = "mx.example.org"\n{text}')
    return load(folder / "g.toml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[[route]]\nto = "a.example"', "g.toml:2: route[0].via: is missing"),
        ('[[route]]\nvia = "mx"', "route[0].to: is missing"),
        ('[[route]]\nto = []\nvia = "mx"', "must have at least 1 entry"),
        ('[[route]]\nto = ["*.example"]\nvia = "mx"', "write .example"),
        ('[[route]]\nto = "a.example"\nvia = "gate.example"', "has no port"),
        ('[[route]]\nto = "a.example"\nvia = "gate.example:0"', "is no port to connect to"),
        ('[[route]]\nto = "a.example"\nvia = "2001:db8::1"', "needs brackets"),
        ('[[route]]\nto = "a.example"\nvia = "a b:25"', "is not a domain name"),
        ('[[route]]\nto = "*"\nvia = "g.example:25"\n[[route]]\nto = "a.example"\nvia = "mx"',
         "g.toml:5: route[1]: comes behind route[0], which takes all mail"),
        ('[[route]]\nto = ["*"]\nvia = "g.example:25"\n[delivery]\nsmarthost = "s.example:25"',
         "delivery.smarthost: gets nothing: route[0] takes all mail"),
        ('domains = ["Ours.example"]\n[[route]]\nto = ["ours.example"]\nvia = "g.example:25"',
         'route[0].to: "ours.example" is in `domains`'),
        ('[[outbound]]\nto = ["x.a.test", "b.test"]\nlevel = "may"\n[[route]]\nto = ".a.test"\nvia = "G.Example:25"',
         'outbound[0].to: mail for "x.a.test" goes via g.example, by route[0]'),
        ('relay_domains = ["*"]', "would make an open relay"),
        ('relay_domains = ["*.example"]', "write .example"),
        ('relay_domains = []', "must have at least 1 entry"),
        ('relay_domains = ["mx.example.org"]', '"mx.example.org" is in `domains`'),
        ('domains = ["b\u00fccher.example"]\nrelay_domains = ["XN--BCHER-KVA.example"]', "is in `domains`"),
        ('refused_senders = ["a b@example.org"]', "is no sender; write user@example.org"),
        ('refused_senders = ["*"]', "is no sender"),
        ('refused_senders = ["a@.example.org"]', "is no sender"),
        ('refused_senders = ["@"]', "is not a domain name"),
        ('refused_senders = ["file:"]', "names no file"),
        ('refused_senders = ["!file:x"]', "names no file of senders"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    """Each says what is wrong and what to write."""
    with pytest.raises(ConfigError) as caught:
        _load(tmp_path, text)
    assert any(words in problem for problem in caught.value.problems), caught.value.problems


@pytest.mark.parametrize(
    ("written", "via"),
    [
        ("gate.example:25", Endpoint("gate.example", 25)), ("192.0.2.1:2525", Endpoint("192.0.2.1", 2525)),
        ("[2001:db8::1]:25", Endpoint("2001:db8::1", 25)), ("MX", None), ("localhost:26", Endpoint("localhost", 26)),
        ("B\u00fccher.example:25", Endpoint("xn--bcher-kva.example", 25)),
    ],
)  # fmt: skip
def test_via_is_a_host_or_the_mail_exchangers(tmp_path: Path, written: str, via: Endpoint | None) -> None:
    """A name, as DNS has it, or an address; or ``mx``."""
    config = _load(tmp_path, f'[[route]]\nto = ["a.example"]\nvia = "{written}"')
    decided = route_policy(config).decide("a.example")
    assert decided.way.endpoint == via
    assert decided.rule.name == "route[0]" and decided.rule.place.endswith("g.toml:2")


ROUTED = """
[[route]]
to = ["direct.example"]
via = "mx"
[[route]]
to = ["a.example", ".b.example"]
via = "gate.example:1465"
[[outbound]]
to = ["direct.example"]
level = "secure"
[[outbound]]
mx = ["gate.example"]
implicit = true
level = "verify"
[delivery]
smarthost = "smart.example:587"
smarthost_tls = "implicit"
smarthost_user = "us"
smarthost_password_file = "word"
"""


def test_rules_see_the_host_of_a_route_as_they_see_the_smarthost(tmp_path: Path) -> None:
    """It is the destination and the host; and the smarthost's login and TLS are for the smarthost alone."""
    config = _load(tmp_path, ROUTED)
    policy = outbound_policy(config, ListFiles())
    routed = policy.decide(facts_of(config, "a.example", "mx.a.example", "192.0.2.1"))
    assert routed.facts == Facts("gate.example", "gate.example", "192.0.2.1", routed=True, named=True)
    assert (routed.level, routed.names, routed.port, routed.implicit) == ("verify", ("gate.example",), None, True)
    direct = policy.decide(facts_of(config, "direct.example", "mx.direct.example"))
    assert not direct.facts.login and not direct.implicit
    assert direct.names == ("direct.example", ".direct.example")
    smart = policy.decide(facts_of(config, "c.example"))
    assert smart.facts == Facts("smart.example", "smart.example", "", login=True)
    assert (smart.level, smart.implicit) == ("encrypt", True)


def test_domains_below_one_of_ours_may_be_passed_on(tmp_path: Path) -> None:
    """``.example.org`` beside ``mx.example.org``: what is in ``domains`` is kept."""
    config = _load(tmp_path, 'relay_domains = ["Partner.example", ".example.org"]')
    relayed = relayed_domains(config)
    assert relayed.matches("partner.example") and relayed.matches("x.example.org")
    assert not relayed.matches("x.partner.example") and not relayed.matches("example.org")


def test_senders_may_stand_in_a_file(tmp_path: Path) -> None:
    """Beside the configuration; read again when it changes, and a broken one keeps what it said."""
    file = tmp_path / "senders.txt"
    file.write_text("# spam\nSpammer@B\u00fccher.example\nbad.example  # all of it\n", "utf-8")
    config = _load(tmp_path, 'refused_senders = ["@worse.example", "file:senders.txt"]')
    assert config.refused_senders == ("@worse.example", f"file:{file}")
    files = ListFiles()
    senders = refused_senders(config, files)
    assert senders.entries == ("@worse.example", "spammer@xn--bcher-kva.example", "@bad.example")
    _rewrite(file, ".new.example\n")
    assert files.refresh() == ([str(file)], [])
    assert refused_senders(config, files).match("x", "y.new.example") == ".new.example"
    _rewrite(file, "what is this\n")
    changed, (problem,) = files.refresh()
    assert not changed and problem.message.startswith(f"{file}:1: ")
    assert refused_senders(config, files).match("x", "y.new.example")
    _rewrite(file, "file:other.txt\n")
    assert "names no other file" in files.refresh()[1][0].message


def _rewrite(file: Path, text: str) -> None:
    """As an editor does: another file takes its place, so that the change is seen whatever the clock's grain."""
    fresh = file.with_name("fresh")
    fresh.write_text(text)
    os.utime(fresh, ns=(file.stat().st_mtime_ns + 1, file.stat().st_mtime_ns + 1))
    fresh.replace(file)
