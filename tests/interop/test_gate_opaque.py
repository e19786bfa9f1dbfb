"""Gates in front of servers whose protocols they do not read: PostgreSQL, OpenLDAP, news, files, chat, mail filters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.interop.daemons import HOST
from tests.interop.gates import Gates
from tests.interop.programs import Done, require, run
from tests.interop.started import Running

from gatepost import blocking
from gatepost.testing.ca import TestAuthority

SECONDS = 30.0
STREAM = (
    f"<?xml version='1.0'?><stream:stream to='{HOST}' version='1.0' xmlns='jabber:client' "
    "xmlns:stream='http://etherx.jabber.org/streams'>"
).encode()
# Protocol: the server, what is said inside TLS, and what the first of the answer is.
SPOKEN = {
    "nntp": ("inn", b"CAPABILITIES\r\n", b"101 "),
    "ftp": ("vsftpd", b"SYST\r\n", b"530 "),  # it wants a login first, and has not greeted again
    "irc": ("inspircd", b"CAP LS\r\n", b":far.test "),
    "sieve": ("dovecot", b"", b'"IMPLEMENTATION" "Dovecot'),
    "xmpp": ("prosody", STREAM, b"<?xml"),
}


@pytest.fixture(scope="module")
def servers(authority: TestAuthority) -> Iterator[Running]:
    """The servers behind, each started when it is asked for."""
    running = Running(authority, pytest.fail)
    yield running
    running.close()


def front(
    tmp_path: Path, authority: TestAuthority, servers: Running, server: str, protocol: str, backend_tls: str = "none",
    **gate: str,
) -> Gates:  # fmt: skip
    """A gate, called front, before one of them."""
    name, port = servers.port(server, protocol)
    backend = {"name": "far", "servers": f"127.0.0.1:{port}", "tls": backend_tls}
    if backend_tls != "none":
        backend |= {"ca": "ca.pem", "names": name}
    gates = [{"name": "front", "protocol": protocol, "backend": "far", **gate}]
    made = Gates(tmp_path, authority, backends=[backend], gates=gates)
    # ldapsearch takes "localhost" for the machine's own name, so it is given an address.
    authority.issue("gate.example.test", "localhost", "127.0.0.1").write(tmp_path / "server.pem")
    return made


def psql(gate: Gates, *arguments: str, host: str = "localhost", given: bytes = b"") -> Done:
    """Run psql, which verifies the certificate and the name in it."""
    place = f"host={host} hostaddr=127.0.0.1 port={gate.ports['front']} user=postgres dbname=postgres"
    trust = f"sslmode=verify-full sslrootcert={gate.ca_file}"
    return run((require("psql", "postgresql-client"), f"{place} {trust}", "-XAtq", *arguments), given=given)


@pytest.mark.parametrize(("backend_tls", "private"), [("none", "f"), ("starttls", "t")])
def test_psql_talks_to_postgresql_through_the_gate(
    tmp_path: Path, authority: TestAuthority, servers: Running, backend_tls: str, private: str
) -> None:
    """Queries, a megabyte of answer and a copy, with ``sslmode=verify-full``, before a server with and without TLS."""
    with front(tmp_path, authority, servers, "postgres", "postgres", backend_tls) as gate:
        question = "select ssl from pg_stat_ssl where pid = pg_backend_pid()"
        done = psql(gate, "-c", question)
        assert (done.code, done.out.strip()) == (0, private.encode()), done.said + gate.log()
        done = psql(gate, "-c", "select string_agg(repeat(chr(32 + n % 90), 1000), '') from generate_series(1, 1000) n")
        assert len(done.out.strip(b"\n")) == 1_000_000, done.said[:500]
        rows = b"".join(b"%d\t%s\n" % (number, b"x" * 90) for number in range(5000))
        script = b"create temp table t (n int, x text);\ncopy t from stdin;\n" + rows + b"\\.\nselect sum(n) from t;\n"
        assert psql(gate, given=script).out == b"12497500\n"
        line = gate.logged("gate.session", "protocol=postgres", "outcome=closed")
        assert "tls=TLSv1.3" in line
        assert ("backend_tls=TLSv1.3" in line) == (private == "t")


def test_psql_that_does_not_ask_for_tls_is_told_to(tmp_path: Path, authority: TestAuthority, servers: Running) -> None:
    """``sslmode=disable``: PostgreSQL's own words say why."""
    with front(tmp_path, authority, servers, "postgres", "postgres") as gate:
        place = f"host=127.0.0.1 port={gate.ports['front']} user=postgres sslmode=disable"
        done = run((require("psql", "postgresql-client"), place, "-c", "select 1"))
        assert done.code != 0
        assert "TLS first: send an SSLRequest" in done.said


