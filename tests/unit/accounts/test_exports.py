"""What the package offers."""

from __future__ import annotations

import subprocess
import sys

import pytest

import gatepost.accounts


def test_every_public_name_is_there() -> None:
    """`__all__` promises nothing that is missing."""
    for name in gatepost.accounts.__all__:
        assert getattr(gatepost.accounts, name) is not None


def test_unknown_name_is_an_attribute_error() -> None:
    """A typing mistake is told as such."""
    with pytest.raises(AttributeError, match="Usres"):
        _ = gatepost.accounts.Usres


def test_finding_addresses_does_not_load_argon2() -> None:
    """A service that checks no passwords does not pay for the library that does."""
    program = "import sys; from gatepost.accounts import Directory, Found; sys.exit('argon2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
