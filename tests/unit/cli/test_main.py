"""The group of commands: help, errors, exit codes."""

from __future__ import annotations

import errno
import socket
import subprocess
import sys

import pytest
from tests.unit.cli.conftest import Gatepost

from gatepost._version import __version__
from gatepost.cli import exits
from gatepost.cli.exits import CommandError, described, exit_code
from gatepost.cli.main import COMMANDS
from gatepost.errors import (
    CertificateError,
    ConfigError,
    DeadlineExceeded,
    GatepostError,
    HandshakeError,
    LocalProtocolError,
    RemoteProtocolError,
    StoreError,
    VerificationError,
)


def test_help_lists_every_command(gatepost: Gatepost) -> None:
    """--help names the commands with what they do, and exits with 0."""
    done = gatepost("--help")
    assert done.code == 0
    assert all(f"\n  {name} " in done.out for name in COMMANDS)
    assert "..." not in done.out.split("Commands:")[1]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(gatepost: Gatepost, name: str) -> None:
    """Each command explains itself, options included."""
    done = gatepost(name, "-h")
    assert done.code == 0
    assert "Usage: gatepost " + name in done.out


def test_version_is_printed(gatepost: Gatepost) -> None:
    """--version prints the version alone."""
    assert gatepost("--version").out == f"gatepost {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["confg"], "did you mean config?"),
        (["nonsense"], "nonsense"),
        (["config", "check", "--ful"], "--ful"),
        (["completion", "tcsh"], "tcsh"),
        (["queue", "hold"], "one of the three"),
        (["send"], "--server"),
        (["config", "show", "--defaults", "--changed"], "exclude"),
    ],
)
def test_wrong_usage_is_one_line_and_64(gatepost: Gatepost, arguments: list[str], says: str) -> None:
    """A mistake on the command line is said in one line, which points to the help."""
    done = gatepost(*arguments)
    assert done.code == exits.USAGE
    assert done.out == "" and len(done.err.splitlines()) == 1
    assert done.err.startswith("gatepost: ") and says in done.err


def test_no_command_shows_the_help_and_is_wrong_usage(gatepost: Gatepost) -> None:
    """A script that forgot the command does not succeed."""
    done = gatepost()
    assert done.code == exits.USAGE
    assert "Commands:" in done.out + done.err


def test_common_options_are_taken_before_and_behind_the_command(gatepost: Gatepost) -> None:
    """``gatepost --json config show`` is ``gatepost config show --json``."""
    first, second = gatepost("--json", "config", "show"), gatepost("config", "show", "--json")
    assert first.json == second.json
    assert first.json["hostname"] == "mx.test"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), 78),
        (CertificateError("x"), 78),
        (StoreError("x"), 74),
        (DeadlineExceeded("x"), 75),
        (HandshakeError("x"), 69),
        (VerificationError("x", reason="expired"), 69),
        (RemoteProtocolError("x"), 76),
        (LocalProtocolError("x"), 70),
        (CommandError("x", 67), 67),
        (GatepostError("x"), 69),
        (PermissionError(errno.EACCES, "no"), 77),
        (ConnectionRefusedError(errno.ECONNREFUSED, "no"), 69),
        (TimeoutError(), 69),
        (socket.gaierror(-2, "unknown"), 68),
        (OSError(errno.EHOSTUNREACH, "no"), 69),
        (FileNotFoundError(errno.ENOENT, "no"), 74),
        (OSError(errno.ENOSPC, "full"), 74),
    ],
)
def test_each_kind_of_error_has_its_exit_code(error: GatepostError | OSError, code: int) -> None:
    """Scripts can tell what to do from the code alone (sysexits.h)."""
    assert exit_code(error) == code
    assert described(error)


def test_description_carries_the_hint() -> None:
    """The one line says what happened and what to do."""
    assert described(GatepostError("it broke", hint="mend it")) == "it broke: mend it"
    assert described(FileNotFoundError(errno.ENOENT, "No such file", "x.pem")) == "x.pem: No such file"


def test_bug_is_one_line_with_70(gatepost: Gatepost, monkeypatch: pytest.MonkeyPatch) -> None:
    """No traceback in an operator's face, and nothing of it can reach the terminal raw."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a\x1b[31mb\nc")

    monkeypatch.setattr("gatepost.config.load.load", broken)
    done = gatepost("config", "show")
    assert done.code == exits.SOFTWARE
    assert len(done.err.splitlines()) == 1 and "\x1b" not in done.err


def test_reader_that_goes_away_gets_no_traceback() -> None:
    """``gatepost config show | head -1`` ends quietly."""
    code = "from gatepost.cli.main import main; main(['config', 'show', '--defaults'])"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 1


def test_help_imports_nothing_heavy() -> None:
    """The command line answers fast: the heavy libraries wait until a command needs them."""
    code = (
        "import sys\n"
        "from gatepost.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'pydantic', 'OpenSSL', 'cryptography', 'dns', 'asyncio', 'rich', 'argon2', 'sqlite3'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_printed(gatepost: Gatepost, shell: str) -> None:
    """Each shell gets a script that calls us back for what comes next."""
    done = gatepost("completion", shell)
    assert done.code == 0
    assert "_GATEPOST_COMPLETE" in done.out
