"""The SMTP gate between real clients and real servers: Postfix and Exim, with TLS of their own and without."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from tests.attacks.raw import Raw
from tests.interop import test_curl, test_msmtp, test_mutt, test_nodemailer, test_swaks
from tests.interop.conftest import FRIEND, Road
from tests.interop.exim import Exim
from tests.interop.gates import Gate
from tests.interop.letters import MEGABYTE, Arrived, Letter, letter
from tests.interop.patience import until
from tests.interop.postfix import CAROL as POSTFIX_CAROL
from tests.interop.postfix import HOSTNAME, Postfix
from tests.interop.programs import Done, require, require_root, run
from tests.interop.test_nodemailer import nodemailer as nodemailer
from tests.unit.service.gate.smtp_behind import Behind

from gatepost.testing.ca import TestAuthority

pytestmark = pytest.mark.interop
EXIM_CAROL = "carol@far.test"
STARTTLS = Road("front", implicit=False, login=False)
IMPLICIT = Road("fronts", implicit=True, login=False)


@dataclass(frozen=True, slots=True)
class Standing:
    """A gate, and what stands behind it."""

    gate: Gate
    encrypted: bool
    arrived: Callable[[str], Arrived]

    def check(self, sent: Letter) -> Arrived:
        """The message arrived, octet for octet, over as much TLS as the server has."""
        found = self.arrived(sent.token)
        assert found.content.endswith(sent.lf)
        return found


@pytest.fixture(scope="module", params=["postfix", "postfix with TLS", "exim", "exim with TLS"])
def standing(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, authority: TestAuthority
) -> Iterator[Standing]:
    """Each server behind a gate: without TLS the gate adds it, with it the gate encrypts anew and verifies."""
    server, _, tls = str(request.param).partition(" ")
    directory = tmp_path_factory.mktemp("gate")
    with ExitStack() as stack:
        arrived: Callable[[str], Arrived]
        if server == "postfix":
            require("postfix", "postfix")
            require_root("Postfix")
            postfix = stack.enter_context(Postfix(authority))
            postfix.set(
                smtpd_tls_security_level="may" if tls else "none",
                smtpd_relay_restrictions="reject_unauth_destination",  # to it every client is the gate
            )
            port, arrived, name = postfix.port, postfix.arrived, HOSTNAME
        else:
            exim = Exim(authority, tls=bool(tls))
            stack.callback(exim.close)
            port, arrived, name = exim.port, exim.arrived, "far.test"
        behind = {"tls": "starttls", "ca": "ca.pem", "names": [name]} if tls else {"tls": "none"}
        gate = stack.enter_context(Gate(directory, authority, [f"127.0.0.1:{port}"], backend=behind))
        yield Standing(gate, bool(tls), arrived)


@pytest.fixture(params=[STARTTLS, IMPLICIT], ids=["starttls", "implicit"])
def way(request: pytest.FixtureRequest) -> Road:
    """Both ways in."""
    road: Road = request.param
    return road


def to_carol(*, attachment: int = 0) -> Letter:
    assert POSTFIX_CAROL == EXIM_CAROL
    return letter(FRIEND, EXIM_CAROL, attachment=attachment)


def test_swaks_delivers_through_the_gate(standing: Standing, way: Road, tmp_path: Path) -> None:
    """Over TLS that it verifies, octet for octet; the server's own words come back."""
    sent = to_carol()
    done = test_swaks._send(standing.gate, way, sent, tmp_path)
    assert done.code == 0, done.said
    standing.check(sent)


def test_curl_delivers_20_megabytes_through_the_gate(standing: Standing, way: Road, tmp_path: Path) -> None:
    """A large attachment arrives octet for octet."""
    sent = to_carol(attachment=20 * MEGABYTE)
    done = test_curl._send(standing.gate, way, sent, tmp_path)
    assert done.code == 0, done.said
    standing.check(sent)


def test_msmtp_delivers_through_the_gate(standing: Standing, way: Road, tmp_path: Path) -> None:
    """Octets above 127 and lines of dots included."""
    sent = to_carol()
    done = test_msmtp._send(standing.gate, way, sent, tmp_path)
    assert done.code == 0, done.said
    standing.check(sent)


def test_nodemailer_delivers_through_the_gate(standing: Standing, way: Road, tmp_path: Path, nodemailer: Path) -> None:
    """On the TLS of Node.js."""
    sent = to_carol()
    done = test_nodemailer._send(nodemailer, standing.gate, way, sent, tmp_path)
    assert done.code == 0, done.said
    standing.check(sent)


