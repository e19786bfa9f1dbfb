"""``gatepost user``."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from tests.unit.cli.conftest import Gatepost

from gatepost.accounts.verifiers import Verifiers
from gatepost.cli import passwords
from gatepost.cli.exits import CommandError
from gatepost.mailbox import deliver, mailbox_root, unique_name
from gatepost.store.sqlite.accounts import FILE_NAME, SQLiteAccountStore
from gatepost.wire.sasl.secret import Secret


def _accepts(data: Path, address: str, password: str) -> bool:
    store = SQLiteAccountStore(data / FILE_NAME)
    try:
        return bool(Verifiers(store, ("x.test",)).verify_password(address, Secret(password.encode())))
    finally:
        store.close()


def test_user_is_added_listed_changed_and_deleted(gatepost: Gatepost, data: Path) -> None:
    """The life of a user, with passwords from standard input."""
    assert gatepost("user", "add", "Ann@x.test", "--password-stdin", stdin=b"first one\nrest\n").code == 0
    assert _accepts(data, "ann@x.test", "first one")
    assert [user["address"] for user in gatepost("user", "list", "--json").json] == ["ann@x.test"]
    assert gatepost("user", "passwd", "ann", "--password-stdin", stdin=b"second\r\n").code == 0
    assert _accepts(data, "ann@x.test", "second") and not _accepts(data, "ann@x.test", "first one")
    assert gatepost("user", "delete", "ann@x.test").code == 0
    assert gatepost("user", "list").err == "there are no users\n"


def test_user_is_disabled_and_enabled(gatepost: Gatepost, data: Path) -> None:
    """A disabled user keeps its password, cannot log in with it, and can again."""
    gatepost("user", "add", "ann@x.test", "--password-stdin", stdin=b"secret one\n")
    assert gatepost("user", "disable", "Ann").out == "ann@x.test can no longer log in\n"
    assert not _accepts(data, "ann@x.test", "secret one")
    assert "disabled" in gatepost("user", "list").out
    assert gatepost("user", "enable", "ann@x.test").code == 0
    assert _accepts(data, "ann@x.test", "secret one")
    assert gatepost("user", "disable", "bob").code == 67


def test_list_shows_mailboxes_and_last_logins(gatepost: Gatepost, data: Path) -> None:
    """How many messages, how many octets on disk, and when; for people and for programs."""
    gatepost("user", "add", "ann@x.test", "--generate")
    deliver(mailbox_root(data, "ann@x.test"), [b"a" * 3000], unique=unique_name(1.0, "m1", "ann@x.test", "mx.test"))
    store = SQLiteAccountStore(data / FILE_NAME)
    store.record_login("ann@x.test")
    store.close()
    (user,) = gatepost("user", "list", "--json").json
    assert (user["messages"], user["bytes"]) == (1, 3000)
    heading, row = gatepost("user", "list").out.splitlines()
    assert heading.split()[:3] == ["address", "messages", "size"]
    assert row.split()[:4] == ["ann@x.test", "1", "2.9", "KiB"]
    assert user["last_login"] is not None and "never" not in row


def test_generated_password_is_printed_once_and_works(gatepost: Gatepost, data: Path) -> None:
    """--generate prints what it set, in JSON too, even with -q."""
    done = gatepost("-q", "user", "add", "ann@x.test", "--generate")
    assert done.out.startswith("password: ")
    assert _accepts(data, "ann@x.test", done.out.removeprefix("password: ").strip())
    again = gatepost("user", "passwd", "ann@x.test", "--generate", "--json")
    assert _accepts(data, "ann@x.test", again.json["password"])
    assert "password" not in gatepost("user", "list", "--json").json[0]


@pytest.mark.parametrize(
    ("arguments", "stdin", "code"),
    [
        (["add", "ann@x.test", "--generate"], b"", 73),
        (["add", "bob@other.test", "--generate"], b"", 65),
        (["add", "b ob@x.test", "--generate"], b"", 65),
        (["add", "bob@x.test", "--password-stdin"], b"", 65),
        (["add", "bob@x.test", "--password-stdin"], b"\n", 65),
        (["add", "bob@x.test", "--password-stdin"], b"x" * 2000, 65),
        (["add", "bob@x.test"], b"", 64),
        (["add", "bob@x.test", "--password-stdin", "--generate"], b"x\n", 64),
        (["passwd", "bob@x.test", "--generate"], b"", 67),
        (["delete", "bob@x.test"], b"", 67),
    ],
)
def test_refusals_have_their_codes_and_change_nothing(
    gatepost: Gatepost, arguments: list[str], stdin: bytes, code: int
) -> None:
    """Existing, foreign, malformed, missing, without a password."""
    gatepost("user", "add", "ann@x.test", "--generate")
    done = gatepost("user", *arguments, stdin=stdin)
    assert done.code == code
    assert len(done.err.splitlines()) == 1
    assert [user["address"] for user in gatepost("user", "list", "--json").json] == ["ann@x.test"]


def test_data_directory_is_private(gatepost: Gatepost, data: Path) -> None:
    """The first user makes the directory; nobody else can read it."""
    gatepost("user", "add", "ann@x.test", "--generate")
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(file.stat().st_mode) & 0o077 == 0 for file in data.iterdir())


def test_missing_data_directory_is_said(gatepost: Gatepost, data: Path) -> None:
    """A command that reads does not make an empty server by mistake."""
    done = gatepost("user", "list")
    assert done.code == 69 and str(data) in done.err
    assert not data.exists()


def test_passwords_are_read_from_the_first_line_of_a_file(tmp_path: Path) -> None:
    """Line ends are not part of it; a file without one is refused."""
    file = tmp_path / "p"
    file.write_bytes("pä ss\r\nsecond\n".encode())
    assert passwords.from_file(file).reveal() == "pä ss".encode()
    file.write_bytes(b"")
    with pytest.raises(CommandError, match="no password"):
        passwords.from_file(file)


def test_generated_passwords_differ() -> None:
    """They are random, and long enough to be guessed by nobody."""
    made = {passwords.generated().reveal() for _ in range(100)}
    assert len(made) == 100
    assert all(len(password) == 23 for password in made)


def test_person_is_asked_before_a_user_is_deleted(
    gatepost: Gatepost, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal, unless --yes is said; no answer is no. One who does not exist is not asked about."""
    monkeypatch.setattr("gatepost.cli.user._interactive", lambda: True)
    for name in ("ann", "bob"):
        gatepost("user", "add", f"{name}@x.test", "--generate")
    for answer, code in ((b"\n", 1), (b"n\n", 1), (b"", 130)):
        refused = gatepost("user", "delete", "ann@x.test", stdin=answer)
        assert refused.code == code
        assert "Delete ann@x.test, who can then no longer log in or get mail? [y/N]" in refused.err
    assert len(gatepost("user", "list", "--json").json) == 2
    assert gatepost("user", "delete", "ann@x.test", "--json", stdin=b"y\n").json == {"address": "ann@x.test"}
    asked = gatepost("user", "delete", "bob@x.test", "--yes")
    assert (asked.code, "[y/N]" in asked.err) == (0, False)
    assert (gatepost("user", "delete", "eve@x.test").code, gatepost("user", "list", "--json").json) == (67, [])


def test_script_is_not_asked_before_a_user_is_deleted(gatepost: Gatepost, data: Path) -> None:
    """What worked without a terminal goes on to work."""
    gatepost("user", "add", "ann@x.test", "--generate")
    deleted = gatepost("user", "delete", "ann@x.test", stdin=b"n\n")
    assert (deleted.code, deleted.err) == (0, "")
