"""The PROXY protocol with those who made it: HAProxy in front of the gate, HAProxy and Postfix behind it."""

from __future__ import annotations

import re
import shutil
import smtplib
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.interop.conftest import FRIEND
from tests.interop.daemons import Daemon
from tests.interop.gates import Gates
from tests.interop.letters import letter
from tests.interop.patience import PATIENCE, listening, until
from tests.interop.postfix import CAROL, HOSTNAME, Postfix
from tests.interop.programs import missing, require, require_root, run
from tests.ports import free_port

from gatepost.testing.ca import TestAuthority
from gatepost.wire.proxy import Address, header_v1, header_v2

pytestmark = pytest.mark.interop

CLIENT = "127.0.0.3"  # where mail comes from: not the address of the proxy, nor that of the gate
ASKING = free_port()
VERSIONS = pytest.mark.parametrize(("send", "manner"), [("send-proxy", "proxy1"), ("send-proxy-v2", "proxy2")])


@contextmanager
def haproxy(authority: TestAuthority, front: str, server: str) -> Iterator[tuple[int, Daemon]]:
    """HAProxy, passing TCP on.

    :param front: options of ``bind``; likewise ``server``, with the address first.
    """
    program = require("haproxy", "haproxy")
    port, daemon = free_port(), Daemon(authority)
    config = daemon.write(
        "haproxy.cfg",
        f"global\n log stdout format raw local0\ndefaults\n mode tcp\n log global\n timeout connect 20s\n"
        " timeout client 60s\n timeout server 60s\n"
        f"listen mail\n bind 127.0.0.1:{port} {front}\n log-format src=%ci:%cp\\ id=%[fc_pp_unique_id]\n"
        f" server behind {server}\n",
    )
    try:
        daemon.start(program, "-f", config, "-db", ports=(port,))
        yield port, daemon
    finally:
        daemon.close()


def send_mail(port: int, ca_file: Path, text: bytes) -> int:
    """Send a message from CLIENT over verified STARTTLS; the port that it was sent from."""
    context = ssl.create_default_context(cafile=str(ca_file))
    with smtplib.SMTP("localhost", port, timeout=PATIENCE, source_address=(CLIENT, 0)) as client:
        client.starttls(context=context)
        assert client.sendmail(FRIEND, [CAROL], text) == {}
        assert client.sock is not None
        number: int = client.sock.getsockname()[1]
    return number


@pytest.fixture(scope="module")
def asking(postfix: Postfix) -> Postfix:
    """Postfix, with a second service that wants a PROXY header first."""
    with (postfix.base / "conf" / "master.cf").open("a") as master:
        master.write(f"127.0.0.1:{ASKING} inet n - n - - smtpd\n -o smtpd_upstream_proxy_protocol=haproxy\n")
    postfix.reload()
    until(lambda: listening(ASKING), what="Postfix wants PROXY headers", log=postfix.log)
    return postfix


@VERSIONS
def test_haproxy_tells_the_gate_who_the_client_is(
    tmp_path: Path, authority: TestAuthority, postfix: Postfix, send: str, manner: str
) -> None:
    """The summary line has the client's address and port, and the proxy's beside it."""
    sent = letter(FRIEND, CAROL)
    gates = Gates(
        tmp_path,
        authority,
        backends=[{"name": "mail", "servers": f"127.0.0.1:{postfix.port}"}],
        gates=[{"name": "front", "protocol": "smtp", "backend": "mail", "proxy_from": "127.0.0.1"}],
    )
    with gates, haproxy(authority, "", f"127.0.0.1:{gates.ports['front']} {send}") as (port, _):
        number = send_mail(port, gates.ca_file, sent.crlf)
        line = gates.logged("gate.session", f"rip={CLIENT}", f"rport={number}")
        assert "via=127.0.0.1" in line
        assert "tls=TLSv1.3" in line
        assert "messages=1" in line
    postfix.arrived(sent.token)


