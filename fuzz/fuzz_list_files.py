"""Invariant: whatever stands in a file of addresses, senders or a greylist's rules, only ConfigError escapes, with the
file and the line; and every address, sender and mail is then in the list or not."""

from __future__ import annotations

from fuzz.files import file_of
from fuzz.origins import plan, seeds
from fuzz.words import ADDRESSES, ENDS, VALUES

from gatepost.config.greylist_policy import greylist_policy
from gatepost.config.lists import ListFiles
from gatepost.config.load import build
from gatepost.errors import ConfigError
from gatepost.greylist.facts import Facts
from gatepost.greylist.triplet import Prefixes, triplet_of

WORDS = (*VALUES, *ADDRESSES, *ENDS, b"# x\n", b"!")
SEEDS = seeds(
    b"# ours\n192.0.2.0/24\n!192.0.2.1\n2001:db8::/32 # more\n\n198.51.100.1-198.51.100.9\n",
    b"a@example.org\n@example.net\n.example.com\nb\xc3\xbccher.example\n",
    choices=3,
)


def greylist(path: str, who: str) -> None:
    """A rule whose addresses are in the file, asked about a mail of somebody."""
    rule = {"from": f"file:{path}", "except": f"file:{path}", "action": "pass"}
    try:
        config = build({"domains": ["example.org"], "greylist": {"enabled": True}, "greylist_rule": [rule]})
    except ConfigError:
        return
    policy = greylist_policy(config, ListFiles())
    facts = Facts("192.0.2.1", "mx", who, who)
    policy.decide(facts)
    triplet = triplet_of(facts.address, who, who, Prefixes())
    assert len(triplet.key) == 16


def target(data: bytes) -> None:
    """One kind of file an input."""
    told = plan(data, 3)
    path = str(file_of(told.words, "list"))
    who = told.words.decode("utf-8", "replace")
    try:
        match told.choice:
            case 0:
                listed = ListFiles().addresses([f"file:{path}", "!192.0.2.1"])
                assert not listed.matches("192.0.2.1")
                assert all(isinstance(listed.matches(edge), bool) for edge in listed.edges())
            case 1:
                senders = ListFiles().senders([f"file:{path}"])
                assert isinstance(senders.match(who[:64], who[:64]), str)
            case _:
                greylist(path, who)
    except ConfigError as error:
        assert error.message.startswith(f"{path}:")
        assert error.message.isprintable()
