"""msmtp, which speaks TLS with GnuTLS and SASL with GNU SASL."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.interop.conftest import ALICE, PASSWORD, Road
from tests.interop.letters import MEGABYTE, Letter
from tests.interop.programs import Done, require, run
from tests.interop.running import Gatepost

pytestmark = pytest.mark.interop
_UNAVAILABLE = 69
_NO_PERMISSION = 77


def _send(
    server: Gatepost,
    road: Road,
    sent: Letter,
    directory: Path,
    *,
    ca: Path | None = None,
    host: str = "localhost",
    mechanism: str = "plain",
    password: str = PASSWORD,
) -> Done:
    secret = directory / "password"
    secret.write_text(password + "\n")
    command: list[str | Path] = [require("msmtp", "msmtp"), "--file=/dev/null", f"--host={host}"]
    command += [f"--port={road.port(server)}", "--tls=on", f"--tls-starttls={'off' if road.implicit else 'on'}"]
    command += [f"--tls-trust-file={ca or server.ca_file}", f"--from={sent.sender}", "--timeout=60"]
    if road.login:
        command += [f"--auth={mechanism}", f"--user={ALICE}", f"--passwordeval=cat {secret}"]
    return run([*command, sent.recipient], given_file=sent.write(directory))


def test_msmtp_delivers_over_verified_tls(gatepost_server: Gatepost, road: Road, tmp_path: Path) -> None:
    """Over STARTTLS and implicit TLS, to the mx and with a login: octet for octet."""
    sent = road.letter()
    done = _send(gatepost_server, road, sent, tmp_path)
    assert done.code == 0, done.said
    road.check(sent, gatepost_server.arrived(sent.recipient, sent.token))


@pytest.mark.parametrize("mechanism", ["on", "plain", "login", "scram-sha-256"])
def test_msmtp_logs_in_with_each_mechanism(
    gatepost_server: Gatepost, login_road: Road, tmp_path: Path, mechanism: str
) -> None:
    """GNU SASL and ours agree; ``on`` leaves the choice to msmtp."""
    sent = login_road.letter()
    done = _send(gatepost_server, login_road, sent, tmp_path, mechanism=mechanism)
    assert done.code == 0, done.said
    login_road.check(sent, gatepost_server.arrived(sent.recipient, sent.token))


@pytest.mark.parametrize("mechanism", ["plain", "scram-sha-256"])
def test_msmtp_with_a_wrong_password_is_refused(gatepost_server: Gatepost, tmp_path: Path, mechanism: str) -> None:
    """And is told that it is a matter of permission."""
    road = Road("submission", implicit=False, login=True)
    done = _send(gatepost_server, road, road.letter(), tmp_path, mechanism=mechanism, password="wrong")
    assert done.code == _NO_PERMISSION, done.said
    assert "535" in done.said or "5.7.8" in done.said


def test_msmtp_delivers_20_megabytes_unharmed(gatepost_server: Gatepost, login_road: Road, tmp_path: Path) -> None:
    """A large attachment arrives octet for octet."""
    sent = login_road.letter(attachment=20 * MEGABYTE)
    done = _send(gatepost_server, login_road, sent, tmp_path)
    assert done.code == 0, done.said
    login_road.check(sent, gatepost_server.arrived(sent.recipient, sent.token))


def test_msmtp_refuses_a_server_of_an_unknown_authority(
    gatepost_server: Gatepost, road: Road, tmp_path: Path, wrong_ca: Path
) -> None:
    """The certificate is really looked at: with another authority nothing is sent."""
    done = _send(gatepost_server, road, road.letter(), tmp_path, ca=wrong_ca)
    assert done.code == _UNAVAILABLE and "certificate" in done.said, done.said


def test_msmtp_refuses_a_certificate_for_another_name(gatepost_server: Gatepost, road: Road, tmp_path: Path) -> None:
    """The name is really looked at: the certificate does not have 127.0.0.1."""
    done = _send(gatepost_server, road, road.letter(), tmp_path, host="127.0.0.1")
    assert done.code == _UNAVAILABLE and "certificate" in done.said, done.said