@VERSIONS
def test_gate_tells_haproxy_who_the_client_is(
    tmp_path: Path, authority: TestAuthority, postfix: Postfix, send: str, manner: str
) -> None:
    """HAProxy logs the client's address and port; in version 2 it gets the connection's identifier, too."""
    sent = letter(FRIEND, CAROL)
    with haproxy(authority, "accept-proxy", f"127.0.0.1:{postfix.port}") as (behind, daemon):
        gates = Gates(
            tmp_path,
            authority,
            backends=[{"name": "mail", "servers": f"127.0.0.1:{behind}", "client": manner}],
            gates=[{"name": "front", "protocol": "smtp", "backend": "mail"}],
        )
        with gates:
            number = send_mail(gates.ports["front"], gates.ca_file, sent.crlf)
            line = gates.logged("gate.session", f"rip={CLIENT}", f"rport={number}")
            found = until(
                lambda: re.search(rf"src={CLIENT}:{number} id=(\S+)", daemon.log()), what="HAProxy logs", log=daemon.log
            )
            connection = "-" if manner == "proxy1" else found[1]
            assert connection == "-" or f"connection={connection} " in line
    postfix.arrived(sent.token)


@VERSIONS
def test_postfix_behind_haproxy_and_the_gate_sees_the_client(
    tmp_path: Path, authority: TestAuthority, asking: Postfix, send: str, manner: str
) -> None:
    """Through both, and over STARTTLS on both sides of the gate; its checks are no trouble to Postfix."""
    sent = letter(FRIEND, CAROL)
    backend = {
        "name": "mail", "servers": f"127.0.0.1:{ASKING}", "client": manner, "tls": "starttls",
        "ca": str(asking.base / "ca.pem"), "names": HOSTNAME,
    }  # fmt: skip
    gates = Gates(
        tmp_path,
        authority,
        backends=[backend],
        gates=[{"name": "front", "protocol": "smtp", "backend": "mail", "proxy_from": "127.0.0.1"}],
    )
    with gates, haproxy(authority, "", f"127.0.0.1:{gates.ports['front']} {send}") as (port, _):
        number = send_mail(port, gates.ca_file, sent.crlf)
        assert "backend_tls=TLSv1.3" in gates.logged("gate.session", f"rip={CLIENT}", f"rport={number}")
        gates.logged("backend.up")
        assert " backend.down " not in gates.log_file.read_text()
    arrived = asking.arrived(sent.token)
    assert f"[{CLIENT}]" in arrived.received[0]


@pytest.mark.parametrize("header", [header_v1, header_v2])
def test_hello_in_the_segment_of_the_header_reaches_tls(
    tmp_path: Path, authority: TestAuthority, postfix: Postfix, header: Callable[[Address, Address], bytes]
) -> None:
    """Where TLS comes first: what stands behind the header is the handshake's, and mail goes through."""
    gates = Gates(
        tmp_path,
        authority,
        backends=[{"name": "mail", "servers": f"127.0.0.1:{postfix.port}"}],
        gates=[
            {"name": "front", "protocol": "smtp", "tls": "implicit", "backend": "mail", "proxy_from": "127.0.0.1"},
        ],
    )  # fmt: skip
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = ssl.create_default_context(cafile=str(gates.ca_file)).wrap_bio(
        incoming, outgoing, server_hostname="localhost"
    )
    with gates, socket.create_connection(("127.0.0.1", gates.ports["front"]), PATIENCE) as sock:
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        sock.sendall(header(("192.0.2.7", 40000), ("198.51.100.1", 465)) + outgoing.read())
        said = b""
        while not said.endswith(b"\r\n"):
            incoming.write(sock.recv(65536))
            try:
                tls.do_handshake()
                said += tls.read()
            except ssl.SSLWantReadError:
                pass
            sock.sendall(outgoing.read())
        assert said.startswith(b"220 gate.example.test ")
        sock.close()
        gates.logged("gate.session", "rip=192.0.2.7", "via=127.0.0.1", "got=implicit")


