"""How names of mailboxes compare."""

from __future__ import annotations

import pytest

from gatepost.accounts.names import OurDomains, base_local, domain_key, local_key, storable


@pytest.mark.parametrize(
    ("local", "key"),
    [("Alice", "alice"), ("ALICE+Tag", "alice+tag"), ("ŻÓŁĆ", "żółć"), ("Z\u0307", "ż"), ("straße", "straße")],
)
def test_local_parts_compare_without_case_in_composed_form(local: str, key: str) -> None:
    """However a sender's keyboard makes the letters, it is the same mailbox."""
    assert local_key(local) == key


def test_local_parts_that_only_look_alike_stay_apart() -> None:
    """No mapping beyond case: ß is not ss, and a Cyrillic a is not a Latin one."""
    assert len({local_key(name) for name in ("straße", "strasse", "аlice", "alice")}) == 4


@pytest.mark.parametrize(
    ("domain", "key"),
    [
        ("Example.ORG", "example.org"),
        ("example.org.", "example.org"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("faß.de", "xn--fa-hia.de"),
        ("", ""),
    ],
)
def test_domains_compare_as_a_labels(domain: str, key: str) -> None:
    """A U-label and its A-label are one domain, and ß is not mapped to ss (RFC 5891 §4.4)."""
    assert domain_key(domain) == key


@pytest.mark.parametrize(
    ("local", "base"), [("alice", "alice"), ("alice+a+b", "alice"), ("+x", "+x"), ("alice+", "alice")]
)
def test_detail_stands_behind_the_first_plus(local: str, base: str) -> None:
    """`user+anything` is `user`; a name that begins with the separator has no detail."""
    assert base_local(local) == base


def test_first_domain_completes_bare_names() -> None:
    """`alice` is alice of the first domain, and every spelling of the address is one name."""
    domains = OurDomains(["Example.ORG", "example.net"])
    assert domains.canonical("Alice") == domains.canonical("ALICE@example.org") == "alice@example.org"
    assert "example.net" in domains
    assert "example.com" not in domains


def test_names_that_were_not_utf8_are_nobodys() -> None:
    """Octets that were never text cannot be looked up, and are not mistaken for something that can."""
    assert not storable("a\udcff")
    assert storable("żółć")
    assert storable("alice")
