"""mutt, on GnuTLS and GNU SASL on Debian.

It has no channel binding to give, yet takes SCRAM-SHA-256-PLUS first wherever that is offered, and does not go on to
the next mechanism when it cannot do that one: so it is told which mechanism to use.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.interop.conftest import ALICE, BOB, FRIEND, PASSWORD, Road
from tests.interop.letters import MEGABYTE
from tests.interop.programs import Done, require, run
from tests.interop.running import Gatepost

pytestmark = pytest.mark.interop


def _send(
    server: Gatepost, road: Road, token: str, directory: Path, file: Path, *, ca: Path | None = None, to: str = BOB
) -> Done:
    login = f"{ALICE.replace('@', '%40')}@" if road.login else ""
    settings = f"""
set smtp_url="{"smtps" if road.implicit else "smtp"}://{login}localhost:{road.port(server)}/"
set smtp_authenticators="scram-sha-256"
set smtp_pass="{PASSWORD}"
set from="{ALICE if road.login else FRIEND}" use_envelope_from=yes hostname=client.example
set ssl_starttls=yes ssl_force_tls=yes certificate_file="{ca or server.ca_file}"
set copy=no crypt_use_gpgme=no
"""
    configuration = directory / "muttrc"
    configuration.write_text(settings)
    command: list[str | Path] = [require("mutt", "mutt"), "-n", "-F", configuration, "-s", token, "-a", file, "--", to]
    return run(command, given=b"hello\n.leading dot\n", env={"HOME": str(directory), "TERM": "dumb"})


def test_mutt_delivers_an_attachment_over_verified_tls(gatepost_server: Gatepost, road: Road, tmp_path: Path) -> None:
    """Over STARTTLS and implicit TLS, to the mx and with a login."""
    sent = road.letter()
    file = tmp_path / "data.bin"
    file.write_bytes(bytes(range(256)) * (MEGABYTE // 256))
    done = _send(gatepost_server, road, sent.token, tmp_path, file)
    assert done.code == 0, done.said
    arrived = gatepost_server.arrived(BOB, sent.token)
    road.check(sent, arrived, exact=False)
    (attachment,) = arrived.message.iter_attachments()
    assert attachment.get_payload(decode=True) == file.read_bytes()


def test_mutt_refuses_a_server_of_an_unknown_authority(
    gatepost_server: Gatepost, road: Road, tmp_path: Path, wrong_ca: Path
) -> None:
    """The certificate is really looked at."""
    file = tmp_path / "data.bin"
    file.write_bytes(b"x")
    done = _send(gatepost_server, road, road.letter().token, tmp_path, file, ca=wrong_ca)
    assert done.code != 0, done.said
