"""Secrets print as ***."""

from __future__ import annotations

import pickle

import pytest

from gatepost.wire.sasl import Credentials, NeedPassword, Secret


def test_secret_never_prints_its_value() -> None:
    """Whatever formats it, three stars come out."""
    secret = Secret("hunter2")
    shown = (
        f"{secret} {secret!r} {secret!s} {secret:>10} {[secret]} {Credentials('u', secret)} {NeedPassword('u', secret)}"
    )
    assert "hunter2" not in shown
    assert "***" in shown


def test_secret_is_equal_to_its_like_only() -> None:
    """Two secrets of the same octets are equal; octets and a secret are not."""
    assert Secret("a") == Secret(b"a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != b"a"


def test_secret_refuses_to_be_pickled_or_hashed() -> None:
    """It neither leaves the process by pickle nor stays behind as a key."""
    with pytest.raises(TypeError):
        pickle.dumps(Secret("a"))
    with pytest.raises(TypeError):
        hash(Secret("a"))


def test_empty_secret_is_false() -> None:
    """An empty password is seen without being revealed."""
    assert not Secret("")
    assert Secret("x").reveal() == b"x"
