"""Domains and addresses as configuration writes them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gatepost.config.names import check_address, check_domain, check_local_part, system_hostname


@pytest.mark.parametrize(
    "name", ["example.org", "localhost", "a-b.c", "xn--bcher-kva.example", "bücher.example", "_dmarc.a"]
)
def test_domain_accepts_names(name: str) -> None:
    """Names of hosts and domains, in A-labels and U-labels, stay as they are."""
    assert check_domain(name) == name


def test_domain_is_lower_case() -> None:
    """Upper case means nothing in a domain."""
    assert check_domain("Example.ORG") == "example.org"


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "a..b",
        "-a",
        "a-",
        "a b",
        "a.",
        "a\n",
        "a\0b",
        "x" * 64,
        "a\u0085b",
        "a\u2028",
        "A^b",
        "a`b",
        "a." * 130 + "b",
        "a/b",
    ],
)
def test_domain_refuses_what_is_no_name(name: str) -> None:
    """Nothing that could break out of a protocol line or a path is a domain."""
    with pytest.raises(ValueError, match=r"domain|dot"):
        check_domain(name)


@pytest.mark.parametrize("text", ["a@b.c", "first.last+tag@example.org", "ü@example.org", "o'hara@b"])
def test_address_accepts_dot_strings(text: str) -> None:
    """The addresses that people have."""
    assert check_address(text) == text


@pytest.mark.parametrize(
    "text", ["a", "@b", "a@", ".a@b", "a..b@c", "a b@c", '"a"@b', "a@b@c", "a\r\n@b", "<a@b>", "a" * 65 + "@b"]
)
def test_address_refuses_the_rest(text: str) -> None:
    """Quoted local parts and everything malformed are refused."""
    with pytest.raises(ValueError, match=r"address|domain"):
        check_address(text)


def test_ascii_of_names_is_exactly_what_the_grammar_lists() -> None:
    """Of all ASCII characters: letters, digits, hyphen and underscore in domains, atext in local parts."""
    for char in map(chr, range(128)):
        assert _accepts(check_domain, f"a{char}b") == (char.isalnum() or char in "-_.")
        assert _accepts(check_local_part, f"a{char}b") == (char.isalnum() or char in "!#$%&'*+-/=?^_`{|}~.")


def _accepts(check: Callable[[str], str], text: str) -> bool:
    try:
        check(text)
    except ValueError:
        return False
    return True


def test_address_may_be_bare_where_that_is_asked_for() -> None:
    """A local part alone is an address only in the tables that say so."""
    assert check_address("root", bare_local=True) == "root"


def test_system_hostname_is_a_usable_domain() -> None:
    """Whatever the system calls itself, the default hostname can stand in a protocol."""
    assert check_domain(system_hostname()) == system_hostname()