def test_client_that_tells_of_itself_is_not_believed(
    tmp_path: Path, authority: TestAuthority, postfix: Postfix
) -> None:
    """From an address that is not on the list a header is rubbish in SMTP."""
    gates = Gates(
        tmp_path,
        authority,
        backends=[{"name": "mail", "servers": f"127.0.0.1:{postfix.port}"}],
        gates=[{"name": "front", "protocol": "smtp", "backend": "mail", "proxy_from": "127.0.0.1"}],
    )
    with gates, socket.create_connection(("127.0.0.1", gates.ports["front"]), PATIENCE, (CLIENT, 0)) as sock:
        stream = sock.makefile("rwb")
        assert stream.readline().startswith(b"220 ")
        stream.write(b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 25\r\nQUIT\r\n")
        stream.flush()
        assert stream.readline().startswith(b"50")
        assert stream.readline().startswith(b"221 ")
        stream.close()
        gates.logged("gate.session", f"rip={CLIENT}")


@pytest.fixture(scope="module")
def dovecot(authority: TestAuthority) -> Iterator[tuple[dict[str, int], Daemon]]:
    """Dovecot, with ports that want a PROXY header first; it takes no login of a client that is not inside TLS."""
    program = require("dovecot", "dovecot-core")
    require_root("Dovecot")
    for name in ("pop3", "imap"):
        if not Path(f"/usr/lib/dovecot/{name}-login").exists():
            missing(f"Dovecot has no {name}: apt-get install dovecot-{name}d")
    ports, daemon = {name: free_port() for name in ("pop3", "imap")}, Daemon(authority)
    shutil.chown(daemon.directory("mail"), "mail", "mail")
    services = "".join(
        f"service {name}-login {{\n inet_listener {name} {{\n  port = {port}\n  haproxy = yes\n }}\n"
        f" inet_listener {name}s {{\n  port = 0\n }}\n}}\n"
        for name, port in ports.items()
    )
    config = daemon.write(
        "dovecot.conf",
        f"base_dir = {daemon.directory('run')}\nstate_dir = {daemon.directory('state')}\nlisten = 127.0.0.1\n"
        f"protocols = imap pop3\nssl = no\nlog_path = {daemon.base}/daemon.log\ndisable_plaintext_auth = yes\n"
        f"mail_location = maildir:{daemon.base}/mail/%u\nhaproxy_trusted_networks = 127.0.0.1\n"
        "passdb {\n driver = static\n args = password=secret\n}\n"
        f"userdb {{\n driver = static\n args = uid=mail gid=mail home={daemon.base}/mail/%u\n}}\nfirst_valid_uid = 1\n"
        + services,
    )
    daemon.start(program, "-F", "-c", config, ports=tuple(ports.values()))
    yield ports, daemon
    daemon.close()


@pytest.mark.parametrize("protocol", ["pop3", "imap"])
def test_dovecot_is_told_of_the_clients_tls(
    tmp_path: Path, authority: TestAuthority, dovecot: tuple[dict[str, int], Daemon], protocol: str
) -> None:
    """Version 2 says that the client is inside TLS: a server that takes logins nowhere else takes this one."""
    ports, daemon = dovecot
    gates = Gates(
        tmp_path,
        authority,
        backends=[{"name": "mail", "servers": f"127.0.0.1:{ports[protocol]}", "client": "proxy2"}],
        gates=[{"name": "front", "protocol": protocol, "backend": "mail"}],
    )
    manner = ("--silent", "--show-error", "--ssl-reqd", "--max-time", "60", "--cacert", str(gates.ca_file))
    where = f"{protocol}://u:secret@localhost:{gates.ports['front']}/"
    with gates:
        done = run([require("curl", "curl"), *manner, "--interface", CLIENT, where])
        assert done.code == 0, f"{done.said}\n{gates.log()}\n{daemon.log()}"
        until(
            lambda: re.search(rf"{protocol}-login: Info: Login: user=<u>,.* rip={CLIENT},.* secured,", daemon.log()),
            what="Dovecot logs the client", log=daemon.log,
        )  # fmt: skip
        gates.logged("gate.session", f"rip={CLIENT}", "user=u")
