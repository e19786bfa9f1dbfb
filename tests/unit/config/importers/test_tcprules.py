"""tcpserver's rules: of all that fit an address the most specific one alone counts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.config.importers.document import Document
from gatepost.config.importers.tcprules import ClientRule, ClientRules, parse_tcprules
from gatepost.policy.addresses import AddressList


def _parsed(text: str) -> tuple[ClientRules, Document]:
    document = Document("gatepost import test", "tcp.smtp")
    return parse_tcprules(document, text, "tcp.smtp"), document


def _value(rule: ClientRule) -> str | None:
    return rule.variables.get("X")


def _found(rules: ClientRules, address: str) -> str | None:
    """What our lists, tried in their order, say of an address."""
    for _, value, whom in rules.by(_value):
        assert isinstance(whom.value, tuple)
        if AddressList([str(entry.value) for entry in whom.value]).matches(address):
            return value
    return None


@pytest.mark.parametrize(
    ("written", "inside", "outside"),
    [
        ("10.0.0.1", "10.0.0.1", "10.0.0.2"), ("10.0.0.", "10.0.0.9", "10.0.1.9"), ("10.", "10.9.9.9", "11.0.0.0"),
        ("10.0.0.4-6", "10.0.0.5", "10.0.0.7"), ("10.0.4-6.", "10.0.6.255", "10.0.7.0"),
        ("10.0.0.0/9", "10.1.1.1", "10.128.0.0"),
        ("2001:db8::1", "2001:db8::1", "2001:db8::2"), ("2001:db8:", "2001:db8:9::1", "2001:db9::1"),
        ("2001:db8::/33", "2001:db8:1::", "2001:db8:8000::"), ("", "2001:db8::1", "nowhere"),
    ],
)  # fmt: skip
def test_each_form_of_an_address_is_read(written: str, inside: str, outside: str) -> None:
    """Addresses, prefixes, ranges, networks, nothing for everybody."""
    rules, document = _parsed(f'{written}:allow,X="1"\n')
    assert _found(rules, inside) == "1" and not document.notices
    assert outside == "nowhere" or _found(rules, outside) is None


@pytest.mark.parametrize(
    "written", ["10", "10.0.0.256", "10.0-9.0.1", "9-1.", "10.0.0.1.2", "x.", "10.0.0.0/33", "2001:zz"]
)
def test_what_is_no_address_is_named(written: str) -> None:
    """And its rule is not taken over."""
    rules, document = _parsed(f'{written}:allow,X="1"\n')
    assert not rules.rules and len(document.notices) == 1


@pytest.mark.parametrize("tail", [",X", ',X="1', "nonsense", ',="1"'])
def test_variables_that_cannot_be_read_are_named(tail: str) -> None:
    """The rule stays without them, or is none."""
    _, document = _parsed(f"10.0.0.1:allow{tail}\n")
    assert len(document.notices) == 1


def test_value_may_stand_between_any_two_characters() -> None:
    """As tcprules has it; commas within it are its own."""
    rules, _ = _parsed('10.0.0.1:allow,A=/a,b/,X="c:d"\n')
    assert rules.rules[0].variables == {"A": "a,b", "X": "c:d"}


_PREFIXES = st.sampled_from(["", "10.", "10.0.", "10.1.", "10.0.0.", "10.0.0.1", "10.0.0.2", "10.1.0.1", "11."])
_ADDRESSES = (
    "10.0.0.1",
    "10.0.0.2",
    "10.0.0.3",
    "10.0.9.9",
    "10.1.0.1",
    "10.1.7.7",
    "10.2.0.0",
    "11.0.0.0",
    "12.0.0.0",
)


@given(st.dictionaries(_PREFIXES, st.sampled_from([None, "a", "b", ""]), max_size=7), st.sampled_from(_ADDRESSES))
def test_lists_say_what_tcpserver_would(rules: dict[str, str | None], address: str) -> None:
    """For any set of rules, in any order: the longest prefix decides, also by not setting the variable."""
    text = "".join(
        f"{prefix}:allow" + ("" if value is None else f',X="{value}"') + "\n" for prefix, value in rules.items()
    )
    fitting = [prefix for prefix in rules if address == prefix or (prefix.endswith(".") and address.startswith(prefix))]
    fitting += [""] if "" in rules else []
    expected = rules[max(fitting, key=len)] if fitting else None
    assert _found(_parsed(text)[0], address) == expected
