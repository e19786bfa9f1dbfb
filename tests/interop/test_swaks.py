"""swaks. The version of Debian 12 verifies the chain of a certificate, but not its name."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.interop.conftest import ALICE, PASSWORD, Road
from tests.interop.letters import MEGABYTE, Letter
from tests.interop.programs import Done, require, run
from tests.interop.running import Gatepost

pytestmark = pytest.mark.interop
_TLS_FAILED = 29


def _send(
    server: Gatepost,
    road: Road,
    sent: Letter,
    directory: Path,
    *extra: str,
    ca: Path | None = None,
    mechanism: str = "PLAIN",
) -> Done:
    file = sent.write(directory)
    with file.open("ab") as stream:
        stream.write(b".\n")  # swaks takes a dot on the last line for the end, and adds one only where there is none
    command: list[str | Path] = [require("swaks", "swaks"), "--server", "localhost", "--port", str(road.port(server))]
    command += ["--tls-on-connect" if road.implicit else "--tls", "--tls-verify", "--tls-ca-path", ca or server.ca_file]
    command += ["--from", sent.sender, "--to", sent.recipient, "--data", f"@{file}"]
    if road.login:
        command += ["--auth", mechanism, "--auth-user", ALICE, "--auth-password", PASSWORD]
    return run([*command, "--no-strip-from", *extra])


def test_swaks_delivers_over_verified_tls(gatepost_server: Gatepost, road: Road, tmp_path: Path) -> None:
    """Over STARTTLS and implicit TLS, to the mx and with a login: octet for octet."""
    sent = road.letter()
    done = _send(gatepost_server, road, sent, tmp_path)
    assert done.code == 0, done.said
    road.check(sent, gatepost_server.arrived(sent.recipient, sent.token))


def test_swaks_logs_in_with_login(gatepost_server: Gatepost, login_road: Road, tmp_path: Path) -> None:
    """The mechanism of old clients."""
    sent = login_road.letter()
    done = _send(gatepost_server, login_road, sent, tmp_path, mechanism="LOGIN")
    assert done.code == 0, done.said
    login_road.check(sent, gatepost_server.arrived(sent.recipient, sent.token))


def test_swaks_delivers_20_megabytes_unharmed(gatepost_server: Gatepost, login_road: Road, tmp_path: Path) -> None:
    """A large attachment arrives octet for octet."""
    sent = login_road.letter(attachment=20 * MEGABYTE)
    done = _send(gatepost_server, login_road, sent, tmp_path, "--hide-all")
    assert done.code == 0, done.said
    login_road.check(sent, gatepost_server.arrived(sent.recipient, sent.token))


def test_swaks_refuses_a_server_of_an_unknown_authority(
    gatepost_server: Gatepost, road: Road, tmp_path: Path, wrong_ca: Path
) -> None:
    """The certificate is really looked at: with another authority nothing is sent."""
    done = _send(gatepost_server, road, road.letter(), tmp_path, ca=wrong_ca)
    assert done.code == _TLS_FAILED, done.said


def test_swaks_is_refused_a_login_outside_of_tls(gatepost_server: Gatepost, tmp_path: Path) -> None:
    """Without TLS no mechanism is offered, and nothing is taken."""
    command = [require("swaks", "swaks"), "--server", "localhost", "--port", str(gatepost_server.ports["submission"])]
    command += ["--from", ALICE, "--to", ALICE, "--auth", "PLAIN", "--auth-user", ALICE, "--auth-password", PASSWORD]
    done = run(command)
    assert done.code == 28, done.said  # no mechanism in common
    assert b"AUTH PLAIN" not in done.out