def test_psql_comes_to_the_servers_own_tls_in_pass_mode(
    tmp_path: Path, authority: TestAuthority, servers: Running
) -> None:
    """The certificate is the server's, and the server sees TLS."""
    with front(tmp_path, authority, servers, "postgres", "postgres", mode="pass") as gate:
        question = "select ssl from pg_stat_ssl where pid = pg_backend_pid()"
        done = psql(gate, "-c", question, host=HOST)
        assert (done.code, done.out) == (0, b"t\n"), done.said + gate.log()
        assert psql(gate, "-c", question, host="gate.example.test").code != 0  # which the server's does not name
        gate.logged("gate.session", "blind=yes", "mode=pass")


@pytest.mark.parametrize("backend_tls", ["none", "starttls"])
def test_ldapsearch_with_zz_goes_through(
    tmp_path: Path, authority: TestAuthority, servers: Running, backend_tls: str
) -> None:
    """``ldapsearch -ZZ`` wants StartTLS to succeed and the certificate to be right."""
    with front(tmp_path, authority, servers, "slapd", "ldap", backend_tls) as gate:
        address = f"ldap://127.0.0.1:{gate.ports['front']}"
        command = (require("ldapsearch", "ldap-utils"), "-ZZ", "-x", "-LLL", "-H", address, "-s", "base", "-b", "")
        trust = {"LDAPTLS_CACERT": str(gate.ca_file), "LDAPTLS_REQCERT": "demand"}
        done = run((*command, "supportedLDAPVersion"), env=trust)
        assert done.code == 0, done.said + gate.log()
        assert b"supportedLDAPVersion: 3" in done.out


def test_ldapsearch_without_tls_is_refused(tmp_path: Path, authority: TestAuthority, servers: Running) -> None:
    """confidentialityRequired (RFC 4511 §4.1.9): a password would have been sent in the clear."""
    with front(tmp_path, authority, servers, "slapd", "ldap") as gate:
        address = f"ldap://127.0.0.1:{gate.ports['front']}"
        done = run((require("ldapsearch", "ldap-utils"), "-x", "-H", address, "-s", "base", "-b", ""))
        assert "Confidentiality required" in done.said


def test_ldaps_goes_through_to_a_server_that_has_starttls(
    tmp_path: Path, authority: TestAuthority, servers: Running
) -> None:
    """The client begins with TLS, the server is upgraded."""
    with front(tmp_path, authority, servers, "slapd", "ldap", "starttls", tls="implicit") as gate:
        address = f"ldaps://127.0.0.1:{gate.ports['front']}"
        command = (require("ldapsearch", "ldap-utils"), "-x", "-LLL", "-H", address, "-s", "base", "-b", "")
        trust = {"LDAPTLS_CACERT": str(gate.ca_file), "LDAPTLS_REQCERT": "demand"}
        done = run((*command, "supportedLDAPVersion"), env=trust)
        assert b"supportedLDAPVersion: 3" in done.out, done.said + gate.log()


@pytest.mark.parametrize("backend_tls", ["none", "starttls"])
@pytest.mark.parametrize("protocol", SPOKEN)
def test_first_words_inside_tls_are_the_ones_that_are_due(
    tmp_path: Path, authority: TestAuthority, servers: Running, protocol: str, backend_tls: str
) -> None:
    """Whoever has greeted whom: what the client hears first inside TLS is the answer to what it said there."""
    server, words, answer = SPOKEN[protocol]
    with front(tmp_path, authority, servers, server, protocol, backend_tls) as gate:
        plain = blocking.connect(
            "127.0.0.1", gate.ports["front"], ca_file=gate.ca_file, server_name="localhost", timeout=SECONDS
        )
        with plain.upgrade(protocol) as client:
            if words:
                client.send(words)
            heard = client.read() if protocol == "xmpp" else client.readline()
            while protocol == "irc" and b" CAP " not in heard:  # notices come while it looks the client up
                heard = client.readline()
            assert heard.startswith(answer), gate.log()
