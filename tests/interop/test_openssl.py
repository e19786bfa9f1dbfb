"""``openssl s_client``, which a person types SMTP into."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest
from tests.interop.conftest import ALICE, PASSWORD, Road
from tests.interop.letters import MEGABYTE, Letter
from tests.interop.patience import PATIENCE
from tests.interop.programs import Done, require, run
from tests.interop.running import Gatepost

pytestmark = pytest.mark.interop


def _client(server: Gatepost, road: Road, *, ca: Path | None = None, name: str = "mx.example.test") -> list[str]:
    command = [require("openssl", "openssl"), "s_client", "-connect", f"127.0.0.1:{road.port(server)}"]
    command += ["-CAfile", str(ca or server.ca_file), "-verify_return_error", "-verify_hostname", name]
    return command + ([] if road.implicit else ["-starttls", "smtp"])


class _Typist:
    """Types commands, and waits for each reply."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(
            [*command, "-quiet"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def read(self) -> bytes:
        """One reply, all its lines."""
        assert self.process.stdout is not None
        reply = b""
        while line := self.process.stdout.readline():
            reply += line
            if line[3:4] == b" ":
                return reply
        raise AssertionError(f"the connection ended; {reply!r}")

    def type(self, octets: bytes) -> bytes:
        """Type, and read the reply."""
        assert self.process.stdin is not None
        self.process.stdin.write(octets)
        self.process.stdin.flush()
        return self.read()


def _send(server: Gatepost, road: Road, sent: Letter, *extra: str) -> None:
    typist = _Typist([*_client(server, road), *extra])
    with typist.process:
        try:
            if road.implicit:  # otherwise s_client has read the greeting itself
                assert typist.read().startswith(b"220 ")
            assert b"250-PIPELINING\r\n" in typist.type(b"EHLO client.example\r\n")
            if road.login:
                login = base64.b64encode(f"\0{ALICE}\0{PASSWORD}".encode())
                assert typist.type(b"AUTH PLAIN " + login + b"\r\n").startswith(b"235 ")
            assert typist.type(f"MAIL FROM:<{sent.sender}> BODY=8BITMIME\r\n".encode()).startswith(b"250 ")
            assert typist.type(f"RCPT TO:<{sent.recipient}>\r\n".encode()).startswith(b"250 ")
            assert typist.type(b"DATA\r\n").startswith(b"354 ")
            stuffed = sent.crlf.replace(b"\r\n.", b"\r\n..")
            assert typist.type(stuffed + b".\r\n").startswith(b"250 ")
            assert typist.type(b"QUIT\r\n").startswith(b"221 ")
            assert typist.process.wait(PATIENCE) == 0
        finally:
            typist.process.kill()


def test_openssl_delivers_over_verified_tls(gatepost_server: Gatepost, road: Road) -> None:
    """Over STARTTLS and implicit TLS, to the mx and with a login: octet for octet."""
    sent = road.letter()
    _send(gatepost_server, road, sent)
    road.check(sent, gatepost_server.arrived(sent.recipient, sent.token))


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_delivers_over_each_version_of_tls(gatepost_server: Gatepost, road: Road, version: str) -> None:
    """TLS 1.2 and 1.3, and the trace says which."""
    sent = road.letter()
    _send(gatepost_server, road, sent, version)
    arrived = gatepost_server.arrived(sent.recipient, sent.token)
    road.check(sent, arrived)
    assert f"using {version.replace('-tls1_', 'TLSv1.')} with cipher" in arrived.received[0]


def test_openssl_delivers_20_megabytes_unharmed(gatepost_server: Gatepost, login_road: Road) -> None:
    """A large attachment arrives octet for octet."""
    sent = login_road.letter(attachment=20 * MEGABYTE)
    _send(gatepost_server, login_road, sent)
    login_road.check(sent, gatepost_server.arrived(sent.recipient, sent.token))


def _try(command: list[str]) -> Done:
    return run([*command, "-brief"], given=b"QUIT\r\n")


def test_openssl_verifies_the_certificate(gatepost_server: Gatepost, road: Road) -> None:
    """The chain and the name are accepted: what the refusals below are compared with."""
    done = _try(_client(gatepost_server, road))
    assert done.code == 0 and "Verification: OK" in done.said and "Verified peername: mx.example.test" in done.said


def test_openssl_refuses_a_server_of_an_unknown_authority(
    gatepost_server: Gatepost, road: Road, wrong_ca: Path
) -> None:
    """Another authority."""
    done = _try(_client(gatepost_server, road, ca=wrong_ca))
    assert done.code != 0 and "certificate verify failed" in done.said, done.said


def test_openssl_refuses_a_certificate_for_another_name(gatepost_server: Gatepost, road: Road) -> None:
    """Another name."""
    done = _try(_client(gatepost_server, road, name="other.example.test"))
    assert done.code != 0 and "hostname mismatch" in done.said.lower(), done.said


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_openssl_is_refused_an_old_version_of_tls(gatepost_server: Gatepost, road: Road, version: str) -> None:
    """A handshake with TLS 1.0 or 1.1 ends with an alert."""
    done = _try([*_client(gatepost_server, road), version, "-cipher", "DEFAULT@SECLEVEL=0"])
    assert done.code != 0 and "protocol version" in done.said, done.said