def test_mutt_delivers_an_attachment_through_the_gate(standing: Standing, way: Road, tmp_path: Path) -> None:
    """Every octet of it."""
    sent = to_carol()
    file = tmp_path / "data.bin"
    file.write_bytes(bytes(range(256)) * 4000)
    done = test_mutt._send(standing.gate, way, sent.token, tmp_path, file, to=sent.recipient)
    assert done.code == 0, done.said
    (attachment,) = standing.arrived(sent.token).message.iter_attachments()
    assert attachment.get_payload(decode=True) == file.read_bytes()


def test_chunks_arrive_through_the_gate(standing: Standing) -> None:
    """BDAT in odd pieces, cut within a line end and before a dot."""
    sent = to_carol()
    content = sent.crlf
    cuts = [0, 7, content.index(b"\r\n") + 1, content.index(b"\r\n.\r\n") + 3, len(content)]
    with Raw(standing.gate.ports["front"], timeout=60) as client:
        client.upgrade(standing.gate.ca_file)
        client.send(f"MAIL FROM:<{sent.sender}> BODY=8BITMIME\r\nRCPT TO:<{sent.recipient}>\r\n".encode())
        assert [client.reply()[:3] for _ in range(2)] == [b"250"] * 2
        for start, stop in pairwise(cuts):
            last = b" LAST" if stop == len(content) else b""
            client.send(b"BDAT %d%b\r\n" % (stop - start, last) + content[start:stop])
        assert [client.reply()[:3] for _ in range(4)] == [b"250"] * 4
        assert client.say(b"QUIT").startswith(b"221")
    standing.check(sent)


def test_refusal_of_the_server_comes_back(standing: Standing, tmp_path: Path) -> None:
    """For a domain that it does not take mail for."""
    sent = letter(FRIEND, "nobody@elsewhere.invalid")
    done = test_swaks._send(standing.gate, STARTTLS, sent, tmp_path)
    assert done.code != 0
    assert " 550 " in done.said or " 554 " in done.said or " 454 " in done.said, done.said


def test_plaintext_client_is_served_too(standing: Standing, tmp_path: Path) -> None:
    """Without a rule that requires it, TLS is the client's choice."""
    sent = to_carol()
    with Raw(standing.gate.ports["front"], timeout=60) as client:
        assert b"STARTTLS" in client.say(b"EHLO client.example")
        client.send(f"MAIL FROM:<{sent.sender}>\r\nRCPT TO:<{sent.recipient}>\r\nDATA\r\n".encode())
        assert [client.reply()[:3] for _ in range(3)] == [b"250", b"250", b"354"]
        client.send(sent.crlf.replace(b"\r\n.", b"\r\n..") + b".\r\n")
        assert client.reply().startswith(b"250")
    standing.check(sent)


def _swaks_login(gate: Gate, sent: Letter, *extra: str) -> Done:
    command: list[str | Path] = [require("swaks", "swaks"), "--server", "localhost", "--port", str(gate.ports["front"])]
    command += ["--tls", "--tls-verify", "--tls-ca-path", gate.ca_file, "--from", sent.sender, "--to", sent.recipient]
    return run([*command, "--header", f"Subject: {sent.token}", *extra])


def test_login_is_between_client_and_server(
    tmp_path: Path, authority: TestAuthority, request: pytest.FixtureRequest
) -> None:
    """Exim checks the password that swaks has; the gate's log has the name and nothing more."""
    exim = Exim(authority, tls=False)
    request.addfinalizer(exim.close)
    with Gate(tmp_path, authority, [f"127.0.0.1:{exim.port}"], protocol="submission") as gate:
        sent = to_carol()
        auth = ("--auth", "PLAIN", "--auth-user", "carol")
        assert _swaks_login(gate, sent, *auth, "--auth-password", "wrong").code == 28
        done = _swaks_login(gate, sent, *auth, "--auth-password", "secret")
        assert done.code == 0, done.said
        assert "A=plain:carol" in exim.log()
        exim.arrived(sent.token)
        log = gate.log_file.read_text()
        assert "user=carol" in log and "secret" not in log


