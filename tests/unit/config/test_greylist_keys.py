"""The keys of greylisting: what they may say, and what they become."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatepost.config.greylist_policy import greylist_policy, greylisted
from gatepost.config.lists import ListFiles
from gatepost.config.load import load
from gatepost.config.schema import Config
from gatepost.errors import ConfigError
from gatepost.greylist.facts import Facts


def _load(folder: Path, text: str) -> Config:
    (folder / "g.toml").write_text(text)
    return load(folder / "g.toml")


RULE = "[[greylist_rule]]\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[greylist]\nenable = true", "greylist.enable: unknown key; did you mean enabled?"),
        ('[greylist]\nlisteners = ["mxx"]', 'there is no listener "mxx"; did you mean mx?'),
        ('[greylist]\nlisteners = ["submission"]', "where a login decides; greylisting never happens there"),
        ('[greylist]\ndelay = "22h"', "it is 1d and must be at least 1d 2h"),
        ('[greylist]\nwindow = "4h"', "too little time"),
        ('[greylist]\nlifetime = "1d"', "lifetime: must be at least"),
        ("[greylist]\nnetwork_ipv4 = 33", "must be at most 32"),
        ('[greylist]\nat = "helo"', "at: must be one of"),
        ('[greylist_rule]\naction = "skip"', "write [[greylist_rule]], with two brackets"),
        (f"{RULE}tls = true", "action: is missing"),
        (f'{RULE}action = "drop"', "action: must be one of"),
        (f'{RULE}action = "refuse"', "would refuse all mail; say whose"),
        (f'{RULE}action = "skip"\ndelay = "1h"', 'decides nothing with action = "skip"; use delay'),
        (f'{RULE}action = "delay"\ndelay = "21h"', "it is 1d and must be at least 1d 1h"),
        (f'{RULE}action = "delay"\ntext = "x"', 'is said with action = "refuse" only'),
        (f'{RULE}action = "refuse"\nsenders = ["a@b"]\ntext = "x\\ny"', "must be printable ASCII"),
        (f'{RULE}action = "skip"\nsenders = ["a b@c.d"]', "is not a mailbox; write user@example.com"),
        (f'{RULE}action = "skip"\nrecipients = ["@c.d"]', "is not a mailbox"),
        (f'{RULE}action = "skip"\nrecipients = ["*@c.d"]', "is not a mailbox"),
        (f'{RULE}action = "skip"\nsenders = ["*.c.d"]', "write .c.d for the names below it"),
        (f'{RULE}action = "skip"\ncountries = ["DE"]', "set greylist.country_database"),
        (f'{RULE}action = "skip"\ncountries = ["Germany"]\n[greylist]\ncountry_database = "c"', "is not a country"),
        (f'{RULE}action = "skip"\nlisteners = ["pop3"]', "nobody sends there"),
        (f'{RULE}action = "skip"\nclient_names = ["a b"]', "is not a domain name"),
        (f'{RULE}action = "delay"\nspf = "pas"', "spf[0]: must be one of"),
        (f'{RULE}action = "delay"\nspf = []', "spf: must have at least 1 entry"),
        (f'{RULE}action = "delay"\nspf = "permerror"', "spf[0]: must be one of"),
        (f'{RULE}action = "skip"\nspf = "pass"', "would spare whoever has a domain of his own: say which `senders`"),
        (f'{RULE}action = "skip"\nfrom = ["10.0.0.300"]', "is not an address list entry"),
        (f'{RULE}action = "skip"\ncertificate_fingerprint = ["{"ab" * 32}"]', "nobody is asked for a certificate"),
        (
            f'{RULE}action = "skip"\ncertificate_names = ["a.b"]\n[tls]\nclient_certificate = "ask"',
            "set tls.client_ca to the authority",
        ),
        (
            (
                f'{RULE}action = "skip"\ntls = false\ncertificate_fingerprint = ["{"ab" * 32}"]\n'
                '[tls]\nclient_certificate = "ask"'
            ),
            "in the clear nobody shows a certificate",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    """File, line, key, and what to write in its place."""
    with pytest.raises(ConfigError) as caught:
        _load(tmp_path, text)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{tmp_path}/g.toml:")
    assert words in problem


def test_it_is_off_by_default_and_one_key_turns_it_on(tmp_path: Path) -> None:
    """At every smtp listener, and at no other."""
    assert greylisted(_load(tmp_path, "")) == set()
    assert greylisted(_load(tmp_path, "[greylist]\nenabled = true")) == {"mx"}
    listeners = "".join(
        f'[[listener]]\nname = "{name}"\nprotocol = "{protocol}"\nbind = "127.0.0.1:{port}"\n'
        for port, (name, protocol) in enumerate(
            [("outer", "smtp"), ("inner", "smtp"), ("post", "lmtp"), ("users", "submission")], 2525
        )
    )
    assert greylisted(_load(tmp_path, f"{listeners}[greylist]\nenabled = true")) == {"outer", "inner"}
    chosen = f'{listeners}[greylist]\nenabled = true\nlisteners = "outer"'
    assert greylisted(_load(tmp_path, chosen)) == {"outer"}


def test_rules_know_where_they_stand_and_their_lists(tmp_path: Path) -> None:
    """A relative file is beside the configuration; one entry needs no brackets."""
    (tmp_path / "friends").write_text("192.0.2.0/24\n")
    text = f'{RULE}from = "file:friends"\nsenders = "Example.COM"\naction = "skip"\n[greylist]\ndelay = "1m"'
    policy = greylist_policy(_load(tmp_path, text), ListFiles())
    found = policy.decide(Facts("192.0.2.1", "mx", "a@example.com", "b@x.test"))
    assert (found.course.action, found.rule) == ("skip", f"greylist_rule[0] ({tmp_path}/g.toml:1)")
    other = policy.decide(Facts("10.0.0.1", "mx", "a@example.com", "b@x.test"))
    assert (other.course.delay, other.rule) == (60.0, f"greylist ({tmp_path}/g.toml:5)")


def test_domain_stands_for_its_clients_only_where_it_vouches_and_its_mail_waits(tmp_path: Path) -> None:
    """`spf = "pass"` with `action = "delay"`; any other result leaves it to the network."""
    text = "".join(
        f'{RULE}spf = {spf}\naction = "{action}"\nsenders = ["*"]\n'
        for spf, action in (
            ('"pass"', "delay"),
            ('["pass", "none"]', "delay"),
            ('"softfail"', "delay"),
            ('"pass"', "skip"),
        )
    )
    policy = greylist_policy(_load(tmp_path, text), ListFiles())
    assert [rule.course.by_domain for rule in policy.rules] == [True, False, False, False]
