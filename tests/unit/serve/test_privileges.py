"""Giving up root: whom the workers run as, and that it is for good."""

from __future__ import annotations

import os
import pwd

import pytest

from gatepost.errors import ConfigError
from gatepost.serve import privileges
from gatepost.serve.post import run_apart

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


@root_only
def test_missing_default_account_is_a_warning() -> None:
    """A first try as root works, and says that it runs as root."""
    account = privileges.choose_account("gatepost-not-there", configured=False)
    assert account.uid is None
    assert "the workers run as root" in account.warning


@root_only
def test_missing_configured_account_is_refused() -> None:
    """Who writes an account's name wants that account."""
    with pytest.raises(ConfigError, match="there is no account 'gatepost-not-there'") as caught:
        privileges.choose_account("gatepost-not-there", configured=True)
    assert "useradd" in caught.value.hint


def test_own_account_needs_nothing() -> None:
    """Started as the account that is asked for, or as anyone with the default: nothing is dropped."""
    name = pwd.getpwuid(os.geteuid()).pw_name
    assert privileges.choose_account(name, configured=True).uid is None


@root_only
def test_drop_is_for_good() -> None:
    """Afterwards user, group and groups are the account's, and root cannot be had back."""
    entry = pwd.getpwnam("nobody")
    account = privileges.choose_account("nobody", configured=True)

    def look() -> int:
        privileges.drop(account)
        assert os.getresuid() == (entry.pw_uid,) * 3
        assert os.getresgid() == (entry.pw_gid,) * 3
        assert 0 not in os.getgroups()
        try:
            os.setuid(0)
        except PermissionError:
            return 0
        return 1

    assert run_apart(look) == 0


@root_only
def test_confined_process_gains_no_privileges() -> None:
    """no_new_privs is set, so a set-id program gives nothing."""
    parent = os.getpid()

    def look() -> int:
        privileges.confine(parent)
        with open("/proc/self/status") as status:
            return 0 if "NoNewPrivs:\t1" in status.read() else 1

    assert run_apart(look) == 0


def test_orphan_ends_at_once() -> None:
    """A worker whose supervisor died during its birth does not go on alone."""
    assert run_apart(lambda: privileges.confine(1 if os.getppid() != 1 else 2)) == 0


@root_only
def test_account_that_cannot_read_the_program_is_refused() -> None:
    """The reason names the file, before anything fails in the middle."""
    account = privileges.Account("somebody", 65534, 65534, (65534,))
    with pytest.raises(ConfigError, match="'somebody' cannot read"):
        privileges.refuse_unreadable(account, lambda look: 1)
    privileges.refuse_unreadable(account, lambda look: 0)
