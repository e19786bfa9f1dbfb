"""s-nail, which is ``mail`` on many systems."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from tests.interop.conftest import ALICE, BOB, FRIEND, PASSWORD, Road
from tests.interop.letters import MEGABYTE
from tests.interop.programs import Done, require, run
from tests.interop.running import Gatepost

pytestmark = pytest.mark.interop


def _send(
    server: Gatepost, road: Road, token: str, *extra: str | Path, ca: Path | None = None, host: str = "localhost"
) -> Done:
    login = f"{quote(ALICE, safe='')}:{quote(PASSWORD, safe='')}@" if road.login else ""
    url = f"{'smtps' if road.implicit else 'smtp'}://{login}{host}:{road.port(server)}"
    command: list[str | Path] = [require("s-nail", "s-nail"), "-:/", "-Sv15-compat", f"-Smta={url}"]
    command += [] if road.implicit else ["-Ssmtp-use-starttls"]
    command += [f"-Stls-ca-file={ca or server.ca_file}", "-Stls-ca-no-defaults", "-Stls-verify=strict"]
    command += [f"-Ssmtp-auth={'plain' if road.login else 'none'}", f"-Sfrom={ALICE if road.login else FRIEND}"]
    command += ["-Shostname=client.example", "-Snosave", "-s", token, *extra, BOB]
    return run(command, given=b"hello\n.leading dot\n", env={"HOME": "/nonexistent", "MAILRC": "/dev/null"})


def test_snail_delivers_an_attachment_over_verified_tls(gatepost_server: Gatepost, road: Road, tmp_path: Path) -> None:
    """Over STARTTLS and implicit TLS, to the mx and with a login."""
    sent = road.letter()
    file = tmp_path / "data.bin"
    file.write_bytes(bytes(range(256)) * (MEGABYTE // 256))
    done = _send(gatepost_server, road, sent.token, "-a", file)
    assert done.code == 0, done.said
    arrived = gatepost_server.arrived(BOB, sent.token)
    road.check(sent, arrived, exact=False, keyword=None if road.login else "SMTP")  # without a login it says HELO
    (attachment,) = arrived.message.iter_attachments()
    assert attachment.get_payload(decode=True) == file.read_bytes()
    body = arrived.message.get_body(("plain",))
    assert body is not None and body.get_content().splitlines() == ["hello", ".leading dot"]


def test_snail_refuses_a_server_of_an_unknown_authority(gatepost_server: Gatepost, road: Road, wrong_ca: Path) -> None:
    """The certificate is really looked at."""
    done = _send(gatepost_server, road, road.letter().token, ca=wrong_ca)
    assert done.code != 0 and "certificate" in done.said.lower(), done.said


def test_snail_refuses_a_certificate_for_another_name(gatepost_server: Gatepost, road: Road) -> None:
    """The name is really looked at."""
    done = _send(gatepost_server, road, road.letter().token, host="127.0.0.1")
    assert done.code != 0 and "certificate" in done.said.lower(), done.said