@pytest.mark.parametrize("tls", ["none", "starttls"])
def test_postfix_believes_xclient(tmp_path: Path, authority: TestAuthority, tls: str) -> None:
    """What it writes into the trace is the client's address and name, not the gate's; inside TLS, too."""
    require("postfix", "postfix")
    require_root("Postfix")
    with Postfix(authority) as postfix:
        level = "none" if tls == "none" else "encrypt"
        postfix.set(smtpd_authorized_xclient_hosts="127.0.0.1", smtpd_tls_security_level=level)
        proof = {} if tls == "none" else {"ca": "ca.pem", "names": [HOSTNAME]}
        keys = {"client": "xclient", "tls": tls, **proof}
        with Gate(tmp_path, authority, [f"127.0.0.1:{postfix.port}"], backend=keys) as gate:
            sent = to_carol()
            with Raw(gate.ports["front"], source="127.0.0.77", timeout=60) as client:
                client.say(b"EHLO client.example")
                client.say(b"STARTTLS")
                client.start_tls(gate.ca_file)
                client.say(b"EHLO inside.example")
                client.send(f"MAIL FROM:<{sent.sender}>\r\nRCPT TO:<{sent.recipient}>\r\nDATA\r\n".encode())
                assert [client.reply()[:3] for _ in range(3)] == [b"250", b"250", b"354"]
                client.send(sent.crlf.replace(b"\r\n.", b"\r\n..") + b".\r\n")
                assert client.reply().startswith(b"250")
            received = postfix.arrived(sent.token).received[0]
            assert "from inside.example (unknown [127.0.0.77])" in received
            assert ("using TLSv1.3" in received) == (tls == "starttls")


def test_postfix_logs_xforward(tmp_path: Path, authority: TestAuthority) -> None:
    """It takes the client's address for its log."""
    require("postfix", "postfix")
    require_root("Postfix")
    with Postfix(authority) as postfix:
        postfix.set(smtpd_authorized_xforward_hosts="127.0.0.1")
        keys = {"client": "xforward"}
        with Gate(tmp_path, authority, [f"127.0.0.1:{postfix.port}"], backend=keys) as gate:
            sent = to_carol()
            with Raw(gate.ports["front"], source="127.0.0.78", timeout=60) as client:
                client.upgrade(gate.ca_file)
                client.send(f"MAIL FROM:<{sent.sender}>\r\nRCPT TO:<{sent.recipient}>\r\nDATA\r\n".encode())
                assert [client.reply()[:3] for _ in range(3)] == [b"250", b"250", b"354"]
                client.send(sent.crlf.replace(b"\r\n.", b"\r\n..") + b".\r\n")
                assert client.reply().startswith(b"250")
            postfix.arrived(sent.token)
            postfix.logged("orig_client=unknown[127.0.0.78]")


def test_pass_gives_the_client_the_servers_own_tls(tmp_path: Path, authority: TestAuthority) -> None:
    """The certificate that swaks verifies is Postfix's."""
    require("postfix", "postfix")
    require_root("Postfix")
    with Postfix(authority) as postfix:
        servers = [f"127.0.0.1:{postfix.port}"]
        with Gate(tmp_path, authority, servers, keys={"mode": "pass"}) as gate:
            sent = to_carol()
            with Raw(gate.ports["front"], timeout=60) as client:
                assert b"STARTTLS" in client.say(b"EHLO client.example")
                assert client.say(b"STARTTLS").startswith(b"220")
                client.start_tls(gate.ca_file, name=HOSTNAME)
                client.say(b"EHLO inside.example")
                client.send(f"MAIL FROM:<{sent.sender}>\r\nRCPT TO:<{sent.recipient}>\r\nDATA\r\n".encode())
                assert [client.reply()[:3] for _ in range(3)] == [b"250", b"250", b"354"]
                client.send(sent.crlf.replace(b"\r\n.", b"\r\n..") + b".\r\n")
                assert client.reply().startswith(b"250")
            received = postfix.arrived(sent.token).received[0]
            assert "using TLSv1.3" in received
            until(lambda: "blind=yes" in gate.log_file.read_text(), what="the gate says that it was blind")


def test_server_that_knows_only_plaintext_is_greylisted_under_starttls(
    tmp_path: Path, authority: TestAuthority
) -> None:
    """The case of a qmail: the gate gives it TLS and still reads RCPT inside it. The second attempt passes."""
    greylist = {"enabled": True, "delay": "1s"}
    with Behind(("PIPELINING", "8BITMIME")) as behind, Gate(
        tmp_path, authority, [behind.name], tables={"greylist": greylist}
    ) as gate:  # fmt: skip
        sent = to_carol()
        first = test_swaks._send(gate, STARTTLS, sent, tmp_path)
        assert first.code != 0
        assert "451 4.7.1 Greylisted" in first.said, first.said
        assert behind.messages == []

        def again() -> bool:
            return test_swaks._send(gate, STARTTLS, sent, tmp_path).code == 0

        until(again, what="it is let in")
        assert len(behind.messages) == 1
        assert "greylist.passed" in gate.log_file.read_text()
