"""nodemailer, on the TLS of Node.js. It is fetched once, into the user's cache."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from tests.interop.conftest import ALICE, PASSWORD, Road
from tests.interop.letters import MEGABYTE, Letter
from tests.interop.programs import Done, missing, require, run
from tests.interop.running import Gatepost

pytestmark = pytest.mark.interop
_VERSION = "10.6.0"
_SCRIPT = """
const fs = require('fs');
const given = JSON.parse(fs.readFileSync(0));
const nodemailer = require(given.module);
const transport = nodemailer.createTransport({
  host: given.host, port: given.port, secure: given.secure, requireTLS: true,
  auth: given.auth, authMethod: given.method,
  tls: { ca: fs.readFileSync(given.ca), servername: given.name },
});
transport.sendMail({ envelope: given.envelope, raw: fs.createReadStream(given.file) }).then(
  (info) => { console.log(info.response); transport.close(); },
  (error) => { console.log(error.code, error.message); process.exitCode = 1; });
"""


@pytest.fixture(scope="session")
def nodemailer() -> Path:
    """The directory of the module."""
    npm = require("npm", "npm")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gatepost-interop"
    there = cache / f"nodemailer-{_VERSION}"
    if not there.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as directory:
            done = run(
                [npm, "install", "--prefix", directory, "--ignore-scripts", "--no-audit", "--no-fund",
                 "--no-package-lock", f"nodemailer@{_VERSION}"],
                seconds=110, cwd=Path(directory),
            )  # fmt: skip
            if done.code != 0:
                missing(f"nodemailer cannot be fetched: {done.said[-500:]}")
            shutil.move(directory + "/node_modules/nodemailer", there)
    return there


def _send(
    module: Path,
    server: Gatepost,
    road: Road,
    sent: Letter,
    directory: Path,
    *,
    ca: Path | None = None,
    name: str = "localhost",
    method: str = "PLAIN",
) -> Done:
    given = {
        "module": str(module),
        "host": "127.0.0.1",
        "port": road.port(server),
        "secure": road.implicit,
        "name": name,
        "ca": str(ca or server.ca_file),
        "auth": {"user": ALICE, "pass": PASSWORD} if road.login else None,
        "method": method,
        "envelope": {"from": sent.sender, "to": [sent.recipient]},
        "file": str(sent.write(directory)),
    }
    return run([require("node", "nodejs"), "-e", _SCRIPT], given=json.dumps(given).encode())


def test_nodemailer_delivers_over_verified_tls(
    nodemailer: Path, gatepost_server: Gatepost, road: Road, tmp_path: Path
) -> None:
    """Over STARTTLS and implicit TLS, to the mx and with a login: octet for octet."""
    sent = road.letter()
    done = _send(nodemailer, gatepost_server, road, sent, tmp_path)
    assert done.code == 0, done.said
    road.check(sent, gatepost_server.arrived(sent.recipient, sent.token))


def test_nodemailer_delivers_20_megabytes_unharmed(
    nodemailer: Path, gatepost_server: Gatepost, login_road: Road, tmp_path: Path
) -> None:
    """A large attachment arrives octet for octet."""
    sent = login_road.letter(attachment=20 * MEGABYTE)
    done = _send(nodemailer, gatepost_server, login_road, sent, tmp_path)
    assert done.code == 0, done.said
    login_road.check(sent, gatepost_server.arrived(sent.recipient, sent.token))


def test_nodemailer_refuses_a_server_of_an_unknown_authority(
    nodemailer: Path, gatepost_server: Gatepost, road: Road, tmp_path: Path, wrong_ca: Path
) -> None:
    """The certificate is really looked at."""
    done = _send(nodemailer, gatepost_server, road, road.letter(), tmp_path, ca=wrong_ca)
    assert done.code == 1 and "certificate" in done.said, done.said


def test_nodemailer_refuses_a_certificate_for_another_name(
    nodemailer: Path, gatepost_server: Gatepost, road: Road, tmp_path: Path
) -> None:
    """The name is really looked at."""
    done = _send(nodemailer, gatepost_server, road, road.letter(), tmp_path, name="other.example.test")
    assert done.code == 1 and "altnames" in done.said, done.said
