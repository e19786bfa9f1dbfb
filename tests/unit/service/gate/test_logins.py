"""The name in a login that passes through a gate, for the log."""

from __future__ import annotations

import pytest

from gatepost.service.gate.logins import name_in


@pytest.mark.parametrize(
    ("mechanism", "response", "name"),
    [
        ("PLAIN", b"\0ann\0secret", "ann"), ("PLAIN", b"root\0ann\0secret", "ann"), ("PLAIN", b"ann secret", ""),
        ("LOGIN", b"ann", "ann"), ("SCRAM-SHA-256", b"n,,n=ann,r=nonce", "ann"), ("SCRAM-SHA-1", b"c=biws", ""),
        ("XOAUTH2", b"user=ann@x.example\x01auth=Bearer secret\x01\x01", "ann@x.example"),
        ("OAUTHBEARER", b"n,a=ann@x.example,\x01auth=Bearer secret\x01\x01", "ann@x.example"),
        ("GSSAPI", b"\x60\x82", ""), ("LOGIN", b"a\nb", ""), ("LOGIN", b"a" * 256, ""), ("LOGIN", b"", ""),
        ("LOGIN", b"\xff", "\ufffd"),
    ],
)  # fmt: skip
def test_name_is_found_and_nothing_else(mechanism: str, response: bytes, name: str) -> None:
    """No secret is ever part of it."""
    assert name_in(mechanism, response) == name
    assert "secret" not in name_in(mechanism, response)
