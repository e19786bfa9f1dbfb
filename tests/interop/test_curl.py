"""curl."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.interop.conftest import ALICE, PASSWORD, Road
from tests.interop.letters import MEGABYTE, Letter
from tests.interop.programs import Done, require, run
from tests.interop.running import Gatepost

pytestmark = pytest.mark.interop
_BAD_CERTIFICATE = 60  # CURLE_PEER_FAILED_VERIFICATION


def _send(
    server: Gatepost, road: Road, sent: Letter, directory: Path, *, ca: Path | None = None, host: str = "localhost"
) -> Done:
    """curl sends a file as it is, so it is given CRLF line ends."""
    scheme = "smtps" if road.implicit else "smtp"
    command: list[str | Path] = [require("curl", "curl"), "--silent", "--show-error", "--ssl-reqd", "--max-time", "60"]
    command += ["--cacert", ca or server.ca_file, f"{scheme}://{host}:{road.port(server)}/client.example"]
    command += ["--mail-from", sent.sender, "--mail-rcpt", sent.recipient, "-T", sent.write(directory, crlf=True)]
    if road.login:
        command += ["--user", f"{ALICE}:{PASSWORD}"]
    return run(command)


def test_curl_delivers_over_verified_tls(gatepost_server: Gatepost, road: Road, tmp_path: Path) -> None:
    """Over STARTTLS and implicit TLS, to the mx and with a login: octet for octet."""
    sent = road.letter()
    done = _send(gatepost_server, road, sent, tmp_path)
    assert done.code == 0, done.said
    road.check(sent, gatepost_server.arrived(sent.recipient, sent.token))


def test_curl_delivers_20_megabytes_unharmed(gatepost_server: Gatepost, login_road: Road, tmp_path: Path) -> None:
    """A large attachment arrives octet for octet."""
    sent = login_road.letter(attachment=20 * MEGABYTE)
    done = _send(gatepost_server, login_road, sent, tmp_path)
    assert done.code == 0, done.said
    login_road.check(sent, gatepost_server.arrived(sent.recipient, sent.token))


def test_curl_refuses_a_server_of_an_unknown_authority(
    gatepost_server: Gatepost, road: Road, tmp_path: Path, wrong_ca: Path
) -> None:
    """The certificate is really looked at: with another authority nothing is sent."""
    done = _send(gatepost_server, road, road.letter(), tmp_path, ca=wrong_ca)
    assert done.code == _BAD_CERTIFICATE, done.said


def test_curl_refuses_a_certificate_for_another_name(gatepost_server: Gatepost, road: Road, tmp_path: Path) -> None:
    """The name is really looked at: the certificate does not have 127.0.0.1."""
    done = _send(gatepost_server, road, road.letter(), tmp_path, host="127.0.0.1")
    assert done.code == _BAD_CERTIFICATE, done.said
