"""Senders that are refused."""

from __future__ import annotations

import pytest

from gatepost.policy.senders import SenderList

LIST = SenderList(["spammer@bad.example", "@worse.example", ".worst.example", "@xn--bcher-kva.example"])


@pytest.mark.parametrize(
    ("local", "domain", "entry"),
    [
        ("spammer", "bad.example", "spammer@bad.example"), ("SPAMMER", "BAD.example", "spammer@bad.example"),
        ("other", "bad.example", ""), ("spammer", "x.bad.example", ""), ("x", "worse.example", "@worse.example"),
        ("x", "y.worse.example", ""), ("x", "a.b.worst.example", ".worst.example"), ("x", "worst.example", ""),
        ("x", "notworst.example", ""), ("x", "xn--bcher-kva.example", "@xn--bcher-kva.example"), ("x", "", ""),
        ("x", "[192.0.2.1]", ""), ("x@worse.example", "good.example", ""),
    ],
)  # fmt: skip
def test_entry_that_has_a_sender_is_found(local: str, domain: str, entry: str) -> None:
    """An address, a domain, what is below a domain; letter case never counts."""
    assert LIST.match(local, domain) == entry


def test_empty_list_has_nobody() -> None:
    """And is false."""
    assert not SenderList() and SenderList().match("a", "b.example") == ""
